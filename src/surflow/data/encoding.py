"""ContextEncoding: how labels and numbers that people read become the raw context of a flow, as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surflow._internal.checked import of_type
from surflow.data.tables.columns import category_name, number_of
from surflow.data.tables.schema import Column, ColumnKind
from surflow.errors import ConfigError, DataError, unknown_name
from surflow.nets.context import ContextColumns


@dataclass
class ContextColumn:
    """One column: categories by name, in the order of their indices, or a number with its mean and scale.

    Args:
        name: of the column.
        categories: their names, or None for a number.
        mean, scale: of a number, which a network sees as (value - mean) / scale.
        written: how a file writes it; None for a column that is from no file.
    """

    name: str
    categories: list[str] | None = None
    mean: float = 0.0
    scale: float = 1.0
    written: Column | None = None

    @property
    def column(self) -> Column:
        """What a file's column of this name is read as."""
        if self.written is not None:
            return self.written
        kind = ColumnKind.NUMBER if self.categories is None else ColumnKind.CATEGORY
        return Column(self.name, kind, categories=self.categories or [])

    def encode(self, values: Sequence[object]) -> list[float]:
        """Category indices, or the numbers themselves.

        Raises:
            DataError: for a category that was not in the training data, or something that is no finite number.
        """
        if self.categories is not None:
            index = {category: float(i) for i, category in enumerate(self.categories)}
            names = {value: category_name(value) for value in set(values)}
            for name in names.values():
                if name not in index:
                    message = unknown_name(f"category of the context {self.name!r}:", name, self.categories)
                    raise DataError(f"{message}. A model knows only the categories it was trained on")
            return [index[names[value]] for value in values]
        return [number_of(self.column, value) for value in values]


@dataclass
class ContextEncoding:
    """The columns of a context; plain values throughout, so that a file can state it.

    A raw context is a float64 tensor (n, columns): the index of a category, or the number. ``network()`` makes
    of it what a layer can use.

    Args:
        columns: in the order of the raw context.

    >>> species = ContextColumn("species", ["setosa", "virginica"])
    >>> encoding = ContextEncoding([species, ContextColumn("age", None, 40, 10)])
    >>> encoding.encode({"species": ["virginica", "setosa"], "age": 50})
    tensor([[ 1., 50.],
            [ 0., 50.]], dtype=torch.float64)
    >>> encoding.network()(encoding.encode({"species": "virginica", "age": 50}))
    tensor([[0., 1., 1.]])
    """

    columns: list[ContextColumn]

    @property
    def names(self) -> list[str]:
        return [column.name for column in self.columns]

    def encode(self, values: object) -> Tensor:
        """Raw context, shape (n, columns).

        Args:
            values: a dictionary from column name to value or list of values, or a list with one such entry for every
                column. Where there is one column, its value or list of values alone will do. Single values are
                repeated to the length of the lists.

        Raises:
            DataError: for an unknown or missing column, an unseen category (naming the nearest), or lists that
                differ in length.
        """
        entries = [_as_list(entry) for entry in self._per_column(values)]
        n = max(len(entry) for entry in entries)
        for column, entry in zip(self.columns, entries, strict=True):
            if len(entry) not in (1, n) or not entry:
                raise DataError(f"the context {column.name!r} has {len(entry)} values, another column has {n}")
        encoded = [column.encode(entry) for column, entry in zip(self.columns, entries, strict=True)]
        rows = [column * n if len(column) == 1 else column for column in encoded]
        return torch.tensor(rows, dtype=torch.float64).T.contiguous()

    def _per_column(self, values: object) -> list[object]:
        if isinstance(values, Mapping):
            for name in values:
                if name not in self.names:
                    raise DataError(unknown_name("context column", str(name), self.names))
            missing = [name for name in self.names if name not in values]
            if missing:
                raise DataError(f"the context needs a value for each of {self.names}, none came for {missing}")
            return [values[name] for name in self.names]
        if len(self.columns) == 1:
            values = _as_list(values)
            # [["a", "b"]] has an entry for the column; ["a", "b"] are its values.
            return values if len(values) == 1 else [values]
        if isinstance(values, str) or not isinstance(values, Sequence) or len(values) != len(self.columns):
            raise DataError(f"the context expects one entry for each of the columns {self.names}, got {values!r}")
        return list(values)

    def network(self) -> ContextColumns:
        """The network that makes categories one-hot and standardises numbers."""
        return ContextColumns(
            levels=[None if c.categories is None else len(c.categories) for c in self.columns],
            mean=[c.mean for c in self.columns],
            scale=[c.scale for c in self.columns],
        )

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; :meth:`from_dict` reads them back."""
        columns: list[dict[str, Any]] = []
        for column in self.columns:
            plain = {"name": column.name, "categories": column.categories, "mean": column.mean, "scale": column.scale}
            columns.append(plain if column.written is None else plain | {"written": column.written.to_dict()})
        return {"columns": columns}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ContextEncoding:
        """The inverse of :meth:`to_dict`.

        Raises:
            ConfigError: for values that state no context.
        """
        stated = values.get("columns")
        if not isinstance(stated, list) or not stated or not all(isinstance(entries, dict) for entries in stated):
            raise ConfigError("a context states its columns, a list of tables")
        columns = []
        for entries in stated:
            written = entries.get("written")
            if written is not None:
                entries = entries | {"written": Column.from_dict(written)}
            column = of_type(ContextColumn, entries, "a column of the context")
            if not (math.isfinite(column.mean) and 0 < column.scale < math.inf) or column.categories == []:
                raise ConfigError(f"the context {column.name!r} needs categories, or a finite mean and a scale above 0")
            columns.append(column)
        if len({column.name for column in columns}) < len(columns):
            raise ConfigError("a context states a column twice")
        return cls(columns)


def _as_list(value: object) -> list[object]:
    if isinstance(value, Tensor | np.ndarray):
        value = value.tolist()
    if isinstance(value, Sequence) and not isinstance(value, str):
        return list(value)
    return [value]
