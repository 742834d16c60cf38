"""Coupling layers: one part of the event parametrises a univariate map of the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.shapes import Shape, as_axes, as_raw, join, sum_event, width_of
from surflow.bijections.univariate import AffineMap, UnivariateMap
from surflow.errors import ShapeError
from surflow.nets.mlp import MLP
from surflow.transform import Transform


class _Conditioned(Transform):
    """What couplings share: x_a, joined with the context, gives the parameters of the map of x_b."""

    def __init__(
        self,
        event_shape: Shape,
        context_shape: int | Shape | None,
        shape_a: Shape,
        shape_b: Shape,
        *,
        passing: int,
        map: UnivariateMap | None,
        hidden: Sequence[int],
        net: nn.Module | None,
    ) -> None:
        univariate = AffineMap() if map is None else map
        super().__init__(event_shape, domain=univariate.domain, context_shape=context_shape)
        if passing == 0 and self.context_shape is None:
            raise ShapeError(
                f"{type(self).__name__} over {self.in_shape} has nothing to condition on: use Elementwise, or pass "
                "context_shape="
            )
        self.map = univariate
        self.raw_shape = (univariate.n_parameters, *shape_b)
        self.flat = net is None  # a perceptron sees everything flat; a ready-made network sees positions
        if net is None:
            inputs = math.prod(shape_a) + width_of(self.context_shape)
            net = MLP(inputs, self.raw_shape, hidden, zero_init=True, batch_last=univariate.batch_last)
        self.net = net

    def _raw(self, x_a: Tensor, context: Tensor | None) -> Tensor:
        if self.flat:
            return self.net(join(x_a.flatten(1), context))
        inputs = join(x_a, context)
        if inputs.ndim == 4 and inputs.device.type == "cpu":
            # Convolutions on a CPU take half the time where a pixel's channels lie side by side.
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return as_raw(self, self.net(inputs), x_a.shape[0], self.raw_shape)

    def _couple(self, x: Tensor, context: Tensor | None, *, inverse: bool) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._couple(x, context, inverse=False)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._couple(z, context, inverse=True)


class Coupling(_Conditioned):
    r"""The first half of the event, unchanged, and the context parametrise a map of the second half.

    .. math:: z_a = x_a, \quad z_b = f(x_b; \theta(x_a, c)), \qquad V = \sum_i \log f'(x_{b,i}; \theta_i)

    Args:
        event_shape: event shape: a vector, (channels, height, width), (coordinates, points), ...
        context_shape: shape of the context, or None.
        map: the univariate map f; affine with a tanh-limited log-scale by default, ``SplineMap()`` for splines,
            ``CircularSplineMap()`` on the circle, ``IntervalSplineMap()`` on an interval.
        hidden: widths of the hidden layers of the default perceptron.
        axis: the event axis that is halved; the first half has floor(size / 2) entries.
        net: instead of the perceptron, a network from x_a joined with the context, shape (batch, *x_a), to
            (batch, n_parameters of the map, *x_b), or as many numbers in that order. A context that is a vector is
            repeated over the positions of x_a, as further channels.

    Raises:
        ShapeError: if there is no such axis, or nothing is left to condition on; at the first call, for a network of
            another output.

    Source: Dinh et al., "Density estimation using Real NVP", arXiv 1605.08803; Durkan et al., "Neural Spline Flows",
    arXiv 1906.04032.

    >>> import torch, surflow as sf
    >>> layer = sf.Coupling(2, map=sf.SplineMap(bins=4))
    >>> x = torch.randn(5, 2)
    >>> z, V = layer(x)
    >>> torch.equal(z[:, 0], x[:, 0]), V.shape
    (True, torch.Size([5]))
    """

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        map: UnivariateMap | None = None,
        hidden: Sequence[int] = (64,) * 5,
        axis: int = 0,
        net: nn.Module | None = None,
    ) -> None:
        shape = as_axes(self, event_shape)
        if not 0 <= axis < len(shape):
            raise ShapeError(f"axis must be from 0 to {len(shape) - 1} for events of shape {shape}, got {axis}")
        half = shape[axis] // 2
        sizes = [half, shape[axis] - half]
        shape_a, shape_b = ((*shape[:axis], size, *shape[axis + 1 :]) for size in sizes)
        passing = math.prod(shape_a)
        super().__init__(shape, context_shape, shape_a, shape_b, passing=passing, map=map, hidden=hidden, net=net)
        self.axis, self.sizes = axis, sizes

    def _couple(self, x: Tensor, context: Tensor | None, *, inverse: bool) -> tuple[Tensor, Tensor]:
        f = self.map.inverse if inverse else self.map.forward
        x_a, x_b = x.split(self.sizes, self.axis + 1)
        y, log_slope = f(x_b, self._raw(x_a, context))
        return torch.cat([x_a, y], self.axis + 1), sum_event(log_slope)


class MaskedCoupling(_Conditioned):
    r"""The coordinates under a mask, unchanged, and the context parametrise a map of all others.

    .. math::
        z_i = x_i \text{ if } m_i, \text{ else } f(x_i; \theta_i(m x, c)), \qquad
        V = \sum_{i: \neg m_i} \log f'(x_i; \theta_i)

    Halves along an axis are a :class:`Coupling`, which computes no parameters that are not used.

    Args:
        event_shape: event shape.
        context_shape: shape of the context, or None.
        mask: booleans of the event's shape, True where x passes unchanged.
        map, hidden: as for :class:`Coupling`.
        net: instead of the perceptron, a network from x, zero where the mask is False, joined with the context, to
            (batch, n_parameters of the map, *event_shape), or as many numbers in that order.

    Raises:
        ShapeError: for a mask of another shape, or one under which nothing passes where there is no context; at the
            first call, for a network of another output.

    Source: Dinh et al., "Density estimation using Real NVP", arXiv 1605.08803.

    >>> import torch, surflow as sf
    >>> layer = sf.MaskedCoupling((1, 2, 2), mask=[[[True, False], [False, True]]])
    >>> x = torch.randn(5, 1, 2, 2)
    >>> z, V = layer(x)
    >>> torch.equal(z[:, 0, 0, 0], x[:, 0, 0, 0]), V.shape
    (True, torch.Size([5]))
    """

    mask: Tensor

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        mask: Sequence,
        map: UnivariateMap | None = None,
        hidden: Sequence[int] = (64,) * 5,
        net: nn.Module | None = None,
    ) -> None:
        shape = as_axes(self, event_shape)
        passes = torch.as_tensor(mask, dtype=torch.bool)
        if tuple(passes.shape) != shape:
            raise ShapeError(f"the mask must have the event's shape {shape}, got {tuple(passes.shape)}")
        passing = int(passes.sum())
        super().__init__(shape, context_shape, shape, shape, passing=passing, map=map, hidden=hidden, net=net)
        self.register_buffer("mask", passes, persistent=False)

    def _couple(self, x: Tensor, context: Tensor | None, *, inverse: bool) -> tuple[Tensor, Tensor]:
        f = self.map.inverse if inverse else self.map.forward
        y, log_slope = f(x, self._raw(x * self.mask, context))
        return torch.where(self.mask, x, y), sum_event(log_slope.where(~self.mask, 0.0))
