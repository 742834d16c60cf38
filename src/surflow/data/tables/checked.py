"""What a schema's file may state of a column: entries of their types, that make sense together."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeVar

from surflow._internal.checked import of_type
from surflow.errors import ConfigError

if TYPE_CHECKING:
    from surflow.data.tables.schema import Column

C = TypeVar("C", bound="Column")

# The longest way of writing a date, or a unit before or behind a number; the longest offset, in bits.
_LONGEST_FORMAT, _LONGEST_OFFSET = 64, 256
_DECIMALS, _THOUSANDS = (".", ","), ("", ",", ".", "'", "\u2019", " ", "\u00a0", "\u202f", "_")


def checked(kind: type[C], entries: dict[str, Any]) -> C:
    """The column that entries state.

    Args:
        kind: the class of columns.
        entries: by the names of its attributes.

    Raises:
        ConfigError: for an entry of another type, or one that no column can have; the message names the column.
    """
    column = of_type(kind, entries, f"column {entries['name']!r} of the schema")
    for wrong, why in _doubts(column):
        if wrong:
            raise ConfigError(f"column {column.name!r} of the schema: {why}")
    return column


def _doubts(column: Column) -> list[tuple[bool, str]]:
    numbers = [column.low, column.high, column.least, column.most, *column.atoms]
    low, high = column.low, column.high
    names = column.categories
    return [
        (any(n is not None and not math.isfinite(n) for n in numbers), "bounds and atoms are finite numbers"),
        (low is not None and high is not None and low > high, f"low is {low}, above high, {high}"),
        (not _positive(column.step), f"step is a number above 0, got {column.step}"),
        (not _positive(column.period), f"period is a number above 0, got {column.period}"),
        (column.missing < 0 or column.distinct < 0, "missing and distinct count rows and values: expected 0 or more"),
        (len(set(names)) < len(names), "a category is stated twice"),
        (column.kind.named and column.used and not names, f"a {column.kind} needs its categories"),
        (str(column.kind) == "boolean" and column.used and len(names) != 2, f"a boolean has 2 categories, got {names}"),
        (column.decimal not in _DECIMALS, f"decimal is one of {_DECIMALS}, got {column.decimal!r}"),
        (column.thousands not in _THOUSANDS, f"thousands is one of {_THOUSANDS}, got {column.thousands!r}"),
        (column.thousands == column.decimal, f"decimal and thousands are both {column.decimal!r}"),
        (column.offset.bit_length() > _LONGEST_OFFSET, f"offset has more than {_LONGEST_OFFSET} bits"),
        (len(column.format or "") > _LONGEST_FORMAT, f"format has more than {_LONGEST_FORMAT} characters"),
        (len(column.prefix + column.suffix) > _LONGEST_FORMAT, f"units have more than {_LONGEST_FORMAT} characters"),
    ]


def _positive(number: float | None) -> bool:
    return number is None or (math.isfinite(number) and number > 0)
