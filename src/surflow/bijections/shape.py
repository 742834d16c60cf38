"""Layers that only rearrange: permutations, axes, reshape, squeeze; V = 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from surflow.distribution import Shape, as_shape
from surflow.errors import ShapeError
from surflow.support import Ordered, Product, Support, product, real
from surflow.transform import Transform


class _Rearrangement(Transform):
    """Moves coordinates without changing them."""

    def _there(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def _back(self, z: Tensor) -> Tensor:
        raise NotImplementedError

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._there(x), x.new_zeros(x.shape[0])

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._back(z), z.new_zeros(z.shape[0])


def _coordinatewise(name: str, support: Support) -> Support:
    if isinstance(support, Product | Ordered):
        raise ShapeError(f"{name} moves all coordinates and expects one support for all of them, got {support!r}")
    return support


class Permute(_Rearrangement):
    """A fixed permutation of the first event axis, z_i = x_{order_i}; drawn at random when built if no order is given.

    >>> import torch, surflow as sf
    >>> sf.Permute(3, [2, 0, 1])(torch.tensor([[10.0, 11.0, 12.0]]))[0]
    tensor([[12., 10., 11.]])
    """

    order: Tensor

    def __init__(self, shape: int | Shape, order: Sequence[int] | None = None, *, support: Support = real) -> None:
        size = as_shape(shape)[0]
        places = torch.randperm(size) if order is None else torch.tensor(list(order))
        if sorted(places.tolist()) != list(range(size)):
            raise ShapeError(f"order must name each of 0 to {size - 1} once, got {places.tolist()}")
        if order is None and isinstance(support, Product):
            raise ShapeError(
                f"a random permutation needs one support for all coordinates, got {support!r}: pass order="
            )
        coordinates = support.coordinates(size)
        codomain = product(coordinates[i] for i in places.tolist())
        super().__init__(shape, domain=support, codomain=codomain)
        self.register_buffer("order", places)

    def _there(self, x: Tensor) -> Tensor:
        return x[:, self.order]

    def _back(self, z: Tensor) -> Tensor:
        return z[:, self.order.argsort()]


class Reverse(_Rearrangement):
    """The first event axis turned round.

    >>> import torch, surflow as sf
    >>> sf.Reverse(3)(torch.tensor([[10.0, 11.0, 12.0]]))[0]
    tensor([[12., 11., 10.]])
    """

    def __init__(self, shape: int | Shape, *, support: Support = real) -> None:
        codomain = product(reversed(support.coordinates(as_shape(shape)[0])))
        super().__init__(shape, domain=support, codomain=codomain)

    def _there(self, x: Tensor) -> Tensor:
        return x.flip(1)

    def _back(self, z: Tensor) -> Tensor:
        return z.flip(1)


class PermuteAxes(_Rearrangement):
    """The event's axes in another order: ``PermuteAxes((2, 50), (1, 0))`` transposes.

    >>> import torch, surflow as sf
    >>> sf.PermuteAxes((2, 50), (1, 0)).out_shape
    (50, 2)
    """

    def __init__(self, shape: Shape, axes: Sequence[int], *, support: Support = real) -> None:
        shape = as_shape(shape)
        if sorted(axes) != list(range(len(shape))):
            raise ShapeError(f"axes must name each of 0 to {len(shape) - 1} once, got {tuple(axes)}")
        super().__init__(shape, tuple(shape[i] for i in axes), domain=_coordinatewise("PermuteAxes", support))
        self.axes = [0, *(i + 1 for i in axes)]
        self.axes_back = [0, *(list(axes).index(i) + 1 for i in range(len(shape)))]

    def _there(self, x: Tensor) -> Tensor:
        return x.permute(self.axes)

    def _back(self, z: Tensor) -> Tensor:
        return z.permute(self.axes_back)


class Reshape(_Rearrangement):
    """The same coordinates, in row-major order, under another event shape.

    >>> import torch, surflow as sf
    >>> sf.Reshape((2, 3), 6)(torch.zeros(5, 2, 3))[0].shape
    torch.Size([5, 6])
    """

    def __init__(self, in_shape: int | Shape, out_shape: int | Shape, *, support: Support = real) -> None:
        if math.prod(as_shape(in_shape)) != math.prod(as_shape(out_shape)):
            raise ShapeError(f"cannot reshape events of shape {as_shape(in_shape)} to {as_shape(out_shape)}")
        super().__init__(in_shape, out_shape, domain=_coordinatewise("Reshape", support))

    def _there(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], *self.out_shape)

    def _back(self, z: Tensor) -> Tensor:
        return z.reshape(z.shape[0], *self.in_shape)


class Squeeze(_Rearrangement):
    """Blocks of factor x factor pixels become channels: (C, H, W) to (C factor^2, H / factor, W / factor).

    Source: Dinh et al., "Density estimation using Real NVP", arXiv 1605.08803.

    >>> import torch, surflow as sf
    >>> sf.Squeeze((1, 28, 28)).out_shape
    (4, 14, 14)
    """

    def __init__(self, shape: Shape, factor: int = 2, *, support: Support = real) -> None:
        shape = as_shape(shape)
        if len(shape) != 3:
            raise ShapeError(f"Squeeze takes images of shape (channels, height, width), got {shape}")
        channels, height, width = shape
        if height % factor or width % factor:
            raise ShapeError(
                f"Squeeze by {factor} needs height and width divisible by {factor}, got {tuple(shape)}: pad first"
            )
        out = (channels * factor**2, height // factor, width // factor)
        super().__init__(shape, out, domain=_coordinatewise("Squeeze", support))
        self.factor = factor

    def _there(self, x: Tensor) -> Tensor:
        f, (channels, height, width) = self.factor, self.in_shape
        blocks = x.reshape(-1, channels, height // f, f, width // f, f)
        return blocks.permute(0, 1, 3, 5, 2, 4).reshape(-1, *self.out_shape)

    def _back(self, z: Tensor) -> Tensor:
        f, (channels, height, width) = self.factor, self.in_shape
        blocks = z.reshape(-1, channels, f, f, height // f, width // f)
        return blocks.permute(0, 1, 4, 2, 5, 3).reshape(-1, *self.in_shape)
