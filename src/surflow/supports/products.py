"""Supports made of others: products over the first event axis, and points of which some are absent."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, pairwise

import torch
from torch import Tensor

from surflow._internal.shapes import Shape
from surflow.errors import SupportError
from surflow.supports.base import Support
from surflow.supports.numbers import Interval


@dataclass(frozen=True)
class Product(Support):
    """A product over the first event axis: pairs (support, number of coordinates). Build it with :func:`product`.

    Args:
        parts: the pairs, in the order of the entries of the first axis.

    Raises:
        SupportError: for a product that is not in its simplest form, such as one of a single support.

    >>> from surflow.supports import positive, real
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


def product(supports: Iterable[Support]) -> Support:
    """The support of coordinates stacked along the first event axis, in its simplest form.

    Args:
        supports: that of each entry of the first axis, in order.

    Raises:
        SupportError: for a support that is none of single coordinates.

    >>> from surflow.supports import positive, real
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
