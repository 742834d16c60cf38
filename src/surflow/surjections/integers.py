"""Surjections of integers, among which ties are the rule: max pooling, and sorting."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow._internal.shapes import Shape, as_axes
from surflow.distribution import Distribution
from surflow.distributions.blocks import (
    BlocksGivenMaxima,
    BlockwiseDiscretizedLogistic,
    CategoricalGivenMaxima,
)
from surflow.distributions.discrete import is_softmax
from surflow.errors import ShapeError
from surflow.pieces import check_piece
from surflow.supports import Integers, Ordered
from surflow.surjections.maximum import block_sides, image_shape
from surflow.transform import Transform


class IntegerMaxPool(Transform):
    r"""Maxima of the blocks of an image of integers, channel by channel. An inference surjection.

    .. math:: z = \max_j b_j, \qquad V = \log p(b \mid z, c)

    for the pixels b of every block, and a distribution of these whose largest is z. Ties, which the differences of
    :class:`MaxPool` have with probability zero, are the rule among integers, and no trouble here.

    Args:
        event_shape: (channels, height, width), the image's sides divisible by the block's.
        levels: of the integers, 0, ..., levels - 1.
        kernel_size: side of a block, or (rows, columns).
        pixels: distribution of b given z, or z joined with the flow's context: event shape
            (positions * channels, height / rows, width / columns), position by position, row by row in a block.
            :class:`BlockwiseDiscretizedLogistic` by default. A :class:`Categorical` is one of pixels whose largest may
            be anything, and is conditioned on that being z, in closed form. One of your own derives from
            :class:`surflow.distributions.blocks.BlocksGivenMaxima`, and draws pixels that reach z and do not pass it.

    Raises:
        ShapeError: if the blocks do not tile the image, or the pixels have another shape or may have another largest.

    Source: Nielsen et al., "SurVAE Flows", arXiv 2007.02731, section 3.2, for pooling of continuous images.

    >>> import torch, surflow as sf
    >>> z, V = sf.IntegerMaxPool((1, 2, 4), levels=5)(torch.tensor([[[[0.0, 1, 4, 4], [2, 0, 0, 0]]]]))
    >>> z.tolist(), V.shape
    ([[[[2.0, 4.0]]]], torch.Size([1]))
    """

    random_inverse = True

    def __init__(
        self,
        event_shape: Shape,
        *,
        levels: int,
        kernel_size: int | tuple[int, int] = 2,
        pixels: Distribution | None = None,
    ) -> None:
        channels, height, width = image_shape(self, event_shape)
        rows, columns = block_sides(self, "kernel_size", kernel_size)
        if rows * columns < 2 or height % rows or width % columns:
            raise ShapeError(
                f"IntegerMaxPool expects blocks of two pixels or more that tile the image, got {height} x {width} "
                f"pixels and blocks of {rows} x {columns}"
            )
        z_shape = (channels, height // rows, width // columns)
        pixels = (
            BlockwiseDiscretizedLogistic(z_shape, levels=levels, positions=rows * columns) if pixels is None else pixels
        )
        b_shape = (rows * columns * channels, *z_shape[1:])
        context_shape = check_piece(self, "pixels", pixels, b_shape, Integers(levels), z_shape=z_shape)
        if is_softmax(pixels):
            pixels = CategoricalGivenMaxima(pixels, z_shape)
        if not isinstance(pixels, BlocksGivenMaxima) or pixels.z_shape != z_shape:
            raise ShapeError(
                f"IntegerMaxPool expects pixels of which the largest of every block is z, of shape {z_shape}, got "
                f"{type(pixels).__name__}, whose may be others, so that mass would leak: use "
                "BlockwiseDiscretizedLogistic, a Categorical, which is conditioned on its largest, or derive yours "
                "from surflow.distributions.blocks.BlocksGivenMaxima"
            )
        super().__init__(
            event_shape,
            z_shape,
            domain=Integers(levels),
            codomain=Integers(levels),
            context_shape=context_shape,
        )
        self.kernel_size, self.pixels = (rows, columns), pixels

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        channels, height, width = self.out_shape
        rows, columns = self.kernel_size
        blocks = x.reshape(-1, channels, height, rows, width, columns).permute(0, 3, 5, 1, 2, 4).flatten(1, 2)
        z = blocks.amax(1)
        return z, self.pixels.elbo(blocks.flatten(1, 2), self.pixels._given(z, context))

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        blocks, V = self.pixels._draw_for(z.shape[0], self.pixels._given(z, context))
        return self._image(blocks), V

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        return self._image(self.pixels._sample(z.shape[0], self.pixels._given(z, context)))

    def _image(self, blocks: Tensor) -> Tensor:
        channels, height, width = self.out_shape
        x = blocks.reshape(-1, *self.kernel_size, channels, height, width).permute(0, 3, 4, 1, 5, 2)
        return x.reshape(-1, *self.in_shape)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, kernel_size={self.kernel_size}"


class SortIntegers(Transform):
    r"""Sorts integers, for vectors whose order means nothing. An inference surjection.

    .. math:: z = \mathrm{sort}\, x, \qquad V = \log \frac{\prod_v m_v!}{n!}

    where :math:`m_v` is how often v occurs: so many orders of x are the same, and all that differ are equally probable.

    Args:
        event_shape: n.
        levels: of the integers, 0, ..., levels - 1.

    Source: Nielsen et al., "SurVAE Flows", arXiv 2007.02731, section 3.2, for real numbers, without ties.

    >>> import torch, surflow as sf
    >>> z, V = sf.SortIntegers(3, levels=10)(torch.tensor([[7.0, 2.0, 7.0]]))
    >>> z.tolist(), round(V.exp().item(), 4)
    ([[2.0, 7.0, 7.0]], 0.3333)
    """

    random_inverse = True

    def __init__(self, event_shape: int, *, levels: int) -> None:
        super().__init__(as_axes(self, event_shape), domain=Integers(levels), codomain=Ordered(levels=levels))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = x.sort(1).values
        return z, self._contribution(z)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        order = torch.rand(z.shape, device=z.device).argsort(1)
        return z.gather(1, order), self._contribution(z)

    def _contribution(self, z: Tensor) -> Tensor:
        # Counted in single precision at least.
        kind = torch.promote_types(z.dtype, torch.float32)
        position = torch.arange(1, z.shape[1] + 1, dtype=kind, device=z.device).expand(z.shape)
        # The first position of the run that each integer is in; its number in the run is one factor of the factorial.
        starts = torch.cat([torch.ones_like(position[:, :1]), (z.diff(dim=1) != 0).to(kind)], 1)
        first = (position * starts).cummax(1).values
        return ((position - first + 1).log().sum(1) - math.lgamma(z.shape[1] + 1)).to(z.dtype)
