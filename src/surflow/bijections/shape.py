"""Layers that only rearrange: permutations, axes, reshape, squeeze; V = 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from surflow._internal.number_types import type_for
from surflow._internal.shapes import Shape, as_axes, as_shape
from surflow.errors import ShapeError
from surflow.supports import Integers, Support, real
from surflow.transform import Path, Transform

# Single precision holds all integers up to here.
_LARGEST = 2**24


class _Rearrangement(Transform):
    """Moves coordinates without changing them; the support of x says which support, if any, that leads to."""

    def _path(self, *, inverse: bool) -> Path:
        return Path()

    def _there(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _back(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._there(x), x.new_zeros(x.shape[0])

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._back(z), z.new_zeros(z.shape[0])


class Permute(_Rearrangement):
    """A fixed permutation of an event axis, z_i = x_{order_i}; drawn at random when built if no order is given.

    Args:
        event_shape: event shape.
        order: which entry of x comes first, second, ...
        axis: the event axis that is permuted, 1 for the points of (coordinates, points).
        support: of x.

    Raises:
        ShapeError: for an order that does not name each entry once.
        SupportError: for a support that the order, or without one any order, does not keep: the permuted coordinates of
            a product are a product again, and need an order that is given.

    >>> import torch, surflow as sf
    >>> sf.Permute(3, order=[2, 0, 1])(torch.tensor([[10.0, 11.0, 12.0]]))[0]
    tensor([[12., 10., 11.]])
    """

    order: Tensor

    def __init__(
        self, event_shape: int | Shape, *, order: Sequence[int] | None = None, axis: int = 0, support: Support = real
    ) -> None:
        event_shape = as_axes(self, event_shape)
        if not 0 <= axis < len(event_shape):
            raise ShapeError(
                f"axis must be from 0 to {len(event_shape) - 1} for events of shape {event_shape}, got {axis}"
            )
        size = event_shape[axis]
        positions = torch.randperm(size) if order is None else torch.tensor(list(order))
        if positions.shape != (size,) or not (positions.sort().values == torch.arange(size)).all():
            raise ShapeError(f"order must name each of 0 to {size - 1} once, got {positions.tolist()}")
        if order is None:  # what is drawn must not decide what the layer lands on
            codomain = support.shuffled(event_shape, axis, "a Permute without order=")
        else:
            codomain = support.rearranged(
                lambda x: x.index_select(axis + 1, positions.to(x.device)), event_shape, "Permute"
            )
        super().__init__(event_shape, domain=support, codomain=codomain)
        self.axis = axis
        self.register_buffer("order", positions)

    def _there(self, x: Tensor) -> Tensor:
        return x.index_select(self.axis + 1, self.order)

    def _back(self, z: Tensor) -> Tensor:
        return z.index_select(self.axis + 1, self.order.argsort())


class Reverse(_Rearrangement):
    """The first event axis turned round.

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        support: of x; real by default.

    Raises:
        SupportError: for a support that the new order does not keep.

    >>> import torch, surflow as sf
    >>> sf.Reverse(3)(torch.tensor([[10.0, 11.0, 12.0]]))[0]
    tensor([[12., 11., 10.]])
    """

    def __init__(self, event_shape: int | Shape, *, support: Support = real) -> None:
        codomain = support.rearranged(lambda x: x.flip(1), as_axes(self, event_shape), "Reverse")
        super().__init__(event_shape, domain=support, codomain=codomain)

    def _there(self, x: Tensor) -> Tensor:
        return x.flip(1)

    def _back(self, z: Tensor) -> Tensor:
        return z.flip(1)


class PermuteAxes(_Rearrangement):
    """The event's axes in another order: ``PermuteAxes((2, 50), axes=(1, 0))`` transposes.

    Args:
        event_shape: shape of x.
        axes: which axis of x comes first, second, ..., counted without the batch's.
        support: of x; real by default.

    Raises:
        ShapeError: for axes that do not name each once.
        SupportError: for a support that the new order does not keep.

    >>> import torch, surflow as sf
    >>> sf.PermuteAxes((2, 50), axes=(1, 0)).out_shape
    (50, 2)
    """

    def __init__(self, event_shape: Shape, *, axes: Sequence[int], support: Support = real) -> None:
        event_shape = as_shape(event_shape)
        if sorted(axes) != list(range(len(event_shape))):
            raise ShapeError(f"axes must name each of 0 to {len(event_shape) - 1} once, got {tuple(axes)}")
        self.axes = [0, *(i + 1 for i in axes)]
        codomain = support.rearranged(self._there, event_shape, "PermuteAxes")
        super().__init__(event_shape, tuple(event_shape[i] for i in axes), domain=support, codomain=codomain)
        self.axes_back = [0, *(list(axes).index(i) + 1 for i in range(len(event_shape)))]

    def _there(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)

    def _back(self, z: Tensor) -> Tensor:
        return z.permute(self.axes_back)


class Reshape(_Rearrangement):
    """The same coordinates, in row-major order, under another event shape.

    Args:
        in_shape: event shape of x.
        out_shape: event shape of z, of as many coordinates.
        support: of x; real by default.

    Raises:
        ShapeError: for shapes of different numbers of coordinates.
        SupportError: for a support that the new shape does not keep.

    >>> import torch, surflow as sf
    >>> sf.Reshape((2, 3), 6)(torch.zeros(5, 2, 3))[0].shape
    torch.Size([5, 6])
    """

    def __init__(self, in_shape: int | Shape, out_shape: int | Shape, *, support: Support = real) -> None:
        in_shape, out_shape = as_shape(in_shape), as_shape(out_shape)
        if math.prod(in_shape) != math.prod(out_shape):
            raise ShapeError(f"cannot reshape events of shape {in_shape} to {out_shape}")
        codomain = support.rearranged(lambda x: x.reshape(-1, *out_shape), in_shape, "Reshape")
        super().__init__(in_shape, out_shape, domain=support, codomain=codomain)

    def _there(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.out_shape)

    def _back(self, z: Tensor) -> Tensor:
        return z.reshape(z.shape[0], *self.in_shape)


class Squeeze(_Rearrangement):
    """Blocks of factor x factor pixels become channels: (C, H, W) to (C factor^2, H / factor, W / factor).

    Args:
        event_shape: (C, H, W), the shape of x.
        factor: side of a block in pixels, which divides H and W.
        support: of x; real by default.

    Raises:
        ShapeError: for what is no image, or a factor that does not divide its sides.
        SupportError: for a support that the new order does not keep.

    Source: Dinh et al., "Density estimation using Real NVP", arXiv 1605.08803.

    >>> import torch, surflow as sf
    >>> sf.Squeeze((1, 28, 28)).out_shape
    (4, 14, 14)
    """

    def __init__(self, event_shape: Shape, *, factor: int = 2, support: Support = real) -> None:
        event_shape = as_shape(event_shape)
        if len(event_shape) != 3:
            raise ShapeError(f"Squeeze takes images of shape (channels, height, width), got {event_shape}")
        channels, height, width = event_shape
        if height % factor or width % factor:
            raise ShapeError(
                f"Squeeze by {factor} needs height and width divisible by {factor}, got {tuple(event_shape)}: pad first"
            )
        out = (channels * factor**2, height // factor, width // factor)
        self.factor = factor
        super().__init__(
            event_shape, out, domain=support, codomain=support.rearranged(self._there, event_shape, "Squeeze")
        )

    def _there(self, x: Tensor) -> Tensor:
        blocks = x.unflatten(3, (-1, self.factor)).unflatten(2, (-1, self.factor))
        return blocks.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)

    def _back(self, z: Tensor) -> Tensor:
        f, (channels, height, width) = self.factor, self.in_shape
        blocks = z.reshape(-1, channels, f, f, height // f, width // f)
        return blocks.permute(0, 1, 4, 2, 5, 3).reshape(-1, *self.in_shape)


class RavelMultiIndex(_Rearrangement):
    r"""Points of integers as one integer each, (coordinates, points) to (points,): the number of their cell in a grid.

    .. math:: z_j = \sum_i x_{ij} L^{C - 1 - i}, \qquad V = 0

    Args:
        event_shape: (C, points).
        levels: L, of every coordinate.

    Raises:
        ShapeError: for another shape, or a grid of more cells than floats can number.

    >>> import torch, surflow as sf
    >>> sf.RavelMultiIndex((2, 3), levels=28)(torch.tensor([[[0.0, 1, 27], [5, 0, 27]]]))[0]
    tensor([[  5.,  28., 783.]])
    """

    def __init__(self, event_shape: Shape, *, levels: int) -> None:
        event_shape = as_shape(event_shape)
        if len(event_shape) != 2:
            raise ShapeError(f"RavelMultiIndex expects points of shape (coordinates, points), got {event_shape}")
        # From two levels on, a large power of them is a number of megabytes.
        if levels < 1 or (levels > 1 and event_shape[0] > math.log2(_LARGEST)) or levels ** event_shape[0] > _LARGEST:
            raise ShapeError(
                f"RavelMultiIndex expects a grid of {_LARGEST} cells at most, whose numbers every float holds, got "
                f"{levels} levels in {event_shape[0]} coordinates"
            )
        super().__init__(
            event_shape, event_shape[1], domain=Integers(levels), codomain=Integers(levels ** event_shape[0])
        )
        self.weights = [levels**i for i in reversed(range(event_shape[0]))]
        self.levels = levels

    def _there(self, x: Tensor) -> Tensor:
        x = x.to(type_for(x.dtype, self.codomain.largest))
        return sum(weight * x[:, i] for i, weight in enumerate(self.weights))  # type: ignore[return-value]

    def _back(self, z: Tensor) -> Tensor:
        return torch.stack([z.div(weight, rounding_mode="floor") % self.levels for weight in self.weights], 1)
