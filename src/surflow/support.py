"""Supports: the sets that data and latents live on, a small closed family with equality and a clear repr."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.distributions import constraints

from surflow.configurable import Configurable
from surflow.errors import SupportError


def flat(x: Tensor) -> Tensor:
    """Rows as vectors, (batch, numbers in an event); an event of shape () is one number."""
    return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)


class Support(Configurable):
    """A set of events. Coordinatewise supports constrain every coordinate alike and fit any event shape."""

    def _inside(self, x: Tensor) -> Tensor:
        """Elementwise membership, for coordinatewise supports."""
        raise NotImplementedError

    def contains(self, x: Tensor) -> Tensor:
        """Which rows of ``x``, shape (batch, *event), lie in the support; shape (batch,), bool."""
        return flat(self._inside(x)).all(1)

    def outside(self, x: Tensor) -> Tensor:
        """Which rows of ``x`` do not lie in the support; a row that holds NaN lies neither in it nor outside."""
        return ~(self.contains(x) | flat(x.isnan()).any(1))

    def coordinates(self, size: int) -> list[Support]:
        """The support of each of the ``size`` coordinates along the first event axis."""
        return [self] * size

    def some(self, x: Tensor) -> Tensor:
        """An event well inside, in a shape that broadcasts to the rows ``x``."""
        return x.new_zeros(())

    def without(self, x: Tensor, rows: Tensor) -> Tensor:
        """``x`` with an event of the support in place of each of the ``rows``, (batch,), bool.

        What lies outside has no density, but may have gradients that are not finite, and zero times these is NaN.
        """
        return torch.where(rows.reshape(-1, *[1] * (x.ndim - 1)), self.some(x), x)

    @property
    def largest(self) -> int:
        """The largest integer that an event may have to tell from the one below it; 0 for real numbers."""
        return 0


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
    """The positive half-line; zero, of measure zero, is let in."""

    def _inside(self, x: Tensor) -> Tensor:
        return (x >= 0) & x.isfinite()

    def some(self, x: Tensor) -> Tensor:
        return x.new_ones(())

    def __repr__(self) -> str:
        return "positive"


@dataclass(frozen=True)
class Interval(Support):
    """The interval from ``low`` to ``high``."""

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
    """Angles in radians, from -pi to pi, the two ends being one point."""

    def _inside(self, x: Tensor) -> Tensor:
        return x.abs() <= torch.pi + 1e-6

    def __repr__(self) -> str:
        return "circle"


@dataclass(frozen=True)
class Integers(Support):
    """The integers 0, 1, ..., levels - 1."""

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


@dataclass(frozen=True)
class Permutations(Support):
    """Vectors that list each of 0, 1, ..., size - 1 once."""

    size: int

    def contains(self, x: Tensor) -> Tensor:
        return (x.sort(-1).values == torch.arange(self.size, device=x.device)).flatten(1).all(1)

    @property
    def largest(self) -> int:
        return self.size - 1

    def coordinates(self, size: int) -> list[Support]:
        raise SupportError(f"the support {self!r} ties its coordinates together and cannot be taken apart")

    def some(self, x: Tensor) -> Tensor:
        return torch.arange(self.size, dtype=x.dtype, device=x.device)

    def __repr__(self) -> str:
        return f"permutations({self.size})"


@dataclass(frozen=True)
class Ordered(Support):
    """Values that ascend along the last axis: of a vector, or in row ``by`` of points (coordinates, points).

    With ``levels`` the values of a vector are integers 0, 1, ..., levels - 1.
    """

    by: int | None = None
    levels: int | None = None

    def contains(self, x: Tensor) -> Tensor:
        values = x if self.by is None else x[:, self.by]
        ascend = (values.diff(dim=-1) >= 0).flatten(1).all(1)
        return ascend & (real if self.levels is None else Integers(self.levels)).contains(x)

    @property
    def largest(self) -> int:
        return (self.levels or 1) - 1

    def some(self, x: Tensor) -> Tensor:
        return x.new_zeros(()) if self.levels else torch.arange(x.shape[-1], dtype=x.dtype, device=x.device)

    def coordinates(self, size: int) -> list[Support]:
        hint = "" if self.levels else (
            ": apply surflow.LogGaps, whose codomain is real, before a layer that acts on a part of the event"
        )  # fmt: skip
        raise SupportError(f"the support {self!r} ties its coordinates together and cannot be taken apart{hint}")

    def __repr__(self) -> str:
        by = [] if self.by is None else [f"by={self.by}"]
        said = ", ".join(by + ([] if self.levels is None else [f"levels={self.levels}"]))
        return f"ordered({said})" if said else "ordered"


@dataclass(frozen=True)
class Ragged(Support):
    """Points in a box of which some are absent, (coordinates + 1, points): the last row says which there are, by ones
    and zeros, and coordinates of absent ones are zero."""

    low: float = 0.0
    high: float = 1.0

    def contains(self, x: Tensor) -> Tensor:
        points, there = x[:, :-1], x[:, -1:]
        inside = Interval(self.low, self.high)._inside(points).where(there == 1, points == 0)
        return (inside & ((there == 0) | (there == 1))).flatten(1).all(1)

    def coordinates(self, size: int) -> list[Support]:
        raise SupportError(f"the support {self!r} ties its coordinates together and cannot be taken apart")

    def __repr__(self) -> str:
        return f"ragged({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Product(Support):
    """A product over the first event axis: pairs (support, number of coordinates). Build it with :func:`product`."""

    parts: tuple[tuple[Support, int], ...]

    def contains(self, x: Tensor) -> Tensor:
        blocks = x.split([size for _, size in self.parts], dim=1)
        inside = [part.contains(block) for (part, _), block in zip(self.parts, blocks, strict=True)]
        return torch.stack(inside).all(0)

    def coordinates(self, size: int) -> list[Support]:
        each = [part for part, n in self.parts for _ in range(n)]
        if len(each) != size:
            raise SupportError(f"the support {self!r} has {len(each)} coordinates, the event's first axis {size}")
        return each

    @property
    def largest(self) -> int:
        return max(part.largest for part, _ in self.parts)

    def some(self, x: Tensor) -> Tensor:
        blocks = x[:1].split([size for _, size in self.parts], dim=1)
        return torch.cat(
            [part.some(block).expand_as(block) for (part, _), block in zip(self.parts, blocks, strict=True)], 1
        )

    def __repr__(self) -> str:
        return " x ".join(f"{part!r}^{n}" for part, n in self.parts)


real = Real()
positive = Positive()
unit_interval = Interval()
circle = Circle()


def type_for(kind: torch.dtype, largest: int) -> torch.dtype:
    """The floating type ``kind``, or the next wider one that holds all integers up to ``largest``: none is rounded.

    >>> type_for(torch.bfloat16, 255), type_for(torch.bfloat16, 999)
    (torch.bfloat16, torch.float32)
    """
    for wide in (kind, torch.float32):
        if largest <= 2 / torch.finfo(wide).eps:
            return wide
    return torch.float64


def product(supports: Iterable[Support]) -> Support:
    """The support of coordinates stacked along the first event axis, in its simplest form.

    >>> product([real, real, positive])
    real^2 x positive^1
    >>> product([real, real])
    real
    """
    parts = tuple((key, len(list(group))) for key, group in groupby(supports))
    return parts[0][0] if len(parts) == 1 else Product(parts)


def support_of(law: torch.distributions.Distribution) -> Support:
    """The support of a ``torch.distributions`` law over vectors: coordinates that are real, positive or in intervals.

    Raises:
        SupportError: for a law over anything else.

    >>> from torch.distributions import Exponential, Independent, Uniform
    >>> support_of(Independent(Uniform(torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])), 1))
    interval(-1, 1)
    >>> support_of(Independent(Exponential(torch.ones(3)), 1))
    positive
    """
    if len(law.event_shape) != 1 or law.batch_shape:
        raise SupportError(
            f"expected a law over vectors, got event shape {tuple(law.event_shape)} and batch shape "
            f"{tuple(law.batch_shape)}: wrap it in torch.distributions.Independent(law, 1)"
        )
    return product(_coordinates_of(law.support, law.event_shape[0]))


def _coordinates_of(constraint: Any, size: int) -> list[Support]:
    if constraint.is_discrete:
        raise SupportError(f"expected a law of real numbers, got one of integers: {constraint}")
    inner = getattr(constraint, "base_constraint", None)
    if inner is not None:
        return _coordinates_of(inner, size)
    parts = getattr(constraint, "cseq", None)
    if parts is not None:
        lengths = getattr(constraint, "lengths", [1] * len(parts))
        return [one for part, n in zip(parts, lengths, strict=True) for one in _coordinates_of(part, n)]
    low, high = (
        torch.as_tensor(getattr(constraint, name, math.nan)).expand(size).tolist()
        for name in ("lower_bound", "upper_bound")
    )
    if constraint in (constraints.real, constraints.real_vector):
        return [real] * size
    if math.isfinite(low[0]) and math.isfinite(high[0]):
        return [Interval(a, b) for a, b in zip(low, high, strict=True)]
    if set(low) == {0.0} and math.isnan(high[0]):
        return [positive] * size
    raise SupportError(f"expected a law whose coordinates are real, positive or in intervals, got {constraint}")


_BRIDGES = {
    ("Positive", "Real"): "Log(shape) or Inverse(Softplus(shape))",
    ("Real", "Positive"): "Exp(shape) or Softplus(shape)",
    ("Interval", "Real"): "Logit(shape, low, high)",
    ("Real", "Interval"): "Sigmoid(shape, low, high)",
    ("Ordered", "Real"): "LogGaps(shape)",
    ("Real", "Ordered"): "Inverse(LogGaps(shape)) or Sort(shape)",
    ("Integers", "Real"): "Dequantize(shape, levels) and then Logit(shape, 0, levels)",
    ("Integers", "Interval"): "Dequantize(shape, levels)",
    ("Interval", "Integers"): "Inverse(Dequantize(shape, levels))",
    ("Interval", "Interval"): "Rescale(shape, (low, high), (low, high))",
    ("Integers", "Ordered"): "SortIntegers(size, levels)",
    ("Circle", "Circle"): "a layer for circles, such as Coupling(shape, CircularSpline())",
    ("Circle", "Real"): "no continuous map: keep to layers for circles and the base UniformCircle",
    ("Real", "Circle"): "no continuous map: start from layers for circles",
}


def bridge(left: Support, right: Support) -> str:
    """What fits between a layer that lands in ``left`` and one that expects ``right``."""
    known = _BRIDGES.get((type(left).__name__, type(right).__name__))
    if known:
        return known
    return "the layers that map each part of one onto the other, each inside On(shape, part, layer)"
