"""Uniform distributions: on a box and on the circle."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow._internal.shapes import Shape
from surflow.distribution import Distribution
from surflow.supports import Interval, Support, circle


class _Uniform(Distribution):
    """The same density everywhere on a bounded coordinatewise support."""

    dtype_of: Tensor

    def __init__(self, event_shape: int | Shape, low: float, high: float, support: Support) -> None:
        super().__init__(event_shape, support=support)
        self.low, self.high = low, high
        self._log_density = -math.log(high - low) * math.prod(self.event_shape)
        self.register_buffer("dtype_of", torch.zeros(()), persistent=False)

    @property
    def _uniform_log_prob(self) -> float | None:
        return self._log_density

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        log_density = x.new_full((x.shape[0],), self._log_density)
        return log_density.where(self.support.contains(x), -math.inf)

    def _elbo_of(self, event: Tensor, given: Tensor | None) -> Tensor:
        return event.new_full((event.shape[0],), self._log_density)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self.dtype_of.new_empty((n, *self.event_shape)).uniform_(self.low, self.high)
        return x, self._elbo_of(x, context)


class Uniform(_Uniform):
    r"""Uniform on the box from ``low`` to ``high`` in every coordinate; log p = -D log(high - low) inside.

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        low, high: ends of the interval in every coordinate, 0 and 1 by default.

    Raises:
        SupportError: unless low < high, both finite.

    >>> import torch, surflow as sf
    >>> sf.Uniform(2, low=0, high=4).log_prob(torch.tensor([[1.0, 1.0], [5.0, 1.0]])).exp()
    tensor([0.0625, 0.0000])
    """

    def __init__(self, event_shape: int | Shape, *, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__(event_shape, low, high, Interval(low, high))


class UniformCircle(_Uniform):
    r"""Uniform over angles, the base of flows on circles and tori; log p = -D log 2 pi.

    Args:
        event_shape: shape of one event, angles in radians from -pi to pi.

    >>> import torch, surflow as sf
    >>> round(sf.UniformCircle(1).log_prob(torch.zeros(1, 1)).exp().item(), 4)
    0.1592
    """

    def __init__(self, event_shape: int | Shape) -> None:
        super().__init__(event_shape, -math.pi, math.pi, circle)
