"""Four tasks of the public benchmark of simulation-based inference, sbibm, with their posteriors.

Source of all: Lueckmann et al., "Benchmarking Simulation-Based Inference", arXiv 2101.04653, appendix T.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.distributions import Independent, LogNormal, Normal, Uniform

from surflow.data.simulators.base import Simulator

# Cells of the histograms along their axes.
_SLCP_CELLS = (48, 48, 48)
_SIR_CELLS = (500, 200)

# People of whom each count of the epidemic tells, and its steps.
_TESTED = 1000.0
_STEPS_A_DAY = 4
_STEP = 1 / _STEPS_A_DAY


def _box(size: int, half: float) -> Independent:
    return Independent(Uniform(torch.full((size,), -half), torch.full((size,), half)), 1)


class TwoMoons(Simulator):
    r"""Two crescents: a point on an arc, moved by the parameters, of which one counts up to its sign.

    .. math::
        x = \begin{pmatrix} r \cos a + 1/4 - |\theta_1 + \theta_2| / \sqrt 2 \\
        r \sin a + (\theta_2 - \theta_1) / \sqrt 2 \end{pmatrix},
        \qquad a \sim U(-\pi/2, \pi/2), \quad r \sim N(.1, .01^2)

    with the prior U(-1, 1)^2. Draws of the posterior are draws of the arc, the map undone and the sign tossed; what
    then lies outside the prior has no weight. A radius below zero, ten standard deviations away, is left out.

    >>> theta, x = TwoMoons().sample(5, seed=0)
    >>> TwoMoons().posterior(x, draws=1000).efficiency.min() > 0.1
    tensor(True)
    """

    def __init__(self) -> None:
        super().__init__("two_moons", ["theta1", "theta2"], _box(2, 1.0), 2)

    def _simulate(self, theta: Tensor) -> Tensor:
        return self._arc(theta) + self._moved(theta)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        return self._log_arc(x - self._moved(theta))

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        shift, along = (x - self._arc(x.expand(draws, *x.shape))).unbind(-1)
        # Where the arc lies on the wrong side of x, which no |.| makes up for, the same distance serves on the right.
        log_q = torch.logaddexp(
            self._log_arc(torch.stack([x[:, 0] + shift.abs(), x[:, 1] - along], -1)),
            self._log_arc(torch.stack([x[:, 0] - shift.abs(), x[:, 1] - along], -1)),
        )
        across = shift * (2 * torch.randint(2, shift.shape) - 1)
        theta = torch.stack([across - along, across + along], -1) / math.sqrt(2)
        return theta, log_q - math.log(2)

    @staticmethod
    def _moved(theta: Tensor) -> Tensor:
        first, second = theta.unbind(-1)
        return torch.stack([-(first + second).abs(), second - first], -1) / math.sqrt(2)

    @staticmethod
    def _arc(like: Tensor) -> Tensor:
        """Points of the arc, of the shape of ``like``."""
        angle = math.pi * (torch.rand_like(like[..., 0]) - 0.5)
        radius = 0.1 + 0.01 * torch.randn_like(angle)
        return torch.stack([radius * angle.cos() + 0.25, radius * angle.sin()], -1)

    @staticmethod
    def _log_arc(point: Tensor) -> Tensor:
        """Log-density of the arc: that of the radius, over the half circle that it sweeps."""
        u, v = point[..., 0] - 0.25, point[..., 1]
        radius = torch.hypot(u, v)
        log_density = -0.5 * ((radius - 0.1) / 0.01).square() - math.log(0.01 * math.sqrt(2 * math.pi))
        return (log_density - (math.pi * radius).log()).where(u > 0, -math.inf)


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


class SLCP(Simulator):
    r"""Simple likelihood, complex posterior: four points of a Gaussian of the plane.

    .. math::
        x_1, \dots, x_4 \sim N\!\left(\begin{pmatrix} \theta_1 \\ \theta_2 \end{pmatrix},
        \begin{pmatrix} s_1^2 & \rho s_1 s_2 \\ \rho s_1 s_2 & s_2^2 \end{pmatrix}\right),
        \qquad s_1 = \theta_3^2, \quad s_2 = \theta_4^2, \quad \rho = \tanh \theta_5

    with the prior U(-3, 3)^5: the signs of theta3 and theta4 do not count, and the posterior has four equal parts.

    The proposal of the posterior takes the scales and the correlation from a histogram over their part of the box, with
    the mean integrated out, the mean given these from a truncated Gaussian, and fair signs.

    >>> theta, x = SLCP().sample(5, seed=0)
    >>> theta.shape, x.shape
    (torch.Size([5, 5]), torch.Size([5, 8]))
    """

    def __init__(self) -> None:
        super().__init__("slcp", [f"theta{i + 1}" for i in range(5)], _box(5, 3.0), 8)

    def _simulate(self, theta: Tensor) -> Tensor:
        mean, s1, s2, rho = self._normal(theta)
        e1, e2 = torch.randn(2, len(theta), 4, dtype=theta.dtype)
        points = torch.stack([s1 * e1, s2 * (rho * e1 + (1 - rho.square()).sqrt() * e2)], 2)
        return (mean.unsqueeze(1) + points).flatten(1)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        mean, s1, s2, rho = self._normal(theta)
        u, v = (x.unflatten(1, (4, 2)) - mean.unsqueeze(1)).unbind(2)
        u, v = u / s1, v / s2
        rest = 1 - rho.square()
        square = ((u.square() - 2 * rho * u * v + v.square()) / rest).sum(1)
        log_scale = (s1.log() + s2.log() + 0.5 * rest.log()).squeeze(1)
        return -0.5 * square - 4 * (log_scale + math.log(2 * math.pi))

    @staticmethod
    def _normal(theta: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The mean, shape (batch, 2), and standard deviations and correlation, (batch, 1) each."""
        mean, s1, s2, rho = theta.split([2, 1, 1, 1], 1)
        return mean, s1.square(), s2.square(), rho.tanh()

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        drawn = [self._propose_for(points, draws) for points in x.unflatten(1, (4, 2))]
        theta, log_q = (torch.stack(part, 1) for part in zip(*drawn, strict=True))
        return theta, log_q

    def _propose_for(self, points: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        """Draws for four points, shape (4, 2), and the log-density of the draws."""
        centre = points.mean(0)
        scatter = (points - centre).T @ (points - centre)
        # The mean's coordinate that the box restricts more comes first: the other then follows it.
        order = ((centre.abs() - 3) / scatter.diagonal().sqrt()).argsort(descending=True)
        centre, scatter = centre[order], scatter[order][:, order]
        # Below the first edge the likelihood is some exp(-49) of its largest, whatever the other scale.
        high = points.new_tensor([math.log(9.0), math.log(9.0), 3.0])
        low = torch.cat([(scatter.diagonal() / 4).clamp(min=1e-20).log().clamp(max=2 * high[0]) / 2 - 1.6, -high[2:]])
        cells = _Cells(low, high, _SLCP_CELLS)
        u, log_q = cells.sample(self._log_marginal(centre, scatter, cells.middle), draws)
        s1, s2, rho = u[:, 0].exp(), u[:, 1].exp(), u[:, 2].tanh()
        first, log_first = _truncated(centre[0], s1 / 2)
        second, log_second = _truncated(*_conditional(centre, s1, s2, rho, first))
        mean, signs = torch.stack([first, second], 1), 2 * torch.randint(2, (draws, 2)) - 1
        theta = torch.cat([mean[:, order], ((u[:, :2] / 2).exp() * signs)[:, order], u[:, 2:]], 1)
        # Of log s = 2 log |theta| and its signs: 2 / |theta|, and a half, for each of two.
        return theta, log_q - u[:, :2].sum(1) / 2 + log_first + log_second

    @staticmethod
    def _log_marginal(centre: Tensor, scatter: Tensor, u: Tensor) -> Tensor:
        """Log-density of (log s1, log s2, theta5) given four points, nearly, and up to a constant."""
        s1, s2, rho = u[:, 0].exp(), u[:, 1].exp(), u[:, 2].tanh()
        rest = 1 - rho.square()
        a, b, c = scatter[0, 0] / s1.square(), scatter[0, 1] / (s1 * s2), scatter[1, 1] / s2.square()
        # Half a log-scale for each theta of a flat prior; the integral over the mean takes one point off the four.
        log_density = 0.5 * (u[:, 0] + u[:, 1]) - 3 * (u[:, 0] + u[:, 1] + 0.5 * rest.log())
        log_density -= 0.5 * (a - 2 * rho * b + c) / rest
        # The share of the mean within the box, that of the second coordinate where the first is likeliest.
        first = centre[0].clamp(-3, 3)
        for distribution in ((centre[0], s1 / 2), _conditional(centre, s1, s2, rho, first)):
            below, above = _shares(*distribution)
            log_density += (above - below).clamp(min=torch.finfo(u.dtype).tiny).log()
        return log_density


class BenchmarkSIR(Simulator):
    r"""An epidemic that begins with one of a million people, seen by ten counts of infected among a thousand.

    .. math::
        \dot S = -\beta S I / N, \quad \dot I = \beta S I / N - \gamma I, \qquad
        x_k \sim \mathrm{Bin}(1000, I(17 k) / N), \quad k = 0, \dots, 9

    with S(0) = N - 1, I(0) = 1, N = 10^6, time in days, and the priors beta ~ LogNormal(log .4, .5) and
    gamma ~ LogNormal(log .125, .2). Integrated by classical Runge-Kutta steps of a quarter of a day in log I, which
    grows and falls nearly linearly.

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

        def slope(s: Tensor, log_i: Tensor) -> tuple[Tensor, Tensor]:
            return -beta * s * log_i.exp(), beta * s - gamma

        s = torch.full_like(beta, 1 - 1e-6)
        log_i = torch.full_like(beta, math.log(1e-6))
        seen = [log_i]
        for _ in range(9):
            for _ in range(17 * _STEPS_A_DAY):
                s1, i1 = slope(s, log_i)
                s2, i2 = slope(s + _STEP / 2 * s1, log_i + _STEP / 2 * i1)
                s3, i3 = slope(s + _STEP / 2 * s2, log_i + _STEP / 2 * i2)
                s4, i4 = slope(s + _STEP * s3, log_i + _STEP * i3)
                s = s + _STEP / 6 * (s1 + 2 * s2 + 2 * s3 + s4)
                log_i = log_i + _STEP / 6 * (i1 + 2 * i2 + 2 * i3 + i4)
            seen.append(log_i)
        # Rates far beyond any epidemic, where the steps are too long, may leave the unit interval.
        return _TESTED * torch.stack(seen, 1).exp().nan_to_num(1).clamp(torch.finfo(theta.dtype).tiny, 1)

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
        cells = _Cells(low.to(x), high.to(x), _SIR_CELLS)
        share = self.mean(cells.middle.exp()) / _TESTED
        log_prior = self.log_prior(cells.middle.exp()) + cells.middle.sum(1)
        drawn = [cells.sample(log_prior + self._log_counts(row, share), draws) for row in x]
        u, log_q = (torch.stack(part, 1) for part in zip(*drawn, strict=True))
        return u.exp(), log_q - u.sum(2)


class _Cells:
    """The cells of a box, all of one size: draws of a density that is known at their middles.

    Attributes:
        middle: of each cell, shape (cells, axes).
    """

    def __init__(self, low: Tensor, high: Tensor, cells: tuple[int, ...]) -> None:
        self.low, self.cells = low, cells
        self.width = (high - low) / low.new_tensor(cells)
        axes = [a + w * (torch.arange(n) + 0.5) for a, w, n in zip(low, self.width, cells, strict=True)]
        self.middle = torch.cartesian_prod(*axes)

    def sample(self, log_density: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        """Points, uniform within cells that are drawn by their density, shape (draws, axes), and their log-density."""
        log_cells = log_density.log_softmax(0)
        cell = torch.multinomial(log_cells.exp(), draws, replacement=True)
        position = torch.stack(torch.unravel_index(cell, self.cells), 1)
        point = self.low + self.width * (position + torch.rand(draws, len(self.cells), dtype=self.low.dtype))
        return point, log_cells[cell] - self.width.log().sum()


def _conditional(centre: Tensor, s1: Tensor, s2: Tensor, rho: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Location and scale of the second coordinate of the mean of four points, given the first."""
    return centre[1] + rho * s2 / s1 * (first - centre[0]), s2 / 2 * (1 - rho.square()).sqrt()


def _shares(loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """What of N(|loc|, scale^2) lies below -3 and below 3: by symmetry about zero the side where nothing cancels."""
    return torch.special.ndtr((-3 - loc.abs()) / scale), torch.special.ndtr((3 - loc.abs()) / scale)


def _truncated(loc: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """One draw of N(loc, scale^2) within [-3, 3] for each scale, and its log-density."""
    below, above = _shares(loc, scale)
    info = torch.finfo(scale.dtype)
    z = torch.special.ndtri((below + (above - below) * torch.rand_like(scale)).clamp(info.tiny, 1 - info.eps))
    value = (loc.abs() + scale * z).clamp(-3, 3)
    log_share = (above - below).clamp(min=info.tiny).log()
    log_density = -0.5 * z.square() - (scale * math.sqrt(2 * math.pi)).log() - log_share
    return value * torch.where(loc < 0, -1, 1), log_density
