"""Shifts and scales fitted to the data before training: standardisation, actnorm."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surflow._internal.shapes import Shape, as_axes
from surflow.errors import DataError
from surflow.transform import Transform


class _ShiftScale(Transform):
    """z = (x - shift) exp(-log_scale), with ``shift`` and ``log_scale`` set by ``initialize`` once."""

    shift: Tensor
    log_scale: Tensor
    fitted: Tensor

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        if self.fitted or x.shape[0] == 0:
            return
        mean, std = self._statistics(x)
        if not (mean.isfinite().all() and std.isfinite().all()):
            raise DataError(f"{type(self).__name__} is fitted to finite data, got NaN or infinite values")
        # A constant coordinate, or a single row, tells nothing about a scale.
        log_scale = std.log().where(std > 1e-6 * mean.abs().clamp(min=1e-12), 0.0)
        with torch.no_grad():
            self.shift.copy_(mean)
            self.log_scale.copy_(log_scale)
            self.fitted.fill_(True)

    def _contribution(self, x: Tensor) -> Tensor:
        positions = x[0].numel() // self.log_scale.numel() if x.shape[0] else 1
        return (-positions * self.log_scale.sum()).expand(x.shape[0])

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return (x - self.shift) * (-self.log_scale).exp(), self._contribution(x)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.shift + z * self.log_scale.exp(), self._contribution(z)


class Standardize(_ShiftScale):
    r"""Every coordinate minus its mean, over its standard deviation, both taken from the training data by ``fit``.

    .. math:: z = (x - m) / s, \qquad V = -\sum_i \log s_i

    The numbers are not trained. Constant coordinates keep their scale.

    Args:
        event_shape: event shape.
        center: subtract the mean; without it m is 0 and s the root of the mean square, and zero, about which data may
            be symmetric, stays where it is. A constant coordinate that is not zero is then scaled to 1.

    >>> import torch, surflow as sf
    >>> layer = sf.Standardize(2)
    >>> x = torch.randn(1000, 2) * 7 + 3
    >>> layer.initialize(x)
    >>> round(layer(x)[0].std().item(), 3)
    1.0
    """

    def __init__(self, event_shape: int | Shape, *, center: bool = True) -> None:
        super().__init__(event_shape)
        self.center = center
        self.register_buffer("shift", torch.zeros(self.in_shape))
        self.register_buffer("log_scale", torch.zeros(self.in_shape))
        self.register_buffer("fitted", torch.tensor(False))

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = x.mean(0) if self.center else torch.zeros_like(x[0])
        return mean, (x - mean).square().mean(0).sqrt()


class ActNorm(_ShiftScale):
    r"""A learned shift and scale per entry of the first event axis, starting from the first data it sees.

    .. math:: z_c = (x_c - b_c) e^{-s_c}, \qquad V = -n_{\text{positions}} \sum_c s_c

    Args:
        event_shape: shape of one event; entries of the first axis have each a shift and a scale.

    Source: Kingma and Dhariwal, "Glow", arXiv 1807.03039.

    >>> import torch, surflow as sf
    >>> tuple(sf.ActNorm((3, 4, 4))(torch.zeros(2, 3, 4, 4))[1].shape)
    (2,)
    """

    def __init__(self, event_shape: int | Shape) -> None:
        super().__init__(as_axes(self, event_shape))
        parameters = (self.in_shape[0], *[1] * (len(self.in_shape) - 1))
        self.shift = nn.Parameter(torch.zeros(parameters))
        self.log_scale = nn.Parameter(torch.zeros(parameters))
        self.register_buffer("fitted", torch.tensor(False))

    def _statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        values = x.transpose(0, 1).flatten(1)
        shape = self.shift.shape
        return values.mean(1).reshape(shape), values.std(1, correction=0).reshape(shape)
