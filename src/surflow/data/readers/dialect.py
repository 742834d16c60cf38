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
_DIGITS = re.compile(r"\s*[-+]?\d+")


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
    """A record as it is written, without the end of its line; the line where it begins; how many cells it has.

    A broken record has none, and says why.
    """

    line: int
    text: str
    width: int
    dialect: Dialect
    why: str = ""

    @property
    def cells(self) -> list[Cell]:
        """Its cells, told apart when they are asked for."""
        return [] if self.why else self.dialect.split(self.text) or []


def records(lines: Iterable[str], dialect: Dialect) -> Iterator[Record]:
    """The records of a text, one to several lines each; a broken one says why it is."""
    separator, begun = dialect.separator, 0
    open_: list[str] = []
    for number, line in enumerate(lines, 1):
        if '"' not in line:
            if open_:
                open_.append(line)
            else:
                yield Record(number, line.rstrip("\r\n"), line.count(separator) + 1 if separator else 1, dialect)
            continue
        whole = "".join(open_) + line
        text, begun = whole.rstrip("\r\n"), begun or number
        try:
            cells = dialect.split(text)
        except BrokenQuoteError as error:
            yield Record(begun, text, 0, dialect, f"text behind a closing quote: {str(error)[:40]}")
        else:
            if cells is None:
                open_ = [whole]
                continue
            yield Record(begun, text, len(cells), dialect)
        open_, begun = [], 0
    if open_:
        yield Record(begun, "".join(open_), 0, dialect, "a quote opens here and is never closed")


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
    rows = [record for record in found if record.text.strip() and not record.text.startswith("#")]
    columns = width(record.width for record in rows if not record.why)
    if columns < 2:
        return 0.0
    regular = [record.cells for record in rows if record.width == columns]
    # Decimal commas in one column are no separators.
    if columns == 2 and dialect.separator == "," and rows[0].width == 1 and all(map(_is_decimal, regular)):
        return 0.0
    others = _MARKS - set(dialect.separator)
    cells = [cell for row in regular for cell in row if cell.text]
    clean = sum(cell.quoted or not (others & set(cell.text)) or is_value(cell.text) for cell in cells)
    blank = 1.0
    if dialect.separator == ", ":  # then no cell begins with a further blank, or lacks its own
        blank = float(not any("," in cell.text or cell.text.startswith(" ") for cell in cells if not cell.quoted))
    elif dialect.separator == ",":
        blank = 0.999
    return blank * (clean + 1) / (len(cells) + 1) * len(regular) / len(rows)


def _is_decimal(cells: list[Cell]) -> bool:
    """Whether two cells are the sides of a decimal comma."""
    whole, part = cells
    return bool(_DIGITS.fullmatch(whole.text)) and part.text.isdigit()
