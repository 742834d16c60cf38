"""Synthetic distributions along points, rings and curves, with noise: closed forms, and quadrature along a curve."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from surflow.data.synthetic.base import LOG_2PI, Synthetic
from surflow.errors import ConfigError


class SmoothedPoints(Synthetic):
    r"""A mixture of normals of one sigma, one label for each centre.

    .. math:: p(x, c) = \tfrac1k N(x; m_c, \sigma^2 I)
    """

    centres: Tensor

    def __init__(self, name: str, centres: Sequence[Sequence[float]], sigma: float) -> None:
        super().__init__(name, [1 / len(centres)] * len(centres))
        self._constant("centres", centres)
        self.sigma = sigma

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        labels = self._pick(n)
        return self.centres[labels] + self.sigma * self._normal(n, 2), labels

    def _log_joint(self, x: Tensor) -> Tensor:
        return _normal_at(x, self.centres, self.sigma) + self.priors.to(x).log()

    def _exact_entropy_given_label(self) -> float:
        return LOG_2PI + 1 + 2 * math.log(self.sigma)


def _normal_at(x: Tensor, centres: Tensor, sigma: float) -> Tensor:
    """log N(x; centre, sigma^2 I) for all pairs, shape (rows of x, centres)."""
    # One coordinate after the other: half the memory of a (rows, centres, 2) tensor, and twice as fast.
    first, second = ((x[:, None, i] - centres[:, i].to(x)).square() for i in (0, 1))
    return (first + second) * (-0.5 / sigma**2) - (LOG_2PI + 2 * math.log(sigma))


def _polar(radius: Tensor | float, angle: Tensor) -> Tensor:
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)


class RadialRings(Synthetic):
    r"""Rings of one radius R around several centres: the angle uniform, the radius R plus sigma times normal noise.

    .. math:: p(x, c) = \frac{N(r; R, \sigma^2) + N(-r; R, \sigma^2)}{2 \pi r k}, \qquad r = |x - m_c|

    The second term are radii below zero, which come out on the other side of the centre.
    """

    centres: Tensor

    def __init__(self, name: str, centres: Sequence[Sequence[float]], radius: float, sigma: float) -> None:
        super().__init__(name, [1 / len(centres)] * len(centres))
        self._constant("centres", centres)
        self.radius, self.sigma = radius, sigma

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        labels = self._pick(n)
        radius = self.radius + self.sigma * self._normal(n)
        return self.centres[labels] + _polar(radius, 2 * math.pi * self._uniform(n)), labels

    def _log_joint(self, x: Tensor) -> Tensor:
        r = (x[:, None] - self.centres.to(x)).norm(dim=2)
        near, far = ((r - self.radius) / self.sigma).square(), ((r + self.radius) / self.sigma).square()
        radial = torch.logaddexp(-0.5 * near, -0.5 * far) - 0.5 * LOG_2PI - math.log(self.sigma)
        # At the very centre the density is infinite, without mass; a cap keeps pictures and sums finite.
        return radial - LOG_2PI - r.clamp(min=1e-30).log() + self.priors.to(x).log()


class SmoothedCircles(Synthetic):
    r"""Circles of radius R around several centres, a label each, with normal noise in the plane.

    .. math:: p(x, c) = \frac1{2 \pi \sigma^2 k} e^{-(r^2 + R^2) / 2 \sigma^2} I_0(r R / \sigma^2)

    for the distance r from the centre and the modified Bessel function I_0. Without noise there is no density.
    A single circle has no labels.
    """

    centres: Tensor

    def __init__(self, name: str, centres: Sequence[Sequence[float]], radius: float, noise: float) -> None:
        if noise < 0 or radius <= 0:
            raise ConfigError(f"a circle needs a positive radius and noise >= 0, got radius={radius}, noise={noise}")
        super().__init__(name, [1 / len(centres)] * len(centres) if len(centres) > 1 else None)
        self._constant("centres", centres)
        self.radius, self.noise = radius, noise
        self.has_density = noise > 0

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        labels = self._pick(n)
        x = self.centres[labels] + _polar(self.radius, 2 * math.pi * self._uniform(n))
        return (x + self.noise * self._normal(n, 2) if self.noise else x), labels

    def _log_joint(self, x: Tensor) -> Tensor:
        return _smoothed_circle(x, self.centres, self.radius, self.noise) + self.priors.to(x).log()


def _smoothed_circle(x: Tensor, centres: Tensor, radius: float, sigma: float) -> Tensor:
    """log-density of uniform circles with normal noise, shape (rows of x, centres)."""
    r = (x[:, None] - centres.to(x)).norm(dim=2)
    bessel = torch.special.i0e(r * (radius / sigma**2)).log()
    return bessel - 0.5 * ((r - radius) / sigma).square() - LOG_2PI - 2 * math.log(sigma)


class SmoothedCurves(Synthetic):
    r"""Curves with normal noise, a label each and equally probable; the density by Gauss-Legendre quadrature.

    .. math:: p(x, c) = \tfrac1k \int_0^1 N(x; \gamma_c(u), \sigma^2 I)\, w(u)\, du

    A subclass gives ``_curve(u)``, the first curve, for u uniform, and ``_copies(points)``, its copies, all moved.

    Args:
        nodes: quadrature nodes a curve; their distance must stay below sigma for the sum to be exact to rounding.
        power: the nodes lie evenly in s, and u = s ** power; 2 makes a curve in sqrt(u) smooth.
    """

    points: Tensor
    weights: Tensor

    def __init__(self, name: str, sigma: float, nodes: int, *, power: int = 1, copies: int = 2) -> None:
        super().__init__(name, [1 / copies] * copies)
        self.sigma = sigma
        s, weights = gauss_legendre(nodes)
        self._constant("points", self._copies(self._curve(s**power)))
        self._constant("weights", weights * power * s ** (power - 1))
        self._nodes = nodes * copies

    def _curve(self, u: Tensor) -> Tensor:
        """(n,) to (n, 2)."""
        raise NotImplementedError

    def _copies(self, points: Tensor) -> Tensor:
        """(n, 2) to (copies, n, 2)."""
        raise NotImplementedError

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        labels = self._pick(n)
        x = self._copies(self._curve(self._uniform(n)))[labels, torch.arange(n, device=labels.device)]
        return x + self.sigma * self._normal(n, 2), labels

    def _log_joint(self, x: Tensor) -> Tensor:
        return _smoothed_curves(x, self.points, self.weights, self.sigma) + self.priors.to(x).log()


def gauss_legendre(nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre quadrature on [0, 1], in float64."""
    x, w = np.polynomial.legendre.leggauss(nodes)
    return torch.from_numpy((x + 1) / 2), torch.from_numpy(w / 2)


def _smoothed_curves(x: Tensor, points: Tensor, weights: Tensor, sigma: float) -> Tensor:
    """log of the sum over nodes of weight times N(x; node, sigma^2 I), shape (rows of x, curves)."""
    curves, nodes, _ = points.shape
    each = _normal_at(x, points.reshape(-1, 2), sigma).reshape(-1, curves, nodes)
    greatest = each.amax(2, keepdim=True)
    # A logsumexp with a floor: nodes far away add nothing, but exp is ten times slower where it underflows.
    near = (each - greatest).clamp(min=-80).exp()
    return (near @ weights.to(x)).log() + greatest[:, :, 0]


class SpiralData(SmoothedCurves):
    """Two arms of a spiral, a half-turn apart: angle 3 pi sqrt(u), radius 5 sqrt(u), noise 0.1."""

    def __init__(self) -> None:
        super().__init__("spiral", sigma=0.1, nodes=512, power=2)

    def _curve(self, u: Tensor) -> Tensor:
        return _polar(5 * u.sqrt(), 3 * math.pi * u.sqrt())

    def _copies(self, points: Tensor) -> Tensor:
        return torch.stack([points, -points])


class MoonsData(SmoothedCurves):
    """Two half-circles of radius 1 that reach into each other, uniform angle, noise 0.1."""

    def __init__(self) -> None:
        super().__init__("moons", sigma=0.1, nodes=64)

    def _curve(self, u: Tensor) -> Tensor:
        return _polar(1.0, math.pi * u)

    def _copies(self, points: Tensor) -> Tensor:
        return torch.stack([points, points.new_tensor([1.0, 0.5]) - points])


class SmileyData(Synthetic):
    """A mouth (label 0, 70 %), an arc with noise 0.05, and two eyes (1, 2), circles of radius 0.1 with noise 0.03."""

    eyes: Tensor
    nodes: Tensor
    weights: Tensor

    def __init__(self) -> None:
        super().__init__("smiley", [0.7, 0.15, 0.15])
        self._constant("eyes", [[-0.25, -0.25], [0.25, -0.25]])
        u, weights = gauss_legendre(80)
        self._constant("nodes", self._mouth(u)[None])
        self._constant("weights", weights)
        self._nodes = 80

    def _mouth(self, u: Tensor) -> Tensor:
        return _polar(1.0, math.pi * (6 + 3 * u) / 5)

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        labels = self._pick(n)
        u, noise = self._uniform(n), self._normal(n, 2)
        mouth = self._mouth(u) + 0.05 * noise
        eye = self.eyes[(labels - 1).clamp(min=0)] + _polar(0.1, 2 * math.pi * u) + 0.03 * noise
        return mouth.where((labels == 0)[:, None], eye), labels

    def _log_joint(self, x: Tensor) -> Tensor:
        mouth = _smoothed_curves(x, self.nodes, self.weights, 0.05)
        eyes = _smoothed_circle(x, self.eyes, 0.1, 0.03)
        return torch.cat([mouth, eyes], 1) + self.priors.to(x).log()
