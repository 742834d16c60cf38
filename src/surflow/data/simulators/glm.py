"""A neuron that fires or does not, given a stimulus: the Bernoulli GLM, a task of sbibm, from sums or all spikes.

Source: Lueckmann et al., "Benchmarking Simulation-Based Inference", arXiv 2101.04653, appendix T.5 and T.6.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import MultivariateNormal

from surflow.data.simulators.base import Simulator
from surflow.data.simulators.proposals import Expansion, at_modes, climb

# Bins of time, and the length of the filter.
_BINS, _FILTER = 100, 9


class BernoulliGLM(Simulator):
    r"""An offset and a filter of nine weights, from a hundred bins of time in which a neuron fires or does not.

    .. math::
        y_t \sim \mathrm{Bernoulli}(\mathrm{sigmoid}(X_t \theta)), \qquad
        X_t = (1, v_t, v_{t-1}, \dots, v_{t-8}), \quad v_s = 0 \text{ for } s < 0

    with a stimulus v of standard normal numbers, the benchmark's from NumPy's ``RandomState(42)``. The prior is normal
    with mean zero and prefers smooth filters: its precision is 1/2 for the offset, and F^T F for the filter, where
    F = D^2 + diag(sqrt(i / 9)), i = 0, ..., 8, and D takes differences of neighbours.

    The observation is y, or X^T y, the number of spikes and the sums of the stimulus before them. That is sufficient:

    .. math:: \log p(y \mid \theta) = \theta^T X^T y - \sum_t \log(1 + e^{X_t \theta})

    and it is log p(X^T y | theta), too: stimuli by which two trains of spikes have the same sums are of measure zero.
    The posterior is log-concave, and is proposed by a t-distribution at its mode.

    Args:
        raw: observe y, a hundred zeros and ones, in place of the ten sums.

    >>> theta, x = BernoulliGLM().sample(5, seed=0)
    >>> theta.shape, x.shape
    (torch.Size([5, 10]), torch.Size([5, 10]))
    >>> theta, y = BernoulliGLM(raw=True).sample(5, seed=0)
    >>> bool(torch.allclose(y @ BernoulliGLM().design.float(), x, atol=1e-5))
    True
    """

    def __init__(self, *, raw: bool = False) -> None:
        stimulus = torch.from_numpy(np.random.RandomState(42).randn(_BINS))
        lagged = F.pad(stimulus, (_FILTER - 1, 0)).unfold(0, _FILTER, 1).flip(1)
        self.design = torch.cat([torch.ones(_BINS, 1, dtype=stimulus.dtype), lagged], 1)
        differences = torch.eye(_FILTER) - torch.diag(torch.ones(_FILTER - 1), -1)
        smooth = differences @ differences + torch.diag((torch.arange(_FILTER) / _FILTER).sqrt())
        self.precision = torch.block_diag(torch.tensor([[0.5]]), smooth.T @ smooth)
        prior = MultivariateNormal(torch.zeros(1 + _FILTER), precision_matrix=self.precision)
        names = ["offset", *(f"filter{i}" for i in range(_FILTER))]
        super().__init__("bernoulli_glm_raw" if raw else "bernoulli_glm", names, prior, _BINS if raw else 1 + _FILTER)
        self.raw = raw

    def _simulate(self, theta: Tensor) -> Tensor:
        y = torch.bernoulli(self._drive(theta).sigmoid())
        return y if self.raw else self._sums(y)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        sums = self._sums(x) if self.raw else x
        return (sums * theta).sum(1) - F.softplus(self._drive(theta)).sum(1)

    def _drive(self, theta: Tensor) -> Tensor:
        return theta @ self.design.to(theta).T

    def _sums(self, y: Tensor) -> Tensor:
        return y @ self.design.to(y)

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        sums = self._sums(x) if self.raw else x
        mode, precision, value = climb(lambda theta: self._expansion(sums, theta), torch.zeros_like(sums))
        return at_modes(mode[None], precision[None], value[None], draws)

    def _expansion(self, sums: Tensor, theta: Tensor) -> Expansion:
        drive, prior = self._drive(theta), self.precision.to(theta)
        rate = drive.sigmoid()
        value = ((sums - theta @ prior / 2) * theta).sum(1) - F.softplus(drive).sum(1)
        gradient = sums - self._sums(rate) - theta @ prior
        design = self.design.to(theta)
        information = torch.einsum("ti,rt,tj->rij", design, rate * (1 - rate), design)
        return value, gradient, information + prior
