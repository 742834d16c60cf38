"""Dequantisation, by which integers become continuous, and the cells of a grid that points lie in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow._internal.number_types import type_for
from surflow._internal.shapes import Shape, as_shape
from surflow.bijections.shape import RavelMultiIndex
from surflow.distribution import Distribution
from surflow.distributions.uniform import Uniform
from surflow.errors import BoundError, ConfigError, ShapeError
from surflow.pieces import check_piece
from surflow.supports import Integers, Interval, Ragged, unit_interval
from surflow.transform import Transform

# The arithmetic of cells, there and back, is off by less than three times the distance of floats at the box's far end.
_STEPS = 3


class Dequantize(Transform):
    r"""Adds noise in [0, 1) to integers 0, ..., levels - 1, a generative surjection.

    .. math:: z = x + u, \quad u \sim q(u \mid x, c), \qquad V = -\log q(u \mid x, c), \qquad x = \lfloor z \rfloor

    With uniform noise V = 0. The inverse never leaves the levels.

    Args:
        event_shape: event shape.
        levels: number of levels; 256 for bytes.
        noise: distribution on the unit interval, of exact density and the same event shape; uniform by default, a flow
            that begins with :class:`Logit` for variational dequantisation. Its context is x scaled to [-1, 1], or
            that joined with the flow's context.

    Raises:
        ShapeError: for noise of another shape or support.
        BoundError: for noise with only a bound.

    Source: Theis et al., "A note on the evaluation of generative models", arXiv 1511.01844; Ho et al., "Flow++",
    arXiv 1902.00275.

    >>> import torch, surflow as sf
    >>> flow = sf.Flow([sf.Dequantize(1, levels=256)], base=sf.Uniform(1, low=0, high=256))
    >>> flow.elbo(torch.tensor([[7]])).item() / torch.tensor(2.0).log().item()
    -8.0
    """

    random_forward = True

    def __init__(self, event_shape: int | Shape, *, levels: int, noise: Distribution | None = None) -> None:
        event_shape = as_shape(event_shape)
        noise = Uniform(event_shape) if noise is None else noise
        context_shape = check_piece(self, "noise", noise, event_shape, unit_interval, z_shape=event_shape)
        if not noise.exact:
            raise BoundError("Dequantize needs noise with an exact density: it is an encoder")
        super().__init__(
            event_shape,
            domain=Integers(levels),
            codomain=Interval(0, levels),
            context_shape=context_shape,
        )
        self.levels = levels
        self.noise = noise

    def _given(self, x: Tensor, context: Tensor | None) -> Tensor | None:
        if self.noise.context_shape is None:
            return None
        return self.noise._given(2 * x / max(self.levels - 1, 1) - 1, context)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        u, log_prob = self.noise._draw_for(x.shape[0], self._given(x, context))
        # Rounding must not carry x + u into the next level, nor onto the ends of [0, levels].
        eps = self._eps(x)
        return x + u.to(x.dtype).clamp(eps, 1 - self.levels * eps), -log_prob

    def _eps(self, x: Tensor) -> float:
        eps = torch.finfo(x.dtype).eps
        if self.levels * eps > 0.01:
            raise ConfigError(
                f"{x.dtype} cannot tell {self.levels} levels and noise between them apart: use a wider type"
            )
        return eps

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._generate(z, context)
        return x, -self.noise._elbo_of_choice(lambda: (z - x).clamp(0, 1), self._given(x, context), z)

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        self._eps(z)
        return z.floor().clamp_(0, self.levels - 1)


class RaggedCells(Transform):
    r"""The cells of a grid that points lie in, for sets of up to n points of which some are absent.

    .. math:: z_j = \sum_i \Big\lfloor L \frac{x_{ij} - a}{b - a} \Big\rfloor L^{C - 1 - i}, \qquad
        V = - \sum_{j\ \text{present}} C \log \frac{b - a}{L}, \qquad z_j = L^C \ \text{where no point is}

    On the way back a point is anywhere in its cell, uniformly, and coordinates of absent points are zero. The density
    is with respect to volume for points that are there: sets of different sizes have densities of different units.

    Args:
        event_shape: (C + 1, n): the coordinates of points, and a last row of ones where there is a point and zeros
            elsewhere.
        cells: L, along every coordinate.
        low, high: a and b.

    Raises:
        ShapeError: for another shape, or a grid of more cells than floats can number.
        ConfigError: when called with floats of which a cell holds less than four, far from zero.

    >>> import torch, surflow as sf
    >>> x = torch.tensor([[[0.5, 3.0, 0.0], [1.5, 3.0, 0.0], [1.0, 1.0, 0.0]]])  # two points of at most three
    >>> sf.RaggedCells((3, 3), cells=4, low=0.0, high=4.0)(x)[0]
    tensor([[ 1., 15., 16.]])
    """

    random_inverse = True

    def __init__(self, event_shape: Shape, *, cells: int, low: float, high: float) -> None:
        event_shape = as_shape(event_shape)
        if len(event_shape) != 2 or event_shape[0] < 2:
            raise ShapeError(
                f"RaggedCells expects points and a row that says which there are, shape (coordinates + 1, points), "
                f"got {event_shape}"
            )
        points = (event_shape[0] - 1, event_shape[1])
        number = RavelMultiIndex(points, levels=cells)  # says so if there are too many cells
        super().__init__(event_shape, points[1], domain=Ragged(low, high), codomain=Integers(cells ** points[0] + 1))
        self.number, self.cells, self.low, self.high = number, cells, low, high
        self.absent = float(cells ** points[0])
        self.log_volume = points[0] * math.log((high - low) / cells)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        points, there = x[:, :-1], x[:, -1] > 0.5
        self._spacing(x.dtype)
        number = self.number(self._cell(points))[0]
        number = number.to(type_for(number.dtype, self.codomain.largest))
        return number.where(there, self.absent), -self.log_volume * there.sum(1).to(x.dtype)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        there = z < self.absent
        spacing = self._spacing(z.dtype)
        cell, _ = self.number.inverse(z.clamp(max=self.absent - 1))
        share = (cell + torch.rand_like(cell)) / self.cells
        points = (self.low + (self.high - self.low) * share).clamp(self.low, self.high)
        # Rounding may have gone beyond the edge of the cell: as many steps back.
        for _ in range(_STEPS):
            points = points + spacing * (cell - self._cell(points)).sign()
        points = points * there.unsqueeze(1)
        return torch.cat([points, there.unsqueeze(1).to(z.dtype)], 1), -self.log_volume * there.sum(1).to(z.dtype)

    def _cell(self, points: Tensor) -> Tensor:
        share = (points - self.low) / (self.high - self.low)
        return (self.cells * share).floor().clamp(0, self.cells - 1)

    def _spacing(self, kind: torch.dtype) -> float:
        """The distance of floats at the far end of the box."""
        spacing, width = torch.finfo(kind).eps * max(-self.low, self.high), (self.high - self.low) / self.cells
        if 4 * spacing > width:
            raise ConfigError(
                f"{kind} cannot tell cells of width {width:g} apart between {self.low:g} and {self.high:g}: "
                "take points relative to a corner of the box, or use a wider type"
            )
        return spacing
