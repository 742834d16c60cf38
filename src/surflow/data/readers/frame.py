"""Frame: the rows of a table as they are written, in DuckDB; read_table: of a file, a query or a table of Python's."""

from __future__ import annotations

import difflib
import glob
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import duckdb
import numpy as np

from surflow._internal.limits import user_path
from surflow.data.readers import formats, objects
from surflow.data.readers.engine import connect, count, internal
from surflow.data.readers.excel import read_excel
from surflow.data.readers.layout import may_be_index, refuse_twice
from surflow.data.readers.sqlite import read_sqlite
from surflow.data.readers.text import read_text
from surflow.errors import ConfigError, DataError, FileError

_TEXT = (".csv", ".tsv", ".tab", ".txt", ".dat", ".data")
_PACKED = (".gz", ".zst", ".bz2", ".xz")
_JSON = (".json", ".jsonl", ".ndjson")
_PARQUET = (".parquet", ".pq")
_ARROW = (".arrow", ".feather", ".ipc")
_EXCEL = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_DATABASE = (".duckdb", ".ddb")
_SQLITE = (".sqlite", ".sqlite3", ".db")
_SUFFIXES = (*_TEXT, *_JSON, *_PARQUET, *_ARROW, *_EXCEL, *_DATABASE, *_SQLITE, ".npy")
# The table of a connection.
_TABLE = "rows"


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
        where_of: gives that line and its file in words, for rows of several files.
        separator: what separates cells of text; empty where there are none.
        orders: the categories of columns that a source says to have an order, by column.
        groups: how many rows each of the groups has that a file is read by; empty where there are none.

    >>> frame = read_table({"Age": np.array([31, 44])})
    >>> frame.types, frame.rows
    ({'Age': 'BIGINT'}, 2)
    >>> frame.query(f"SELECT max({frame.sql('Age')}) FROM {frame.relation}")
    [(44,)]
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
    line_of: Callable[[int], int | None] | None = None
    where_of: Callable[[int], str] | None = None
    separator: str = ""
    orders: dict[str, list[str]] = field(default_factory=dict)
    groups: tuple[int, ...] = ()

    @cached_property
    def _internal(self) -> dict[str, str]:
        return {name: internal(i) for i, name in enumerate(self.types)}

    def sql(self, name: str) -> str:
        """What a query calls a column; raises KeyError for one that is not there."""
        return self._internal[name]

    def line(self, row: int) -> int | None:
        """The line of the file, from 1, on which a row, from 0, stands; None if the source has no lines."""
        return None if self.line_of is None else self.line_of(row)

    def where(self, row: int) -> str:
        """Where a row, from 0, stands, for messages: "line 7", "line 7 of b.csv", "row 6"."""
        if self.where_of is not None:
            return self.where_of(row)
        line = self.line(row)
        return f"row {row + 1}" if line is None else f"line {line}"

    def query(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple]:
        """The rows that a query gives; it names columns by :meth:`sql` and the table by :attr:`relation`."""
        with self._reading():
            return self.connection.execute(sql, list(parameters)).fetchall()

    def arrays(self, sql: str, parameters: Sequence[object] = ()) -> dict[str, np.ndarray | np.ma.MaskedArray]:
        """The columns that a query gives, masked where values are missing."""
        with self._reading():
            return self.connection.execute(sql, list(parameters)).fetchnumpy()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """What stays in its file may turn out to be damaged whenever it is read."""
        try:
            yield
        except duckdb.Error as error:
            raise FileError(
                f"{self.origin} cannot be read; it is damaged, or holds values that do not fit their type "
                f"({str(error).splitlines()[0]}): write or download it again"
            ) from error

    def some(self, share: float, seed: int) -> Frame:
        """About a share of the rows, each by chance, in their order, as a table of their own."""
        return self.parts([(0.0, share)], seed)[0]

    def parts(self, shares: Sequence[tuple[float, float]], seed: int) -> tuple[Frame, list[int]]:
        """Rows by chance, as a table of their own: those between two shares of all, then those between two others, ...

        Returns:
            The table, and where each part ends in it.
        """
        columns = ", ".join(map(self.sql, self.types))
        ends = []
        with self._reading():
            for i, (low, high) in enumerate(shares):
                rows = f"SELECT {columns} FROM {self.relation} WHERE {by_chance(low, high, seed)} ORDER BY rowid"
                self.connection.execute(
                    f"CREATE OR REPLACE TEMP TABLE drawn AS {rows}" if i == 0 else f"INSERT INTO drawn {rows}"
                )
                ends.append(count(self.connection, "drawn"))
        return replace(self, relation="drawn", rows=ends[-1], line_of=None, where_of=None, groups=()), ends

    def between(self, begin: int, end: int, chosen: str = "true") -> Frame:
        """The rows from one number to another, as a view: of a file of groups no others are read.

        Args:
            begin, end: numbers of rows.
            chosen: in SQL, which of these.
        """
        columns = ", ".join([*map(self.sql, self.types), "rowid"])
        which = f"rowid >= {begin} AND rowid < {end} AND {chosen}"
        rows = f"(SELECT {columns} FROM {self.relation} WHERE {which}) AS between_rows"
        with self._reading():
            return replace(self, relation=rows, rows=count(self.connection, rows), groups=())

    def column(self, name: str) -> np.ndarray | np.ma.MaskedArray:
        """The values of one column, in order, masked where they are missing."""
        return self.arrays(f"SELECT {self.sql(name)} AS c FROM {self.relation} ORDER BY rowid")["c"]


def by_chance(low: float, high: float, seed: int) -> str:
    """In SQL, whether a row, by a number that its position and the seed decide, is between two shares of all rows.

    >>> by_chance(0, 0.5, 1)
    'hash(rowid + 1 * 1000003) % 1000000 BETWEEN 0 AND 499999'
    """
    return f"hash(rowid + {seed} * 1000003) % 1000000 BETWEEN {round(low * 1e6)} AND {round(high * 1e6) - 1}"


def is_table(source: object) -> bool:
    """Whether :func:`read_table` would take a source: by its name, its axes, or its type.

    >>> is_table("people.csv.gz"), is_table("SELECT * FROM 'people.csv'"), is_table("moons")
    (True, True, False)
    """
    if not isinstance(source, (str, Path)):
        return objects.is_object(source) and getattr(source, "ndim", 2) <= 2
    if isinstance(source, str) and formats.is_query(source):
        return True
    path, _ = _place(source)
    if path.suffix.lower() == ".npy" and path.is_file():
        return _axes(path) <= 2
    return _suffix(path) in _SUFFIXES


def _axes(path: Path) -> int:
    try:
        return np.load(path, mmap_mode="r", allow_pickle=False).ndim
    except (ValueError, OSError, EOFError):
        return 0  # whoever reads it says what is wrong


def read_table(source: object) -> Frame:
    r"""The rows of a table as they are written.

    Values of text files are text: only what stands for no value is decided here, which is an empty cell, and NA, N/A,
    NaN, null, None, #N/A, ., -, ? and their like where they are not quoted. Where a column holds a plus sign, a minus
    sign is a value too. Separators, quotes, encodings, comments, titles above and sources below are found out, and
    ``Frame.notes`` says what is not plain.

    Args:
        source: a path to CSV or other separated text, JSON or JSON lines, Parquet, Arrow, Excel, NPY, a DuckDB
            or an SQLite database, text also compressed by gzip, zstd, bzip2 or xz; a pattern such as "part-\*.csv", for
            files of the same columns; "book.xlsx:Sheet" for one sheet, "base.duckdb:table" for one table; a query,
            "SELECT ... FROM 'file.csv'", which DuckDB reads by its own rules; or a table of pandas, polars or Arrow, an
            array of one or two axes or a structured one, or arrays by name.

    Raises:
        FileError: for a file that is missing, empty, damaged, binary or of another kind.
        DataError: for rows of different widths, with the line, for two columns of one name, or for no rows.
        ConfigError: for a sheet or a table that has to be named, or a query that is none.

    >>> frame = read_table(np.array([[1.0, 2.0], [3.0, 4.0]]))
    >>> frame.types, frame.column("x1")
    ({'x0': 'DOUBLE', 'x1': 'DOUBLE'}, array([2., 4.]))
    """
    connection, folder = connect()
    try:
        if not isinstance(source, (str, Path)):
            if not objects.is_object(source):
                loads = type(source).__module__.startswith("torch.utils.data")
                hint = ", whose columns have no names: train on it with surflow.fit(flow, loader)" if loads else ""
                raise ConfigError(f"expected a file, a query or a table, got {type(source).__name__}{hint}")
            names, notes, orders = objects.read_object(source, connection, _TABLE)
            return replace(_frame("table", "the table", connection, names, notes), orders=orders)
        if isinstance(source, str) and formats.is_query(source):
            names = formats.read_query(source, connection, _TABLE)
            return _frame("query", "the query", connection, names, [])
        path, part = _place(source)
        if part is None and not path.exists() and set("*?[") & set(str(path)):
            return _read_files(path, connection, folder)
        return _read_file(path, part, connection, folder)
    except BaseException:
        connection.close()
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _place(source: str | Path) -> tuple[Path, str | None]:
    """A path, and the sheet or the table of it, where "book.xlsx:Sheet" names one."""
    path = user_path(source)
    if not path.exists() and ":" in path.name:
        file, _, part = str(source).rpartition(":")
        if Path(file).suffix.lower() in (*_EXCEL, *_DATABASE, *_SQLITE):
            return Path(file).expanduser(), part
    return path, None


def _suffix(path: Path) -> str:
    """The ending of a file's name, without that of its compression."""
    suffix = path.suffix.lower()
    return Path(path.stem).suffix.lower() if suffix in _PACKED else suffix


def _read_file(
    path: Path, part: str | None, connection: duckdb.DuckDBPyConnection, folder: Path, table: str = _TABLE
) -> Frame:
    if not path.exists():
        raise FileError(no_file(path))
    if path.is_dir():
        raise FileError(f"{path} is a folder: expected a file, or a pattern such as {str(path / '*.csv')!r}")
    suffix = _suffix(path)
    if suffix not in _SUFFIXES:
        raise FileError(
            f"{path} ends in {path.suffix or 'no extension'!r}: expected one of {', '.join(_SUFFIXES)}. "
            "Export the table as CSV"
        )
    if path.stat().st_size == 0:
        raise FileError(f"{path} is empty (0 bytes): expected a table")
    name, origin, notes = path.name[: path.name.lower().rfind(suffix)], f"the file {path.name}", list[str]()
    if suffix in _TEXT:
        text = read_text(path, connection, folder, table)
        names, notes = text.layout.names, text.notes
        frame = _frame(name, origin, connection, names, notes, table=table, written=True, line_of=text.line)
        return replace(frame, separator=text.dialect.separator)
    if suffix in _EXCEL:
        names, notes, first = read_excel(path, part, connection, table)
        return _frame(
            name, origin, connection, names, notes, table=table, written=True, line_of=lambda row: first + row
        )
    if suffix in _PARQUET:
        names = formats.read_parquet(path, connection, folder, table)
        groups = formats.row_groups(path, connection, folder)
        return replace(_frame(name, origin, connection, names, notes, table=table), groups=groups)
    elif suffix in _JSON:
        names = formats.read_json(path, connection, folder, table)
    elif suffix in _ARROW:
        names, orders = formats.read_arrow(path, connection, table)
        return replace(_frame(name, origin, connection, names, notes, table=table), orders=orders)
    elif suffix in _DATABASE:
        names = formats.read_database(path, part, connection, folder, table)
    elif suffix in _SQLITE:
        names = read_sqlite(path, part, connection, table)
    else:
        names = formats.read_numpy(path, connection, table)
    return _frame(name, origin, connection, names, notes, table=table)


def no_file(path: Path) -> str:
    """The message for a file that is not there, with the nearest name of one that is."""
    if not path.parent.is_dir():
        return f"no file {path}: the folder {path.parent} does not exist"
    names = [p.name for p in path.parent.iterdir() if p.is_file()]
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"no file {path}; " + (f"did you mean {near[0]!r}?" if near else "check the name and the folder")


def _read_files(pattern: Path, connection: duckdb.DuckDBPyConnection, folder: Path) -> Frame:
    """Files of the same columns, one after the other in the order of their names."""
    paths = [Path(found) for found in sorted(glob.glob(str(pattern))) if Path(found).is_file()]
    if not paths:
        raise FileError(f"no file fits the pattern {pattern}: check the name and the folder")
    parts = [_read_file(path, None, connection, folder, f"part{i}") for i, path in enumerate(paths)]
    first = parts[0]
    for path, part in zip(paths, parts, strict=True):
        lost = next((name for name in first.types if name not in part.types), None)
        other = next((name for name in part.types if name not in first.types), None)
        if other is not None or lost is not None:
            what = f"has no column {lost!r}" if lost is not None else f"has the column {other!r}"
            raise DataError(f"{path.name} {what}, unlike {paths[0].name}: expected the same columns in all files")
        unlike = next((name for name, kind in part.types.items() if kind != first.types[name]), None)
        if unlike is not None:
            raise DataError(
                f"column {unlike!r} is {part.types[unlike]} in {path.name} and {first.types[unlike]} in "
                f"{paths[0].name}: expected the same kind in all files"
            )
    ends = np.cumsum([part.rows for part in parts])

    def within(row: int) -> tuple[int, int]:
        at = int(np.searchsorted(ends, row, side="right"))
        return at, row - int(ends[at] - parts[at].rows)

    def line_of(row: int) -> int | None:
        at, row = within(row)
        return parts[at].line(row)

    def where_of(row: int) -> str:
        at, row = within(row)
        return f"{parts[at].where(row)} of {paths[at].name}"

    # A view: what its parts leave in their files stays there.
    chosen = [
        f"SELECT {', '.join(f'{part.sql(name)} AS {first.sql(name)}' for name in first.types)}, "
        f"rowid + {end - part.rows} AS rowid FROM {part.relation}"
        for part, end in zip(parts, ends.tolist(), strict=True)
    ]
    connection.execute(f"CREATE VIEW {_TABLE} AS {' UNION ALL '.join(chosen)}")
    notes = [f"{path.name}: {note}" for path, part in zip(paths, parts, strict=True) for note in part.notes]
    frame = _frame(
        pattern.stem.strip("*?-_. ") or pattern.resolve().parent.name,
        f"the {len(paths)} files {pattern.name}",
        connection,
        list(first.types),
        [f"{len(paths)} files, {paths[0].name} to {paths[-1].name}", *notes],
        written=first.written,
        line_of=line_of,
        where_of=where_of,
    )
    grouped = all(part.groups for part in parts)
    groups = tuple(size for part in parts for size in part.groups) if grouped else ()
    return replace(frame, separator=first.separator, groups=groups)


def _frame(
    name: str,
    origin: str,
    connection: duckdb.DuckDBPyConnection,
    names: list[str],
    notes: list[str],
    *,
    table: str = _TABLE,
    written: bool = False,
    line_of: Callable[[int], int | None] | None = None,
    where_of: Callable[[int], str] | None = None,
) -> Frame:
    """The frame of a table whose columns are c0, c1, ... with these names."""
    refuse_twice(names, origin)
    rows = count(connection, table)
    if not rows:
        raise DataError(f"{origin} has names of columns ({', '.join(names[:4])}) and no rows")
    kinds = [row[1] for row in connection.execute(f"DESCRIBE {table}").fetchall()][: len(names)]
    types = dict(zip(names, map(str, kinds), strict=True))
    frame = Frame(name, origin, connection, table, types, written, rows, list(notes), (), line_of, where_of)
    frame.index = tuple(name for i, name in enumerate(names) if may_be_index(name, i) and _distinct(frame, name))
    return frame


def _distinct(frame: Frame, name: str) -> bool:
    """Whether a column holds another value in every row."""
    ((values,),) = frame.query(f"SELECT count(DISTINCT {frame.sql(name)}) FROM {frame.relation}")
    return values == frame.rows
