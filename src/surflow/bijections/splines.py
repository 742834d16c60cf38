"""Rational-quadratic splines: with linear tails, from zero on, on an interval, on the circle."""

from __future__ import annotations

import math

from torch import Tensor

from surflow.bijections.rational_quadratic import LEAST_BIN, Grid, rational_quadratic
from surflow.bijections.univariate import UnivariateMap
from surflow.errors import ConfigError
from surflow.supports import Interval, Support, circle, positive, real


class _Spline(UnivariateMap):
    """What the splines share: a grid, which says how many raw numbers there are."""

    batch_last = True

    def __init__(self, grid: Grid) -> None:
        if not 1 <= grid.bins <= 1 / (2 * LEAST_BIN):
            raise ConfigError(f"a spline takes 1 to {int(1 / (2 * LEAST_BIN))} bins, got {grid.bins}")
        self.bins = grid.bins
        self.grid = grid
        self.n_parameters = grid.n_parameters

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic(x, raw, self.grid, inverse=False)

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic(z, raw, self.grid, inverse=True)


class SplineMap(_Spline):
    """Rational-quadratic spline on [-bound, bound], the identity beyond, continuous slope throughout.

    Args:
        bins: pieces of the spline.
        bound: half the width of the interval about zero on which the map is not the identity.

    Raises:
        ConfigError: for no bins or too many, or a bound that is not positive and finite.

    >>> import torch
    >>> spline = SplineMap(bins=4, bound=3.0)
    >>> z, _ = spline.forward(torch.tensor([[0.5, 10.0]]), torch.randn(1, spline.n_parameters, 2))
    >>> z[0, 1].item()
    10.0
    """

    domain: Support = real

    def __init__(self, bins: int = 8, *, bound: float = 5.0) -> None:
        self.bound = _checked(bound)
        super().__init__(Grid(bins, -bound, bound, fixed=(1, 1), tails=True))


class PositiveSplineMap(_Spline):
    """Rational-quadratic spline on [0, bound] with a free slope at zero, the identity beyond: positive to positive.

    What has folded at zero meets no pole here, where a logarithm would have one.

    Args:
        bins: pieces of the spline.
        bound: end of the interval from zero on which the map is not the identity.

    Raises:
        ConfigError: for no bins or too many, or a bound that is not positive and finite.

    >>> import torch
    >>> spline = PositiveSplineMap(bins=4, bound=3.0)
    >>> z, _ = spline.forward(torch.tensor([[0.0, 10.0]]), torch.randn(1, spline.n_parameters, 2))
    >>> z.tolist()
    [[0.0, 10.0]]
    """

    domain: Support = positive

    def __init__(self, bins: int = 8, *, bound: float = 5.0) -> None:
        self.bound = _checked(bound)
        super().__init__(Grid(bins, 0.0, bound, fixed=(0, 1), tails=True))


def _checked(bound: float) -> float:
    if not 0 < bound < math.inf:
        raise ConfigError(f"a spline's bound must be positive and finite, got {bound}")
    return bound


class IntervalSplineMap(_Spline):
    """Rational-quadratic spline of the interval [low, high] onto itself, with free slopes at its ends.

    Args:
        bins: pieces of the spline.
        low, high: ends of the interval, 0 and 1 by default.

    Raises:
        ConfigError: for no bins or too many.
        SupportError: unless low < high, both finite.

    >>> import torch
    >>> spline = IntervalSplineMap(bins=4, low=-1.0)
    >>> z, _ = spline.forward(torch.tensor([[-1.0, 1.0]]), torch.randn(1, spline.n_parameters, 2))
    >>> torch.allclose(z, torch.tensor([[-1.0, 1.0]]))
    True
    """

    def __init__(self, bins: int = 8, *, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__(Grid(bins, low, high))
        self.domain = Interval(low, high)
        self.low, self.high = low, high

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        z, log_slope = super().forward(x.clamp(self.low, self.high), raw)
        return z.clamp(self.low, self.high), log_slope  # rounding may go past the ends

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        x, log_slope = super().inverse(z.clamp(self.low, self.high), raw)
        return x.clamp(self.low, self.high), log_slope


def wrap(angle: Tensor) -> Tensor:
    """The same angle in [-pi, pi)."""
    return (angle + math.pi).remainder(2 * math.pi) - math.pi


class CircularSplineMap(_Spline):
    """Rational-quadratic spline of the circle, slope continuous across the seam, and then a rotation.

    Args:
        bins: pieces of the spline.

    Raises:
        ConfigError: for no bins or too many.

    Source: Rezende et al., "Normalizing Flows on Tori and Spheres", arXiv 2002.02428.

    >>> import torch
    >>> spline = CircularSplineMap(bins=4)
    >>> z, _ = spline.forward(torch.tensor([[-3.0, 3.0]]), torch.randn(1, spline.n_parameters, 2))
    >>> bool((z.abs() <= math.pi + 1e-6).all())
    True
    """

    domain: Support = circle

    def __init__(self, bins: int = 8) -> None:
        super().__init__(Grid(bins, -math.pi, math.pi, periodic=True))
        self.n_parameters += 1  # the rotation

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        z, log_slope = super().forward(wrap(x), raw[:, :-1])
        return wrap(z + wrap(raw[:, -1])), log_slope

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return super().inverse(wrap(z - wrap(raw[:, -1])), raw[:, :-1])
