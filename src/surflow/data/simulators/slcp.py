"""SLCP, a task of sbibm, plainly and among numbers that tell nothing.

Source: Lueckmann et al., "Benchmarking Simulation-Based Inference", arXiv 2101.04653, appendix T.3 and T.4.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import torch
from torch import Tensor

from surflow.data.simulators.base import Simulator
from surflow.data.simulators.priors import box
from surflow.data.simulators.proposals import Cells, log_share, truncated

# Cells of the histogram along its axes.
_CELLS = (48, 48, 48)

# Of the numbers that tell nothing: how many, components of their mixture, and degrees of freedom.
_NOISE, _COMPONENTS, _DEGREES = 92, 20, 2


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
        super().__init__("slcp", [f"theta{i + 1}" for i in range(5)], box(5, 3.0), 8)

    def _simulate(self, theta: Tensor) -> Tensor:
        mean, s1, s2, rho = self._normal(theta)
        e1, e2 = torch.randn(2, len(theta), 4, dtype=theta.dtype)
        points = torch.stack([s1 * e1, s2 * (rho * e1 + (1 - rho.square()).sqrt() * e2)], 2)
        return (mean.unsqueeze(1) + points).flatten(1)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        mean, s1, s2, rho = self._normal(theta)
        u, v = (self._points(x) - mean.unsqueeze(1)).unbind(2)
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
        drawn = [self._propose_for(points, draws) for points in self._points(x)]
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
        cells = Cells(low, high, _CELLS)
        u, log_q = cells.sample(self._log_marginal(centre, scatter, cells.middle), draws)
        s1, s2, rho = u[:, 0].exp(), u[:, 1].exp(), u[:, 2].tanh()
        first, log_first = truncated(centre[0], s1 / 2, 3.0)
        second, log_second = truncated(*_conditional(centre, s1, s2, rho, first), 3.0)
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
        for loc, scale in ((centre[0], s1 / 2), _conditional(centre, s1, s2, rho, first)):
            log_density += log_share(loc, scale, 3.0)
        return log_density

    def _points(self, x: Tensor) -> Tensor:
        """The four points, shape (batch, 4, 2)."""
        return x.unflatten(1, (4, 2))


class SLCPDistractors(SLCP):
    r"""The four points of SLCP in a fixed order among 92 numbers that tell nothing of the parameters.

    These are of an equal mixture of 20 multivariate t-distributions with two degrees of freedom,

    .. math::
        p(d) = \frac{1}{20} \sum_{k=1}^{20} t_2(d;\, m_k,\, L_k L_k^T), \qquad
        m_k \sim N(0, 15^2 I), \quad L_k = 3\, (\mathrm{tril}(A_k) + \mathrm{diag}(e^{a_k}))

    where all entries of A and a are standard normal. The benchmark's own are drawn from NumPy's ``RandomState(42)``:
    all m, then A and a of one component after the other, then the order of the hundred numbers.

    The likelihood is that of the points. The density of the rest, the same whatever the parameters, is left out: these
    L_k have condition numbers of some 10^18, and no density survives the rounding of the observations.

    >>> theta, x = SLCPDistractors().sample(5, seed=0)
    >>> theta.shape, x.shape
    (torch.Size([5, 5]), torch.Size([5, 100]))
    """

    def __init__(self) -> None:
        super().__init__()
        self.name, self.x_shape = "slcp_distractors", (8 + _NOISE,)
        self._loc, self._factor, self._order = _constants()
        self._places = self._order.argsort()

    def _simulate(self, theta: Tensor) -> Tensor:
        component = torch.randint(_COMPONENTS, (len(theta),))
        normal = torch.randn(len(theta), _NOISE)
        chi2 = torch.distributions.Chi2(torch.tensor(float(_DEGREES))).sample((len(theta), 1))
        apart = torch.empty_like(normal)
        for k, factor in enumerate(self._factor.to(normal)):
            apart[component == k] = normal[component == k] @ factor.T
        noise = self._loc[component] + apart * (_DEGREES / chi2).sqrt()
        return torch.cat([super()._simulate(theta), noise.to(theta)], 1)[:, self._order]

    def _points(self, x: Tensor) -> Tensor:
        return super()._points(x[:, self._places[:8]])


@cache
def _constants() -> tuple[Tensor, Tensor, Tensor]:
    """Locations of the noise, (20, 92), factors of its scales, (20, 92, 92), and the order of all numbers, (100,)."""
    random = np.random.RandomState(42)
    loc = 15 * random.normal(size=(_COMPONENTS, _NOISE))
    factors = [
        np.tril(random.normal(size=(_NOISE, _NOISE))) + np.diag(np.exp(random.normal(size=_NOISE)))
        for _ in range(_COMPONENTS)
    ]
    return (
        torch.from_numpy(loc),
        torch.from_numpy(3 * np.stack(factors)),
        torch.from_numpy(random.permutation(8 + _NOISE)),
    )


def _conditional(centre: Tensor, s1: Tensor, s2: Tensor, rho: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
    """Location and scale of the second coordinate of the mean of four points, given the first."""
    return centre[1] + rho * s2 / s1 * (first - centre[0]), s2 / 2 * (1 - rho.square()).sqrt()
