"""Table: rows of whatever library or file, with the schema that says what their columns are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from surflow.data.load import schema_of
from surflow.data.readers.raw import Raw
from surflow.data.sources import Source, read
from surflow.data.table import ready
from surflow.data.tables.schema import Schema
from surflow.errors import DataError
from surflow.tables.libraries import library_of


class Table:
    """A table, and what its columns are.

    Args:
        source: a table of pandas, polars or pyarrow, a dictionary of arrays, an array, or the path of a file.
        schema: what all columns are, or a TOML file that says so, in place of what the values look like.
        column: what single columns are, where they are read otherwise than meant: "age=count".
        drop: columns to leave out.

    Attributes:
        schema: of all columns; ``schema.used`` are those that a model learns.
        rows: how many there are.
        x: the used columns as numbers, (rows, columns), double; NaN where a value is missing.

    Raises:
        ConfigError: for a column that is not there.
        FileError: for a file that is missing, damaged or of another kind.
        DataError: for infinite values, or no column that a model could learn.

    >>> import surflow as sf
    >>> table = sf.Table({"age": [31, 44, 27, 44], "sex": ["F", "M", "F", None]})
    >>> table.rows, [column.type for column in table.schema]
    (4, ['number, step 1', 'category of 2'])
    """

    def __init__(
        self,
        source: Source,
        *,
        schema: Schema | str | Path | None = None,
        column: Sequence[str] = (),
        drop: Sequence[str] = (),
    ) -> None:
        self.source = source
        self.raw: Raw = read(source)
        if self.raw.frame is None:
            raise DataError(f"{self.raw.origin} holds no table: expected named columns")
        self.frame = self.raw.frame
        self.schema = schema_of(self.raw, schema, column, drop)
        if not self.schema.used:
            kinds = ", ".join(f"{c.name!r}: {c.kind}" for c in self.schema)
            raise DataError(f"there is no column to learn in {self.raw.origin}: {kinds}")
        self.schema.library = library_of(source)
        self.x = torch.from_numpy(ready(self.frame, Schema(self.schema.used), None).x)  # counts holes, too

    @property
    def rows(self) -> int:
        return self.frame.rows

    def __repr__(self) -> str:
        columns = ", ".join(f"{column.name}: {column.type}" for column in self.schema)
        return f"Table of {self.rows:,} rows ({columns})"
