"""Frame: the rows of a table as they are written, in DuckDB, before anything is decided about them."""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np

# An internal name for every column: SQL does not tell "a" from "A", and knows no empty names.
_INTERNAL = "c{}"


@dataclass
class Frame:
    """Rows of a table as they are written: named columns in DuckDB, before anything is decided about them.

    SQL does not tell the columns "a" and "A" apart and has no empty names, so inside DuckDB columns are called c0, c1
    and so on: ``frame.sql("Age")`` is what a query says. ``rowid`` is the number of a row, from 0, in the order of the
    source.

    Attributes:
        name: what the table is called: "people".
        origin: where it is from, for messages: "the file people.csv".
        connection: the connection to the in-memory database that holds it or reads it.
        relation: what a query selects from, ready for SQL.
        types: DuckDB types by column, in the order of the source; VARCHAR for text as it is written.
        written: whether the values are the text of a file, whose kinds are still to be found; if not, the types are
            the source's own.
        rows: how many there are.
        notes: what reading did, in words: "separator ';'".
        index: columns that only number the rows, as pandas writes them.
        line_of: gives the line of the file on which a row stands; None where there are no lines.

    >>> frame = read_table({"Age": np.array([31, 44])})
    >>> frame.types, frame.rows
    ({'Age': 'BIGINT'}, 2)
    >>> frame.query(f"SELECT max({frame.sql('Age')}) FROM {frame.relation}").fetchone()
    (44,)
    """

    name: str
    origin: str
    connection: duckdb.DuckDBPyConnection
    relation: str
    types: dict[str, str]
    written: bool
    rows: int
    notes: list[str] = field(default_factory=list)
    index: tuple[str, ...] = ()
    line_of: Callable[[int], int] | None = None

    @cached_property
    def _internal(self) -> dict[str, str]:
        return {name: _INTERNAL.format(i) for i, name in enumerate(self.types)}

    def sql(self, name: str) -> str:
        """What a query calls a column; raises KeyError for one that is not there."""
        return self._internal[name]

    def line(self, row: int) -> int | None:
        """The line of the file, from 1, on which a row, from 0, stands; None if the source has no lines."""
        return None if self.line_of is None else self.line_of(row)

    def query(self, sql: str, parameters: object = None) -> duckdb.DuckDBPyRelation:
        """The result of a query, which names columns by :meth:`sql` and the table by :attr:`relation`."""
        return self.connection.sql(sql, params=parameters)

    def column(self, name: str) -> np.ndarray | np.ma.MaskedArray:
        """The values of one column, in order, masked where they are missing."""
        return self.query(f"SELECT {self.sql(name)} AS c FROM {self.relation} ORDER BY rowid").fetchnumpy()["c"]


def is_table(source: object) -> bool:
    """Whether :func:`read_table` would take a source."""
    if isinstance(source, (str, Path)):
        return Path(source).suffix.lower() in (".csv", ".parquet")
    return isinstance(source, dict) or hasattr(source, "__arrow_c_stream__")


def read_table(source: object) -> Frame:
    """The rows of a table as they are written, from a file or from Python."""
    connection = _connect()
    if isinstance(source, (str, Path)):
        path = Path(source)
        name, origin = path.stem, f"the file {path.name}"
        quoted = "'" + str(path.resolve()).replace("'", "''") + "'"
        if path.suffix == ".parquet":
            read = f"SELECT * FROM read_parquet({quoted}, hive_partitioning=false)"
        else:
            read = f"SELECT * FROM read_csv({quoted}, all_varchar=true, allow_quoted_nulls=false, nullstr=['', 'NA'])"
        written = path.suffix != ".parquet"
    else:
        name, origin, written = "table", "the table", False
        connection.register("source", source)
        read = "SELECT * FROM source"
    types = {row[0]: str(row[1]) for row in connection.sql(f"DESCRIBE {read}").fetchall()}
    renamed = ", ".join(_INTERNAL.format(i) for i in range(len(types)))
    connection.execute(f"CREATE TABLE rows AS SELECT * FROM ({read}) t({renamed})")
    count = connection.sql("SELECT count(*) FROM rows").fetchall()[0]
    assert count is not None
    return Frame(name, origin, connection, "rows", types, written=written, rows=count[0])


def _connect() -> duckdb.DuckDBPyConnection:
    """A database in memory that spills to a folder of its own and never fetches anything."""
    folder = tempfile.mkdtemp(prefix="surflow-")
    settings: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "temp_directory": folder,
    }
    connection = duckdb.connect(config=settings)
    connection.execute("SET TimeZone = 'UTC'")
    weakref.finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    return connection
