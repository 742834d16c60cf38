"""Tables of SQLite files, read by Python's own sqlite3."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import duckdb

from surflow._internal.limits import check_cells, check_unpacked, in_time, most_cells
from surflow.data.readers.engine import internal
from surflow.data.readers.formats import the_table
from surflow.data.readers.plain import damaged
from surflow.errors import DataError

_ROWS = 100_000
# A value that a view or a column computes may be as long as its whole file, and so many bytes more.
_LONGER = 2**20
# Columns of tables that are not there for queries without their name.
_HIDDEN = 1
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
        size = path.stat().st_size
        base.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, min(size + _LONGER, 2**31 - 1))
        with in_time(path, size, base.interrupt):
            return _read(base, path, name, connection, table)
    except sqlite3.Error as error:
        raise damaged(path, error) from error
    finally:
        base.close()


def _read(
    base: sqlite3.Connection, path: Path, name: str | None, connection: duckdb.DuckDBPyConnection, table: str
) -> list[str]:
    found = base.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite_%' ORDER BY name"
    ).fetchall()
    chosen = _quoted(the_table(path, name, [name_of for (name_of,) in found]))
    about = base.execute(f"PRAGMA table_xinfo({chosen})").fetchall()
    names = [column for _, column, _, _, _, _, hidden in about if hidden != _HIDDEN]
    select = f"SELECT {', '.join(map(_quoted, names))} FROM {chosen}"
    types = _types(base, path, select, names)
    columns = ", ".join(f"{internal(i)} {kind}" for i, kind in enumerate(types))
    connection.execute(f"CREATE TABLE {table} ({columns})")
    rows = base.execute(select)
    while some := rows.fetchmany(_ROWS):
        held_rows = {internal(i): list(values) for i, values in enumerate(zip(*some, strict=True))}
        _append(connection, held_rows, types, table)
    return names


def _types(base: sqlite3.Connection, path: Path, select: str, names: list[str]) -> list[str]:
    """Types of SQL by the kinds of all values, of which there may be as many as a file so large is worth."""
    size = path.stat().st_size
    most = min(most_cells(size) // max(1, len(names)) + 1, 2**62)
    kinds = ", ".join(f"group_concat(DISTINCT typeof({_quoted(column)}))" for column in names)
    length = " + ".join(f"coalesce(length({_quoted(column)}), 0)" for column in names)
    rows, unpacked, *held = base.execute(
        f"SELECT count(*), total({length}), {kinds} FROM ({select} LIMIT {most:.0f})"
    ).fetchone()
    check_cells(path, rows * len(names), size)
    check_unpacked(path, int(unpacked), size)
    types = []
    for column, text in zip(names, held, strict=True):
        there = set((text or "").split(",")) - {"null", ""}
        if "blob" in there:
            raise DataError(f"the column {column!r} of {path.name} holds binary values: expected numbers or texts")
        types.append(next(kind for kinds_of, kind in _TYPES if there <= kinds_of))
    return types


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
