"""Elementwise maps without parameters, between the real line, the positive half-line and intervals."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from surflow._internal.shapes import Shape, sum_event
from surflow.supports import Interval, positive
from surflow.transform import Inverse, Transform


def _at_least_tiny(x: Tensor) -> Tensor:
    """Keep logarithms of floats that touch zero, a boundary of measure zero, finite."""
    return x.clamp(min=torch.finfo(x.dtype).tiny)


class Exp(Transform):
    r"""z = exp(x), from the real line to the positive half-line; :math:`V = \sum_i x_i`.

    Args:
        event_shape: shape of one event; a number n stands for (n,).

    >>> import torch, surflow as sf
    >>> sf.Exp(1)(torch.zeros(1, 1))
    (tensor([[1.]]), tensor([0.]))
    """

    def __init__(self, event_shape: int | Shape) -> None:
        super().__init__(event_shape, codomain=positive)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return x.exp(), sum_event(x)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = _at_least_tiny(z).log()
        return x, sum_event(x)


class Log(Inverse):
    r"""z = log x, from the positive half-line to the real line; :math:`V = -\sum_i z_i`. The inverse of :class:`Exp`.

    Args:
        event_shape: shape of one event; a number n stands for (n,).

    >>> import torch, surflow as sf
    >>> sf.Log(1)(torch.ones(1, 1))[0]
    tensor([[0.]])
    """

    def __init__(self, event_shape: int | Shape) -> None:
        super().__init__(Exp(event_shape))


class Softplus(Transform):
    r"""z = log(1 + exp x), from the real line to the positive half-line; :math:`V = \sum_i \log \sigma(x_i)`.

    Args:
        event_shape: shape of one event; a number n stands for (n,).

    >>> import torch, surflow as sf
    >>> round(sf.Softplus(1)(torch.zeros(1, 1))[0].item(), 4)
    0.6931
    """

    def __init__(self, event_shape: int | Shape) -> None:
        super().__init__(event_shape, codomain=positive)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return -F.logsigmoid(-x), sum_event(F.logsigmoid(x))

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = _at_least_tiny(z)
        log_slope = (-torch.expm1(-z)).log()
        return z + log_slope, sum_event(log_slope)


class Sigmoid(Transform):
    r"""z = low + (high - low) sigmoid(x), from the real line to an interval.

    .. math:: V = \sum_i \log(\mathrm{high} - \mathrm{low}) + \log \sigma(x_i) + \log \sigma(-x_i)

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        low, high: ends of the interval, 0 and 1 by default.

    Raises:
        SupportError: unless low < high, both finite.

    >>> import torch, surflow as sf
    >>> sf.Sigmoid(1, low=0.0, high=256.0)(torch.zeros(1, 1))[0].item()
    128.0
    """

    def __init__(self, event_shape: int | Shape, *, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__(event_shape, codomain=Interval(low, high))
        self.low, self.high, self.width = low, high, high - low

    def _contribution(self, x: Tensor) -> Tensor:
        return sum_event(F.logsigmoid(x) + F.logsigmoid(-x) + math.log(self.width))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = self.low + self.width * x.sigmoid()
        return z.clamp(self.low, self.high), self._contribution(x)  # rounding may go past the ends

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        info = torch.finfo(z.dtype)
        share = ((z - self.low) / self.width).clamp(info.tiny, 1 - info.eps)
        x = share.log() - torch.log1p(-share)
        return x, self._contribution(x)


class Logit(Inverse):
    r"""The log-odds of (x - low) / (high - low), from an interval to the real line. The inverse of :class:`Sigmoid`.

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        low, high: ends of the interval, 0 and 1 by default.

    Raises:
        SupportError: unless low < high, both finite.

    >>> import torch, surflow as sf
    >>> sf.Logit(1)(torch.full((1, 1), 0.5))[0]
    tensor([[0.]])
    """

    def __init__(self, event_shape: int | Shape, *, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__(Sigmoid(event_shape, low=low, high=high))


class Tanh(Transform):
    r"""z = tanh(x), from the real line to (-1, 1).

    .. math:: V = \sum_i \log(1 - z_i^2) = \sum_i 2 (\log 2 + \log \sigma(2 x_i) - x_i)

    Args:
        event_shape: shape of one event; a number n stands for (n,).

    >>> import torch, surflow as sf
    >>> sf.Tanh(1)(torch.full((1, 1), 100.0))[1].item() < -190
    True
    """

    def __init__(self, event_shape: int | Shape) -> None:
        super().__init__(event_shape, codomain=Interval(-1.0, 1.0))

    def _contribution(self, x: Tensor) -> Tensor:
        # Even in x; taken at -|x|, where nothing cancels.
        x = x.abs()
        return sum_event(2 * (math.log(2) - x + F.logsigmoid(2 * x)))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return x.tanh(), self._contribution(x)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        most = 1 - torch.finfo(z.dtype).eps
        x = z.clamp(-most, most).atanh()
        return x, self._contribution(x)


class Rescale(Transform):
    r"""An interval stretched and moved onto another one, from [a, b] to [c, d].

    .. math:: z = c + (x - a) \frac{d - c}{b - a}, \qquad V = D \log \frac{d - c}{b - a}

    Args:
        event_shape: event shape, of D coordinates.
        start, end: (a, b) and (c, d).

    >>> import torch, surflow as sf
    >>> sf.Rescale(1, start=(-0.5, 27.5), end=(0.0, 28.0))(torch.zeros(1, 1))[0]
    tensor([[0.5000]])
    """

    def __init__(self, event_shape: int | Shape, *, start: tuple[float, float], end: tuple[float, float]) -> None:
        super().__init__(event_shape, domain=Interval(*start), codomain=Interval(*end))
        self.start, self.end = tuple(start), tuple(end)
        self.factor = (end[1] - end[0]) / (start[1] - start[0])
        self.contribution = math.prod(self.in_shape) * math.log(self.factor)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = self.end[0] + (x - self.start[0]) * self.factor
        # Rounding may go past the ends.
        return z.clamp(*self.end), x.new_full((x.shape[0],), self.contribution)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self.start[0] + (z - self.end[0]) / self.factor
        return x.clamp(*self.start), z.new_full((z.shape[0],), self.contribution)
