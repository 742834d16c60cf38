"""Supports of the columns of a table: numbers that were rounded, values that repeat, and values that are missing."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from surflow.errors import SupportError
from surflow.supports.base import Support
from surflow.supports.numbers import Integers

# How far from a point of its grid a number may be, in steps: what is left of decimals in binary.
TOLERANCE = 1e-3
# How often a value has to be met before it says anything.
_TWICE = 2


@dataclass(frozen=True)
class Grid(Support):
    r"""The numbers :math:`\text{origin} + k\,\text{step}`, k an integer, from ``low`` to ``high``.

    Densities on it are masses of single numbers, in nats: the reference measure counts. Counts are
    ``Grid(1.0, low=0.0)``, dollars and cents ``Grid(0.01)``, and categories that have an order, such as grades,
    ``Grid(1.0, low=0.0, high=levels - 1.0)``; those without one are :class:`Integers`. A number within a thousandth of
    a step of the grid lies on it.

    Args:
        step: from one number to the next.
        origin: one of the numbers, or where it would be.
        low, high: the ends, both in the set if they lie on the grid; infinite for none.

    Raises:
        SupportError: unless step is positive and finite, origin finite, and there is a number from low to high.

    >>> Grid(0.5, low=0.0).contains(torch.tensor([[0.5, 3.0], [0.25, 3.0], [-0.5, 3.0]]))
    tensor([ True, False, False])
    """

    step: float
    origin: float = 0.0
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not (0 < self.step < math.inf and math.isfinite(self.origin) and self.low <= self.high):
            raise SupportError(
                f"a grid needs a positive step, a finite origin and low <= high, got step={self.step}, "
                f"origin={self.origin}, low={self.low}, high={self.high}"
            )
        if math.isfinite(self.low) and math.isfinite(self.high) and self.first > self.last:
            raise SupportError(f"no number of {self!r} lies between its ends: move them, or the origin")

    @property
    def first(self) -> float:
        """The k of the lowest number, or -inf."""
        return self._index(self.low, math.ceil, -TOLERANCE)

    @property
    def last(self) -> float:
        """The k of the highest number, or inf."""
        return self._index(self.high, math.floor, TOLERANCE)

    def _index(self, end: float, to_integer: Callable[[float], int], slack: float) -> float:
        return float(to_integer((end - self.origin) / self.step + slack)) if math.isfinite(end) else end

    def _inside(self, x: Tensor) -> Tensor:
        k = (x.double() - self.origin) / self.step
        near = (k - k.round()).abs() <= TOLERANCE  # not for NaN, nor for infinite values, whose difference is NaN
        return near & (k >= self.first - TOLERANCE) & (k <= self.last + TOLERANCE)

    @property
    def largest(self) -> int:
        # In steps from zero. Decimals are rounded to start with, and have to be told apart all the same.
        fine = 1 if self.step == round(self.step) and self.origin == round(self.origin) else round(2 / TOLERANCE)
        most = max(abs(self.low), abs(self.high)) / (1.0 if fine == 1 else self.step)
        return min(round(most * fine), 2**53) if math.isfinite(most) else 2**53

    def some(self, x: Tensor) -> Tensor:
        k = min(max(0.0, self.first), self.last)
        return x.new_full((), self.origin + k * self.step)

    def __repr__(self) -> str:
        said = [f"{self.step:g}"]
        said += [f"origin={self.origin:g}"] if self.origin else []
        said += [f"low={self.low:g}"] if math.isfinite(self.low) else []
        said += [f"high={self.high:g}"] if math.isfinite(self.high) else []
        return f"grid({', '.join(said)})"


@dataclass(frozen=True)
class WithAtoms(Support):
    """A support, and beside it single values of positive probability: a salary of exactly 0, a value that is missing.

    The reference measure is that of the support, and counts the atoms. A missing value is NaN, an event like any other.
    On a grid every number has a probability anyway; atoms there are numbers that are met more often than their
    neighbours, which a distribution cannot know from the set.

    Args:
        support: the rest, a coordinatewise support.
        atoms: the values, ascending.
        missing: whether a value may be missing.

    Raises:
        SupportError: for a support of several coordinates together or one with atoms itself, atoms that do not ascend
            or are no finite numbers, atoms beside :class:`Integers`, or neither atoms nor missing values.

    >>> from surflow.supports import positive
    >>> dollars = WithAtoms(positive, atoms=(0.0,), missing=True)
    >>> dollars
    positive with atoms (0,) and missing values
    >>> dollars.contains(torch.tensor([[0.0], [math.nan], [-1.0]]))
    tensor([ True,  True, False])
    """

    support: Support
    atoms: tuple[float, ...] = ()
    missing: bool = False

    def __post_init__(self) -> None:
        if not self.support.coordinatewise or isinstance(self.support, WithAtoms):
            raise SupportError(
                f"atoms stand beside a support of single coordinates that has none, got {self.support!r}"
            )
        if not all(a < b for a, b in pairwise(self.atoms)) or not all(math.isfinite(atom) for atom in self.atoms):
            raise SupportError(f"atoms are finite numbers that ascend, got {self.atoms}")
        if self.atoms and isinstance(self.support, Integers):
            raise SupportError(f"every integer of {self.support!r} is an atom already: leave atoms= out")
        if not self.atoms and not self.missing:
            raise SupportError(f"neither atoms nor missing values: that is {self.support!r} itself")

    def _inside(self, x: Tensor) -> Tensor:
        inside = self.support._inside(x)
        if self.atoms:
            inside = inside | torch.isin(x, torch.tensor(self.atoms, dtype=x.dtype, device=x.device))
        return inside | x.isnan() if self.missing else inside

    def undefined(self, x: Tensor) -> Tensor:
        return x.new_zeros(x.shape[0], dtype=torch.bool) if self.missing else super().undefined(x)

    def some(self, x: Tensor) -> Tensor:
        return self.support.some(x)

    @property
    def largest(self) -> int:
        return self.support.largest

    def __repr__(self) -> str:
        said = [f"atoms ({', '.join(f'{atom:g}' for atom in self.atoms)}{',' * (len(self.atoms) == 1)})"]
        said = said * bool(self.atoms) + ["missing values"] * self.missing
        return f"{self.support!r} with {' and '.join(said)}"


def atoms_of(values: Tensor, step: float = 0.0, *, least: float = 4.0, most: int = 1000) -> tuple[float, ...]:
    r"""The values of a column that are met more often than their neighbours say, for :class:`WithAtoms`; ascending.

    A value met c times, where about the root of n rows on either side of it predict e, is one if it is met twice or
    more and the logarithm of the ratio of Poisson likelihoods, :math:`c \log (c / e) - (c - e)`, is at least so many
    nats. Of numbers of full resolution neighbours predict none, and those met three times or more are atoms.

    Args:
        values: of the column, (n,); missing ones, NaN, are left out.
        step: of the grid that they lie on, 0 for numbers of full resolution.
        least: nats that an atom has to gain.
        most: how many atoms at most, those met most often.

    >>> hours = torch.cat([torch.arange(20.0, 60.0), torch.full((30,), 40.0)])
    >>> atoms_of(hours, step=1.0)
    (40.0,)
    """
    values = values[values.isfinite()].double()
    if not len(values):
        return ()
    found, counts = values.unique(return_counts=True)
    if step:
        n, near = len(values), max(10, round(len(values) ** 0.5))
        after = counts.cumsum(0)
        before = after - counts
        low = torch.searchsorted(after, (before - near).clamp(min=0), right=True)
        high = torch.searchsorted(after, (after + near).clamp(max=n))
        rows = after[high] - before[low] - counts
        expected = rows / ((found[high] - found[low]) / step).clamp(min=1.0)
        gain = counts * (counts / expected.clamp(min=1e-9)).log() - (counts - expected)
        kept = (counts > expected) & (gain >= least) & (counts >= _TWICE)
    else:
        kept = counts > _TWICE
    found, counts = found[kept], counts[kept]
    often = counts.argsort(descending=True, stable=True)[:most]
    return tuple(found[often].sort().values.tolist())
