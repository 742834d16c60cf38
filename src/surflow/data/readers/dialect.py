"""Rows of separated text: how cells are told apart, where a record ends, and which separator a text has."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

# Separators, the likeliest first. A comma and a blank are one separator where every comma has its blank.
_SEPARATORS = (", ", ",", ";", "\t", "|")
_MARKS = frozenset(",;\t|")
# Texts that stand for no value where they are not quoted.
MISSING = (
    *("", "NA", "N/A", "n/a", "#N/A", "#N/A N/A", "<NA>", "NaN", "nan", "NAN", "-nan", "-NaN", "NaT"),
    *("null", "NULL", "Null", "(null)", "None", r"\N", ".", "-", "--", "?"),
    *("#VALUE!", "#DIV/0!", "#REF!", "#NUM!", "#NAME?", "#NULL!"),
)
_VALUE = re.compile(
    r"""\s*(?:
        [-+(]?\s*[$€£]?\s*(?:\d[\d.,'\u00a0\u202f ]*|[.,]\d+)(?:[eE][-+]?\d+)?\s*[%)$€£]?   # 1.5e-3, 1 000,5, 12 %
        | [-+]?(?:inf|infinity)
        | \d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}(?:[T ]\d{1,2}:\d{2}.*)?                            # 2020-01-31 12:00
        | \d{1,2}:\d{2}(?::\d{2}(?:\.\d+)?)?
    )\s*""",
    re.VERBOSE | re.IGNORECASE,
)


def is_value(text: str) -> bool:
    """Whether a text reads as a number, a date or a time, in any country's way of writing."""
    return _VALUE.fullmatch(text) is not None


class Cell(NamedTuple):
    """The text of a cell, whether it was quoted, and where it ends in its record."""

    text: str
    quoted: bool
    end: int


class BrokenQuoteError(ValueError):
    """Text after the quote that closes a cell."""


@dataclass(frozen=True)
class Dialect:
    """How cells are separated, and how a quote stands inside of a quoted cell: doubled, or behind a backslash."""

    separator: str  # empty: one cell a line
    escape: str = '"'

    @cached_property
    def _quoted(self) -> re.Pattern[str]:
        inside = r'(?:[^"]|"")*+' if self.escape == '"' else r'(?:[^"\\]|\\.)*+'
        return re.compile(rf' *"({inside})(" *)?', re.DOTALL)

    def split(self, record: str) -> list[Cell] | None:
        """The cells of a record; None if its last quote is not closed.

        Raises:
            BrokenQuoteError: if text stands behind a closing quote.

        >>> [cell.text for cell in Dialect(";").split('a;"b;""c";')]
        ['a', 'b;"c', '']
        """
        separator, cells, start = self.separator, [], 0
        if '"' not in record:
            for text in record.split(separator) if separator else [record]:
                cells.append(Cell(text, False, start + len(text)))
                start += len(text) + len(separator)
            return cells
        while True:
            match = self._quoted.match(record, start)
            if match is None:
                end = record.find(separator, start) if separator else -1
                end = len(record) if end < 0 else end
                cells.append(Cell(record[start:end], False, end))
            else:
                if match[2] is None:
                    return None
                end = match.end()
                text = match[1].replace('""', '"') if self.escape == '"' else re.sub(r"\\(.)", r"\1", match[1])
                cells.append(Cell(text, True, end))
                if end < len(record) and not (separator and record.startswith(separator, end)):
                    raise BrokenQuoteError(record[match.start() :].strip())
            if end == len(record):
                return cells
            start = end + len(separator)


class Record(NamedTuple):
    """A record as it is written, without the end of its line; the line where it begins; its cells, None if broken."""

    line: int
    text: str
    cells: list[Cell] | None
    why: str = ""


def records(lines: Iterable[str], dialect: Dialect) -> Iterator[Record]:
    """The records of a text, one to several lines each; a broken one says why it is."""
    open_: list[str] = []
    begun = 0
    for number, line in enumerate(lines, 1):
        if open_ and '"' not in line:
            open_.append(line)
            continue
        text = ("".join(open_) + line).rstrip("\r\n")
        try:
            cells = dialect.split(text)
        except BrokenQuoteError as error:
            yield Record(begun or number, text, None, f"text behind a closing quote: {str(error)[:40]}")
            open_, begun = [], 0
            continue
        if cells is None:
            open_, begun = ["".join(open_) + line], begun or number
        else:
            yield Record(begun or number, text, cells)
            open_, begun = [], 0
    if open_:
        yield Record(begun, "".join(open_), None, "a quote opens here and is never closed")


def width(counts: Iterable[int]) -> int:
    """The number of cells that most rows have; rows of one cell, such as titles and sources, count half."""
    weights = {n: rows * (1.0 if n > 1 else 0.5) for n, rows in Counter(counts).items()}
    return max(weights, key=lambda n: (weights[n], n), default=1)


def sniff(sample: str, *, whole: bool) -> Dialect:
    r"""The dialect of a text, of which the sample is the beginning, or the whole.

    The right separator gives most rows the same number of cells, and no cell that looks as if it hid a separator.

    >>> sniff("a;b\n1,5;2,5\n3,5;4,5\n", whole=True).separator
    ';'
    """
    escapes = ('"', "\\") if '\\"' in sample else ('"',)
    best, most = Dialect(""), 0.0
    for escape in escapes:
        for separator in _SEPARATORS:
            if separator not in sample:
                continue
            fit = _fit(sample, Dialect(separator, escape), whole=whole)
            if fit > most + 1e-9:
                best, most = Dialect(separator, escape), fit
    return best


def _fit(sample: str, dialect: Dialect, *, whole: bool) -> float:
    """How well a dialect explains a text, from 0 to 1."""
    found = list(records(io.StringIO(sample, newline=""), dialect))
    if not whole:
        found.pop()  # it may be cut
    rows = [record for record in found if record.text.strip()]
    broken = sum(record.cells is None for record in rows)
    whole_rows = [record.cells for record in rows if record.cells is not None and not record.text.startswith("#")]
    columns = width(map(len, whole_rows))
    if columns < 2:
        return 0.0
    regular = [cells for cells in whole_rows if len(cells) == columns]
    others = _MARKS - set(dialect.separator)
    cells = [cell for row in regular for cell in row if cell.text]
    clean = sum(cell.quoted or not (others & set(cell.text)) or is_value(cell.text) for cell in cells)
    blank = 1.0
    if dialect.separator == ", ":  # then no cell begins with a further blank, or lacks its own
        blank = float(not any("," in cell.text or cell.text.startswith(" ") for cell in cells if not cell.quoted))
    elif dialect.separator == ",":
        blank = 0.999
    return blank * (clean + 1) / (len(cells) + 1) * len(regular) / (len(whole_rows) + broken)
