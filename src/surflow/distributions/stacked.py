"""Stacked: several distributions, weighed by how well they predict events that they did not see."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from surflow.distribution import Distribution
from surflow.distributions.mixture import Mixture
from surflow.errors import ConfigError, DataError

# Steps of the expectation-maximisation algorithm, which for weights alone has one optimum.
_STEPS = 1000


class Stacked(Mixture):
    r"""A mixture of which every component learns alone, and whose weights are chosen by rows that none has seen.

    .. math:: p(x) = \sum_k w_k\, p_k(x \mid c)

    In training mode with gradients, as in ``fit``, ``elbo`` is the mean of those of the components that learn, and a
    constant that makes a bound of it. At its end ``fit`` calls ``weigh`` with rows of the validation set, so that a
    network with a simple model beside it is no worse than that model, to what chance does in these rows.

    Args:
        components: distributions of one event shape, support and context, with exact densities.
        start: the weights until then, positive, whose sum is their unit; None for equal ones.

    Raises:
        ShapeError: for no components, or components that differ in event shape, support or context.
        ConfigError: for other than one positive weight a component.
        BoundError: for a component with only a bound.

    Source: Smyth and Wolpert, "Linearly Combining Density Estimators via Stacking", Machine Learning 36 (1999).

    >>> import torch, surflow as sf
    >>> stacked = sf.Stacked([sf.Uniform(1, low=0, high=1), sf.Flow([], base=sf.Uniform(1, low=0, high=1))])
    >>> stacked.weigh(torch.rand(20, 1))
    >>> stacked.logits.softmax(0)
    tensor([0.5000, 0.5000], grad_fn=<SoftmaxBackward0>)
    """

    # How many rows more speak for every component. Where tails are thin, as a normal's, none may be given up.
    _prior: ClassVar[float] = 0.5

    def __init__(self, components: Sequence[Distribution], start: Sequence[float] | None = None) -> None:
        super().__init__(components)
        if start is None:
            return
        if len(start) != len(components) or not all(0 < weight < math.inf for weight in start):
            raise ConfigError(f"expected {len(components)} positive weights to start with, got {list(start)}")
        with torch.no_grad():
            self.logits.copy_(torch.tensor(start).log())

    def elbo(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().elbo(x, context)
        # By Jensen's inequality a bound: mean (log w_k + log p_k) + log |L| over the set L of components that learn.
        learn = [i for i, part in enumerate(self.components) if any(p.requires_grad for p in part.parameters())]
        learn = learn or list(range(len(self.components)))
        parts = [self.components[i] for i in learn]
        log_weight = self.logits.detach().log_softmax(0)[learn]
        return torch.stack([part.elbo(x, part._own(context)) for part in parts]).mean(0) + (
            log_weight.mean() + math.log(len(learn))
        )

    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        for part in self.components:
            part.initialize(x, part._own(context), weight=weight)

    @torch.no_grad()
    def weigh(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let the components see rows, and set the weights to those of the highest likelihood of the rows.

        Half a row more speaks for each component, so that no weight is zero.

        Args:
            x: rows (n, *event) that the components were not trained on, at least one.
            context: one of each row, or None.

        Raises:
            DataError: for no rows, or none that has a density under any component.
        """
        x, context, _ = self._rows(x, context)
        for part in self.components:
            part.weigh(x, part._own(context))
        each = torch.stack([part.log_prob(x, part._own(context)) for part in self.components], 1)
        self.logits.copy_(weights(each, self._prior))


def weights(log_prob: Tensor, prior: float = 0.0) -> Tensor:
    """Logarithms of the weights with which a mixture fits best, from log-densities (rows, components).

    ``prior`` is how many rows more speak for every component.

    Raises:
        DataError: if no row has a density.

    >>> weights(torch.tensor([[0.0, -1e3]] * 9), 0.5).exp()
    tensor([0.9500, 0.0500], dtype=torch.float64)
    """
    log_prob = log_prob.double()
    log_prob = log_prob[log_prob.isfinite().any(1)]
    n, size = log_prob.shape
    if not n:
        raise DataError("expected rows to weigh components with, got none that has a density under any")
    log_weight = torch.zeros_like(log_prob[0])
    for _ in range(_STEPS):
        share = (log_prob + log_weight).softmax(1).sum(0)
        log_weight = ((share + prior) / (n + size * prior)).clamp(min=1e-12).log()
    return log_weight
