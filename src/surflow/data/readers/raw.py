"""Raw: everything a source holds, before columns are chosen and rows are split."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from surflow.data.readers.frame import Frame, read_table
from surflow.supports import Support


@dataclass
class Raw:
    """Everything a source holds, before columns are chosen.

    Attributes:
        name, origin: what it is called, and where it is from, for messages and the report.
        frame: the rows of a table, or the columns that stand beside events; None for events alone.
        events: events of any shape (n, *event) instead of data columns, or None.
        targets: columns that are not data by default; as context, "target" or "context" stands for all of them.
        support: of the events: integers, or sets of points of different sizes; None for real numbers.
        sets: the last axis of the events lists the points of a set, in no order.
        ends: where its training and its validation rows end, in a set whose split is everybody's; or None.
        begin: of a part of a source, the number of its first row.
        pixels: events are sets of points in the pixels of images of so many rows and columns, the first about (0, 0).
    """

    name: str
    origin: str
    frame: Frame | None = None
    events: np.ndarray | None = None
    targets: tuple[str, ...] = field(default=())
    support: Support | None = None
    sets: bool = False
    ends: tuple[int, int] | None = None
    pixels: int | None = None
    begin: int = 0

    @property
    def rows(self) -> int:
        """How many events it holds."""
        if self.events is not None:
            return len(self.events)
        return 0 if self.frame is None else self.frame.rows

    @property
    def columns(self) -> list[str]:
        """The names of its columns."""
        return [] if self.frame is None else list(self.frame.types)

    def between(self, begin: int, end: int) -> Raw:
        """The rows from one number to another."""
        return replace(
            self,
            frame=None if self.frame is None else self.frame.between(begin, end),
            events=None if self.events is None else self.events[begin:end],
            begin=begin,
        )


def frame_of(columns: Mapping[str, np.ndarray], name: str, origin: str) -> Frame:
    """Columns in memory as a table of a name and an origin."""
    frame = read_table(dict(columns))
    frame.name, frame.origin = name, origin
    return frame
