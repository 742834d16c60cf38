"""Monotone maps of one number with parameters from outside; layers differ only in where the parameters come from."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.configurable import Configurable
from surflow._internal.shapes import Shape, as_raw, sum_event
from surflow.errors import ConfigError
from surflow.nets.mlp import MLP
from surflow.supports import Support, real
from surflow.transform import Path, Transform


class UnivariateMap(Configurable):
    """An increasing map of ``domain`` onto itself with ``n_parameters`` unconstrained numbers; zeros give the identity.

    ``forward(x, raw)`` and ``inverse(z, raw)`` take x of shape (batch, *event) and raw of shape
    (batch or 1, n_parameters, *event), and return the other side and log dz/dx, elementwise.
    :class:`Coupling`, :class:`MaskedCoupling`, :class:`Autoregressive` and :class:`Elementwise` are written for any
    such map.

    >>> class Shift(UnivariateMap):
    ...     n_parameters = 1
    ...     def forward(self, x, raw):
    ...         return x + raw[:, 0], torch.zeros_like(x)
    ...     def inverse(self, z, raw):
    ...         return z - raw[:, 0], torch.zeros_like(z)
    >>> Elementwise(2, map=Shift())(torch.ones(1, 2))[0].tolist()
    [[1.0, 1.0]]
    """

    n_parameters: int
    domain: Support = real
    # Whether the map is computed faster from raw numbers that lie in memory with the batch last.
    batch_last: bool = False

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        raise NotImplementedError


class AffineMap(UnivariateMap):
    r"""z = exp(s) x + t with the log-scale limited, :math:`s = l \tanh(\mathrm{raw}/l)`; log dz/dx = s.

    Args:
        limit: l, the largest absolute value of the log-scale, which raw numbers approach as they grow.

    Raises:
        ConfigError: for a limit that is not positive and finite.

    >>> import torch
    >>> z, log_slope = AffineMap().forward(torch.ones(1, 1), torch.zeros(1, 2, 1))
    >>> z.item(), log_slope.item()
    (1.0, 0.0)
    """

    n_parameters = 2

    def __init__(self, limit: float = 1.0) -> None:
        if not 0 < limit < math.inf:
            raise ConfigError(f"the limit of the log-scale must be positive and finite, got {limit}")
        self.limit = limit

    def _shift_and_log_scale(self, raw: Tensor) -> tuple[Tensor, Tensor]:
        shift, s = raw.unbind(1)  # one node of the graph, where two indexings would be four
        return shift, s.tanh() if self.limit == 1 else self.limit * (s / self.limit).tanh()

    def forward(self, x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        shift, s = self._shift_and_log_scale(raw)
        return torch.addcmul(shift, s.exp(), x), _spread(s, x)

    def inverse(self, z: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        shift, s = self._shift_and_log_scale(raw)
        return (z - shift) * (-s).exp(), _spread(s, z)


def _spread(s: Tensor, x: Tensor) -> Tensor:
    return s if s.shape == x.shape else s.expand_as(x)


class Elementwise(Transform):
    r"""A univariate map of every coordinate by itself, its parameters learned or given by the context.

    .. math:: z_i = f(x_i; \theta_i), \qquad V = \sum_i \log f'(x_i; \theta_i)

    Args:
        event_shape: event shape.
        context_shape: with it, a network of the context gives the parameters.
        map: the univariate map; affine by default.
        hidden: widths of the hidden layers of the default perceptron.
        net: instead of the perceptron, a network from the context, (batch, *context_shape), to (batch, n_parameters of
            the map, *event_shape), or as many numbers in that order; learned ones are added to what it puts out.

    Raises:
        ConfigError: for a net without a context.
        ShapeError: at the first call, for a network of another output.

    >>> import torch, surflow as sf
    >>> z, V = sf.Elementwise(2)(torch.ones(1, 2))
    >>> z.tolist(), V.item()
    ([[1.0, 1.0]], 0.0)
    """

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        map: UnivariateMap | None = None,
        hidden: Sequence[int] = (64, 64),
        net: nn.Module | None = None,
    ) -> None:
        univariate = AffineMap() if map is None else map
        super().__init__(event_shape, domain=univariate.domain, context_shape=context_shape)
        self.map = univariate
        self.raw_shape = (self.map.n_parameters, *self.in_shape)
        self.raw = nn.Parameter(torch.zeros(self.raw_shape))
        if net is not None and self.context_shape is None:
            raise ConfigError("Elementwise got a net but no context_shape for its input")
        if net is None and self.context_shape is not None:
            net = MLP(self.context_shape, self.raw_shape, hidden, zero_init=True)
        self.net = net

    def _path(self, *, inverse: bool) -> Path:
        return Path()  # no coordinate is a number for another one, so that angles may jump

    def _raw(self, context: Tensor | None) -> Tensor:
        raw = self.raw.unsqueeze(0)
        if self.net is None:
            return raw
        assert context is not None  # for the type checker: its shape has been checked
        return raw + as_raw(self, self.net(context), context.shape[0], self.raw_shape)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, log_slope = self.map.forward(x, self._raw(context))
        return z, sum_event(log_slope)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, log_slope = self.map.inverse(z, self._raw(context))
        return x, sum_event(log_slope)
