"""The synthetic sets by name, with their constants."""

from __future__ import annotations

import math
from collections.abc import Callable

from surflow.data.synthetic.base import Synthetic
from surflow.data.synthetic.curves import (
    MoonsData,
    RadialRings,
    SmileyData,
    SmoothedCircles,
    SmoothedPoints,
    SpiralData,
)
from surflow.data.synthetic.regions import GradientData, Rectangles, SplitLineData
from surflow.errors import ConfigError, unknown_name


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
    return Rectangles(name, boxes, list(range(len(boxes))))


def noisy_circle(noise: float, radius: float = 4.0) -> Synthetic:
    """A circle of uniform angle with normal noise in the plane; ``noise=0`` is the curve itself, without a density.

    Args:
        noise: standard deviation, in both directions.
        radius: of the circle about the origin.

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
    "corners": lambda: _corners("corners", gap=1.0, width=0.5, length=2.0),
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

    Args:
        name: one of ``synthetic_names()``.

    Raises:
        ConfigError: if there is no set of that name; the message has the nearest one.
    """
    if name not in _SETS:
        raise ConfigError(unknown_name("synthetic set", name, _SETS))
    if name not in _made:
        _made[name] = _SETS[name]()
    return _made[name]
