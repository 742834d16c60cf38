"""RowGroups: the training rows of a Parquet file that is larger than memory, read group by group."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from surflow._internal.groups import Groups
from surflow.data.encoding import ContextEncoding
from surflow.data.readers.frame import Frame
from surflow.data.readers.raw import Raw
from surflow.data.rows import rows_of
from surflow.data.sources import Source, read
from surflow.data.splits import Part
from surflow.data.tables.schema import Schema
from surflow.supports import Support


@dataclass
class RowGroups(Groups):
    """Rows of a file without those that are held out, in the file's own groups.

    Attributes:
        raw: the file.
        columns, encoding, schema, support: what the rows are, as a run on their data states it.
        chosen: in SQL, which rows these are.
        sizes: how many of them each group has.
    """

    raw: Raw
    columns: Sequence[str]
    encoding: ContextEncoding | None
    schema: Schema | None
    support: Support
    chosen: str
    known: Sequence[int] | None = field(default=None, repr=False)

    @cached_property
    def sizes(self) -> Sequence[int]:  # type: ignore[override]  # counted when first asked for
        if self.known is not None:
            return list(self.known)
        return [self._group(number).rows for number in range(len(self._frame.groups))]

    @property
    def _frame(self) -> Frame:
        assert self.raw.frame is not None  # a file of groups is a table
        return self.raw.frame

    def _group(self, number: int) -> Frame:
        begin = sum(self._frame.groups[:number])
        return self._frame.between(begin, begin + self._frame.groups[number], self.chosen)

    def read(self, number: int) -> Part:
        raw = replace(self.raw, frame=self._group(number))
        return rows_of(raw, self.columns, self.encoding, schema=self.schema, support=self.support)


def row_groups(
    source: Source,
    columns: Sequence[str],
    encoding: ContextEncoding | None,
    schema: Schema | None,
    support: Support,
    chosen: str,
    sizes: Sequence[int],
) -> RowGroups:
    """The groups of a file that another process has counted; the arguments are attributes of :class:`RowGroups`."""
    return RowGroups(read(source), columns, encoding, schema, support, chosen, sizes)
