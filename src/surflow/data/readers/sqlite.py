"""Tables of SQLite files, read by Python's own sqlite3."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import duckdb

from surflow.data.readers.engine import internal
from surflow.data.readers.formats import the_table
from surflow.data.readers.plain import damaged
from surflow.errors import DataError

_ROWS = 100_000
# Kinds of values that a column of SQLite holds, the narrowest type of SQL first.
_TYPES = ({"integer"}, "BIGINT"), ({"integer", "real"}, "DOUBLE"), ({"integer", "real", "text"}, "VARCHAR")


def read_sqlite(path: Path, name: str | None, connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """A table or a view of an SQLite file, whose columns are of the kinds of all of their values.

    Raises:
        FileError: for a file that is damaged or no database.
        ConfigError: for a table that is not there, or where several are and none is named.
        DataError: for one without tables, or with binary values.
    """
    try:
        base = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    except sqlite3.Error as error:
        raise damaged(path, error) from error
    try:
        base.execute("PRAGMA trusted_schema = OFF")  # a stranger's view calls no function with effects
        found = base.execute(
            "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name"
        ).fetchall()
        chosen = _quoted(the_table(path, name, [name_of for (name_of,) in found]))
        names = [row[1] for row in base.execute(f"PRAGMA table_info({chosen})")]
        kinds = ", ".join(f"group_concat(DISTINCT typeof({_quoted(column)}))" for column in names)
        (held,) = base.execute(f"SELECT {kinds} FROM {chosen}")
        types = []
        for column, text in zip(names, held, strict=True):
            there = set((text or "").split(",")) - {"null", ""}
            if "blob" in there:
                raise DataError(f"the column {column!r} of {path.name} holds binary values: expected numbers or texts")
            types.append(next(kind for kinds_of, kind in _TYPES if there <= kinds_of))
        columns = ", ".join(f"{internal(i)} {kind}" for i, kind in enumerate(types))
        connection.execute(f"CREATE TABLE {table} ({columns})")
        rows = base.execute(f"SELECT * FROM {chosen}")
        while some := rows.fetchmany(_ROWS):
            held_rows = {internal(i): list(values) for i, values in enumerate(zip(*some, strict=True))}
            _append(connection, held_rows, types, table)
    except sqlite3.Error as error:
        raise damaged(path, error) from error
    finally:
        base.close()
    return names


def _append(connection: duckdb.DuckDBPyConnection, columns: dict[str, list], types: list[str], table: str) -> None:
    import pyarrow as pa

    kinds = {"BIGINT": pa.int64(), "DOUBLE": pa.float64(), "VARCHAR": pa.string()}
    held = {}
    for (name, values), kind in zip(columns.items(), types, strict=True):
        plain = [None if v is None else str(v) for v in values] if kind == "VARCHAR" else values
        held[name] = pa.array(plain, kinds[kind])
    connection.register("_rows", pa.table(held))
    connection.execute(f"INSERT INTO {table} SELECT * FROM _rows")
    connection.unregister("_rows")


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
