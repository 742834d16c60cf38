"""Maxima: of a vector, and of the blocks of an image; what lies below the maximum is drawn on the way back."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow._internal.number_types import type_for
from surflow._internal.shapes import Shape
from surflow.distribution import Distribution, Jumps, check_integers
from surflow.distributions.discrete import Categorical
from surflow.distributions.normal import HalfNormal
from surflow.errors import ShapeError
from surflow.pieces import check_piece, shared_context
from surflow.supports import Integers, positive
from surflow.transform import Path, Transform


class Max(Transform):
    r"""The maximum of a vector, an inference surjection from n coordinates to one.

    .. math::
        z = \max_i x_i = x_k, \qquad V = \log \pi(k \mid z, c) + \log f(d \mid z, c), \quad d_i = z - x_i \ (i \neq k)

    with :math:`\log f = \sum_{i \neq k} \log f_i(d_i)` for independent differences.

    Args:
        event_shape: n, at least 2.
        index: distribution of k, event shape (1,), over the integers 0, ..., n - 1: uniform by default;
            ``Categorical(1, levels=n, learned=True)``, ``Categorical(1, 1, levels=n)`` (given z), or any other.
        differences: distribution of d, event shape (n - 1,), on the positive orthant, for the coordinates other
            than k in ascending order: half-normal with learned scales by default; ``Exponential(n - 1)``,
            conditional, or a Flow.
            The context of both pieces is z, shape (1,), or z joined with the flow's context.

    Raises:
        ShapeError: if a piece has another shape or support.

    Source: Nielsen et al., "SurVAE Flows", arXiv 2007.02731, section 3.2.

    >>> import torch, surflow as sf
    >>> z, V = sf.Max(2, differences=sf.Exponential(1))(torch.tensor([[1.0, 3.0]]))
    >>> z, round(V.item(), 4)  # log 1/2 - (3 - 1)
    (tensor([[3.]]), -2.6931)
    """

    random_inverse = True

    def __init__(
        self, event_shape: int, *, index: Distribution | None = None, differences: Distribution | None = None
    ) -> None:
        if not isinstance(event_shape, int) or event_shape < 2:
            raise ShapeError(f"Max expects the size of a vector of at least two coordinates, got {event_shape!r}")
        index = Categorical(1, levels=event_shape) if index is None else index
        differences = HalfNormal(event_shape - 1, learned=True) if differences is None else differences
        context_shape = check_below(self, (1,), index, event_shape, differences, (event_shape - 1,))
        super().__init__(event_shape, 1, context_shape=context_shape)
        self.index = index
        self.differences = differences

    def _path(self, *, inverse: bool) -> Path:
        if inverse:
            return super()._path(inverse=inverse)
        return below_the_maximum(self.index, self.differences, self.in_shape[0])

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, ahead, d = _split(x, 1)
        given = self.index._given(z, context)
        V = self.index._elbo_of_choice(lambda: _count(ahead, 1, self.index).unsqueeze(1), given, z)
        return z, V + self.differences._elbo_of(d, self.differences._given(z, context))

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        k, V = self.index._draw_for(z.shape[0], self.index._given(z, context))
        check_integers(self, "the draws of its index", k, self.index.support)
        given = self.differences._given(z, context)
        x, log_f = self.differences._draw_through(z.shape[0], given, lambda d: _merge(z, k, d, 1))
        return x, V.to(z.dtype) + log_f


class MaxPool(Transform):
    r"""Maxima of the blocks of an image, channel by channel; the blocks do not overlap. An inference surjection.

    .. math:: V = \log \pi(k \mid z, c) + \log f(d \mid z, c)

    for the map k of the positions of the maxima and the map d of the differences below them. Uniform positions
    contribute :math:`-\log b` for each block of b pixels.

    Args:
        event_shape: (channels, height, width), the image's sides divisible by the kernel's.
        kernel_size: side of a block in pixels, or (rows, columns).
        index: distribution of k, event shape (channels, height / rows, width / columns), over the positions in a block
            row by row, 0, ..., b - 1: uniform by default; learned, conditional, or any other.
        differences: distribution of d, event shape (channels * (b - 1), height / rows, width / columns), on the
            positive orthant: channel c's differences are the channels c * (b - 1), ..., (c + 1) * (b - 1) - 1, for the
            positions other than the maximum in ascending order. Half-normal with learned scales by default.
            The context of both pieces is z, or z with the flow's context as further channels.

    Raises:
        ShapeError: if the blocks do not tile the image, or a piece has another shape or support.

    Source: Nielsen et al., "SurVAE Flows", arXiv 2007.02731, section 3.2.

    >>> import torch, surflow as sf
    >>> layer = sf.MaxPool((1, 2, 4), kernel_size=2, differences=sf.Exponential((3, 1, 2)))
    >>> z, V = layer(torch.arange(8.0).reshape(1, 1, 2, 4))
    >>> z, round(V.item(), 4)  # 2 log 1/4 - 2 (1 + 4 + 5)
    (tensor([[[[5., 7.]]]]), -22.7726)
    """

    random_inverse = True

    def __init__(
        self,
        event_shape: Shape,
        *,
        kernel_size: int | tuple[int, int] = 2,
        index: Distribution | None = None,
        differences: Distribution | None = None,
    ) -> None:
        channels, height, width = image_shape(self, event_shape)
        rows, columns = block_sides(self, "kernel_size", kernel_size)
        b = rows * columns
        if b < 2:
            raise ShapeError("MaxPool expects blocks of at least two pixels, got kernel_size=1")
        if height % rows or width % columns:
            larger = f"{-(-height // rows) * rows} x {-(-width // columns) * columns}"
            raise ShapeError(
                f"MaxPool cannot tile {height} x {width} pixels with blocks of {rows} x {columns}: pad the images "
                f"to {larger}, choose a kernel_size that divides them, or use OverlappingMaxPool, which cuts the "
                "last blocks"
            )
        z_shape = (channels, height // rows, width // columns)
        d_shape = (channels * (b - 1), *z_shape[1:])
        index = Categorical(z_shape, levels=b) if index is None else index
        differences = HalfNormal(d_shape, learned=True) if differences is None else differences
        context_shape = check_below(self, z_shape, index, b, differences, d_shape)
        super().__init__(event_shape, z_shape, context_shape=context_shape)
        self.kernel_size = (rows, columns)
        self.index = index
        self.differences = differences

    def _path(self, *, inverse: bool) -> Path:
        if inverse:
            return super()._path(inverse=inverse)
        return below_the_maximum(self.index, self.differences, math.prod(self.kernel_size))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        channels, height, width = self.out_shape
        rows, columns = self.kernel_size
        blocks = x.reshape(-1, channels, height, rows, width, columns).permute(0, 1, 3, 5, 2, 4).flatten(2, 3)
        z, ahead, d = _split(blocks, 2)
        z = z.squeeze(2)
        V = self.index._elbo_of_choice(lambda: _count(ahead, 2, self.index), self.index._given(z, context), z)
        return z, V + self.differences._elbo_of(d.flatten(1, 2), self.differences._given(z, context))

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        k, V = self.index._draw_for(z.shape[0], self.index._given(z, context))
        check_integers(self, "the draws of its index", k, self.index.support)
        channels, height, width = self.out_shape
        rows, columns = self.kernel_size

        def put(d: Tensor) -> tuple[Tensor, Tensor]:
            d = d.reshape(-1, channels, rows * columns - 1, height, width)
            blocks, left = _merge(z.unsqueeze(2), k.unsqueeze(2), d, 2)
            x = blocks.unflatten(2, (rows, columns)).permute(0, 1, 4, 2, 5, 3).reshape(-1, *self.in_shape)
            return x, left.flatten(1, 2)

        x, log_f = self.differences._draw_through(z.shape[0], self.differences._given(z, context), put)
        return x, V.to(z.dtype) + log_f

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kernel_size={self.kernel_size}"


def _split(x: Tensor, axis: int) -> tuple[Tensor, Tensor, Tensor]:
    """Along an axis: the maximum, kept as an axis of one; where it is ahead; the differences at the other positions.

    The differences stand in ascending order of their positions, and ``ahead`` is 1 for those before the maximum's.
    """
    z = x.amax(axis, keepdim=True)
    fall = z - x
    before, after = fall.narrow(axis, 0, x.shape[axis] - 1), fall.narrow(axis, 1, x.shape[axis] - 1)
    ahead = before.detach().sign().cumprod(axis)
    return z, ahead, torch.where(ahead > 0, before, after)  # not a product, which would make NaN of an infinity


def _count(ahead: Tensor, axis: int, index: Distribution) -> Tensor:
    """How many positions are ahead of the maximum, in a type that holds the number."""
    return ahead.sum(axis, dtype=type_for(ahead.dtype, index.support.largest))


def _merge(z: Tensor, k: Tensor, d: Tensor, axis: int) -> tuple[Tensor, Tensor]:
    """The inverse of :func:`_split` for a maximum at position k, and the differences that are left after rounding."""
    d = apart(z, d)
    position = torch.arange(d.shape[axis], dtype=k.dtype, device=d.device).reshape(-1, *[1] * (d.ndim - 1 - axis))
    before = d * (k - position).clamp(0, 1).to(d.dtype)
    at = torch.zeros_like(z)
    fall = torch.cat([before, at], axis) + torch.cat([at, d - before], axis)
    return z - fall, z - (z - d)


def apart(z: Tensor, d: Tensor) -> Tensor:
    """d, or the step to the next smaller number where z - d rounds to z: the maximum is found again at its position.

    Rounding can change a small d much. The layers score the difference that is left, which is what ``forward`` sees.
    """
    top = z.detach()
    return torch.maximum(d, top - torch.nextafter(top, torch.full_like(top, -torch.inf)))


def below_the_maximum(index: Distribution, differences: Distribution, size: int) -> Path:
    """What is continuous where the maximum of ``size`` numbers is taken, and its index and the differences are scored.

    Where another number becomes the largest, the index jumps, and differences change their positions: nothing jumps
    only if all indices, and all positions, have the same distribution.
    """
    jumps = Jumps.NONE if (size == 2 or differences._iid) and not differences.has_pole else Jumps.FIXED
    return Path(contribution=max(jumps, index._jumps_of_choice(), differences._jumps(event=True, context=True)))


def image_shape(layer: Transform, shape: Shape) -> Shape:
    """``shape`` as (channels, height, width), or ShapeError."""
    if isinstance(shape, int) or len(shape) != 3:
        raise ShapeError(f"{type(layer).__name__} expects images of shape (channels, height, width), got {shape}")
    return tuple(shape)


def block_sides(layer: Transform, name: str, sides: int | tuple[int, int]) -> tuple[int, int]:
    """Rows and columns of a kernel or a stride, from one number or a pair."""
    pair = (sides, sides) if isinstance(sides, int) else tuple(sides)
    if len(pair) != 2 or min(pair) < 1:
        raise ShapeError(f"{type(layer).__name__} expects {name} as a positive integer or a pair of them, got {sides}")
    return pair


def check_below(
    layer: Transform, z_shape: Shape, index: Distribution, levels: int, differences: Distribution, d_shape: Shape
) -> Shape | None:
    """The context that the pieces of a maximum need beside z; ShapeError where one has another shape or support."""
    pieces = [
        (index, "an index", z_shape, Integers(levels), f"Categorical({z_shape}, levels={levels})"),
        (differences, "differences", d_shape, positive, f"HalfNormal({d_shape})"),
    ]
    return shared_context(
        f"the pieces of {type(layer).__name__}, beside z,",
        [
            (piece, check_piece(layer, what, piece, shape, support, z_shape=z_shape, such_as=such_as))
            for piece, what, shape, support, such_as in pieces
        ],
    )
