"""Point clouds drawn from images: every image is a distribution over its pixels, and points are drawn from it."""

from __future__ import annotations

import numpy as np

from surflow.errors import DataError

POINTS = 50
_AT_ONCE = 4096


def clouds(images: np.ndarray, points: int = POINTS, seed: int = 0) -> np.ndarray:
    """One cloud for each image, (n, height, width) to (n, 2, points), in units of pixels.

    A point is a pixel, drawn with replacement by its brightness, as (column, row), and uniform noise on
    [-1/2, 1/2) in both: a pixel is a unit square about its middle.

    Raises:
        DataError: for images that are black all over, or have negative pixels: they are no distributions.

    Source: Edwards and Storkey, "Towards a Neural Statistician", arXiv 1606.02185 (spatial MNIST).

    >>> image = np.zeros((1, 4, 5)); image[0, 2, 3] = 255
    >>> cloud = clouds(image)
    >>> cloud.shape, bool((abs(cloud[0, 0] - 3) <= 0.5).all()), bool((abs(cloud[0, 1] - 2) <= 0.5).all())
    ((1, 2, 50), True, True)
    """
    n, height, width = images.shape
    rng = np.random.default_rng(seed)
    made = np.empty((n, 2, points), np.float32)
    for start in range(0, n, _AT_ONCE):
        part = images[start : start + _AT_ONCE].reshape(-1, height * width).astype(np.float64)
        total = part.sum(1, keepdims=True)
        bad = int(((total[:, 0] <= 0) | (part.min(1, initial=0) < 0)).sum())
        if bad:
            raise DataError(f"{bad} images are black all over or have negative pixels: no point can be drawn of them")
        # One search in all rows at once: row i holds the numbers from i to i + 1.
        row = np.arange(len(part))[:, None]
        cumulative = (part.cumsum(1) / total).clip(max=1) + row
        drawn = np.searchsorted(cumulative.ravel(), rng.random((len(part), points)) + row, side="right")
        pixel = (drawn - row * height * width).clip(0, height * width - 1)
        position = np.stack([pixel % width, pixel // width], 1)
        # Rounded to single precision, a number must not reach the next pixel.
        end = np.nextafter((position + 0.5).astype(np.float32), np.float32(-np.inf))
        made[start : start + _AT_ONCE] = np.minimum(position + rng.random(position.shape) - 0.5, end)
    return made
