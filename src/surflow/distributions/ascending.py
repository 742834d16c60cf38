"""Integers in ascending order, one after the other."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surflow._internal.shapes import Shape, as_axes
from surflow.distribution import Distribution
from surflow.distributions.discrete import draw_categories
from surflow.errors import ConfigError
from surflow.nets.autoregressive import checked
from surflow.nets.causal_transformer import CausalTransformer
from surflow.supports import Ordered


class AscendingCategorical(Distribution):
    r"""Integers in ascending order, each by a categorical distribution of those that are not below the one before it.

    .. math:: \log p(v) = \sum_i \log \frac{e^{l_i(v_i)}}{\sum_{u \ge v_{i-1}} e^{l_i(u)}}, \qquad l_i = l_i(v_{<i}, c)

    Together with :class:`SortIntegers` a distribution of multisets, such as the pixels that the points of a cloud lie
    in.

    Args:
        event_shape: how many integers.
        levels: L, for integers 0, ..., L - 1.
        context_shape: of the context, or None.
        width, layers, dropout: of the default network, a :class:`CausalTransformer` of four heads.
        net: instead of it, an :class:`AutoregressiveNet` of the integers, with the L logits of each, and as many groups
            as integers.

    Raises:
        ConfigError: for a net that promises no order, or puts integers that depend on each other into one group.
        ShapeError: for a net of other numbers of coordinates, parameters or the context; at the first call, for one of
            another output than it promised.

    Source: Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018 (the network).

    >>> distribution = AscendingCategorical(2, levels=3, width=8)  # all possible ones are alike at first
    >>> round(distribution.log_prob(torch.tensor([[1.0, 1.0]])).exp().item() * 6, 4)
    1.0
    """

    reparameterized = False

    def __init__(
        self,
        event_shape: int,
        context_shape: int | Shape | None = None,
        *,
        levels: int,
        width: int = 96,
        layers: int = 3,
        dropout: float = 0.0,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__(as_axes(self, event_shape), support=Ordered(levels=levels), context_shape=context_shape)
        self.levels = levels
        size = self.event_shape[0]
        if net is None:
            net = CausalTransformer(
                size, levels, levels, self.context_shape, width=width, layers=layers, dropout=dropout
            )
        self.net = checked(self, net, levels, size, self.context_shape)
        if len(self.net.ends) != size + 1:
            raise ConfigError(
                f"AscendingCategorical draws one integer after the other and expects a net of {size} groups, got "
                f"{len(self.net.ends) - 1}"
            )

    def _log_masses(self, raw: Tensor, least: Tensor) -> Tensor:
        """Of all integers, (batch, levels, positions), given the least that are possible, (batch, positions)."""
        level = torch.arange(self.levels, device=raw.device)[:, None]
        return raw.masked_fill(level < least.unsqueeze(1), -math.inf).log_softmax(1)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        v = x.nan_to_num().clamp(0, self.levels - 1).round()
        raw = self.net.raw(v, context).to(x.dtype)
        least = torch.cat([torch.zeros_like(v[:, :1]), v[:, :-1]], 1)
        log_p = self._log_masses(raw, least).gather(1, v.long().unsqueeze(1)).sum((1, 2))
        return log_p.where(self.support.contains(x), -math.inf)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        like = self.net.room(n, self.levels - 1)
        least = like.new_zeros(n, 1)
        total = like.new_zeros(n)

        def find(position: slice, raw: Tensor) -> Tensor:
            nonlocal least, total
            log_p = self._log_masses(raw.to(like.dtype), least)
            v = draw_categories(n, log_p, (1,))
            total = total + log_p.gather(1, v.unsqueeze(1)).sum((1, 2))
            least = v.to(like.dtype)
            return least

        return self.net.generate(find, like, context), total
