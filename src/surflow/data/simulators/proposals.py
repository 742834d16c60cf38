"""What posteriors are proposed from: histograms, truncated normals, and t-distributions at modes."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

# Steps of the search for a mode, how far one may go, and the degrees of freedom of the t-distributions.
_SEARCH, _FARTHEST = 25, 0.5
_DEGREES = 7.0

# Log-density, up to a constant, of points (rows, size); its gradient; and its precision, (rows, size, size).
Expansion = tuple[Tensor, Tensor, Tensor]


class Cells:
    """The cells of a box, all of one size: draws of a density that is known at their middles.

    Attributes:
        middle: of each cell, shape (cells, axes).
    """

    def __init__(self, low: Tensor, high: Tensor, cells: tuple[int, ...]) -> None:
        self.low, self.cells = low, cells
        self.width = (high - low) / low.new_tensor(cells)
        axes = [a + w * (torch.arange(n) + 0.5) for a, w, n in zip(low, self.width, cells, strict=True)]
        self.middle = torch.cartesian_prod(*axes)

    def sample(self, log_density: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        """Points, uniform within cells that are drawn by their density, shape (draws, axes), and their log-density."""
        log_cells = log_density.log_softmax(0)
        cell = torch.multinomial(log_cells.exp(), draws, replacement=True)
        position = torch.stack(torch.unravel_index(cell, self.cells), 1)
        point = self.low + self.width * (position + torch.rand(draws, len(self.cells), dtype=self.low.dtype))
        return point, log_cells[cell] - self.width.log().sum()


def log_share(loc: Tensor, scale: Tensor, half: float) -> Tensor:
    """Log of what of N(loc, scale^2) lies within [-half, half]."""
    below, above = _shares(loc, scale, half)
    return (above - below).clamp(min=torch.finfo(scale.dtype).tiny).log()


def truncated(loc: Tensor, scale: Tensor, half: float) -> tuple[Tensor, Tensor]:
    """Draws of N(loc, scale^2) within [-half, half], of the shape that both make, and their log-density."""
    loc, scale = torch.broadcast_tensors(loc, scale)
    below, above = _shares(loc, scale, half)
    info = torch.finfo(scale.dtype)
    z = torch.special.ndtri((below + (above - below) * torch.rand_like(scale)).clamp(info.tiny, 1 - info.eps))
    value = (loc.abs() + scale * z).clamp(-half, half)
    log_density = -0.5 * z.square() - (scale * math.sqrt(2 * math.pi)).log() - log_share(loc, scale, half)
    return value * torch.where(loc < 0, -1, 1), log_density


def _shares(loc: Tensor, scale: Tensor, half: float) -> tuple[Tensor, Tensor]:
    """What of N(|loc|, scale^2) lies below -half and below half: by symmetry the side where nothing cancels."""
    return torch.special.ndtr((-half - loc.abs()) / scale), torch.special.ndtr((half - loc.abs()) / scale)


def climb(expand: Callable[[Tensor], Expansion], u: Tensor) -> Expansion:
    """Modes of a density, from starts u of shape (rows, size), by damped Newton steps: (mode, precision, log-density).

    Args:
        expand: the density about points.
        u: where to start.
    """
    damping = u.new_full((len(u), 1, 1), 1e-3)
    eye = torch.eye(u.shape[1], dtype=u.dtype)
    value, gradient, precision = expand(u)
    for _ in range(_SEARCH):
        step = torch.linalg.solve(precision * (1 + damping * eye), gradient.unsqueeze(2)).squeeze(2)
        step = step.clamp(-_FARTHEST, _FARTHEST)
        moved = expand(u + step)
        better = (moved[0] > value)[:, None]
        u = (u + step).where(better, u)
        value = moved[0].where(better[:, 0], value)
        gradient = moved[1].where(better, gradient)
        precision = moved[2].where(better[:, :, None], precision)
        damping = (damping * torch.where(better[:, :, None], 0.2, 5.0)).clamp(1e-9, 1e6)
    return u, precision, value


def at_modes(mode: Tensor, precision: Tensor, log_density: Tensor, draws: int) -> tuple[Tensor, Tensor]:
    """Draws of a mixture of t-distributions, one at each mode, which weighs as much as a normal there would.

    Args:
        mode: shape (modes, rows, size).
        precision: shape (modes, rows, size, size).
        log_density: at the modes, up to one constant for each row, shape (modes, rows).
        draws: how many of each row.

    Returns:
        draws, shape (draws, rows, size), and their log-density, shape (draws, rows).
    """
    _, rows, size = mode.shape
    factor = torch.linalg.cholesky(precision)
    log_scale = factor.diagonal(dim1=2, dim2=3).log().sum(2)
    log_weights = (log_density - log_scale).log_softmax(0)
    chosen = torch.multinomial(log_weights.exp().T, draws, replacement=True).T
    chosen = chosen[None, :, :, None].expand(1, -1, -1, size)
    normal = torch.randn(draws, rows, size, dtype=mode.dtype)
    chi2 = torch.distributions.Chi2(torch.tensor(_DEGREES, dtype=mode.dtype)).sample((draws, rows))
    standard = normal * (_DEGREES / chi2).sqrt().unsqueeze(2)
    inverse = torch.linalg.solve_triangular(factor, torch.eye(size, dtype=mode.dtype), upper=False)
    u = (mode.unsqueeze(1) + torch.einsum("mrji,drj->mdri", inverse, standard)).gather(0, chosen).squeeze(0)
    square = torch.einsum("mrji,mdrj->mdri", factor, u - mode.unsqueeze(1)).square().sum(3)
    log_t = log_scale.unsqueeze(1) - (_DEGREES + size) / 2 * (square / _DEGREES).log1p()
    constant = math.lgamma((_DEGREES + size) / 2) - math.lgamma(_DEGREES / 2) - size / 2 * math.log(_DEGREES * math.pi)
    return u, (log_weights.unsqueeze(1) + log_t).logsumexp(0) + constant


def slopes(function: Callable[[Tensor], Tensor], u: Tensor, step: float = 1e-4) -> tuple[Tensor, Tensor, Tensor]:
    """A function of rows by central differences: its values there, its slopes and its second ones along each axis.

    Args:
        function: of points (n, size), n numbers, or vectors of them.
        u: points, shape (rows, size).
        step: how far apart.

    Returns:
        (rows, ...), (size, rows, ...) and (size, rows, ...).
    """
    size = u.shape[1]
    shift = step * torch.eye(size, dtype=u.dtype)
    points = torch.cat([u[None], u + shift[:, None], u - shift[:, None]])
    values = function(points.flatten(0, 1)).unflatten(0, points.shape[:2])
    value, up, down = values[0], values[1 : 1 + size], values[1 + size :]
    return value, (up - down) / (2 * step), (up - 2 * value + down) / step**2
