"""The synthetic sets by name: unions of rectangles, noisy points and curves, rings, a split Gaussian, gradients."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from surflow.data.synthetic import Synthetic
from surflow.errors import ConfigError, unknown_name

_LOG_2PI = math.log(2 * math.pi)


class Rectangles(Synthetic):
    """A mixture of uniform laws on rectangles, closed, all of the same probability; they may overlap.

    Args:
        name: what the set is called.
        boxes: rectangles as (left, bottom, right, top).
        labels: the label of each.
    """

    boxes: Tensor
    labels: Tensor
    member: Tensor

    def __init__(self, name: str, boxes: Sequence[Sequence[float]], labels: Sequence[int]) -> None:
        classes = max(labels) + 1
        super().__init__(name, [labels.count(c) / len(labels) for c in range(classes)])
        self._constant("boxes", boxes)
        self.register_buffer("labels", torch.tensor(labels), persistent=False)
        self._constant("member", (torch.tensor(labels)[:, None] == torch.arange(classes)).float())

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        box = torch.randint(len(self.boxes), (n,), device=self.boxes.device)
        low, high = self.boxes[box, :2], self.boxes[box, 2:]
        return torch.lerp(low, high, self._uniform(n, 2)), self.labels[box]

    def _joint_density(self, x: Tensor) -> Tensor:
        boxes = self.boxes.to(x)
        low, high = boxes[:, :2], boxes[:, 2:]
        inside = ((x[:, None] >= low) & (x[:, None] <= high)).all(2).to(x.dtype)
        density = 1 / ((high - low).prod(1) * len(boxes))
        return (inside * density) @ self.member.to(x)

    def _log_joint(self, x: Tensor) -> Tensor:
        return self._joint_density(x).log()

    def _cells(self) -> tuple[Tensor, Tensor]:
        """The joint density (cells, classes) on the grid of all edges, where it is constant, and the cells' areas."""
        boxes = self.boxes.double()
        xs, ys = boxes[:, ::2].unique(), boxes[:, 1::2].unique()
        middles = torch.cartesian_prod((xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2)
        return self._joint_density(middles), torch.cartesian_prod(xs.diff(), ys.diff()).prod(1)

    def _exact_entropy(self) -> float:
        density, area = self._cells()
        p = density.sum(1)
        return -(torch.xlogy(p, p) * area).sum().item()

    def _exact_entropy_given_label(self) -> float:
        density, area = self._cells()
        given = density / self.priors.double()
        return -(torch.xlogy(density, given).sum(1) * area).sum().item() + 0.0  # no negative zero


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
        return _LOG_2PI + 1 + 2 * math.log(self.sigma)


def _normal_at(x: Tensor, centres: Tensor, sigma: float) -> Tensor:
    """log N(x; centre, sigma^2 I) for all pairs, shape (rows of x, centres)."""
    # One coordinate after the other: half the memory of a (rows, centres, 2) tensor, and twice as fast.
    first, second = ((x[:, None, i] - centres[:, i].to(x)).square() for i in (0, 1))
    return (first + second) * (-0.5 / sigma**2) - (_LOG_2PI + 2 * math.log(sigma))


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
        radial = torch.logaddexp(-0.5 * near, -0.5 * far) - 0.5 * _LOG_2PI - math.log(self.sigma)
        return radial - _LOG_2PI - r.log() + self.priors.to(x).log()


class SmoothedCircles(Synthetic):
    r"""Circles of radius R around several centres, a label each, with normal noise in the plane.

    .. math:: p(x, c) = \frac1{2 \pi \sigma^2 k} \exp\Big(-\frac{(r - R)^2}{2 \sigma^2}\Big)\, e^{-r R / \sigma^2} I_0(r R / \sigma^2)

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
    return bessel - 0.5 * ((r - radius) / sigma).square() - _LOG_2PI - 2 * math.log(sigma)


class SmoothedCurves(Synthetic):
    r"""Curves with normal noise, a label each and equally probable; the density by Gauss-Legendre quadrature.

    .. math:: p(x, c) = \tfrac1k \int_0^1 N(x; \gamma_c(u), \sigma^2 I)\, w(u)\, du

    A subclass gives ``_curve(u)``, the first curve, for u uniform, and ``_place(points)``, its copies in all places.

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
        self._constant("points", self._place(self._curve(s**power)))
        self._constant("weights", weights * power * s ** (power - 1))
        self._nodes = nodes * copies

    def _curve(self, u: Tensor) -> Tensor:
        """(n,) to (n, 2)."""
        raise NotImplementedError

    def _place(self, points: Tensor) -> Tensor:
        """(n, 2) to (copies, n, 2)."""
        raise NotImplementedError

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        labels = self._pick(n)
        x = self._place(self._curve(self._uniform(n)))[labels, torch.arange(n, device=labels.device)]
        return x + self.sigma * self._normal(n, 2), labels

    def _log_joint(self, x: Tensor) -> Tensor:
        return _smoothed_curves(x, self.points, self.weights, self.sigma) + self.priors.to(x).log()


def gauss_legendre(nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights of Gauss-Legendre quadrature on [0, 1], in float64."""
    import numpy as np

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

    def _place(self, points: Tensor) -> Tensor:
        return torch.stack([points, -points])


class MoonsData(SmoothedCurves):
    """Two half-circles of radius 1 that reach into each other, uniform angle, noise 0.1."""

    def __init__(self) -> None:
        super().__init__("moons", sigma=0.1, nodes=64)

    def _curve(self, u: Tensor) -> Tensor:
        return _polar(1.0, math.pi * u)

    def _place(self, points: Tensor) -> Tensor:
        return torch.stack([points, points.new_tensor([1.0, 0.5]) - points])


class SmileyData(Synthetic):
    """A mouth (label 0, 70 %): an arc with noise 0.05; two eyes (labels 1, 2): circles of radius 0.1 with noise 0.03."""

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


class SplitLineData(Synthetic):
    """A thin Gaussian along the diagonal whose right half, label 1, is moved up by 1 and whose left half is moved down."""

    # The covariance [[.7107, .7036], [.7036, .7107]]. Four digits leave the thin direction uncertain by one part in a
    # hundred; the determinant 0.01 is the one that belongs to the known entropy 0.5353.
    _LONG, _DETERMINANT = 1.4143, 0.01

    def __init__(self) -> None:
        super().__init__("split_line", [0.5, 0.5])
        self.scales = math.sqrt(self._LONG), math.sqrt(self._DETERMINANT / self._LONG)

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        along, across = self._normal(2, n)
        along, across = along * self.scales[0] / math.sqrt(2), across * self.scales[1] / math.sqrt(2)
        x, y = along + across, along - across
        labels = (x >= 0).long()
        return torch.stack([x, y + 2 * labels - 1], 1), labels

    def _log_joint(self, x: Tensor) -> Tensor:
        right = x[:, 0] >= 0
        first, second = x[:, 0], x[:, 1] - (2 * right.to(x.dtype) - 1)
        along, across = (first + second) / math.sqrt(2), (first - second) / math.sqrt(2)
        exponent = (along / self.scales[0]).square() + (across / self.scales[1]).square()
        log_prob = -0.5 * exponent - _LOG_2PI - 0.5 * math.log(self._DETERMINANT)
        sides = torch.stack([~right, right], 1)
        return log_prob[:, None].where(sides, -math.inf)

    def _exact_entropy(self) -> float:
        return _LOG_2PI + 1 + 0.5 * math.log(self._DETERMINANT)

    def _exact_entropy_given_label(self) -> float:
        return self._exact_entropy() - math.log(2)  # the label is a fair coin and a function of x


class GradientData(Synthetic):
    r"""Two independent powers of uniform variables on the unit square; the label tells y >= 1/2.

    .. math:: p(x, y) = a x^{a - 1}\, b y^{b - 1}, \qquad H = \sum_{a, b} \frac{a - 1}{a} - \log a
    """

    def __init__(self, name: str, a: float, b: float) -> None:
        low = 0.5**b
        super().__init__(name, [low, 1 - low])
        self.a, self.b = a, b

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        x = torch.stack([self._uniform(n) ** (1 / self.a), self._uniform(n) ** (1 / self.b)], 1)
        return x, (x[:, 1] >= 0.5).long()

    def _log_joint(self, x: Tensor) -> Tensor:
        powers = x.new_tensor([self.a, self.b])
        inside = ((x >= 0) & (x <= 1)).all(1)
        log_prob = (torch.xlogy(powers - 1, x.clamp(0, 1)) + powers.log()).sum(1)
        log_prob = log_prob.where(inside, -math.inf)
        upper = x[:, 1] >= 0.5
        return log_prob[:, None].where(torch.stack([~upper, upper], 1), -math.inf)

    def _exact_entropy(self) -> float:
        return sum((p - 1) / p - math.log(p) for p in (self.a, self.b))

    def _exact_entropy_given_label(self) -> float:
        low = 0.5**self.b
        return self._exact_entropy() + low * math.log(low) + (1 - low) * math.log1p(-low)


# -- the sets by name --------------------------------------------------------------------------------


def _on_circle(k: int, radius: float = 1.0, turn: float = 0.0) -> list[tuple[float, float]]:
    angles = [2 * math.pi * (i + turn) / k for i in range(k)]
    return [(radius * math.cos(a), radius * math.sin(a)) for a in angles]


_QUADRANTS = [(1, 1), (-1, 1), (-1, -1), (1, -1)]


def _corners(name: str, gap: float, width: float, length: float) -> Synthetic:
    """An L in every quadrant: a flat and an upright bar that share the corner nearest to the origin."""
    boxes, labels = [], []
    for label, (right, up) in enumerate(_QUADRANTS):
        for w, h in ((length, width), (width, length)):
            xs, ys = sorted((right * gap, right * (gap + w))), sorted((up * gap, up * (gap + h)))
            boxes.append((xs[0], ys[0], xs[1], ys[1]))
            labels.append(label)
    return Rectangles(name, boxes, labels)


def _checkerboard(name: str, tile: float) -> Synthetic:
    """Eight of the sixteen tiles around the origin, numbered by rows from the lower left."""
    corners = [(i, j) for j in range(-2, 2) for i in range(-2, 2) if (i + j) % 2 == 0]
    boxes = [(tile * i, tile * j, tile * (i + 1), tile * (j + 1)) for i, j in corners]
    return Rectangles(name, boxes, range(len(boxes)))


def noisy_circle(noise: float, radius: float = 4.0) -> Synthetic:
    """A circle of uniform angle with normal noise in the plane; ``noise=0`` is the curve itself, without a density.

    Raises:
        ConfigError: if the noise is negative or the radius not positive.

    >>> value, error = noisy_circle(0.1).entropy(samples=10_000)
    >>> thin = math.log(2 * math.pi * 4) + 0.5 * math.log(2 * math.pi * math.e * 0.1**2)
    >>> abs(value - thin) < 5 * error + 0.01
    True
    """
    name = "circle" if noise == 0 and radius == 4.0 else f"circle (radius {radius:g}, noise {noise:g})"
    return SmoothedCircles(name, [(0.0, 0.0)], radius, noise)


_SETS: dict[str, Callable[[], Synthetic]] = {
    "ngon": lambda: SmoothedPoints("ngon", _on_circle(8), 0.1),
    "corners": lambda: _corners("corners", gap=0.5, width=0.5, length=2.0),
    "circles": lambda: RadialRings("circles", _on_circle(4), radius=1.25, sigma=0.03125),
    "checkerboard": lambda: _checkerboard("checkerboard", 1.0),
    "spiral": SpiralData,
    "moons": MoonsData,
    "split_line": SplitLineData,
    "gradient": lambda: GradientData("gradient", 1.0, 2.0),
    "gradient_cool": lambda: GradientData("gradient_cool", 2.4, 1.4),
    "smiley": SmileyData,
    "circle": lambda: noisy_circle(0.0),
    # The four of Nielsen et al., "SurVAE Flows", arXiv 2007.02731; 1.414 is their square root of two.
    "toy_eight_gaussians": lambda: SmoothedPoints(
        "toy_eight_gaussians", _on_circle(8, radius=4 / 1.414, turn=0.5), 0.5 / 1.414
    ),
    "toy_four_circles": lambda: SmoothedCircles("toy_four_circles", _QUADRANTS, radius=2.0, noise=0.1),
    "toy_corners": lambda: _corners("toy_corners", gap=1.0, width=1.0, length=3.0),
    "toy_checkerboard": lambda: _checkerboard("toy_checkerboard", 2.0),
}
_made: dict[str, Synthetic] = {}


def synthetic_names() -> list[str]:
    """Names of the synthetic sets.

    >>> synthetic_names()[:4]
    ['ngon', 'corners', 'circles', 'checkerboard']
    """
    return list(_SETS)


def synthetic_set(name: str) -> Synthetic:
    """The synthetic set of that name; one object for each name.

    Raises:
        ConfigError: if there is no set of that name; the message has the nearest one.
    """
    if name not in _SETS:
        raise ConfigError(unknown_name("synthetic set", name, _SETS))
    if name not in _made:
        _made[name] = _SETS[name]()
    return _made[name]
