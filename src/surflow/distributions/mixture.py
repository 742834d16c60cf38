"""Mixtures of distributions."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow.distribution import Distribution
from surflow.distributions.discrete import draw_categories
from surflow.errors import BoundError, ShapeError


class Mixture(Distribution):
    r"""A mixture with learned weights, as a base or a piece of a layer; the components start with equal weights.

    .. math:: \log p(x) = \log \sum_k w_k \exp(\log p_k(x \mid c))

    Args:
        components: distributions of one event shape, support and context, with exact densities.

    >>> import torch, surflow as sf
    >>> mixture = sf.Mixture([sf.Uniform(1, 0, 1), sf.Uniform(1, 0, 1)])
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
            if other.context_shape not in (None, first.context_shape):
                raise ShapeError(
                    f"components with contexts {first.context_shape} and {other.context_shape}: they share one"
                )
            if not other.exact:
                raise BoundError(f"a mixture needs exact densities, {type(other).__name__} has a bound")
        super().__init__(first.event_shape, support=first.support, context_shape=first.context_shape)
        self.components: Sequence[Distribution] = nn.ModuleList(components)  # type: ignore[assignment]
        self.logits = nn.Parameter(torch.zeros(len(components)))

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        each = torch.stack([part.log_prob(x, context) for part in self.components], 1)
        return (each + self.logits.log_softmax(0)).logsumexp(1)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        # All components draw and one draw is kept: no shape depends on the data.
        k = draw_categories(n, self.logits[None])
        draws = torch.stack([part.draw(n, context)[0] for part in self.components], 1)
        x = draws[torch.arange(n, device=draws.device), k]
        return x, self._log_prob(x, context)
