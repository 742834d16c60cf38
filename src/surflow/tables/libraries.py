"""Tables of pandas, polars and Arrow, and arrays by name: made of decoded columns, or filled in where they have holes.

One rule: what comes in as a table of a library goes out as one; what comes as a file, an array or a dictionary goes
out as a dictionary of arrays, in which a missing number is NaN, a missing date NaT and a missing name None.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from surflow.data.readers.frame import Frame
from surflow.data.tables.columns import texts
from surflow.data.tables.schema import Column, ColumnKind
from surflow.errors import ConfigError, DataError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    Tabular: TypeAlias = pd.DataFrame | pl.DataFrame | pa.Table | dict[str, np.ndarray]

Decoded: TypeAlias = tuple[str, np.ma.MaskedArray]

_LIBRARIES = {"pandas": "pandas", "polars": "polars", "pyarrow": "arrow"}
_PACKAGES = {library: package for package, library in _LIBRARIES.items()}
DRAW = "draw"


def library_of(source: object) -> str:
    """Of which library a table is; empty for what goes out as a dictionary of arrays.

    >>> library_of({"age": [1, 2]})
    ''
    """
    return _LIBRARIES.get(type(source).__module__.split(".")[0], "")


def _package(library: str) -> Any:  # noqa: ANN401 - a module that is imported by name
    try:
        return import_module(_PACKAGES[library])
    except ImportError as error:
        raise ConfigError(
            f"the model is of a table of {library}, which is not installed: install {_PACKAGES[library]}, or set "
            "model.schema.library = '' for dictionaries of arrays"
        ) from error


# -- values -------------------------------------------------------------------------------------------------


def typed(column: Column, values: np.ma.MaskedArray, stored: str) -> np.ma.MaskedArray:
    """Decoded values in the type in which a source stores them: names of numbers and of truth values are these again.

    A category that the schema does not know, which no number stands for, is missing among numbers.
    """
    if not column.kind.named or stored.startswith(("VARCHAR", "ENUM")):
        return values
    missing, names = np.ma.getmaskarray(values), np.ma.getdata(values)
    if stored == "BOOLEAN":
        return np.ma.masked_array(names == "true", missing)
    numbers = np.zeros(len(names))
    for name in set(names.tolist()):
        at = names == name
        try:
            numbers[at] = float(str(name))
        except ValueError:
            missing = missing | at
    whole = stored not in ("DOUBLE", "FLOAT") and not stored.startswith("DECIMAL")
    return np.ma.masked_array(numbers.astype(np.int64) if whole else numbers, missing)


def written(column: Column, values: np.ma.MaskedArray) -> np.ma.MaskedArray:
    """Decoded values as the text of a file."""
    cells = [next(csv.reader([cell]), [""])[0] if cell else "" for cell in texts(column, values)]
    return np.ma.masked_array(np.asarray(cells, dtype=object), np.ma.getmaskarray(values))


def plain(values: np.ma.MaskedArray) -> np.ndarray:
    """Values without a mask: NaN, NaT or None where they are missing."""
    data, missing = np.ma.getdata(values), np.ma.getmaskarray(values)
    if not missing.any():
        return data
    if data.dtype.kind in "iu" and np.abs(data[~missing]).max(initial=0) < 2**53:
        data = data.astype(np.float64)
    elif data.dtype.kind not in "fM":
        data = data.astype(object)
    out = data.copy()
    out[missing] = {"f": np.nan, "M": np.datetime64("NaT")}.get(out.dtype.kind)
    return out


# -- tables -------------------------------------------------------------------------------------------------


def make(library: str, columns: Sequence[Decoded]) -> Tabular:
    """A table of a library from columns by name."""
    if not library:
        return {name: plain(values) for name, values in columns}
    if library == "pandas":
        pandas = _package("pandas")
        return pandas.DataFrame({name: plain(values) for name, values in columns})
    arrow = _arrow(columns)
    if library == "polars":
        return _package("polars").from_arrow(arrow)
    return arrow


def _arrow(columns: Sequence[Decoded]) -> pa.Table:
    import pyarrow as pa

    arrays = []
    for _, values in columns:
        data, missing = np.ma.getdata(values), np.ma.getmaskarray(values)
        listed = [None if gone else value for gone, value in zip(missing.tolist(), data.tolist(), strict=True)]
        plain_type = None if data.dtype.kind == "O" else pa.from_numpy_dtype(data.dtype)
        arrays.append(
            pa.array(
                listed if data.dtype.kind == "O" else data, plain_type, mask=None if data.dtype.kind == "O" else missing
            )
        )
    return pa.table(dict(zip([name for name, _ in columns], arrays, strict=True)))


# -- holes --------------------------------------------------------------------------------------------------

# Of a column by name, in one of the draws: the rows that are filled, and with what.
Fill: TypeAlias = tuple[np.ndarray, np.ma.MaskedArray]


def fill(source: object, frame: Frame, columns: Sequence[Column], fills: Sequence[dict[str, Fill]]) -> Tabular:
    """A table with the holes of some columns filled, all else as it is, once for each draw, one below the other.

    With several draws, or a single one that is one of them, a first column says which.
    """
    library = library_of(source)
    by_name = {column.name: column for column in columns}
    if not library:
        return {name: plain(values) for _, name, values in fill_frame(frame, columns, fills)}
    tables = []
    for each in fills:
        parts = {
            name: (rows, _as_stored(by_name[name], values, frame.types[name])) for name, (rows, values) in each.items()
        }
        tables.append(_FILLERS[library](source, list(frame.types), parts))
    return tables[0] if len(tables) == 1 else _stacked(library, tables, list(frame.types))


def _as_stored(column: Column, values: np.ma.MaskedArray, stored: str) -> np.ndarray:
    text = stored.startswith(("VARCHAR", "ENUM")) and not column.kind.named
    return plain(written(column, values) if text else typed(column, values, stored))


def fill_frame(
    frame: Frame, columns: Sequence[Column], fills: Sequence[dict[str, Fill]]
) -> list[tuple[Column, str, np.ma.MaskedArray]]:
    """The same, as columns of a frame; those of a file are its text, as it is written."""
    by_name = {column.name: column for column in columns}
    out: list[tuple[Column, str, np.ma.MaskedArray]] = []
    if len(fills) > 1:
        _refuse_draw(list(frame.types))
        which = np.repeat(np.arange(1, len(fills) + 1), frame.rows)
        out.append((Column(DRAW, ColumnKind.COUNT, step=1.0), DRAW, np.ma.masked_array(which)))
    for name, stored in frame.types.items():
        values = frame.column(name)
        data, missing = np.ma.getdata(values), np.ma.getmaskarray(values)
        parts = []
        for each in fills:
            filled, holes = data.copy(), missing.copy()
            if name in each:
                rows, found = each[name]
                filled[rows] = _as_stored(by_name[name], found, stored).astype(filled.dtype)
                holes[rows] = False
            parts.append(np.ma.masked_array(filled, holes))
        column = by_name.get(name)
        if column is not None and not column.kind.named and stored == "VARCHAR":
            column = Column(name, ColumnKind.DATE)  # what its text is written as: without quotes, where it needs none
        if column is None:
            kind = ColumnKind.CATEGORY if data.dtype.kind == "O" else ColumnKind.NUMBER
            column = Column(name, kind, step=1.0 if data.dtype.kind in "iub" else None)
        out.append((column, name, np.ma.concatenate(parts)))
    return out


def _refuse_draw(names: list[str]) -> None:
    if DRAW in names:
        raise DataError(f"the table has a column {DRAW!r}, in which the number of the draw would stand: rename it")


def _fill_pandas(
    source: pd.DataFrame, names: list[str], parts: dict[str, tuple[np.ndarray, np.ndarray]]
) -> pd.DataFrame:
    out = source.copy()
    for name, (rows, values) in parts.items():
        at = names.index(name)
        column = out.iloc[:, at].copy()
        if hasattr(column, "cat"):
            new = [value for value in dict.fromkeys(values.tolist()) if value not in column.cat.categories]
            column = column.cat.add_categories(new)
        column.iloc[rows] = values
        out[out.columns[at]] = column
    return out


def _fill_polars(
    source: pl.DataFrame, names: list[str], parts: dict[str, tuple[np.ndarray, np.ndarray]]
) -> pl.DataFrame:
    pl = _package("polars")
    out = source.clone()
    for name, (rows, values) in parts.items():
        column = out[name]
        new = pl.Series(values.tolist() if values.dtype.kind in "OU" else values, strict=False).cast(column.dtype)
        out = out.with_columns(column.scatter(rows.tolist(), new).alias(name))
    return out


def _fill_arrow(source: pa.Table, names: list[str], parts: dict[str, tuple[np.ndarray, np.ndarray]]) -> pa.Table:
    import pyarrow as pa
    import pyarrow.compute as pc

    out = source if isinstance(source, pa.Table) else pa.table(source)
    for name, (rows, values) in parts.items():
        at = names.index(name)
        column = out.column(at).combine_chunks()
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        mask = np.zeros(len(column), dtype=bool)
        mask[rows] = True
        new = pa.array(values.tolist() if values.dtype.kind in "OU" else values).cast(column.type)
        out = out.set_column(at, name, pc.replace_with_mask(column, pa.array(mask), new))
    return out


_FILLERS: dict[str, Callable[..., Tabular]] = {"pandas": _fill_pandas, "polars": _fill_polars, "arrow": _fill_arrow}


def _stacked(library: str, tables: list, names: list[str]) -> Tabular:
    """Tables one below the other, with a first column that numbers them."""
    _refuse_draw(names)
    if library == "pandas":
        for number, table in enumerate(tables, 1):
            table.insert(0, DRAW, number)
        return _package("pandas").concat(tables)
    if library == "polars":
        pl = _package("polars")
        return pl.concat([t.select(pl.lit(number).alias(DRAW), pl.all()) for number, t in enumerate(tables, 1)])
    import pyarrow as pa

    numbered = [t.add_column(0, DRAW, pa.array(np.full(len(t), number))) for number, t in enumerate(tables, 1)]
    return pa.concat_tables(numbered)
