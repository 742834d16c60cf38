"""Rational-quadratic splines: with linear tails, from zero on, on an interval, on the circle."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from surflow.bijections.univariate import UnivariateMap
from surflow.errors import ConfigError
from surflow.support import Interval, Support, circle, positive, real

# No bin is narrower or lower than this share of the whole, and no slope at a knot smaller: inverses exist in floats.
_LEAST_BIN = 1e-3
_LEAST_SLOPE = 1e-3
# softplus(_UNIT_SLOPE) + _LEAST_SLOPE = 1, so that raw zeros give the identity.
_UNIT_SLOPE = math.log(math.expm1(1 - _LEAST_SLOPE))


def _knots(raw: Tensor, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Sizes of the bins and positions of their left ends, from raw numbers along axis 1."""
    bins = raw.shape[1]
    sizes = (high - low) * (_LEAST_BIN + (1 - _LEAST_BIN * bins) * raw.softmax(1))
    return sizes, low + sizes.cumsum(1) - sizes


def _slopes(raw: Tensor) -> Tensor:
    return _LEAST_SLOPE + F.softplus(raw + _UNIT_SLOPE)


def rational_quadratic(
    x: Tensor, raw: Tensor, slopes: Tensor, low: float, high: float, *, inverse: bool
) -> tuple[Tensor, Tensor]:
    r"""The monotone spline of [low, high] onto itself, elementwise.

    Within bin k, of width w, height h, mean slope s = h / w, slopes d_0 and d_1 at its ends, and
    :math:`\xi = (x - x_k) / w`:

    .. math::
        z = z_k + \frac{h}{q} (s \xi^2 + d_0 \xi (1 - \xi)), \qquad
        \frac{dz}{dx} = \frac{s^2}{q^2} (d_1 \xi^2 + 2 s \xi (1 - \xi) + d_0 (1 - \xi)^2), \qquad
        q = s + (d_0 + d_1 - 2 s) \xi (1 - \xi)

    Args:
        x: points (batch, *event); with ``inverse``, values z.
        raw: (batch or 1, 2 bins, *event), raw widths and heights.
        slopes: (batch or 1, bins + 1, *event), positive.

    Source: Durkan et al., "Neural Spline Flows", arXiv 1906.04032.
    """
    raw_widths, raw_heights = raw.chunk(2, 1)
    widths, lefts = _knots(raw_widths, low, high)
    heights, bottoms = _knots(raw_heights, low, high)
    inside = x.clamp(low, high).unsqueeze(1)
    starts = bottoms if inverse else lefts
    k = (inside >= starts[:, 1:]).sum(1, keepdim=True)

    def at(values: Tensor, index: Tensor) -> Tensor:
        return values.expand(x.shape[0], *values.shape[1:]).gather(1, index)[:, 0]

    w, h, x0, z0 = at(widths, k), at(heights, k), at(lefts, k), at(bottoms, k)
    d0, d1 = at(slopes, k), at(slopes, k + 1)
    s = h / w
    bend = d0 + d1 - 2 * s
    if inverse:
        rise = inside[:, 0] - z0
        # The root of a xi^2 + b xi + c = 0 in [0, 1], in the form that loses no digits.
        a = h * (s - d0) + rise * bend
        b = h * d0 - rise * bend
        c = -s * rise
        root = (b.square() - 4 * a * c).clamp(min=0).sqrt()
        xi = (2 * c / (-b - root)).clamp(0, 1)
        _, slope = _in_bin(xi, h, s, d0, d1, bend)
        return x0 + xi * w, slope.log()
    xi = ((inside[:, 0] - x0) / w).clamp(0, 1)  # rounding may go past the ends, where slopes can be negative
    value, slope = _in_bin(xi, h, s, d0, d1, bend)
    return z0 + value, slope.log()


def _in_bin(xi: Tensor, h: Tensor, s: Tensor, d0: Tensor, d1: Tensor, bend: Tensor) -> tuple[Tensor, Tensor]:
    """Rise above the bin's lower end and slope dz/dx, at the share xi of its width."""
    rest = 1 - xi
    mixed = xi * rest
    square = xi.square()
    denominator = s + bend * mixed
    rise = h * (s * square + d0 * mixed) / denominator
    return rise, (s / denominator).square() * (d1 * square + 2 * s * mixed + d0 * rest.square())


class _Spline(UnivariateMap):
    """What the splines share: their bins and the split of the raw numbers."""

    def __init__(self, bins: int) -> None:
        if not 1 <= bins <= 1 / (2 * _LEAST_BIN):
            raise ConfigError(f"a spline takes 1 to {int(1 / (2 * _LEAST_BIN))} bins, got {bins}")
        self.bins = bins

    def _all_slopes(self, raw: Tensor) -> Tensor:
        """Slopes at all bins + 1 knots from the raw slopes."""
        raise NotImplementedError

    def _map(self, x: Tensor, raw: Tensor, low: float, high: float, inverse: bool) -> tuple[Tensor, Tensor]:
        sizes, slopes = raw[:, : 2 * self.bins], raw[:, 2 * self.bins :]
        return rational_quadratic(x, sizes, self._all_slopes(slopes), low, high, inverse=inverse)


class SplineMap(_Spline):
    """Rational-quadratic spline on [-bound, bound], the identity beyond, continuous slope throughout.

    >>> import torch
    >>> spline = SplineMap(bins=4, bound=3.0)
    >>> z, _ = spline.forward(torch.tensor([[0.5, 10.0]]), torch.randn(1, spline.n_parameters, 2))
    >>> z[0, 1].item()
    10.0
    """

    domain: Support = real

    def __init__(self, bins: int = 8, bound: float = 5.0) -> None:
        super().__init__(bins)
        self.bound = _checked(bound)
        self.n_parameters = 3 * bins - 1

    def _all_slopes(self, raw: Tensor) -> Tensor:
        inner = _slopes(raw)
        one = torch.ones_like(inner[:, :1]) if inner.shape[1] else torch.ones_like(raw.sum(1, keepdim=True))
        return torch.cat([one, inner, one], 1)

    def _both(self, x: Tensor, raw: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        other, log_slope = self._map(x, raw, -self.bound, self.bound, inverse)
        tail = x.abs() >= self.bound
        return other.where(~tail, x), log_slope.where(~tail, 0.0)

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return self._both(x, raw, inverse=False)

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return self._both(z, raw, inverse=True)


class PositiveSplineMap(_Spline):
    """Rational-quadratic spline on [0, bound] with a free slope at zero, the identity beyond: positive to positive.

    What has folded at zero meets no pole here, where a logarithm would have one.

    >>> import torch
    >>> spline = PositiveSplineMap(bins=4, bound=3.0)
    >>> z, _ = spline.forward(torch.tensor([[0.0, 10.0]]), torch.randn(1, spline.n_parameters, 2))
    >>> z.tolist()
    [[0.0, 10.0]]
    """

    domain: Support = positive

    def __init__(self, bins: int = 8, bound: float = 5.0) -> None:
        super().__init__(bins)
        self.bound = _checked(bound)
        self.n_parameters = 3 * bins

    def _all_slopes(self, raw: Tensor) -> Tensor:
        free = _slopes(raw)
        return torch.cat([free, torch.ones_like(free[:, :1])], 1)

    def _both(self, x: Tensor, raw: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        other, log_slope = self._map(x, raw, 0.0, self.bound, inverse)
        tail = x >= self.bound
        return other.clamp(min=0).where(~tail, x), log_slope.where(~tail, 0.0)

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return self._both(x, raw, inverse=False)

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return self._both(z, raw, inverse=True)


def _checked(bound: float) -> float:
    if not 0 < bound < math.inf:
        raise ConfigError(f"a spline's bound must be positive and finite, got {bound}")
    return bound


class IntervalSplineMap(_Spline):
    """Rational-quadratic spline of the interval [low, high] onto itself, with free slopes at its ends."""

    def __init__(self, bins: int = 8, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__(bins)
        self.domain = Interval(low, high)
        self.low, self.high = low, high
        self.n_parameters = 3 * bins + 1

    def _all_slopes(self, raw: Tensor) -> Tensor:
        return _slopes(raw)

    def _within(self, x: Tensor, raw: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        other, log_slope = self._map(x, raw, self.low, self.high, inverse)
        return other.clamp(self.low, self.high), log_slope  # rounding may go past the ends

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return self._within(x, raw, inverse=False)

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return self._within(z, raw, inverse=True)


def wrap(angle: Tensor) -> Tensor:
    """The same angle in [-pi, pi)."""
    return (angle + math.pi).remainder(2 * math.pi) - math.pi


class CircularSplineMap(_Spline):
    """Rational-quadratic spline of the circle, slope continuous across the seam, and then a rotation.

    Source: Rezende et al., "Normalizing Flows on Tori and Spheres", arXiv 2002.02428.
    """

    domain: Support = circle

    def __init__(self, bins: int = 8) -> None:
        super().__init__(bins)
        self.n_parameters = 3 * bins + 1

    def _all_slopes(self, raw: Tensor) -> Tensor:
        slopes = _slopes(raw)
        return torch.cat([slopes, slopes[:, :1]], 1)

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        z, log_slope = self._map(wrap(x), raw[:, :-1], -math.pi, math.pi, inverse=False)
        return wrap(z + raw[:, -1]), log_slope

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return self._map(wrap(z - raw[:, -1]), raw[:, :-1], -math.pi, math.pi, inverse=True)
