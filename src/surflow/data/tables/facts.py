"""Facts: what all rows of a table say of one column, before it is decided what the column is."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field


@dataclass
class Facts:
    """What all rows say of one column: counts, and of numbers their range and grid.

    Attributes:
        texts: different values of a sample as text, with their counts.
        sampled: how many values the sample has.
        filled: rows with a value.
        distinct: different values.
        numeric: whether values are read as numbers.
        numbers: the sample's different numbers, with their counts.
        low, high: smallest and largest number.
        whole: whether all numbers are.
        decimals: digits after the point that hold every number, or None.
        rank: correlation of the numbers with the number of the row.
        median, spread: middle of the numbers, and distance of their quartiles.
        infinite: rows with an infinite number.
    """

    texts: Counter[str] = field(default_factory=Counter)
    sampled: int = 0
    filled: int = 0
    distinct: int = 0
    numeric: bool = False
    numbers: Counter[float] = field(default_factory=Counter)
    low: float = math.nan
    high: float = math.nan
    whole: bool = False
    decimals: int | None = None
    rank: float = 0.0
    median: float = math.nan
    spread: float = 0.0
    infinite: int = 0
