"""Two tasks of sbibm on populations that feed on each other: an epidemic, and predators and their prey.

Source: Lueckmann et al., "Benchmarking Simulation-Based Inference", arXiv 2101.04653, appendix T.9 and T.10.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Independent, LogNormal, Normal

from surflow.data.simulators.base import Simulator
from surflow.data.simulators.predation import populations
from surflow.data.simulators.proposals import Cells, Expansion, at_modes, climb, slopes

# People of whom each count of the epidemic tells, and cells of the histogram along its axes.
_TESTED = 1000.0
_CELLS = (500, 200)

# Of predators and prey: the noise, simulations that a search begins at the best of, and how many searches.
_SIGMA = 0.1
_STARTS, _SEARCHES = 8192, 8


class BenchmarkSIR(Simulator):
    r"""An epidemic that begins with one of a million people, seen by ten counts of infected among a thousand.

    .. math::
        \dot S = -\beta S I / N, \quad \dot I = \beta S I / N - \gamma I, \qquad
        x_k \sim \mathrm{Bin}(1000, I(17 k) / N), \quad k = 0, \dots, 9

    with S(0) = N - 1, I(0) = 1, N = 10^6, time in days, and the priors beta ~ LogNormal(log .4, .5) and
    gamma ~ LogNormal(log .125, .2).

    Some posteriors have two modes, for a count may lie before or after the peak: the proposal is a histogram over the
    logarithms of the parameters, to five standard deviations of the prior.

    >>> theta, x = BenchmarkSIR().sample(5, seed=0)
    >>> theta.shape, x.shape, int(x.max()) <= 1000
    (torch.Size([5, 2]), torch.Size([5, 10]), True)
    """

    def __init__(self) -> None:
        prior = LogNormal(torch.tensor([0.4, 0.125]).log(), torch.tensor([0.5, 0.2]))
        super().__init__("sir_benchmark", ["beta", "gamma"], Independent(prior, 1), 10)

    def mean(self, theta: Tensor) -> Tensor:
        """Expected counts, (batch, 2) to (batch, 10)."""
        beta, gamma = theta.unbind(1)
        # The infected are predators of the susceptible, who do not breed.
        rates = torch.stack([torch.zeros_like(beta), beta, gamma, beta], 1)
        infected = populations(rates, (1 - 1e-6, 1e-6), every=17.0, points=10)[1].T
        return _TESTED * infected.to(theta.dtype).clamp(torch.finfo(theta.dtype).tiny, 1)

    def _simulate(self, theta: Tensor) -> Tensor:
        return torch.binomial(torch.full((len(theta), 10), _TESTED, dtype=theta.dtype), self.mean(theta) / _TESTED)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        return self._log_counts(x, self.mean(theta) / _TESTED)

    @staticmethod
    def _log_counts(x: Tensor, share: Tensor) -> Tensor:
        log_ways = math.lgamma(_TESTED + 1) - (x + 1).lgamma() - (_TESTED - x + 1).lgamma()
        return (log_ways + torch.xlogy(x, share) + torch.xlogy(_TESTED - x, 1 - share)).sum(-1)

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        distribution = self.prior.base_dist  # type: ignore[attr-defined]
        low, high = distribution.loc - 5 * distribution.scale, distribution.loc + 5 * distribution.scale
        cells = Cells(low.to(x), high.to(x), _CELLS)
        share = self.mean(cells.middle.exp()) / _TESTED
        log_prior = self.log_prior(cells.middle.exp()) + cells.middle.sum(1)
        drawn = [cells.sample(log_prior + self._log_counts(row, share), draws) for row in x]
        u, log_q = (torch.stack(part, 1) for part in zip(*drawn, strict=True))
        return u.exp(), log_q - u.sum(2)


class LotkaVolterra(Simulator):
    r"""Prey and predators, ten times in twenty days, each number with noise of a tenth of itself.

    .. math::
        \dot p = \alpha p - \beta p q, \quad \dot q = -\gamma q + \delta p q, \qquad
        x_k \sim \mathrm{LogNormal}(\log p(2.1 k), .1), \quad x_{10 + k} \sim \mathrm{LogNormal}(\log q(2.1 k), .1)

    for k = 0, ..., 9, with p(0) = 30, q(0) = 1, and the priors alpha, gamma ~ LogNormal(-.125, .5) and
    beta, delta ~ LogNormal(-3, .5). Numbers below 10^-10 are taken for 10^-10, those above 10^4 for 10^4.

    The posterior is proposed by t-distributions at the modes, in logarithms of the parameters, that searches from the
    nearest of many simulations find: other periods may explain ten times of an oscillation nearly as well.

    >>> theta, x = LotkaVolterra().sample(5, seed=0)
    >>> theta.shape, x.shape
    (torch.Size([5, 4]), torch.Size([5, 20]))
    """

    def __init__(self) -> None:
        prior = LogNormal(torch.tensor([-0.125, -3.0, -0.125, -3.0]), torch.full((4,), 0.5))
        super().__init__("lotka_volterra", ["alpha", "beta", "gamma", "delta"], Independent(prior, 1), 20)

    def log_mean(self, theta: Tensor) -> Tensor:
        """Logarithms of the numbers without noise, (batch, 4) to (batch, 20): first of the prey, then of predators."""
        numbers = populations(theta, (30.0, 1.0), every=2.1, points=10)
        return numbers.clamp(1e-10, 1e4).log().flatten(0, 1).T.to(theta.dtype)

    def _simulate(self, theta: Tensor) -> Tensor:
        log_mean = self.log_mean(theta)
        return (log_mean + _SIGMA * torch.randn_like(log_mean)).exp()

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        log_density = self._log_noise(_log(x), self.log_mean(theta))
        return log_density.where((x > 0).all(1), -math.inf)

    @staticmethod
    def _log_noise(log_x: Tensor, log_mean: Tensor) -> Tensor:
        log_density = (Normal(log_mean, _SIGMA, validate_args=False).log_prob(log_x) - log_x).sum(1)
        # Rates too large to be followed explain nothing.
        return log_density.nan_to_num(nan=-math.inf)

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        log_x = _log(x)
        starts = self.prior.sample((_STARTS,)).to(x)
        apart = torch.cdist(log_x, self.log_mean(starts), compute_mode="donot_use_mm_for_euclid_dist")
        nearest = starts.log()[apart.topk(_SEARCHES, largest=False).indices.T]
        found = climb(lambda u: self._expansion(log_x.repeat(_SEARCHES, 1), u), nearest.flatten(0, 1))
        mode, precision, value = (part.unflatten(0, (_SEARCHES, len(x))) for part in found)
        u, log_q = at_modes(mode, precision, value, draws)
        return u.exp(), log_q - u.sum(2)

    def _expansion(self, log_x: Tensor, u: Tensor) -> Expansion:
        distribution = self.prior.base_dist  # type: ignore[attr-defined]
        loc, scale = distribution.loc.to(u), distribution.scale.to(u)
        log_mean, jacobian, _ = slopes(lambda u: self.log_mean(u.exp()), u)
        gradient = (jacobian * (log_x - log_mean)).sum(2).T / _SIGMA**2 - (u - loc) / scale.square()
        information = torch.einsum("irk,jrk->rij", jacobian, jacobian) / _SIGMA**2
        value = self._log_noise(log_x, log_mean) - 0.5 * ((u - loc) / scale).square().sum(1)
        return value, gradient, information + torch.diag(1 / scale.square())


def _log(x: Tensor) -> Tensor:
    return x.clamp(min=torch.finfo(x.dtype).tiny).log()
