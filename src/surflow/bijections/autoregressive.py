"""Masked autoregressive layers, from coupling-cheap to fully autoregressive."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from surflow._internal.shapes import Shape, as_axes, sum_event
from surflow.bijections.univariate import AffineMap, UnivariateMap
from surflow.errors import ConfigError
from surflow.nets.masked import MaskedMLP
from surflow.transform import Transform


class Autoregressive(Transform):
    r"""Every coordinate's map is parametrised by the coordinates of earlier groups and the context.

    .. math:: z_i = f(x_i; \theta_i(x_{g < g_i}, c)), \qquad V = \sum_i \log f'(x_i; \theta_i)

    Forward is one pass of the network; inverse computes the same numbers in ``passes`` steps, one after the other. As
    many as coordinates (the default) make every coordinate see all before it; two make a coupling of halves.

    Args:
        event_shape: event shape; coordinates are taken in row-major order.
        context_shape: shape of the context, or None.
        map: the univariate map f; affine by default, ``SplineMap()`` for splines.
        hidden: widths of the hidden layers of the masked perceptron.
        passes: number of groups of coordinates, from 1 to the number of coordinates.

    Raises:
        ConfigError: if ``passes`` is out of range.

    Source: Papamakarios et al., "Masked Autoregressive Flow for Density Estimation", arXiv 1705.07057; Germain et al.,
    "MADE", arXiv 1502.03509.

    >>> import torch, surflow as sf
    >>> layer = sf.Autoregressive(3, map=sf.SplineMap())
    >>> x = torch.randn(5, 3)
    >>> torch.allclose(layer.inverse(layer(x)[0])[0], x, atol=1e-5)
    True
    """

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        map: UnivariateMap | None = None,
        hidden: Sequence[int] = (64, 64),
        passes: int | None = None,
    ) -> None:
        univariate = AffineMap() if map is None else map
        super().__init__(as_axes(self, event_shape), domain=univariate.domain, context_shape=context_shape)
        size = math.prod(self.in_shape)
        self.passes = size if passes is None else passes
        if not 1 <= self.passes <= size:
            raise ConfigError(f"passes must be from 1 to the number of coordinates, {size}, got {passes}")
        self.map = univariate
        groups = (torch.arange(size) * self.passes // size).tolist()
        self.context_size = 0 if self.context_shape is None else math.prod(self.context_shape)
        n, last = univariate.n_parameters, univariate.batch_last
        self.net = MaskedMLP(groups, n, self.context_size, hidden, batch_last=last)

    def _flat(self, context: Tensor | None) -> Tensor | None:
        return None if context is None else context.reshape(context.shape[0], self.context_size)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        z, log_slope = self.map.forward(flat, self.net(flat, self._flat(context)))
        return z.reshape(x.shape), sum_event(log_slope)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flat = z.flatten(1)
        log_slopes = []

        def find(group: slice, raw: Tensor) -> Tensor:
            found, log_slope = self.map.inverse(flat[:, group], raw)
            log_slopes.append(log_slope)
            return found

        x = self.net.invert(find, flat, self._flat(context))
        return x.reshape(z.shape), torch.cat(log_slopes, 1).sum(1)
