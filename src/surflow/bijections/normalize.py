"""Shifts and scales fitted to the data before training: standardisation, actnorm."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surflow._internal.numbers import resolution
from surflow._internal.shapes import Shape, as_axes, flat
from surflow._internal.standardizer import Standardizer
from surflow.transform import Transform


class Standardize(Transform):
    r"""Every coordinate minus its mean, over its standard deviation, both taken from the training data by ``fit``.

    .. math:: z = (x - m) / s, \qquad V = -\sum_i \log s_i

    The numbers are not trained. They are kept and used in double precision whatever the type of the networks, so that
    data of any size, and far from zero, are right; z is of the type that ``flow.to`` sets, and draws of float64 data
    are float64. Constant coordinates, those with one value in all rows, keep their scale.

    Where the standard deviation is more than five times that of the same values clipped to their quantiles of 2.5 and
    97.5 percent, few values make it: an outlier, or heavy tails. There, and ``robust`` says where, m and s are mean and
    standard deviation of the clipped values, and :math:`u = (x - m) / s` beyond t = 4 is compressed:

    .. math:: z = \mathrm{sign}(u)\, t\, (1 + \log(|u| / t)), \qquad V = -\log s - \log(|u| / t).

    Args:
        event_shape: event shape.
        center: subtract the mean; without it m is 0 and s the root of the mean square, and zero, about which data may
            be symmetric, stays where it is. A constant coordinate that is not zero is then scaled to 1.

    Attributes:
        shift, log_scale: m and log s, float64.
        robust: for which coordinates they are the robust ones.

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
        self.standardizer = Standardizer(self.in_shape, center=center)

    @property
    def shift(self) -> Tensor:
        return self.standardizer.shift

    @property
    def log_scale(self) -> Tensor:
        return self.standardizer.log_scale

    @property
    def robust(self) -> Tensor:
        return self.standardizer.robust

    @property
    def _any_precision(self) -> bool:
        return True

    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        self.standardizer.fit(x, weight, type(self).__name__)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.standardizer(x)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self.standardizer.invert(z)


class ActNorm(Transform):
    r"""A shift and a scale per entry of the first event axis: from the first data it sees, then learned.

    .. math:: z_c = (u_c - b_c) e^{-a_c}, \quad u_c = (x_c - m_c) / s_c, \qquad V = -n \sum_c (\log s_c + a_c)

    at n positions. m and s, over rows and positions, are those of :class:`Standardize`, with its compression where they
    are the robust ones, and like there kept in double precision; b and a are learned, from 0. A step of learning is so
    of the same effect whatever the unit of x.

    Args:
        event_shape: shape of one event; entries of the first axis have each a shift and a scale.

    Attributes:
        shift, log_scale: b and a.
        robust: for which entries m and s are the robust ones.

    Source: Kingma and Dhariwal, "Glow", arXiv 1807.03039.

    >>> import torch, surflow as sf
    >>> tuple(sf.ActNorm((3, 4, 4))(torch.zeros(2, 3, 4, 4))[1].shape)
    (2,)
    """

    def __init__(self, event_shape: int | Shape) -> None:
        super().__init__(as_axes(self, event_shape))
        parameters = (self.in_shape[0], *[1] * (len(self.in_shape) - 1))
        self.positions = math.prod(self.in_shape[1:])
        self.shift = nn.Parameter(torch.zeros(parameters))
        self.log_scale = nn.Parameter(torch.zeros(parameters))
        self.standardizer = Standardizer(parameters)

    @property
    def robust(self) -> Tensor:
        return self.standardizer.robust

    @property
    def _any_precision(self) -> bool:
        return True

    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        if weight is not None:
            weight = weight.repeat_interleave(self.positions)
        self.standardizer.fit(x.movedim(1, -1).reshape(-1, x.shape[1]), weight, type(self).__name__)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        u, V = self.standardizer(x)
        return (u - self.shift) * (-self.log_scale).exp(), V - self.positions * self.log_scale.sum()

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, V = self.standardizer.invert(self.shift + z * self.log_scale.exp())
        return x, V - self.positions * self.log_scale.sum()


class Jitter(Transform):
    r"""The identity; in training, numbers that were rounded are spread over the cells of their grid.

    .. math:: z = x + r\,(u - \tfrac12), \quad u \sim U(0, 1), \qquad V = 0

    in training mode with gradients, as in ``fit``, and z = x otherwise. r, of each coordinate, is how far apart numbers
    are that repeat, taken from the data by ``fit``, and 0 where hardly one does. Without it the density of a flow of
    numbers that repeat has no limit, and grows with the time of training; with it the density of a number is about its
    probability over r.

    Args:
        event_shape: event shape.

    Attributes:
        width: r.

    >>> import torch, surflow as sf
    >>> layer = sf.Jitter(1)
    >>> layer.initialize(torch.randint(3, (100, 1)).float())
    >>> layer.width
    tensor([1.])
    """

    width: Tensor

    def __init__(self, event_shape: int | Shape) -> None:
        super().__init__(event_shape)
        self.register_buffer("width", torch.zeros(self.in_shape))

    @property
    def _any_precision(self) -> bool:
        return True

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        if len(x) and not self.width.any():
            self.width.copy_(resolution(flat(x if weight is None else x[weight > 0])).reshape(self.in_shape))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.training and torch.is_grad_enabled():
            x = x + self.width * (torch.rand_like(x) - 0.5)
        return x, x.new_zeros(x.shape[0])

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z, z.new_zeros(z.shape[0])
