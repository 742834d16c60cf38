"""Supports: the sets that data and latents live on, a small closed family with equality and a clear repr."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise

import torch
from torch import Tensor

from surflow._internal.configurable import Configurable
from surflow._internal.shapes import Shape, flat
from surflow.errors import ShapeError, SupportError


class Support(Configurable):
    """A set of events, which also says what shapes they have and what rearrangements of their coordinates keep it.

    Coordinatewise supports constrain every coordinate alike: they fit any event shape, and every rearrangement keeps
    them. Any other is one of its ``_events``, and ``_allowed`` says in words what ``_after`` lets pass.

    >>> class Negative(Support):
    ...     def _inside(self, x):
    ...         return x <= 0
    >>> Negative().contains(torch.tensor([[-1.0, 0.0], [-1.0, 1.0]]))
    tensor([ True, False])
    """

    coordinatewise = True
    _events = "events of any shape"
    _allowed = "every rearrangement"

    def _fits(self, shape: Shape) -> bool:
        """Whether there are events of this shape in the support."""
        return True

    def _after(self, source: Tensor, shape: Shape) -> Support | None:
        """What is left of events of ``shape`` after a rearrangement, or None if that is no support.

        ``source`` has the shape of events afterwards; each entry is the position, in row-major order, that it is from.
        """
        return self

    def check_shape(self, shape: Shape) -> None:
        """Raise ShapeError unless there are events of this shape in the support."""
        if not self._fits(shape):
            raise ShapeError(f"the support {self!r} is one of {self._events}, got event shape {shape}")

    def rearranged(self, move: Callable[[Tensor], Tensor], shape: Shape, name: str) -> Support:
        """The support of ``move(x)``, for rows x of events of ``shape``, whose coordinates it only puts elsewhere.

        Raises:
            SupportError: if it is none; ``name`` is that of the layer which asks.

        >>> product([real, positive]).rearranged(lambda x: x.flip(1), (2, 5), "Reverse")
        positive^1 x real^1
        """
        self.check_shape(shape)
        after = self if self.coordinatewise else self._moved(move, shape)
        if after is None:
            raise SupportError(
                f"{name} would carry events of shape {shape} out of their support {self!r}, which is kept by "
                f"{self._allowed}"
            )
        return after

    def shuffled(self, shape: Shape, axis: int, name: str) -> Support:
        """The support itself, where every order of the entries along an event axis keeps it.

        Raises:
            SupportError: where one does not; ``name`` is that of the layer which asks.
        """
        self.check_shape(shape)
        # All orders are made of two: the first two entries swapped, and all of them moved on by one.
        entries = list(range(shape[axis]))
        orders = [] if self.coordinatewise else [entries[1::-1] + entries[2:], entries[1:] + entries[:1]]
        for order in orders:
            move = partial(torch.index_select, dim=axis + 1, index=torch.tensor(order, device="cpu"))
            if self._moved(move, shape) != self:
                raise SupportError(
                    f"{name} puts the entries of axis {axis} into any order, which would carry events of shape {shape} "
                    f"out of their support {self!r}: it is kept by {self._allowed}"
                )
        return self

    def _moved(self, move: Callable[[Tensor], Tensor], shape: Shape) -> Support | None:
        return self._after(move(torch.arange(math.prod(shape), device="cpu").reshape(1, *shape))[0], shape)

    def _inside(self, x: Tensor) -> Tensor:
        """Elementwise membership, for coordinatewise supports."""
        raise NotImplementedError

    def contains(self, x: Tensor) -> Tensor:
        """Which rows of ``x``, shape (batch, *event), lie in the support; shape (batch,), bool."""
        return flat(self._inside(x)).all(1)

    def outside(self, x: Tensor) -> Tensor:
        """Which rows of ``x`` do not lie in the support; a row that is undefined lies neither in it nor outside."""
        return ~(self.contains(x) | self.undefined(x))

    def undefined(self, x: Tensor) -> Tensor:
        """Which rows of ``x`` hold NaN where it is no value of an event; shape (batch,), bool."""
        return flat(x.isnan()).any(1)

    def coordinates(self, size: int) -> list[Support]:
        """The support of each of the ``size`` entries of the first event axis.

        Raises:
            SupportError: if the support ties them together.
        """
        if not self.coordinatewise:
            raise SupportError(f"the support {self!r} ties its coordinates together and cannot be taken apart")
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


@dataclass(frozen=True)
class Permutations(Support):
    """Vectors that list each of 0, 1, ..., size - 1 once.

    Args:
        size: number of entries.

    >>> Permutations(3).contains(torch.tensor([[2.0, 0.0, 1.0], [1.0, 1.0, 2.0]]))
    tensor([ True, False])
    """

    size: int

    coordinatewise = False
    _events = "vectors of its size"
    _allowed = "every permutation of a vector"

    def _fits(self, shape: Shape) -> bool:
        return shape == (self.size,)

    def _after(self, source: Tensor, shape: Shape) -> Support | None:
        return self if source.ndim == 1 else None

    def contains(self, x: Tensor) -> Tensor:
        return (x.sort(-1).values == torch.arange(self.size, device=x.device)).flatten(1).all(1)

    @property
    def largest(self) -> int:
        return self.size - 1

    def some(self, x: Tensor) -> Tensor:
        return torch.arange(self.size, dtype=x.dtype, device=x.device)

    def __repr__(self) -> str:
        return f"permutations({self.size})"


@dataclass(frozen=True)
class Ordered(Support):
    """Values that ascend: of a vector, or in row ``by`` of points (coordinates, points), the others being free.

    With ``levels`` all values are integers 0, 1, ..., levels - 1.

    Args:
        by: the row that ascends, or None for a vector.
        levels: number of integers, or None for real values.

    Raises:
        SupportError: for a negative row, or less than one level.

    >>> Ordered().contains(torch.tensor([[1.0, 2.0, 2.0], [1.0, 3.0, 2.0]]))
    tensor([ True, False])
    """

    by: int | None = None
    levels: int | None = None

    coordinatewise = False
    _events = "vectors, or with by= of points (coordinates, points) that have this coordinate"
    _allowed = "rearrangements that leave the ascending values in their order, in a vector or a row of their own"

    def __post_init__(self) -> None:
        if (self.by or 0) < 0 or (self.levels is not None and self.levels < 1):
            raise SupportError(f"expected by from 0 and levels from 1, or None, got by={self.by}, levels={self.levels}")

    def _fits(self, shape: Shape) -> bool:
        return len(shape) == 1 if self.by is None else len(shape) == 2 and self.by < shape[0]

    def _after(self, source: Tensor, shape: Shape) -> Support | None:
        if self.by is None:
            return self if source.ndim == 1 and bool((source.diff() == 1).all()) else None
        if source.ndim != 2:
            return None
        ascending = torch.arange(shape[1], device="cpu") + self.by * shape[1]
        rows = [i for i, row in enumerate(source) if torch.equal(row, ascending)]
        return Ordered(rows[0], self.levels) if rows else None

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
    and zeros, and coordinates of absent ones are zero.

    Args:
        low, high: ends of the box along every coordinate.

    >>> points = torch.tensor([[[0.5, 0.0], [1.0, 0.0]]])  # one of at most two numbers
    >>> Ragged().contains(points), Ragged().contains(2 * points)
    (tensor([True]), tensor([False]))
    """

    low: float = 0.0
    high: float = 1.0

    coordinatewise = False
    _events = "points and a row that says which there are, (coordinates + 1, points)"
    _allowed = "rearrangements that move points as whole columns, whose last entry stays the last"

    def __post_init__(self) -> None:
        Interval(self.low, self.high)  # says so if there is none

    def _fits(self, shape: Shape) -> bool:
        return len(shape) == 2 and shape[0] > 1

    def _after(self, source: Tensor, shape: Shape) -> Support | None:
        if source.ndim != 2:
            return None
        columns, rows = source % shape[1], source // shape[1]
        whole = (columns == columns[:1]).all() and (rows[-1] == shape[0] - 1).all()
        return self if whole else None

    def contains(self, x: Tensor) -> Tensor:
        points, there = x[:, :-1], x[:, -1:]
        inside = Interval(self.low, self.high)._inside(points).where(there == 1, points == 0)
        return (inside & ((there == 0) | (there == 1))).flatten(1).all(1)

    def __repr__(self) -> str:
        return f"ragged({self.low:g}, {self.high:g})"


@dataclass(frozen=True)
class Product(Support):
    """A product over the first event axis: pairs (support, number of coordinates). Build it with :func:`product`.

    Args:
        parts: the pairs, in the order of the entries of the first axis.

    Raises:
        SupportError: for a product that is not in its simplest form, such as one of a single support.

    >>> Product(((real, 2), (positive, 1)))
    real^2 x positive^1
    """

    parts: tuple[tuple[Support, int], ...]

    coordinatewise = False
    _events = "as many entries along the first axis as its parts have"
    _allowed = "rearrangements after which every entry of the first axis has one support"

    def __post_init__(self) -> None:
        kinds = [part for part, _ in self.parts]
        _check_single(kinds)
        # Equal sets have to be equal supports, so there is one way to write a product.
        if len(kinds) < 2 or any(a == b for a, b in pairwise(kinds)) or any(n < 1 for _, n in self.parts):
            raise SupportError(f"expected a product in its simplest form, got {self!r}: build it with surflow.product")

    def _fits(self, shape: Shape) -> bool:
        return shape[:1] == (sum(n for _, n in self.parts),)

    def _after(self, source: Tensor, shape: Shape) -> Support | None:
        each = self.coordinates(shape[0])
        number = torch.tensor([each.index(part) for part in each], device="cpu")
        kind = number[source // math.prod(shape[1:])].reshape(source.shape[0], -1)
        return product(each[i] for i in kind[:, 0].tolist()) if (kind == kind[:, :1]).all() else None

    def contains(self, x: Tensor) -> Tensor:
        blocks = x.split([size for _, size in self.parts], dim=1)
        inside = [part.contains(block) for (part, _), block in zip(self.parts, blocks, strict=True)]
        return torch.stack(inside).all(0)

    def undefined(self, x: Tensor) -> Tensor:
        blocks = x.split([size for _, size in self.parts], dim=1)
        return torch.stack([part.undefined(block) for (part, _), block in zip(self.parts, blocks, strict=True)]).any(0)

    def coordinates(self, size: int) -> list[Support]:
        known = sum(n for _, n in self.parts)
        if known != size:
            raise SupportError(f"the support {self!r} has {known} coordinates, the event's first axis {size}")
        return [part for part, n in self.parts for _ in range(n)]

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


def product(supports: Iterable[Support]) -> Support:
    """The support of coordinates stacked along the first event axis, in its simplest form.

    Args:
        supports: that of each entry of the first axis, in order.

    Raises:
        SupportError: for a support that is none of single coordinates.

    >>> product([real, real, positive])
    real^2 x positive^1
    >>> product([real, real])
    real
    """
    parts = tuple((key, len(list(group))) for key, group in groupby(supports))
    _check_single(part for part, _ in parts)
    return parts[0][0] if len(parts) == 1 else Product(parts)


def _check_single(parts: Iterable[Support]) -> None:
    for part in parts:
        if not part.coordinatewise:
            raise SupportError(
                f"a product is made of supports of single coordinates, got {part!r}, which ties several together"
            )
