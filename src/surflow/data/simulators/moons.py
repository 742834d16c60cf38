"""Two moons, a task of sbibm.

Source: Lueckmann et al., "Benchmarking Simulation-Based Inference", arXiv 2101.04653, appendix T.8.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow.data.simulators.base import Simulator
from surflow.data.simulators.priors import box


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
        super().__init__("two_moons", ["theta1", "theta2"], box(2, 1.0), 2)

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
