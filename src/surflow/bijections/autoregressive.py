"""Masked autoregressive layers, from coupling-cheap to fully autoregressive."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.shapes import Shape, as_axes, sum_event
from surflow.bijections.univariate import AffineMap, UnivariateMap
from surflow.errors import ConfigError
from surflow.nets.autoregressive import AutoregressiveNet, checked
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
        hidden: widths of the hidden layers of the default masked perceptron.
        passes: number of groups of coordinates, from 1 to the number of coordinates.
        net: instead of the perceptron, an :class:`AutoregressiveNet` of the flattened event, such as
            :class:`MaskedMLP`, with the parameters of the map; its groups are those of the layer.

    Raises:
        ConfigError: if ``passes`` is out of range, or given beside a net, or if the net promises no order.
        ShapeError: for a net of other numbers of coordinates, parameters or the context; at the first call, for one of
            another output than it promised.

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
        net: nn.Module | None = None,
    ) -> None:
        univariate = AffineMap() if map is None else map
        super().__init__(as_axes(self, event_shape), domain=univariate.domain, context_shape=context_shape)
        self.map = univariate
        size, n = math.prod(self.in_shape), univariate.n_parameters
        self.net = self._default(hidden, passes) if net is None else checked(self, net, n, size, self.context_shape)
        if net is not None and passes is not None:
            raise ConfigError(
                f"Autoregressive takes its groups from the net: expected no passes beside it, got {passes}"
            )
        self.passes = len(self.net.ends) - 1

    def _default(self, hidden: Sequence[int], passes: int | None) -> AutoregressiveNet:
        size = math.prod(self.in_shape)
        passes = size if passes is None else passes
        if not 1 <= passes <= size:
            raise ConfigError(f"passes must be from 1 to the number of coordinates, {size}, got {passes}")
        groups = (torch.arange(size) * passes // size).tolist()
        n, batch_last = self.map.n_parameters, self.map.batch_last
        return MaskedMLP(groups, n, self.context_shape, hidden, batch_last=batch_last)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flat = x.flatten(1)
        z, log_slope = self.map.forward(flat, self.net.raw(flat, context))
        return z.reshape(x.shape), sum_event(log_slope)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        flat = z.flatten(1)
        log_slopes = []

        def find(group: slice, raw: Tensor) -> Tensor:
            found, log_slope = self.map.inverse(flat[:, group], raw)
            log_slopes.append(log_slope)
            return found

        x = self.net.generate(find, flat, context)
        return x.reshape(z.shape), torch.cat(log_slopes, 1).sum(1)
