"""What every support is: a set of events, their shapes, and the rearrangements that keep it."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

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

        >>> from surflow.supports import positive, product, real
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
