"""The support of a table's rows, as its schema says it."""

from __future__ import annotations

import math
from collections.abc import Sequence

from surflow.data.tables.schema import Column, ColumnKind
from surflow.supports import Integers, Interval, Support, positive, product, real
from surflow.supports.columns import Grid, WithAtoms


def support_of(columns: Sequence[Column]) -> Support:
    """Where rows of some columns lie: a product, with missing values where a column has some.

    >>> pet = Column("pet", ColumnKind.CATEGORY, categories=["cat", "dog"], missing=3)
    >>> support_of([Column("age", ColumnKind.COUNT, step=1.0, low=0.0), pet])
    grid(1, low=0)^1 x integers(3) with missing values^1
    """
    return product(_of_column(column) for column in columns)


def plain(columns: Sequence[Column]) -> bool:
    """Whether every value of some columns is a number, in every row, as a density on the real line needs it."""
    return all(column.kind.numeric and not column.missing for column in columns)


def _of_column(column: Column) -> Support:
    names = len(column.categories)
    if column.kind is ColumnKind.BOOLEAN:
        rest: Support = Integers(max(names, 1))
    elif column.kind is ColumnKind.ORDERED:
        rest = Grid(1.0, low=0.0, high=float(names))  # behind the last: a name that the schema does not know
    elif column.kind.named:
        rest = Integers(names + 1)
    else:
        rest = _of_numbers(column)
    atoms = tuple(sorted(set(column.atoms))) if column.kind.numeric else ()
    missing = column.missing > 0
    return WithAtoms(rest, atoms=atoms, missing=missing) if atoms or missing else rest


def _of_numbers(column: Column) -> Support:
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high
    if column.kind is ColumnKind.ANGLE and column.period:
        high = low + column.period if math.isfinite(low) else high
    if column.step is not None:
        return Grid(column.step, low=low, high=high)
    if math.isfinite(low) and math.isfinite(high):
        return Interval(low, high)
    return positive if low == 0.0 else real
