"""Distributions of the pixels of blocks, given the largest of each: what :class:`IntegerMaxPool` draws."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.shapes import Shape, as_raw, as_shape, joined_shape, sum_event
from surflow.distribution import Distribution
from surflow.distributions.discrete import Categorical, draw_categories
from surflow.distributions.levels import draw_levels, log_mass, raw_parameters
from surflow.errors import ShapeError
from surflow.nets.convolutional import ConvNet
from surflow.supports import Integers


class BlocksGivenMaxima(Distribution):
    r"""Integers b of which every block has the largest that the context says: :math:`\max_j b_j = z`.

    That is what a subclass promises, and no support can say, for it is another set for every z.

    Args:
        z_shape: (channels, height, width) of the maxima.
        levels: of the integers, 0, ..., levels - 1.
        positions: pixels of a block.
        context_shape: of the flow's context, beside z.

    Shapes: an event is (positions * channels, height, width), position by position; the context is z, or z joined with
    the flow's context.

    Raises:
        ShapeError: for z of another shape than an image's, or a single position.
    """

    def __init__(
        self, z_shape: Shape, levels: int, positions: int = 4, context_shape: int | Shape | None = None
    ) -> None:
        z_shape = as_shape(z_shape)
        if len(z_shape) != 3 or positions < 2:
            raise ShapeError(
                f"expected maxima of shape (channels, height, width) of two positions, got {z_shape}, {positions}"
            )
        beyond = None if context_shape is None else as_shape(context_shape)
        super().__init__(
            (positions * z_shape[0], *z_shape[1:]),
            support=Integers(levels),
            context_shape=joined_shape(z_shape, beyond),
        )
        self.z_shape, self.levels, self.positions = z_shape, levels, positions

    def _split(self, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """The maxima, and the flow's context."""
        assert context is not None
        return context[:, : self.z_shape[0]], context[:, self.z_shape[0] :]


class CategoricalGivenMaxima(BlocksGivenMaxima):
    r"""Independent integers, given that the largest of every block is z.

    .. math::
        p(b \mid \max_j b_j = z) = \frac{\prod_j p_j(b_j)}{\sum_k F_1(z - 1) \dots F_{k-1}(z - 1) \, p_k(z) \,
        F_{k+1}(z) \dots F_n(z)}, \qquad F_j(v) = \sum_{u \le v} p_j(u)

    Term k of the sum, which is :math:`\prod_j F_j(z) - \prod_j F_j(z - 1)` without its cancellation, is the
    probability that position k is the first to hold the maximum. A draw takes k by these terms, and the other pixels
    below z before k, and up to z after it.

    Args:
        pixels: of the integers, of event shape (positions * channels, height, width); fixed, learned, or given z or z
            joined with the flow's context.
        z_shape: (channels, height, width) of the maxima.
    """

    reparameterized = False

    def __init__(self, pixels: Categorical, z_shape: Shape) -> None:
        beyond = pixels._context_beyond(z_shape)
        super().__init__(z_shape, pixels.levels, pixels.event_shape[0] // z_shape[0], beyond)
        self.pixels = pixels

    def _log_masses(self, context: Tensor | None) -> Tensor:
        """Of all integers, (batch or 1, levels, positions, channels, height, width)."""
        raw = self.pixels.parameters_given(self.pixels._own(context))
        return raw.log_softmax(1).unflatten(2, (self.positions, -1))

    def _first(self, log_p: Tensor, z: Tensor) -> Tensor:
        """Log-probability of every position to be the first that holds the maximum, (batch, positions, *z_shape)."""
        top = z.long().unsqueeze(1).expand(-1, self.positions, -1, -1, -1).unsqueeze(1)
        log_p = log_p.expand(z.shape[0], *log_p.shape[1:])
        log_F = log_p.logcumsumexp(1)
        at, up_to = log_p.gather(1, top)[:, 0], log_F.gather(1, top)[:, 0]
        below = log_F.gather(1, (top - 1).clamp(min=0))[:, 0].masked_fill(top[:, 0] == 0, -math.inf)
        none = torch.zeros_like(at[:, :1])
        before = torch.cat([none, below[:, :-1].cumsum(1)], 1)
        after = torch.cat([up_to[:, 1:].flip(1).cumsum(1).flip(1), none], 1)
        return before + at + after

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        z, _ = self._split(context)
        inside = self.support.contains(x) & (x.unflatten(1, (self.positions, -1)).amax(1) == z).flatten(1).all(1)
        v, z = (y.nan_to_num().clamp(0, self.levels - 1) for y in (x.unflatten(1, (self.positions, -1)), z))
        return self._log_mass(v, z, self._log_masses(context)).to(x.dtype).where(inside, -math.inf)

    def _log_mass(self, v: Tensor, z: Tensor, log_p: Tensor) -> Tensor:
        each = log_p.expand(v.shape[0], *log_p.shape[1:]).gather(1, v.long().unsqueeze(1))[:, 0]
        return sum_event(each) - sum_event(self._first(log_p, z).logsumexp(1))

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, _ = self._split(context)
        log_p = self._log_masses(context)
        position = torch.arange(self.positions, device=z.device).reshape(1, -1, 1, 1, 1)
        first = draw_categories(n, self._first(log_p, z), self.z_shape).unsqueeze(1)
        most = z.unsqueeze(1) - (position < first).to(z.dtype)
        level = torch.arange(self.levels, device=z.device).reshape(1, -1, 1, 1, 1, 1)
        possible = log_p.masked_fill(level > most.unsqueeze(1), -math.inf)
        v = draw_categories(n, possible, (self.positions, *self.z_shape)).to(z.dtype)
        v = torch.where(position == first, z.unsqueeze(1), v)
        return v.flatten(1, 2), self._log_mass(v, z, log_p).to(z.dtype)


class BlockwiseDiscretizedLogistic(BlocksGivenMaxima):
    r"""The pixels of every block of an image, given the largest of each: integers, one position of all blocks
    after the other.

    .. math:: \log p(b \mid z, c) = \sum_j \log p(b_j \mid b_{<j}, z, c), \qquad \max_j b_j = z

    At every position the pixels are independent given all at earlier positions, each by a
    :class:`DiscretizedLogisticMixture` with t = z, whose parameters a convolutional network computes; at the last one,
    a pixel of a block that has not reached its maximum yet is that maximum.

    Args:
        z_shape: (channels, height, width) of the maxima.
        context_shape: of the flow's context, beside z, or None.
        levels: number of levels.
        positions: pixels of a block.
        components: logistics of a pixel's mixture.
        width, blocks: of the default networks, each a :class:`ConvNet`.
        nets: instead of them, a network for each position, j = 0, 1, ...: from the channels of z, of the positions
            before j and of whether the maximum was met, those of the context behind them, to
            (batch, (2 + 3 ``components``) * channels, height, width).

    Shapes: an event is (positions * channels, height, width), position by position; the context is z, or z joined
    with the flow's context.

    Raises:
        ShapeError: for z of another shape than an image's, a single position, or another number of nets; at the first
            call, for a network of another output.

    >>> import torch, surflow as sf
    >>> pixels = sf.BlockwiseDiscretizedLogistic((1, 2, 2), levels=8, width=8, blocks=1)
    >>> z = torch.full((3, 1, 2, 2), 5.0)
    >>> blocks = pixels.sample((), z)
    >>> blocks.shape, torch.equal(blocks.amax(1, keepdim=True), z)
    (torch.Size([3, 4, 2, 2]), True)
    """

    reparameterized = False

    def __init__(
        self,
        z_shape: Shape,
        context_shape: int | Shape | None = None,
        *,
        levels: int,
        positions: int = 4,
        components: int = 4,
        width: int = 64,
        blocks: int = 2,
        nets: Sequence[nn.Module] | None = None,
    ) -> None:
        super().__init__(z_shape, levels, positions, context_shape)
        assert self.context_shape is not None  # for the type checker: z is part of it
        channels, beyond = self.z_shape[0], self.context_shape[0] - self.z_shape[0]
        self.raw_shape = (raw_parameters(components), *self.z_shape)
        if nets is None:
            # z and the positions so far, whether the maximum was met, and the context.
            inputs = [channels * (2 + j) + beyond for j in range(positions)]
            outputs = self.raw_shape[0] * channels
            nets = [ConvNet(n, outputs, width, blocks, levels, context_shape=channels + beyond) for n in inputs]
        if len(nets) != positions:
            raise ShapeError(
                f"BlockwiseDiscretizedLogistic expects a net for each of {positions} positions, got {len(nets)}"
            )
        self.nets = nn.ModuleList(nets)

    def _raw(self, j: int, z: Tensor, rest: Tensor, met: Tensor, before: Sequence[Tensor]) -> Tensor:
        raw = self.nets[j](torch.cat([z, *before, met.to(z.dtype), rest], 1))
        return as_raw(self, raw, z.shape[0], self.raw_shape).to(z.dtype)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        z, rest = self._split(context)
        parts = x.split(self.z_shape[0], 1)
        met, log_prob = torch.zeros_like(z, dtype=torch.bool), torch.zeros_like(z)
        possible = torch.stack([part <= z for part in parts]).all(0)
        for j, part in enumerate(parts):
            log_p = log_mass(torch.minimum(part, z), self._raw(j, z, rest, met, parts[:j]), z)
            if j == len(parts) - 1:
                log_p = torch.where(met, log_p, 0.0)
            log_prob = log_prob + log_p
            met = met | (part == z)
        total = sum_event(log_prob.masked_fill(~(possible & met), -math.inf))
        return total.masked_fill(self.support.outside(x), -math.inf)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._pixels(context, scored=True)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self._pixels(context, scored=False)[0]

    def _pixels(self, context: Tensor | None, *, scored: bool) -> tuple[Tensor, Tensor]:
        """Pixels under the maxima, and their log-probability, which takes a tenth of the time, or zero."""
        z, rest = self._split(context)
        parts: list[Tensor] = []
        met, log_prob = torch.zeros_like(z, dtype=torch.bool), torch.zeros_like(z)
        for j in range(self.positions):
            raw, last = self._raw(j, z, rest, met, parts), j == self.positions - 1
            part = draw_levels(raw, z)
            if scored:
                log_p = log_mass(part, raw, z)
                log_prob = log_prob + (torch.where(met, log_p, 0.0) if last else log_p)
            parts.append(torch.where(met, part, z) if last else part)
            met = met | (part == z)
        return torch.cat(parts, 1), sum_event(log_prob)
