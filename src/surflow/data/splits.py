"""Splits: a data set in three parts, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from surflow._internal.groups import Groups
from surflow.data.encoding import ContextEncoding
from surflow.data.simulators.base import Simulator
from surflow.data.synthetic.base import Synthetic
from surflow.data.tables.schema import Schema
from surflow.data.tables.support import support_of
from surflow.supports import Support


class Part(NamedTuple):
    """Rows of data: x (n, *event), and the raw context (n, columns) or None."""

    x: Tensor
    context: Tensor | None


@dataclass
class Splits:
    """A data set in three parts.

    Attributes:
        name: what it is called.
        train, validation, test: the parts.
        columns: names of the data columns; empty for images and other arrays.
        support: where events lie: integers for images of bytes, a prior's support for parameters that were simulated, a
            box that holds the training points for sets of different sizes, a product over the columns of a table with
            categories or holes, else the real line.
        context: what the columns of the context mean, or None.
        description: one sentence: what, how many rows, from where.
        truth: the distribution that the data are from, where it is known and has a density.
        simulator: what the rows were simulated by, parameters as data and observations as the context; or None.
        schema: what the data columns are, for a table.
        sets: the last axis of an event lists the points of a set, in no order.
        groups: the training rows, all of them, of a file that is larger than memory; ``train`` is a part of them.
        pixels: events are sets of points in the pixels of images of so many rows and columns, the first about (0, 0).
    """

    name: str
    train: Part
    validation: Part
    test: Part
    columns: list[str]
    support: Support
    context: ContextEncoding | None
    description: str
    truth: Synthetic | None = None
    simulator: Simulator | None = None
    schema: Schema | None = None
    sets: bool = False
    pixels: int | None = None
    groups: Groups | None = None

    @property
    def column_support(self) -> Support:
        """Where the values of a table lie as its file writes them, also where a model takes numbers as real ones."""
        return self.support if self.schema is None else support_of(self.schema.columns)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.train.x.shape[1:])
