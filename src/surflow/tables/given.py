"""What is known of rows that are asked for: values, sets and ranges by the names of columns, in Python and as text."""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import date, datetime

import numpy as np

from surflow.data.tables.columns import codes_of, decode, number_of, texts
from surflow.data.tables.schema import OTHER, Column, ColumnKind
from surflow.distributions.column_marginals import Region
from surflow.errors import ConfigError, DataError, unknown_name
from surflow.supports.columns import TOLERANCE

# A comparison, as it stands in a text: "<", ">=" and their like, before a value that reaches to the next one.
_COMPARISON = re.compile(r"\s*(<=|>=|<|>)\s*(.*?)\s*(?:,(?=\s*[<>])|$)")
_OPERATOR = re.compile(r"\s*(<=|>=|==|=|<|>|is\s+not\s+missing$|is\s+missing$)\s*(.*)$", re.DOTALL)
_BETWEEN = re.compile(r"(.+?)\s*(<=|<)\s*$", re.DOTALL)
# How many tolerances from a number of a grid is clearly not that number.
_BETWEEN_TWO = 4
# "Any number": every value of a column of numbers that is not missing.
_ANY = "<inf"


def regions(columns: Sequence[Column], given: Mapping[str, object]) -> dict[int, Region]:
    """The values that are possible, by the number of the column.

    Args:
        columns: those that the model learned.
        given: by the name of a column: a value, a list or a set of values, None or NaN for "missing", or of numbers and
            dates a text with comparisons, ">=60, <70".

    Raises:
        ConfigError: for an unknown column.
        DataError: for values that are none of the column's, and ranges that hold none.
    """
    names = [column.name for column in columns]
    found = {}
    for name, stated in given.items():
        if name not in names:
            raise ConfigError(unknown_name("column", str(name), names))
        column = columns[names.index(name)]
        found[names.index(name)] = _region(column, stated)
    return found


def _region(column: Column, stated: object) -> Region:
    if isinstance(stated, str) and not column.kind.named and stated.strip()[:1] in ("<", ">"):
        return Region(points=(), intervals=(_interval(column, stated),))
    several = isinstance(stated, Iterable) and not isinstance(stated, str | bytes)
    values = list(stated) if several and isinstance(stated, Iterable) else [stated]
    if not values:
        raise DataError(f"no value is given for {column.name!r}: expected one or more")
    return Region(points=tuple(_point(column, value) for value in values), intervals=())


def _point(column: Column, value: object) -> float:
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or value != value:
        if not column.missing:
            raise DataError(f"{column.name!r} is never missing in the data: expected a value")
        return math.nan
    if column.kind.named:
        if value == OTHER and column.kind is not ColumnKind.BOOLEAN:
            return float(len(column.categories))
        return float(codes_of(column, [value])[0])
    number = _number(column, value)
    if column.step is not None:
        steps = number / column.step
        if abs(steps - round(steps)) > TOLERANCE:
            raise DataError(f"{column.name!r} is measured in steps of {column.step:g}, and {value!r} lies between two")
        number = round(number, column.decimals) if column.decimals < 15 else number
    least, most = _ends(column)
    slack = TOLERANCE * (column.step or 0.0)
    if not least - slack <= number <= most + slack:
        raise DataError(f"{column.name!r} cannot be {value!r}: {_seen(column)}")
    return number


def _number(column: Column, value: object) -> float:
    if column.kind is ColumnKind.DATE:
        if isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if isinstance(value, str):
            try:
                return number_of(column, value)
            except DataError:
                with suppress(ValueError):  # the international form is one everywhere
                    value = datetime.fromisoformat(value.strip())
    if isinstance(value, str) and value.strip().lower() in ("inf", "-inf"):
        return float(value)
    return number_of(column, value)


def _interval(column: Column, text: str) -> tuple[float, float]:
    """The closed interval that comparisons such as ">=60, <70" leave."""
    low, high, rest = -math.inf, math.inf, text
    while rest:
        met = _COMPARISON.match(rest)
        if met is None or not met[2]:
            raise DataError(f"{column.name!r} expects comparisons such as '>=60, <70', got {text!r}")
        sign, value = met[1], _number(column, met[2])
        # Numbers on a grid are what decimals leave of them in binary: a bound is put between two of them.
        slack = 0.0 if column.step is None else column.step * TOLERANCE
        if sign.startswith(">"):
            end = value - slack if sign == ">=" else value + _BETWEEN_TWO * slack
            low = max(low, end if slack or sign == ">=" else math.nextafter(value, math.inf))
        else:
            end = value + slack if sign == "<=" else value - _BETWEEN_TWO * slack
            high = min(high, end if slack or sign == "<=" else math.nextafter(value, -math.inf))
        rest = rest[met.end() :]
    least, most = _ends(column)
    if low > high or high < least or low > most:
        raise DataError(f"no value of {column.name!r} is {text}: {_seen(column)}")
    return low, high


def _ends(column: Column) -> tuple[float, float]:
    """The bounds that no value of a column passes."""
    return -math.inf if column.low is None else column.low, math.inf if column.high is None else column.high


def _seen(column: Column) -> str:
    """The range of a column in words."""
    if column.least is None or column.most is None or not math.isfinite(column.least + column.most):
        return f"it is a {column.type}"
    ends = [column.least - column.offset, column.most - column.offset]
    first, last = (text.strip('"') for text in texts(column, decode(column, np.asarray(ends))))
    bounds = [
        f"it is never {word} {end:g}"
        for word, end in (("below", column.low), ("above", column.high))
        if end is not None
    ]
    return ", and ".join([f"the data have {first} to {last}", *bounds])


# -- the command line -----------------------------------------------------------------------------------------


def parse_given(stated: Sequence[str], columns: Sequence[Column]) -> dict[str, object]:
    """What ``--given`` says, as a mapping for :meth:`TableModel.sample`.

    A text begins with the name of a column as the file writes it, whatever it holds, and goes on with "=", a
    comparison, "is missing" or "is not missing"; "60<=age<70" is a comparison too. What follows "=" is a
    value if it is one as a whole, and else values separated by commas, as in a row of a CSV file: quotes hold a comma.

    Raises:
        ConfigError: for an unknown column, two statements that do not go together, or a text of another form.

    >>> age = Column("age", ColumnKind.COUNT, step=1.0)
    >>> pet = Column("pet", ColumnKind.CATEGORY, categories=["a,b", "c"])
    >>> parse_given(["age>=60", "age<70", "pet=a,b"], [age, pet])
    {'age': '>=60, <70', 'pet': ['a,b']}
    """
    found: dict[str, object] = {}
    for text in stated:
        column, sign, rest = _parts(text, columns)
        value: object
        if sign == "is missing":
            value = None
        elif sign == "is not missing":
            value = list(column.categories) if column.kind.named else _ANY
        elif sign in ("=", "=="):
            value = _values(column, rest)
        else:
            value = rest
        before = found.get(column.name)
        ranges = isinstance(value, str) and isinstance(before, str)
        if column.name in found and not ranges:
            raise ConfigError(f"--given says two things of {column.name!r}: expected one, or comparisons alone")
        found[column.name] = f"{before}, {value}" if ranges else value
    return found


def _parts(text: str, columns: Sequence[Column]) -> tuple[Column, str, str]:
    """The column that a text is about, the sign, and what follows it; of comparisons, all of these."""
    stripped = text.strip()
    for column in sorted(columns, key=lambda column: -len(column.name)):
        at = 0 if stripped.startswith(column.name) else stripped.find(column.name)
        if at < 0:
            continue
        before, after = stripped[:at], stripped[at + len(column.name) :]
        met, left = _OPERATOR.match(after), _BETWEEN.fullmatch(before)
        if met is None or (before and left is None):
            continue
        sign = " ".join(met[1].split())
        if sign.startswith("is") and not before:
            return column, sign, ""
        if sign[0] in "<>":
            if column.kind.named:
                raise ConfigError(f"--given {text!r}: {column.name!r} is a {column.type}, which has no ranges")
            turned = f"{left[2].replace('<', '>')}{left[1]}, " if left is not None else ""
            return column, sign[0], f"{turned}{met[1]}{met[2]}"
        if not before:
            return column, sign, met[2]
    name = re.split(r"[<>=]| is ", stripped)[0].strip()
    raise ConfigError(
        f"--given {text!r}: {unknown_name('column', name, [c.name for c in columns])}. Expected NAME=VALUE, "
        "NAME=VALUE,VALUE, NAME>=VALUE, LOW<=NAME<HIGH, 'NAME is missing' or 'NAME is not missing'"
    )


def _values(column: Column, text: str) -> list[object]:
    if not text.strip():
        raise ConfigError(f"--given {column.name}= gives no value: expected one, or '{column.name} is missing'")
    try:
        _point(column, text)
        return [text]
    except DataError:
        values = next(csv.reader([text], skipinitialspace=True))
        if len(values) < 2:
            values = [values[0]] if values[0] != text else values
        return list(values)
