"""Location and scale on an interval: the distribution function of a truncated logistic."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow.bijections.univariate import UnivariateMap
from surflow.distributions.truncated import log_one_minus_exp, log_tails, quantile
from surflow.errors import ConfigError
from surflow.supports import Interval

# Scale, in units of the interval's half, where the raw number is zero: nearly the identity.
_WIDE = 2.0


class TruncatedMap(UnivariateMap):
    r"""The interval onto itself by the distribution function of a logistic within it.

    .. math::
        z = l + (h - l) \frac{\sigma(t) - \sigma(a)}{\sigma(b) - \sigma(a)}, \qquad
        t = \frac{x - m}{s}, \quad a = \frac{l - m}{s}, \quad b = \frac{h - m}{s}

    A distribution of location m and scale s, cut off at the ends of the interval, becomes nearly uniform, however
    narrow it is and wherever its location lies, within the interval or beyond. Splines refine what is left. With zeros
    it is nearly, not quite, the identity.

    Args:
        low, high: ends of the interval.
        limit: of the logarithm of the scale, up or down.

    Raises:
        ConfigError: for a limit that is not positive and finite.

    >>> import torch
    >>> share = TruncatedMap(-3.0, 3.0)
    >>> z, log_slope = share.forward(torch.tensor([[0.5]]), torch.tensor([[[0.0], [-4.0]]]))
    >>> round(z.item(), 3), round(share.inverse(z, torch.tensor([[[0.0], [-4.0]]]))[0].item(), 3)
    (2.799, 0.5)
    """

    n_parameters = 2

    def __init__(self, low: float = 0.0, high: float = 1.0, limit: float = 8.0) -> None:
        if not 0 < limit < math.inf:
            raise ConfigError(f"the limit of the log-scale must be positive and finite, got {limit}")
        self.domain = Interval(low, high)
        self.low, self.high, self.limit = low, high, limit
        self.half = (high - low) / 2

    def _logistic(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Log-scale, in units of half the interval, scales for one half, the ends a and b, and b - a."""
        location, s = raw.unbind(1)
        log_scale = self.limit * (s / self.limit).tanh() + math.log(_WIDE)
        per_scale = (-log_scale).exp()
        return log_scale, per_scale, (-1 - location) * per_scale, (1 - location) * per_scale, 2 * per_scale

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, per_scale, a, b, gap = self._logistic(raw)
        above, below = ((x - self.low) / self.half * per_scale, (self.high - x) / self.half * per_scale)
        t = a + above
        log_whole = log_one_minus_exp(gap)
        log_share = log_tails(a, t, a, b, torch.zeros_like(t), below) + log_one_minus_exp(above) - log_whole
        # Rounding may go past the ends.
        z = (self.low + 2 * self.half * log_share.exp()).clamp(self.low, self.high)
        return z, log_tails(t, t, a, b, above, below) - log_whole - log_scale + math.log(2)

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        log_scale, _, a, b, gap = self._logistic(raw)
        above = quantile((z - self.low) / (2 * self.half), a, b, gap)
        x = (self.low + self.half * log_scale.exp() * above).clamp(self.low, self.high)
        return x, self.forward(x, raw)[1]
