"""Dequantisation, by which integers become continuous, and the cells of a grid that points lie in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow.bijections.shape import Ravel
from surflow.distribution import Distribution, Shape, as_shape
from surflow.distributions.parametric import score
from surflow.distributions.uniform import Uniform
from surflow.errors import BoundError, ConfigError, ShapeError
from surflow.support import Integers, Interval, Ragged, unit_interval
from surflow.transform import Transform


class Dequantize(Transform):
    r"""Adds noise in [0, 1) to integers 0, ..., levels - 1, a generative surjection.

    .. math:: z = x + u, \quad u \sim q(u \mid x, c), \qquad V = -\log q(u \mid x, c), \qquad x = \lfloor z \rfloor

    With uniform noise V = 0. The inverse never leaves the levels.

    Args:
        shape: event shape.
        levels: number of levels; 256 for bytes.
        noise: distribution on the unit interval, of exact density and the same event shape; uniform by default, a flow
            that begins with :class:`Logit` for variational dequantisation. Its context is x scaled to [-1, 1], or
            that joined with the flow's context.

    Source: Theis et al., "A note on the evaluation of generative models", arXiv 1511.01844; Ho et al., "Flow++",
    arXiv 1902.00275.

    >>> import torch, surflow as sf
    >>> flow = sf.Flow([sf.Dequantize(1, 256)], base=sf.Uniform(1, 0, 256))
    >>> flow.elbo(torch.tensor([[7]])).item() / torch.tensor(2.0).log().item()
    -8.0
    """

    random_forward = True

    def __init__(self, shape: int | Shape, levels: int, noise: Distribution | None = None) -> None:
        shape = as_shape(shape)
        noise = Uniform(shape) if noise is None else noise
        if noise.event_shape != shape or noise.support != unit_interval:
            raise ShapeError(
                f"Dequantize expects noise of shape {shape} on {unit_interval!r}, "
                f"got {type(noise).__name__} of shape {noise.event_shape} on {noise.support!r}"
            )
        if not noise.exact:
            raise BoundError("Dequantize needs noise with an exact density: it is an encoder")
        super().__init__(
            shape,
            domain=Integers(levels),
            codomain=Interval(0, levels),
            context_shape=noise.context_beyond(shape),
        )
        self.levels = levels
        self.noise = noise

    def _given(self, x: Tensor, context: Tensor | None) -> Tensor | None:
        if self.noise.context_shape is None:
            return None
        return self.noise.given(2 * x / max(self.levels - 1, 1) - 1, context)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        u, log_prob = self.noise.draw(x.shape[0], self._given(x, context))
        # Rounding must not carry x + u into the next level, nor onto the ends of [0, levels].
        eps = torch.finfo(x.dtype).eps
        if self.levels * eps > 0.01:
            raise ConfigError(
                f"{x.dtype} cannot tell {self.levels} levels and noise between them apart: use a wider type"
            )
        return x + u.to(x.dtype).clamp(eps, 1 - self.levels * eps), -log_prob

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._generate(z, context)
        return x, -score(self.noise, lambda: (z - x).clamp(0, 1), self._given(x, context), z)

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        return z.floor().clamp_(0, self.levels - 1)


class RaggedCells(Transform):
    r"""The cells of a grid that points lie in, for sets of up to n points of which some are absent.

    .. math:: z_j = \sum_i \Big\lfloor L \frac{x_{ij} - a}{b - a} \Big\rfloor L^{C - 1 - i}, \qquad
        V = - \sum_{j\ \text{present}} C \log \frac{b - a}{L}, \qquad z_j = L^C \ \text{where no point is}

    On the way back a point is anywhere in its cell, uniformly, and coordinates of absent points are zero. The density
    is with respect to volume for points that are there: sets of different sizes have densities of different units.

    Args:
        shape: (C + 1, n): the coordinates of points, and a last row of ones where there is a point and zeros elsewhere.
        cells: L, along every coordinate.
        low, high: a and b.

    Raises:
        ShapeError: for another shape, or a grid of more cells than floats can number.

    >>> import torch, surflow as sf
    >>> x = torch.tensor([[[0.5, 3.0, 0.0], [1.5, 3.0, 0.0], [1.0, 1.0, 0.0]]])  # two points of at most three
    >>> sf.RaggedCells((3, 3), 4, 0.0, 4.0)(x)[0]
    tensor([[ 1., 15., 16.]])
    """

    random_inverse = True

    def __init__(self, shape: Shape, cells: int, low: float, high: float) -> None:
        shape = as_shape(shape)
        if len(shape) != 2 or shape[0] < 2:
            raise ShapeError(
                f"RaggedCells expects points and a row that says which there are, shape (coordinates + 1, points), "
                f"got {shape}"
            )
        points = (shape[0] - 1, shape[1])
        number = Ravel(points, cells)  # says so if there are too many cells
        super().__init__(shape, points[1], domain=Ragged(low, high), codomain=Integers(cells ** points[0] + 1))
        self.number, self.cells, self.low, self.high = number, cells, low, high
        self.absent = float(cells ** points[0])
        self.log_volume = points[0] * math.log((high - low) / cells)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        points, there = x[:, :-1], x[:, -1] > 0.5
        share = (points - self.low) / (self.high - self.low)
        cell = (self.cells * share).floor().clamp(0, self.cells - 1)
        return self.number(cell)[0].where(there, self.absent), -self.log_volume * there.sum(1).to(x.dtype)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        there = z < self.absent
        cell, _ = self.number.inverse(z.clamp(max=self.absent - 1))
        eps = torch.finfo(z.dtype).eps
        share = (cell + torch.rand_like(cell).clamp(eps, 1 - self.cells * eps)) / self.cells
        points = (self.low + (self.high - self.low) * share) * there.unsqueeze(1)
        return torch.cat([points, there.unsqueeze(1).to(z.dtype)], 1), -self.log_volume * there.sum(1).to(z.dtype)
