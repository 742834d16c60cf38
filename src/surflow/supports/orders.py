"""Supports of what has an order: permutations, and values that ascend."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from surflow._internal.shapes import Shape
from surflow.errors import SupportError
from surflow.supports.base import Support
from surflow.supports.numbers import Integers, real


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
