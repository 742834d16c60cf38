"""Excel workbooks: one sheet as a table, numbers as numbers, dates as dates."""

from __future__ import annotations

import datetime
import lzma
import re
import zipfile
import zlib
from pathlib import Path

import duckdb
import numpy as np
from python_calamine import CalamineError, CalamineWorkbook

from surflow._internal.limits import check_unpacked
from surflow.data.readers import layout
from surflow.data.readers.dialect import MISSING
from surflow.data.readers.engine import internal
from surflow.data.readers.plain import damaged
from surflow.errors import ConfigError, DataError, unknown_name

# The largest integer below which a float holds all.
_EXACT = 2**53

_BLOCK = 1 << 20
# Where a cell or a row that holds something says that it stands, r="AB12"; and the memory of a cell at least.
_PLACE = re.compile(
    rb"""\br\s*=\s*["']([A-Za-z]{0,7})([0-9]+)["'](?!(?:\s+[\w:]+\s*=\s*(?:"[^"<]*"|'[^'<]*'))*\s*/>)"""
)
_LONGEST_PLACE = 64
_CELL = 24
_BROKEN_ZIP = (zipfile.BadZipFile, OSError, EOFError, zlib.error, lzma.LZMAError, NotImplementedError, RuntimeError)

Value = str | float | int | bool | datetime.datetime | datetime.date | datetime.time | datetime.timedelta


def read_excel(
    path: Path, sheet: str | None, connection: duckdb.DuckDBPyConnection, table: str
) -> tuple[list[str], list[str], int]:
    """Read a sheet into a new table; returns names of columns, notes, and the line of the first row.

    Raises:
        FileError: if it is damaged or protected by a password.
        ConfigError: if there are several sheets to choose from, or none of that name.
        DataError: if the sheet holds no rows.
    """
    _check_size(path)
    try:
        with CalamineWorkbook.from_path(path) as book:
            name, grid = _sheet(book, path, sheet)
    except (CalamineError, OSError) as error:
        raise damaged(path, error) from error
    texts = [[_text(value) for value in row] for row in grid]
    placed = layout.layout(texts, f"the sheet {name!r} of {path.name}")
    body = grid[placed.body :]
    while body and not any(value != "" for value in body[-1]):
        body.pop()
    dropped: list[str] = []
    while body and _is_below([_text(value) for value in body[-1]], placed.columns, body):
        dropped.insert(0, next(_text(value) for value in body.pop() if value != ""))
    if dropped:
        placed.notes.append(f"{len(dropped)} row{'s' * (len(dropped) > 1)} below the table left out: {dropped[0]!r}")
    columns = list(zip(*body, strict=True))[: placed.columns] if body else [()] * placed.columns
    held: dict[str, np.ndarray] = {}
    chosen = []
    for i, values in enumerate(columns):
        held[internal(i)], kind = _column(values)
        chosen.append(f"CAST({internal(i)} AS {kind}) AS {internal(i)}")
    connection.register("_source", held)
    connection.execute(f"CREATE TABLE {table} AS SELECT {', '.join(chosen)} FROM _source")
    connection.unregister("_source")
    return placed.names, [f"sheet {name!r}", *placed.notes], placed.body + 1


def _check_size(path: Path) -> None:
    """Raise FileError if a workbook unpacks to far more than it is, or has a cell so far out that no memory holds all.

    The reader takes a rectangle of memory up to the last row and the last column of a sheet.
    """
    if not zipfile.is_zipfile(path):
        return
    size, unpacked = path.stat().st_size, 0
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                rows, columns, rest = 1, 1, b""
                with archive.open(member) as file:
                    while block := file.read(_BLOCK):
                        unpacked += len(block)
                        check_unpacked(path, unpacked, size)
                        for letters, digits in _PLACE.findall(rest + block):
                            columns = max(columns, _number(letters))
                            rows = max(rows, int(digits[:9]))
                        rest = block[-_LONGEST_PLACE:]
                check_unpacked(path, rows * columns * _CELL, size)
    except _BROKEN_ZIP as error:
        raise damaged(path, error) from error


def _number(letters: bytes) -> int:
    """The number of a column from its letters: 27 of AA."""
    number = 0
    for letter in letters.upper():
        number = 26 * number + letter - ord("A") + 1
    return number


def _is_below(row: list[str], columns: int, body: list[list[Value]]) -> bool:
    first = next((i for i, text in enumerate(row) if text), None)
    if first is None or layout.is_footer(row, columns):
        return True
    total = layout.is_total(row[first]) and columns > 1
    return total and sum(_text(other[first]) == row[first] for other in body) == 1


def _sheet(book: CalamineWorkbook, path: Path, sheet: str | None) -> tuple[str, list[list[Value]]]:
    names = book.sheet_names
    if sheet is not None:
        if sheet not in names:
            raise ConfigError(unknown_name(f"sheet of {path.name}", sheet, names))
        return sheet, book.get_sheet_by_name(sheet).to_python(skip_empty_area=False)
    full = [(name, book.get_sheet_by_name(name).to_python(skip_empty_area=False)) for name in names]
    full = [(name, grid) for name, grid in full if any(value != "" for row in grid for value in row)]
    if not full:
        raise DataError(f"{path} holds no values in any sheet: expected a table")
    if len(full) > 1:
        raise ConfigError(
            f"{path.name} has the sheets {', '.join(repr(name) for name, _ in full)}: "
            f"say which one, such as {str(path) + ':' + full[0][0]!r}"
        )
    return full[0]


def _text(value: Value) -> str:
    """A value as text: whole numbers without a point."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < _EXACT:
        return str(int(value))
    return str(value)


def _column(values: tuple[Value, ...]) -> tuple[np.ndarray, str]:
    """The values of a column as an array, and the DuckDB type that holds them all."""
    missing = [value == "" or (isinstance(value, str) and value.strip() in MISSING) for value in values]
    kinds = {type(value) for value, gone in zip(values, missing, strict=True) if not gone}
    pairs = list(zip(values, missing, strict=True))
    if kinds and kinds <= {int, float}:
        numbers = np.array([np.nan if gone else value for value, gone in pairs], dtype=np.float64)
        there = numbers[~np.isnan(numbers)]
        whole = bool((there == np.floor(there)).all() and (np.abs(there) < _EXACT).all())
        return numbers, "BIGINT" if whole else "DOUBLE"
    if kinds and kinds <= {datetime.date, datetime.datetime}:
        moments = np.array([None if gone else str(value) for value, gone in pairs], dtype=object)
        return moments, "DATE" if kinds == {datetime.date} else "TIMESTAMP"
    text = np.array([None if gone else _text(value) for value, gone in pairs], dtype=object)
    if kinds == {bool}:
        return text, "BOOLEAN"
    return text, "TIME" if kinds == {datetime.time} else "VARCHAR"
