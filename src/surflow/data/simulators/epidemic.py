"""The SIR epidemic: two or three parameters that data tell apart, or two whose product alone they know."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Independent

from surflow.data.simulators.base import FoldedNormal, Simulator
from surflow.data.simulators.proposals import Expansion, at_modes, climb, slopes
from surflow.errors import ConfigError

# Euler's step, steps between two observations, and observations.
STEP, STEPS_A_DAY, DAYS = 0.1, 10, 100
NOISES = ("none", "additive", "poisson")
POPULATION = 1000.0

# Means and standard deviations of the normal distributions that the priors fold.
_BASIC = [0.5, 0.25, 0.06], [0.1, 0.1, 0.05]
_DEGENERATE = [0.8, 0.625, 0.25, 0.06], [0.06, 0.11, 0.1, 0.05]

# Simulations, of which the nearest begins the search for the mode.
_STARTS = 4096


class SIR(Simulator):
    r"""Susceptible, infected and removed shares of a population, by Euler steps of h = 0.1 days over 100 days.

    .. math::
        \dot S = -\lambda S I, \quad \dot I = \lambda S I - \mu I, \quad \dot R = \mu I, \qquad S_0 = 1 - I_0

    The observation has 200 numbers, for every day one of the infected and one of the removed. Without noise, or with
    additive noise, these are the increments h lambda S I and h mu I of the day's first step; with Poisson noise, the
    numbers of cases and of removals of the whole day among 1000 people.

    Priors: lambda = abs(N(.5, .1)), mu = abs(N(.25, .1)), I_0 = abs(N(.06, .05)). Degenerate: lambda is a product
    of lambda1 = abs(N(.8, .06)) and lambda2 = abs(N(.625, .11)), which the data know through their product alone:

    .. math:: p(\lambda_1 \mid \lambda_1 \lambda_2 = c) \propto p_1(\lambda_1)\, p_2(c / \lambda_1) / \lambda_1

    Args:
        degenerate: parametrise by lambda1 and lambda2.
        noise: "none", "additive" or "poisson".
        sigma: standard deviation of additive noise.

    Raises:
        ConfigError: for an unknown noise or a sigma that is not positive.

    >>> theta, x = SIR().sample(5, seed=0)
    >>> theta.shape, x.shape
    (torch.Size([5, 3]), torch.Size([5, 200]))
    """

    def __init__(self, *, degenerate: bool = False, noise: str = "additive", sigma: float = 1e-4) -> None:
        if noise not in NOISES:
            raise ConfigError(f"the noise of SIR is one of {', '.join(NOISES)}, got {noise!r}")
        if noise == "additive" and not 0 < sigma < math.inf:
            raise ConfigError(f"additive noise needs a positive sigma, got {sigma}: or choose noise='none'")
        names = ["lambda1", "lambda2", "mu", "I0"] if degenerate else ["lambda", "mu", "I0"]
        loc, scale = _DEGENERATE if degenerate else _BASIC
        prior = Independent(FoldedNormal(torch.tensor(loc), torch.tensor(scale)), 1)
        super().__init__("sir_degenerate" if degenerate else "sir", names, prior, 2 * DAYS)
        self.degenerate, self.noise, self.sigma = degenerate, noise, sigma

    def curves(self, theta: Tensor) -> Tensor:
        """S, I and R at the beginning of every Euler step, shape (batch, 3, steps)."""
        s, i, removed = self._start(theta)
        rate, mu = self._rates(theta)
        curves = theta.new_empty(DAYS * STEPS_A_DAY, 3, len(theta))
        for row in curves:
            row[0], row[1], row[2] = s, i, removed
            infected, healed = STEP * rate * s * i, STEP * mu * i
            s, i, removed = s - infected, i + infected - healed, removed + healed
        return curves.permute(2, 1, 0)

    def mean(self, theta: Tensor) -> Tensor:
        """The observation without noise, shape (batch, 200): first the infected of every day, then the removed."""
        s, i, _ = self._start(theta)
        rate, mu = (STEP * part for part in self._rates(theta))
        daily = theta.new_zeros(2, DAYS, len(theta))
        for step in range(DAYS * STEPS_A_DAY):
            infected, healed = rate * s * i, mu * i
            day, first = step // STEPS_A_DAY, step % STEPS_A_DAY == 0
            if first or self.noise == "poisson":
                daily[0, day] += infected
                daily[1, day] += healed
            s, i = s - infected, i + infected - healed
        daily = daily * POPULATION if self.noise == "poisson" else daily
        return daily.flatten(0, 1).T.contiguous()

    @property
    def quantity_names(self) -> list[str]:
        """The parameters and, in the degenerate model, the product that the data know."""
        return [*self.parameters, "product"] if self.degenerate else list(self.parameters)

    def quantities(self, theta: Tensor) -> Tensor:
        """What :attr:`quantity_names` names, shape (..., parameters) to (..., quantities)."""
        return torch.cat([theta, theta[..., :1] * theta[..., 1:2]], -1) if self.degenerate else theta

    def pit_given_product(self, theta: Tensor) -> Tensor:
        r"""The conditional distribution function, :math:`F(\lambda_1 \mid \lambda_1 \lambda_2)`, in float64.

        Data do not change this distribution: of parameters from the prior, or from any exact posterior, it is uniform
            on (0, 1).

        Args:
            theta: of the degenerate model, shape (n, 4).

        Returns:
            shape (n,).
        """
        theta = theta.double()
        product = theta[:, 0] * theta[:, 1]
        # In u = log lambda1 the density is p1(e^u) p2(c e^-u): the Jacobian takes the place of 1 / lambda1.
        u = torch.linspace(math.log(0.2), math.log(1.6), 2001, dtype=torch.float64)
        pairs = torch.stack([u.exp().expand(len(theta), -1), product[:, None] * (-u).exp()], 2)
        density = FoldedNormal(*(torch.tensor(part[:2]).double() for part in _DEGENERATE)).log_prob(pairs).sum(2)
        density = (density - density.amax(1, keepdim=True)).exp()
        mass = torch.cat([torch.zeros_like(density[:, :1]), (density[:, 1:] + density[:, :-1]).cumsum(1) / 2], 1)
        position = (theta[:, 0].log() - u[0]) / (u[1] - u[0])
        left = position.floor().clamp(0, len(u) - 2).long()[:, None]
        share = (position[:, None] - left).clamp(0, 1)
        return ((mass.gather(1, left) * (1 - share) + mass.gather(1, left + 1) * share) / mass[:, -1:]).squeeze(1)

    def _start(self, theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        infected = theta[:, -1]
        return 1 - infected, infected, torch.zeros_like(infected)

    def _rates(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        return (theta[:, 0] * theta[:, 1] if self.degenerate else theta[:, 0]), theta[:, -2]

    def _simulate(self, theta: Tensor) -> Tensor:
        mean = self.mean(theta)
        if self.noise == "none":
            return mean
        if self.noise == "poisson":
            return torch.poisson(mean.clamp(min=0))
        return mean + self.sigma * torch.randn_like(mean)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        return self._log_noise(x, self.mean(theta))

    def _log_noise(self, x: Tensor, mean: Tensor) -> Tensor:
        if self.noise == "none":
            raise ConfigError("without noise the observation has no density: choose noise='additive' or 'poisson'")
        if self.noise == "poisson":
            rate = mean.clamp(min=torch.finfo(mean.dtype).tiny)
            return (torch.xlogy(x, rate) - rate - (x + 1).lgamma()).sum(1).nan_to_num(nan=-math.inf)
        square = ((x - mean) / self.sigma).square().sum(1)
        # Parameters far beyond any epidemic, where Euler's steps overflow, explain nothing.
        square = square.nan_to_num(nan=math.inf)
        return -0.5 * square - x.shape[1] * math.log(self.sigma * math.sqrt(2 * math.pi))

    # -- the proposal: a t-distribution at the mode, in logarithms of the parameters ---------------------------

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        starts = self.prior.sample((_STARTS,)).to(x)
        means = self.mean(starts)
        scale = means.clamp(min=1).sqrt().mean(0) if self.noise == "poisson" else 1.0
        nearest = torch.cdist(x / scale, means / scale, compute_mode="donot_use_mm_for_euclid_dist").argmin(1)
        mode, precision, value = climb(lambda u: self._expansion(x, u), starts[nearest].log())
        u, log_q = at_modes(mode[None], precision[None], value[None], draws)
        return u.exp(), log_q - u.sum(2)

    def _expansion(self, x: Tensor, u: Tensor) -> Expansion:
        """Log-posterior of u = log theta up to a constant, its gradient, and its precision by Fisher's information."""
        mean, jacobian, _ = slopes(lambda u: self.mean(u.exp()), u)
        log_prior, slope, curvature = slopes(lambda u: self.log_prior(u.exp()) + u.sum(1), u)
        weight = 1 / mean.clamp(min=1e-9) if self.noise == "poisson" else mean.new_tensor(self.sigma**-2)
        gradient = ((jacobian * (x - mean) * weight).sum(2) + slope).T
        information = torch.einsum("irk,jrk,rk->rij", jacobian, jacobian, weight.expand(mean.shape))
        # A prior that curves upwards, as in the logarithm of a folded normal near zero, must not make it indefinite.
        precision = information + torch.diag_embed((-curvature).T.clamp(min=1e-3))
        return self._log_noise(x, mean) + log_prior, gradient, precision
