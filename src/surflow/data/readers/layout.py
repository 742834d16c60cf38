"""Where the rows of a table begin and end: titles above, the header or none, columns without names, sources below."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from surflow.data.readers.dialect import MISSING, is_value, width
from surflow.errors import DataError

# The first words of lines below a table that belong to no row.
_FOOTER = re.compile(
    r"\W*(sources?|notes?|footnotes?|totals?|grand total|subtotal|sum|summe|gesamt|generated|exported|created"
    r"|copyright|quelle|anmerkung|hinweis|stand)\b|[*©†]",
    re.IGNORECASE,
)
_TOTAL = re.compile(r"\W*(grand |sub)?(totals?|sum|summe|gesamt)\W*", re.IGNORECASE)
# Names that pandas gives an index without one.
_INDEX = re.compile(r"|Unnamed: 0(\.\d+)?|__index_level_\d+__")
# Shares of a column's cells.
_MOSTLY = 0.8


@dataclass
class Layout:
    """Where a table stands among the rows of cells of its file.

    Attributes:
        names: of its columns.
        header: the number of the row with the names, from 0; None if there is none.
        body: the number of the first row of the table proper.
        notes: what was decided, in words.
        unnamed: the columns that the header has no name for.
    """

    names: list[str]
    header: int | None
    body: int
    notes: list[str] = field(default_factory=list)
    unnamed: list[int] = field(default_factory=list)

    @property
    def columns(self) -> int:
        return len(self.names)


def filled(row: Sequence[str]) -> int:
    """How many cells of a row hold something."""
    return sum(bool(text.strip()) for text in row)


def is_comment(text: str) -> bool:
    """Whether a line reads as a comment, if it is no row."""
    return text.startswith("#")


def layout(rows: Sequence[Sequence[str]], origin: str) -> Layout:
    """The layout of the rows at the beginning of a file.

    Args:
        rows: texts of the cells; a row without cells is blank.
        origin: what messages call the file.

    Raises:
        DataError: if there are no rows at all, or two columns of one name.
    """
    table = [i for i, row in enumerate(rows) if filled(row) and not is_comment(row[0])]
    if not table:
        raise DataError(f"{origin} holds no rows, only blank lines or comments: expected names of columns, and rows")
    columns = width(len(rows[i]) for i in table)
    first = next((i for i in table if _begins(rows, i, columns)), None)
    if first is None:
        first = next(i for i in table if len(rows[i]) == columns)
    notes = []
    above = sum(i < first for i in table)
    if above:
        notes.append(f"{above} line{'s' * (above > 1)} above the header left out")
    row = list(rows[first])
    while len(row) > columns and not row[-1].strip():
        row.pop()
    body = [rows[i] for i in table if i > first and len(rows[i]) == columns]
    commented = _commented_header(rows, first, columns, body)
    if commented is not None:
        at, names = commented
        return Layout(_named(names, origin), at, first, [*notes, f"names of columns from the comment on row {at + 1}"])
    if len(row) == columns - 1:  # R leaves out the name of the rows' names
        return Layout(_named(["", *row], origin), first, first + 1, notes)
    has_names, why = _is_header(row, body)
    if not has_names:
        names = [f"column{i + 1}" for i in range(columns)]
        return Layout(names, None, first, [*notes, f"no header ({why}): columns are called column1 to column{columns}"])
    if why:
        notes.append(f"the first row is read as names of columns ({why})")
    unnamed = [i for i, name in enumerate(row) if not name.strip()]
    return Layout(_named(row, origin), first, first + 1, notes, unnamed)


def _begins(rows: Sequence[Sequence[str]], at: int, columns: int) -> bool:
    """Whether a row can be the first of a table: as wide, and more than a title in its first cell."""
    row = rows[at]
    if columns == 1:
        return True
    if len(row) == columns - 1 > 1 and filled(row) == len(row):
        rest = [r for r in rows[at + 1 :] if filled(r)]
        return bool(rest) and len(rest[0]) == columns and bool(rest[0][-1].strip())
    if len(row) > columns and not any(text.strip() for text in row[columns:]):
        row = row[:columns]
    return len(row) == columns and (filled(row) > 1 or columns == 2)


def _commented_header(
    rows: Sequence[Sequence[str]], first: int, columns: int, body: Sequence[Sequence[str]]
) -> tuple[int, list[str]] | None:
    """The last comment above a table whose first row is no header, if the comment names every column."""
    above = [i for i in range(first) if filled(rows[i])]
    if not above or not is_comment(rows[above[-1]][0]) or len(rows[above[-1]]) != columns or columns < 2:
        return None
    names = list(rows[above[-1]])
    names[0] = names[0].lstrip("#").lstrip()
    numbers = any(map(is_value, rows[first]))
    return (above[-1], names) if numbers and not any(map(is_value, names)) else None


def _is_header(row: Sequence[str], body: Sequence[Sequence[str]]) -> tuple[bool, str]:
    """Whether the first row holds names, and why, where that is not plain."""
    names = values = texts = again = 0
    for j, text in enumerate(row):
        column = [cells[j] for cells in body if cells[j].strip() not in MISSING]
        if not text.strip():
            continue
        if sum(map(is_value, column)) >= _MOSTLY * len(column) and column:
            values, names = (values + 1, names) if _is_cell(text) else (values, names + 1)
        elif column:
            texts += 1
            again += text in column
    if not body:
        return (False, "the only row holds numbers") if row and all(map(_is_cell, row)) else (True, "")
    if names:
        return True, ""
    if values:
        counted = [[str(i + start) for i in range(len(row))] for start in (0, 1)]
        unnamed = [t for t in row if t.strip()]
        if list(row) in counted or (not row[0].strip() and unnamed == [str(i) for i in range(len(unnamed))]):
            return True, "they count the columns"
        if _years(row) and not all(_years(cells) for cells in body):
            return True, "they are years, the other rows are not"
        return False, "the first row holds values as the others do"
    if len(set(row)) < len(row) or 2 * again > texts > 0:
        return False, "the first row holds texts of other rows"
    return True, "all rows are text" if texts > 1 and not any(is_value(t) for cells in body for t in cells) else ""


def _is_cell(text: str) -> bool:
    return is_value(text) or text.strip() in MISSING


def _years(row: Sequence[str]) -> bool:
    return len(set(row)) == len(row) and all(re.fullmatch(r"(19|20)\d\d", text.strip()) for text in row)


def _named(names: Sequence[str], origin: str) -> list[str]:
    """Names of columns; one in the middle that has none is called by its number."""
    named = [name if name.strip() or not i else f"column{i + 1}" for i, name in enumerate(names)]
    refuse_twice(named, origin)
    return named


def refuse_twice(names: Sequence[str], origin: str) -> None:
    """Raise for two columns of one name."""
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        at = [str(i + 1) for i, name in enumerate(names) if name == twice[0]]
        raise DataError(
            f"{origin} has {len(at)} columns named {twice[0]!r} (columns {' and '.join(at)}): "
            "give every column a name of its own"
        )


def may_be_index(name: str, position: int) -> bool:
    """Whether a column has the name, or lacks one, that pandas and R give the numbers or labels of rows."""
    return _INDEX.fullmatch(name) is not None and (position == 0 or bool(name))


def is_footer(row: Sequence[str], columns: int) -> bool:
    """Whether a row at the end of a file is none of the table: a text alone in it, or words such as Source."""
    there = [text for text in row if text.strip()]
    if columns < 2 or not there or is_value(there[0]):
        return False
    says = bool(_FOOTER.match(there[0]))
    if len(row) != columns:
        return says or len(there) == 1
    return len(there) == 1 and (says or len(there[0].split()) > 3)


def is_total(text: str) -> bool:
    """Whether a cell says that its row sums up the others."""
    return _TOTAL.fullmatch(text) is not None
