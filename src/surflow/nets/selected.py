"""Selected: some numbers of an observation, those of many orders of magnitude on a scale of logarithms."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from surflow._internal.configurable import Configurable
from surflow._internal.number_types import KeepsTypes
from surflow._internal.shapes import Shape, as_shape, flat
from surflow.errors import ConfigError, ShapeError
from surflow.nets.summary import Summary

# The least and the largest of a number, but for so many of the training observations, and how far apart they are if
# its logarithm is what matters.
_TAIL, _FAR = 0.005, 100.0
# Observations that are looked at.
_ROWS = 100_000
# Blocks that have a correlation.
_FEWEST = 3
# Relative to the squares of the numbers, where rounding is all that is left of a variance.
_LEAST = 1e-10


def width_with(size: int, blocks: Sequence[Sequence[int]]) -> int:
    """How many numbers the network of :class:`Selected` is given of so many that are kept, with blocks.

    >>> width_with(9, [[0, 1], [2, 3], [4, 5], [6, 7]])
    6
    """
    length = len(blocks[0])
    return size - len(blocks) * length + length * (length + 3) // 2


class Selected(Configurable, KeepsTypes):
    r"""A network behind some numbers of an observation.

    .. math:: s(x) = f(t_j(x_j), \; j \in K), \qquad t_j(x) = x \quad\text{or}\quad \operatorname{asinh}(x / u_j)

    The inverse hyperbolic sine, which is a logarithm of what is large and takes zero, too, is for numbers that are
    never negative and range over more than two orders of magnitude, such as counts; u is about the least of them
    above zero. ``fit`` finds out which these are, before training.

    Args:
        shape: shape of one observation.
        net: f, of vectors as long as ``keep``.
        keep: K, positions in row-major order; None for all.
        blocks: of these, blocks that may stand in any order, such as points that were drawn alike, as lists of places
            in ``keep``. The network is given, after all other numbers, the means over the blocks, the logarithms of
            their standard deviations, and the inverse hyperbolic tangents of their correlations.

    Shapes: (batch, *shape) to (batch, features).

    Raises:
        ConfigError: for positions that there are not, fewer than three blocks, or blocks of different lengths.
        ShapeError: for a network that takes another number of them.

    >>> import torch
    >>> net = Selected(3, Summary(2), keep=[0, 2])
    >>> net.initialize(torch.tensor([[0.0, 5.0, 1.0], [2.0, 5.0, 1.0]]))
    >>> net(torch.tensor([[2.0, 7.0, 1.0]]))
    tensor([[1., 0.]])
    """

    kept: ClassVar[tuple[str, ...]] = ("unit",)
    any_precision = True

    index: Tensor
    others: Tensor
    places: Tensor
    unit: Tensor
    fitted: Tensor

    def __init__(
        self,
        shape: int | Shape,
        net: Summary,
        keep: Sequence[int] | None = None,
        blocks: Sequence[Sequence[int]] | None = None,
    ) -> None:
        super().__init__()
        self.in_shape = as_shape(shape)
        size = math.prod(self.in_shape)
        chosen = list(range(size)) if keep is None else list(keep)
        if len(set(chosen)) < len(chosen) or not all(0 <= j < size for j in chosen):
            raise ConfigError(f"keep expects different positions from 0 to {size - 1}, got {chosen}")
        places = [place for block in blocks or () for place in block]
        if len(set(places)) < len(places) or not all(0 <= place < len(chosen) for place in places):
            raise ConfigError(f"blocks expects different places from 0 to {len(chosen) - 1}, got {blocks}")
        if blocks is not None and (len(blocks) < _FEWEST or len({len(block) for block in blocks}) > 1):
            raise ConfigError(f"blocks expects {_FEWEST} or more of one length, got {blocks}")
        width = len(chosen) if blocks is None else width_with(len(chosen), blocks)
        if net.in_shape != (width,):
            raise ShapeError(f"Selected has {width} numbers for its network, which takes shape {net.in_shape}")
        self.net = net
        self.out_shape = net.out_shape
        self.register_buffer("index", torch.tensor(chosen, dtype=torch.long), persistent=False)
        others = [place for place in range(len(chosen)) if place not in places]
        self.register_buffer("others", torch.tensor(others, dtype=torch.long), persistent=False)
        self.register_buffer("places", torch.tensor([list(b) for b in blocks or ()]).long(), persistent=False)
        self.register_buffer("unit", torch.zeros(len(chosen), dtype=torch.float64))
        self.register_buffer("fitted", torch.tensor(False))

    @torch.no_grad()
    def initialize(self, x: Tensor, *, weight: Tensor | None = None) -> None:
        """Choose the scales from observations, once; those of weight zero are none."""
        some = flat(x)[:, self.index]
        if not self.fitted and len(some):
            shown = (some if weight is None else some[weight > 0])[:_ROWS].double()
            for j, column in enumerate(shown.T):
                above = column[column > 0]
                if len(above) and column.min() >= 0:
                    low, high = above.quantile(_TAIL), above.quantile(1 - _TAIL)
                    self.unit[j] = low if high > _FAR * low else 0.0
            self.fitted.fill_(True)
        self.net.initialize(self._scaled(some), weight=weight)

    def _scaled(self, chosen: Tensor) -> Tensor:
        large = self.unit > 0
        unit = torch.where(large, self.unit, 1.0)
        scaled = torch.where(large, (chosen / unit).asinh().to(chosen.dtype), chosen)
        if not len(self.places):
            return scaled
        return torch.cat([scaled[:, self.others], _statistics(scaled[:, self.places])], 1)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, *shape) to (batch, features)."""
        return self.net(self._scaled(flat(x)[:, self.index]))


def _statistics(points: Tensor) -> Tensor:
    """Of (batch, blocks, r): means, log-standard deviations, and correlations, which end in (batch, r (r + 3) / 2)."""
    wide = points.double()
    mean = wide.mean(1)
    apart = wide - mean.unsqueeze(1)
    covariance = apart.transpose(1, 2) @ apart / points.shape[1]
    variance = covariance.diagonal(dim1=1, dim2=2) + _LEAST * (wide.square().mean(1) + 1e-30)
    sd = variance.sqrt()
    row, column = torch.tril_indices(points.shape[2], points.shape[2], -1, device=points.device)
    correlation = (covariance / (sd.unsqueeze(1) * sd.unsqueeze(2)))[:, row, column].clamp(-1, 1)
    return torch.cat([mean, sd.log(), (correlation * (1 - 1e-6)).atanh()], 1).to(points.dtype)
