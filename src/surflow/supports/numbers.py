"""Supports of single numbers: the line, its half and its intervals, the circle, and the first integers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from surflow._internal.shapes import flat
from surflow.errors import SupportError
from surflow.supports.base import Support


@dataclass(frozen=True)
class Real(Support):
    """The real line.

    >>> Real() == Real(), Real() == Positive()
    (True, False)
    """

    def _inside(self, x: Tensor) -> Tensor:
        return x.isfinite()

    def outside(self, x: Tensor) -> Tensor:
        if not x[:1].numel():  # an event without coordinates has no largest one, and no rows have no event
            return super().outside(x)
        return flat(x).abs().amax(1) == math.inf  # in half the time: a NaN is the largest of its row

    def __repr__(self) -> str:
        return "real"


@dataclass(frozen=True)
class Positive(Support):
    """The positive half-line; zero, of measure zero, is let in.

    >>> positive.contains(torch.tensor([[3.0], [-4.0]]))
    tensor([ True, False])
    """

    def _inside(self, x: Tensor) -> Tensor:
        return (x >= 0) & x.isfinite()

    def some(self, x: Tensor) -> Tensor:
        return x.new_ones(())

    def __repr__(self) -> str:
        return "positive"


@dataclass(frozen=True)
class Interval(Support):
    """The interval from ``low`` to ``high``.

    Args:
        low, high: ends, both in the interval.

    Raises:
        SupportError: unless low < high, both finite.

    >>> Interval(-1.0, 1.0).contains(torch.tensor([[0.5, 0.5], [0.5, 1.5]]))
    tensor([ True, False])
    """

    low: float = 0.0
    high: float = 1.0

    def __post_init__(self) -> None:
        if not -math.inf < self.low < self.high < math.inf:
            raise SupportError(f"an interval needs finite low < high, got low={self.low}, high={self.high}")

    def _inside(self, x: Tensor) -> Tensor:
        return (x >= self.low) & (x <= self.high)

    def some(self, x: Tensor) -> Tensor:
        return x.new_full((), self.low + (self.high - self.low) / 2)

    def __repr__(self) -> str:
        return f"interval({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Circle(Support):
    """Angles in radians, from -pi to pi, the two ends being one point.

    >>> circle.contains(torch.tensor([[3.0], [4.0]]))
    tensor([ True, False])
    """

    def _inside(self, x: Tensor) -> Tensor:
        return x.abs() <= torch.pi + 1e-6

    def __repr__(self) -> str:
        return "circle"


@dataclass(frozen=True)
class Integers(Support):
    """The integers 0, 1, ..., levels - 1.

    Args:
        levels: number of integers.

    Raises:
        SupportError: for less than one level.

    >>> Integers(4).contains(torch.tensor([[3.0], [4.0], [0.5]]))
    tensor([ True, False, False])
    """

    levels: int

    def __post_init__(self) -> None:
        if self.levels < 1:
            raise SupportError(f"integers need at least one level, got {self.levels}")

    def _inside(self, x: Tensor) -> Tensor:
        return (x >= 0) & (x < self.levels) & (x == x.floor())

    @property
    def largest(self) -> int:
        return self.levels - 1

    def __repr__(self) -> str:
        return f"integers({self.levels})"


real = Real()
positive = Positive()
unit_interval = Interval()
circle = Circle()
