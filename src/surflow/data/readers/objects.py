"""Tables that exist in Python: pandas, polars and Arrow tables, arrays of numbers, arrays by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from surflow.data.readers.engine import internal
from surflow.data.readers.layout import refuse_twice
from surflow.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

# Kinds of dtypes: numbers, booleans, texts, Python objects, dates.
_KINDS = "fiubUSOM"


def is_object(source: object) -> bool:
    """Whether a table of Python's is one that can be read."""
    return isinstance(source, (Mapping, np.ndarray)) or _is_pandas(source) or hasattr(source, "__arrow_c_stream__")


def _is_pandas(source: object) -> bool:
    return type(source).__module__.split(".")[0] == "pandas" and type(source).__name__ == "DataFrame"


def read_object(
    source: object, connection: duckdb.DuckDBPyConnection, table: str
) -> tuple[list[str], list[str], dict[str, list[str]]]:
    """Copy a table into a new one of DuckDB.

    Returns names of columns, notes, and by column the categories that the source says to have an order.

    Raises:
        DataError: if two columns have one name, lengths differ, or values are neither numbers, text nor dates.
    """
    notes: list[str] = []
    if isinstance(source, np.ndarray):
        source = _by_name(source)
    orders: dict[str, list[str]] = {}
    if isinstance(source, Mapping):
        names, held = _arrays(source)
    elif _is_pandas(source):
        names, held = _pandas(source, notes)  # type: ignore[arg-type]
        orders = _orders_of_pandas(source)  # type: ignore[arg-type]
    else:
        names, held = _arrow(source)
        orders = _orders(source)
    if not names:
        raise DataError("the table has no columns: expected at least one")
    columns = ", ".join(map(internal, range(len(names))))
    try:
        connection.register("_source", held)
        # Sorted out by all of its values: a sample of a column of objects may lack the only text.
        connection.execute("SET pandas_analyze_sample = 1000000000")
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM _source AS t({columns})")
    except duckdb.Error as error:
        raise DataError(f"the table cannot be read: {str(error).splitlines()[0]}") from error
    finally:
        connection.unregister("_source")
    return names, notes, orders


def _by_name(x: np.ndarray) -> Mapping[str, np.ndarray]:
    if x.dtype.names:
        return {name: x[name] for name in x.dtype.names}
    if x.ndim not in (1, 2):
        raise DataError(f"expected an array of shape (rows,) or (rows, columns) as a table, got shape {x.shape}")
    x = x[:, None] if x.ndim == 1 else x
    return {f"x{i}": x[:, i] for i in range(x.shape[1])}


def _arrays(source: Mapping[object, object]) -> tuple[list[str], object]:
    import pyarrow as pa

    names = [str(name) for name in source]
    refuse_twice(names, "the table")
    held, masked, length = {}, False, None
    for i, (name, values) in enumerate(source.items()):
        mask = np.ma.getmaskarray(values) if isinstance(values, np.ma.MaskedArray) else None
        x = np.asarray(values)
        if x.ndim != 1 or x.dtype.kind not in _KINDS:
            raise DataError(
                f"column {name!r} has shape {x.shape} and type {x.dtype}: expected one number, text or date a row"
            )
        if length is not None and len(x) != length:
            raise DataError(f"column {name!r} has {len(x)} rows, expected {length} as the columns before it")
        length = len(x)
        if x.dtype.kind == "S":
            x = np.char.decode(x, "utf-8", "replace")
        if x.dtype.kind == "U":
            x = x.astype(object)
        elif x.dtype.kind == "M":
            x = x.astype("datetime64[us]")
        elif x.dtype == np.longdouble:
            x = x.astype(np.float64)
        else:
            x = x.astype(x.dtype.newbyteorder("="))
        if mask is not None and mask.any():
            x, masked = pa.array(x, mask=mask), True
        held[internal(i)] = x
    return names, pa.table(held) if masked else held


def _pandas(source: pd.DataFrame, notes: list[str]) -> tuple[list[str], object]:
    names = [str(name) for name in source.columns]
    refuse_twice(names, "the table")
    numbered = source.index.name is None and source.index.nlevels == 1 and source.index.dtype.kind == "i"
    if not numbered:
        notes.append("the index is left out; reset_index() makes a column of it")
    held = source.set_axis([internal(i) for i in range(len(names))], axis=1)
    for name, kind in held.dtypes.items():
        if kind.kind == "c":
            raise DataError(f"column {names[int(str(name)[1:])]!r} holds complex numbers: expected real ones")
        # Categories that are no text, periods, intervals: kinds that only pandas has.
        plain = getattr(kind, "categories", None)
        if plain is not None and plain.dtype.kind in "iufbM":
            held[name] = held[name].astype(plain.dtype if not held[name].isna().any() else "object")
        elif type(kind).__name__ in ("PeriodDtype", "IntervalDtype"):
            held[name] = held[name].astype(str).where(held[name].notna(), None)
        elif type(kind).__name__ == "SparseDtype":
            held[name] = held[name].sparse.to_dense()
    return names, held


def _orders_of_pandas(source: pd.DataFrame) -> dict[str, list[str]]:
    """Ordered categories that are texts."""
    kinds = {str(name): kind for name, kind in source.dtypes.items() if getattr(kind, "ordered", False)}
    return {
        name: list(kind.categories) for name, kind in kinds.items() if all(isinstance(c, str) for c in kind.categories)
    }


class _Stream:
    """What DuckDB needs to see of a table to read it as a stream of Arrow, whatever library it is from."""

    def __init__(self, source: object) -> None:
        self.source = source

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.source.__arrow_c_stream__(requested_schema)  # type: ignore[attr-defined]


def _arrow(source: object) -> tuple[list[str], object]:
    names = getattr(source, "column_names", None) or getattr(source, "columns", None)
    if names is None:
        raise DataError(f"expected a table of pandas, polars or Arrow, got {type(source).__name__}")
    names = [str(name) for name in names]
    refuse_twice(names, "the table")
    return names, _Stream(source)


def _orders(source: object) -> dict[str, list[str]]:
    """The categories of dictionaries of Arrow that are ordered, and those of an Enum of polars."""
    import pyarrow as pa

    if isinstance(source, pa.Table):
        fields = [field for field in source.schema if pa.types.is_dictionary(field.type) and field.type.ordered]
        held = {field.name: source.column(field.name).unify_dictionaries() for field in fields}
        return {name: values.chunk(0).dictionary.to_pylist() for name, values in held.items() if values.num_chunks}
    schema = getattr(source, "schema", None)
    kinds = schema.items() if isinstance(schema, Mapping) else ()
    return {name: kind.categories.to_list() for name, kind in kinds if type(kind).__name__ == "Enum"}
