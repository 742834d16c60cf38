"""Columns of numbers: which kind they are, their grid, their bounds, and the values that stand out as spikes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import numpy as np
import torch

from surflow.data.tables import patterns
from surflow.data.tables.dates import DAY, has_clock, has_day
from surflow.data.tables.facts import Facts
from surflow.data.tables.schema import Column, ColumnKind
from surflow.data.tables.wishes import Wish
from surflow.supports.columns import atoms_of

# A grid coarser than the digits needs so many different values as evidence.
_GRID_VALUES = 50
# Numbers with more digits than this, or on a grid finer than this beside their range, have full resolution.
MOST_DIGITS, _FINEST = 12, 1e-8
# Whole numbers under the name of a code are its categories up to so many; others under the name of an identifier are
# one from so many on.
_MOST_CODES, _FEWEST_IDENTIFIERS = 3000, 50
_IDENTIFIER_SHARE = 0.95
_EXACT = 2.0**53  # beyond it whole numbers are not all there in double precision
_YEAR = re.compile(r"year|yr|born|birth", re.IGNORECASE)
_STRONG_ID = re.compile(r"(^|[_\s.])(id|uuid|guid|ssn|isbn)$|[a-z](Id|ID)$", re.IGNORECASE)


def numbers_of(column: Column, facts: Facts, rows: int, wish: Wish | None) -> Column:
    """The column settled: kind, step, bounds, atoms and the evidence."""
    said = wish is not None and wish.kind is not None
    column.least, column.most = facts.low, facts.high
    if not facts.numbers or not math.isfinite(facts.low):
        return _as(column, ColumnKind.CONSTANT, "no value in any row") if not said and not facts.sampled else column
    if facts.low == facts.high and facts.filled == rows and not said:
        only = facts.low if not column.offset else int(facts.low) + column.offset
        return _as(column, ColumnKind.CONSTANT, f"every row is {only if column.offset else format(only, 'g')}")
    column.step = _step(column, facts)
    if column.kind is not ColumnKind.DATE and not said:
        _decide(column, facts, rows)
    if column.kind.named:
        return column
    if column.kind.numeric:
        _bound(column, facts)
        shown = np.asarray(list(facts.numbers.elements()))
        column.atoms = spikes(column, shown - column.offset)
    if column.step not in (None, 1.0) and column.kind is ColumnKind.NUMBER:
        _say(column, f"on a grid of {column.step:g}")
    return column


def _as(column: Column, kind: ColumnKind, evidence: str) -> Column:
    column.kind, column.used = kind, kind not in (ColumnKind.CONSTANT, ColumnKind.IDENTIFIER, ColumnKind.TEXT)
    _say(column, evidence)
    return column


def _say(column: Column, evidence: str) -> None:
    column.evidence = f"{column.evidence}; {evidence}" if column.evidence else evidence


def _decide(column: Column, facts: Facts, rows: int) -> None:
    name, low, high = column.name, facts.low, facts.high
    first, last = (f"{low:g}", f"{high:g}") if not column.offset else (str(int(v) + column.offset) for v in (low, high))
    unique = facts.filled == rows and facts.distinct >= _IDENTIFIER_SHARE * rows and rows >= 20
    if facts.whole and unique:
        consecutive = high - low + 1 == rows
        if consecutive:
            how = "in their order" if abs(facts.rank) > 0.999 else "in some order"
            _as(column, ColumnKind.IDENTIFIER, f"numbers the rows {first} to {last}, {how}")
            return
        if patterns.names_an_id(name):
            _as(column, ColumnKind.IDENTIFIER, "a number of its own in every row, and the name of an identifier")
            return
    if patterns.names_rows(name) and facts.distinct > 0.9 * rows and rows >= 20:
        _as(column, ColumnKind.IDENTIFIER, "hardly a value twice, under a name of rows")
        return
    if facts.whole and _STRONG_ID.search(name) and facts.distinct > _FEWEST_IDENTIFIERS:
        _as(column, ColumnKind.IDENTIFIER, f"{facts.distinct:,} whole numbers under the name of an identifier")
        return
    if facts.whole and facts.distinct == 2:
        zero_one = (low, high, column.offset) == (0, 1, 0)
        _as(column, ColumnKind.BOOLEAN if zero_one else ColumnKind.CATEGORY, f"only {first} and {last}")
        column.step = None
        return
    if facts.whole and facts.distinct <= _MOST_CODES and patterns.names_a_code(name):
        _as(column, ColumnKind.CATEGORY, f"{facts.distinct} whole numbers under the name of a code")
        column.step = None
        return
    period = None if column.offset else _period(name, low, high)
    if period is not None:
        column.period = period
        _as(column, ColumnKind.ANGLE, f"{low:g} to {high:g}, under the name of a direction")
        return
    if facts.whole and 0 <= low <= 1 and not column.offset and not _YEAR.search(name):
        _as(column, ColumnKind.COUNT, f"whole numbers from {low:g} to {high:g}")
        return
    _as(column, ColumnKind.NUMBER, f"{'whole ' if facts.whole else ''}numbers from {first} to {last}")


def codes(column: Column, texts: Iterable[str]) -> list[str]:
    """Whole numbers that are names, as the file writes them, in their order."""
    form = column.number_format
    return sorted((text for text in texts if form.reads(text)), key=lambda text: float(form.plain(text)))


def _period(name: str, low: float, high: float) -> float | None:
    if not patterns.names_an_angle(name):
        return None
    if low >= -180 and high <= 360 and high - low > 180 and not (low < 0 and high > 180):
        return 360.0
    small = low >= -3.15 and high <= 6.29 and high - low > math.pi and not (low < 0 and high > 3.15)
    return 2 * math.pi if small else None


def _step(column: Column, facts: Facts) -> float | None:
    """Distance of the numbers that occur; None where they have full resolution."""
    digits = facts.decimals
    if column.kind is ColumnKind.DATE:
        return _date_step(column, facts)
    if digits is None or digits > MOST_DIGITS:
        return None
    step = 10.0**-digits
    extent = max(abs(facts.low), abs(facts.high))
    if extent > 0 and step < _FINEST * (facts.high - facts.low or extent):
        return None
    # Digits of a computer's own, as of a float printed in full: hardly a value occurs twice.
    if digits >= 5 and facts.distinct > 0.9 * facts.filled:
        return None
    if len(facts.numbers) >= _GRID_VALUES:
        units = np.asarray([round(number / step) for number in facts.numbers if abs(number / step) < _EXACT])
        shared = int(np.gcd.reduce(units)) if len(units) else 1
        if shared > 1:
            return shared * step
    return step


def _date_step(column: Column, facts: Facts) -> float:
    """Dates are on days, or on the coarsest of hours, minutes, seconds and microseconds that holds them."""
    numbers = np.asarray(list(facts.numbers))
    steps = (3600.0, 60.0, 1.0) if has_clock(column.format or "") else (1.0,)
    return next((step for step in steps if (numbers % step == 0).all()), 1e-6)


def _bound(column: Column, facts: Facts) -> None:
    """Bounds that no value should pass: zero for counts and what cannot be negative, the end of a share."""
    if column.kind is ColumnKind.COUNT:
        column.low = 0.0
    elif column.kind is ColumnKind.ANGLE:
        column.low = 0.0 if facts.low >= 0 else -(column.period or 360.0) / 2
        column.period = column.period or 360.0
    elif column.kind is ColumnKind.DATE and column.format is not None and not has_day(column.format):
        column.low, column.high = 0.0, DAY - (column.step or 0.0)
    elif column.kind is ColumnKind.NUMBER and facts.low >= 0 and not column.offset:
        if not patterns.may_be_negative(column.name):
            column.low = 0.0
        if patterns.names_a_share(column.name) and facts.high <= 100 and facts.low >= 0:
            column.high = 1.0 if facts.high <= 1 else 100.0 if facts.high > 20 else None


def spikes(column: Column, values: np.ndarray) -> list[float]:
    """Values that are met more often than their neighbours say, ascending: 0 dollars, 40 hours, 1.00 carat.

    >>> hours = Column("hours", ColumnKind.COUNT, step=1.0)
    >>> spikes(hours, np.r_[np.arange(20.0, 60.0), np.full(30, 40.0)])
    [40.0]
    """
    there = torch.from_numpy(values[np.isfinite(values)])
    if column.offset or not len(there):
        return []
    found = list(atoms_of(there, column.step or 0.0))
    if column.step is None and column.low == 0.0 and there.min() == 0.0 and 0.0 not in found:
        found.insert(0, 0.0)  # a density on the positive numbers holds no zero
    return found
