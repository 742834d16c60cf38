"""Three tasks of sbibm on the mean of Gaussians: posteriors in closed form.

Source of all: Lueckmann et al., "Benchmarking Simulation-Based Inference", arXiv 2101.04653, appendix T.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Independent, Normal

from surflow.data.simulators.base import Simulator
from surflow.data.simulators.priors import box
from surflow.data.simulators.proposals import log_share, truncated


class GaussianLinear(Simulator):
    r"""The mean of a Gaussian of ten dimensions: theta ~ N(0, .1 I), x ~ N(theta, .1 I), and theta | x ~ N(x/2, .05 I).

    >>> posterior = GaussianLinear().posterior(torch.ones(1, 10), draws=100_000)
    >>> mean, std = posterior.moments()
    >>> bool((mean - 0.5).abs().max() < 0.005), bool((std - 0.05**0.5).abs().max() < 0.005)
    (True, True)
    """

    def __init__(self) -> None:
        prior = Independent(Normal(torch.zeros(10), torch.full((10,), math.sqrt(0.1))), 1)
        super().__init__("gaussian_linear", [f"theta{i + 1}" for i in range(10)], prior, 10)

    def _simulate(self, theta: Tensor) -> Tensor:
        return theta + math.sqrt(0.1) * torch.randn_like(theta)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        return Normal(theta, math.sqrt(0.1)).log_prob(x).sum(-1)

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        distribution = Normal(x / 2, math.sqrt(0.05))
        theta = distribution.sample((draws,))
        return theta, distribution.log_prob(theta).sum(-1)


class GaussianLinearUniform(Simulator):
    r"""The same mean in a box: theta ~ U(-1, 1)^10, x ~ N(theta, .1 I), and theta | x is N(x, .1 I) cut off at the box.

    >>> mean, _ = GaussianLinearUniform().posterior(torch.zeros(1, 10), draws=100_000).moments()
    >>> bool(mean.abs().max() < 0.01)
    True
    """

    def __init__(self) -> None:
        super().__init__("gaussian_linear_uniform", [f"theta{i + 1}" for i in range(10)], box(10, 1.0), 10)

    def _simulate(self, theta: Tensor) -> Tensor:
        return theta + math.sqrt(0.1) * torch.randn_like(theta)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        return Normal(theta, math.sqrt(0.1)).log_prob(x).sum(-1)

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        theta, log_q = truncated(x.expand(draws, *x.shape), torch.full_like(x, math.sqrt(0.1)), 1.0)
        return theta, log_q.sum(-1)


class GaussianMixture(Simulator):
    r"""The common mean of two Gaussians of the plane, one ten times as wide as the other.

    .. math:: x \sim \tfrac12 N(\theta, I) + \tfrac12 N(\theta, .01\, I), \qquad \theta \sim U(-10, 10)^2

    The posterior is a mixture of the same two, centred at x and cut off at the box, whose shares are what of each lies
    within the box.

    >>> posterior = GaussianMixture().posterior(torch.zeros(1, 2))
    >>> round(posterior.log_prob(torch.zeros(1, 2)).exp().item(), 2)  # (1 + 100) / 2 over 2 pi
    8.04
    """

    def __init__(self) -> None:
        super().__init__("gaussian_mixture", ["theta1", "theta2"], box(2, 10.0), 2)

    def _simulate(self, theta: Tensor) -> Tensor:
        scale = torch.where(torch.rand(len(theta), 1) < 0.5, 1.0, 0.1)
        return theta + scale * torch.randn_like(theta)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        wide, narrow = (Normal(theta, scale).log_prob(x).sum(-1) for scale in (1.0, 0.1))
        return torch.logaddexp(wide, narrow) - math.log(2)

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        log_wide, log_narrow = (log_share(x, torch.full_like(x, scale), 10.0).sum(-1) for scale in (1.0, 0.1))
        wide = torch.rand(draws, len(x), 1, dtype=x.dtype) < (log_wide - log_narrow).sigmoid().unsqueeze(1)
        theta, _ = truncated(x.expand(draws, *x.shape), torch.where(wide, 1.0, 0.1).to(x), 10.0)
        return theta, self._log_likelihood(x, theta) + math.log(2) - torch.logaddexp(log_wide, log_narrow)
