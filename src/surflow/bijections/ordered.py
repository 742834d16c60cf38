"""The map from the ordered cone to the real space: a first value and the logarithms of the gaps."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow._internal.shapes import Shape, as_shape
from surflow.errors import ShapeError
from surflow.supports import Ordered, real
from surflow.transform import Transform


class LogGaps(Transform):
    r"""Ascending values as their first value and the logarithms of their gaps, a bijection onto R^n.

    .. math:: z_1 = x_1, \quad z_i = \log(x_i - x_{i-1}), \qquad V = -\sum_{i \ge 2} z_i

    Ties count as gaps of half of the distance of floats there: what was rounded together lay no nearer, most likely.

    Args:
        event_shape: n for a vector, or (coordinates, n) for n points.
        by: the coordinate of points that ascends; only this row is changed. None for a vector.

    Raises:
        ShapeError: if points come without ``by``, or a vector with it.

    >>> import torch, surflow as sf
    >>> z, V = sf.LogGaps(3)(torch.tensor([[-1.0, 0.0, 3.0]]))
    >>> z, round(V.item(), 4)  # 0, log 3
    (tensor([[-1.0000,  0.0000,  1.0986]]), -1.0986)
    """

    def __init__(self, event_shape: int | Shape, *, by: int | None = None) -> None:
        event_shape = as_shape(event_shape)
        check_sortable(self, event_shape, by)
        super().__init__(event_shape, domain=Ordered(by), codomain=real)
        self.by = by

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        row = x if self.by is None else x[:, self.by]
        info = torch.finfo(x.dtype)
        # Distances of floats are more than eps / 2 of their size, so that only ties are changed.
        least = (info.eps / 2 * row[:, 1:].abs()).clamp(min=info.tiny)
        log_gaps = row.diff(dim=1).maximum(least).log()
        return self._put(x, torch.cat([row[:, :1], log_gaps], 1)), -log_gaps.sum(1)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        row = z if self.by is None else z[:, self.by]
        log_gaps = row[:, 1:]
        return self._put(z, torch.cat([row[:, :1], log_gaps.exp()], 1).cumsum(1)), -log_gaps.sum(1)

    def _put(self, x: Tensor, row: Tensor) -> Tensor:
        if self.by is None:
            return row
        return torch.cat([x[:, : self.by], row.unsqueeze(1), x[:, self.by + 1 :]], 1)

    def extra_repr(self) -> str:
        return super().extra_repr() if self.by is None else f"{super().extra_repr()}, by={self.by}"


def check_sortable(layer: Transform, shape: Shape, by: int | None) -> None:
    """Raise ShapeError unless ``shape`` is a vector without ``by``, or points with a coordinate ``by``."""
    name = type(layer).__name__
    if by is None and len(shape) != 1:
        raise ShapeError(
            f"{name} without by= expects a vector, got event shape {shape}: for points of shape (coordinates, points) "
            "say by which coordinate, by=0; other events need a Reshape first"
        )
    if by is not None and (len(shape) != 2 or not 0 <= by < shape[0]):
        raise ShapeError(
            f"{name} with by={by} expects points of shape (coordinates, points) and by from 0 to coordinates - 1, "
            f"got event shape {shape}"
        )
    if shape[-1] < 1:
        raise ShapeError(f"{name} expects at least one value, got event shape {shape}")
