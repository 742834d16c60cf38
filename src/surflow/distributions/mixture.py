"""Mixtures of distributions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow.distribution import Distribution, Jumps
from surflow.distributions.discrete import draw_categories
from surflow.errors import BoundError, ShapeError
from surflow.pieces import shared_context


class Mixture(Distribution):
    r"""A mixture with learned weights, as a base or a piece of a layer; the components start with equal weights.

    .. math:: \log p(x) = \log \sum_k w_k \exp(\log p_k(x \mid c))

    Args:
        components: distributions of one event shape, support and context, with exact densities.

    Raises:
        ShapeError: for no components, or components that differ in event shape, support or context.
        BoundError: for a component with only a bound.

    >>> import torch, surflow as sf
    >>> mixture = sf.Mixture([sf.Uniform(1, low=0, high=1), sf.Uniform(1, low=0, high=1)])
    >>> round(mixture.log_prob(torch.full((1, 1), 0.5)).exp().item(), 6)
    1.0
    """

    reparameterized = False

    def __init__(self, components: Sequence[Distribution]) -> None:
        if not components:
            raise ShapeError("a mixture needs at least one component, got none")
        first = components[0]
        for other in components:
            if (other.event_shape, other.support) != (first.event_shape, first.support):
                raise ShapeError(
                    f"the components of a mixture share one event shape and support, got {first.event_shape} on "
                    f"{first.support!r} and {other.event_shape} on {other.support!r}"
                )
            if not other.exact:
                raise BoundError(f"a mixture needs exact densities, {type(other).__name__} has a bound")
        context_shape = shared_context("the components of a mixture", [(p, p.context_shape) for p in components])
        super().__init__(first.event_shape, support=first.support, context_shape=context_shape)
        self.components: Sequence[Distribution] = nn.ModuleList(components)  # type: ignore[assignment]
        self.logits = nn.Parameter(torch.zeros(len(components)))

    def _jumps(self, *, event: bool, context: bool) -> Jumps:
        return max(part._jumps(event=event, context=context) for part in self.components)

    @property
    def has_pole(self) -> bool:  # type: ignore[override]
        return any(part.has_pole for part in self.components)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        each = torch.stack([part.log_prob(x, part._own(context)) for part in self.components], 1)
        # Where no component has density, logsumexp has no gradient: keep those rows out of it.
        none = each.isneginf().all(1)
        log_prob = (each.where(~none[:, None], 0.0) + self.logits.log_softmax(0)).logsumexp(1)
        return log_prob.where(~none, -math.inf)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        # All components draw and one draw is kept: no shape depends on the data.
        k = draw_categories(n, self.logits[None])
        draws = torch.stack([part._sample(n, part._own(context)) for part in self.components], 1)
        return draws[torch.arange(n, device=draws.device), k]
