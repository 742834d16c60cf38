"""Coupling layers: one part of the event parametrises a univariate map of the other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.shapes import Shape, as_axes, join, joined_shape, sum_event
from surflow.bijections.univariate import AffineMap, UnivariateMap
from surflow.errors import ShapeError
from surflow.nets.mlp import MLP
from surflow.transform import Transform


class Coupling(Transform):
    r"""The first half of the event, unchanged, and the context parametrise a map of the second half.

    .. math:: z_a = x_a, \quad z_b = f(x_b; \theta(x_a, c)), \qquad V = \sum_i \log f'(x_{b,i}; \theta_i)

    Args:
        event_shape: event shape: a vector, (channels, height, width), (coordinates, points), ...
        context_shape: shape of the context, or None.
        map: the univariate map f; affine with a tanh-limited log-scale by default, ``SplineMap()`` for splines,
            ``CircularSplineMap()`` on the circle, ``IntervalSplineMap()`` on an interval.
        hidden: widths of the hidden layers of the default perceptron.
        axis: the event axis that is halved; the first half has floor(size / 2) entries.
        mask: instead of halves, booleans of the event's shape, True where x passes unchanged.
        net: instead of the perceptron, a network from x_a joined with the context, shape (batch, *x_a), to
            (batch, n_parameters of the map * first axis of x_b, *further axes of x_b). With a mask, x_a and x_b have
            the event's shape.

    Raises:
        ShapeError: if nothing is left to condition on, or the mask has another shape.

    Source: Dinh et al., "Density estimation using Real NVP", arXiv 1605.08803; Durkan et al., "Neural Spline Flows",
    arXiv 1906.04032.

    >>> import torch, surflow as sf
    >>> layer = sf.Coupling(2, map=sf.SplineMap(bins=4))
    >>> x = torch.randn(5, 2)
    >>> z, V = layer(x)
    >>> torch.equal(z[:, 0], x[:, 0]), V.shape
    (True, torch.Size([5]))
    """

    mask: Tensor

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        map: UnivariateMap | None = None,
        hidden: Sequence[int] = (64,) * 5,
        axis: int = 0,
        mask: Sequence | None = None,
        net: nn.Module | None = None,
    ) -> None:
        univariate = AffineMap() if map is None else map
        super().__init__(as_axes(self, event_shape), domain=univariate.domain, context_shape=context_shape)
        self.map = univariate
        self.axis = axis
        if mask is None:
            if not 0 <= axis < len(self.in_shape):
                raise ShapeError(
                    f"axis must be from 0 to {len(self.in_shape) - 1} for events of shape {self.in_shape}, got {axis}"
                )
            half = self.in_shape[axis] // 2
            self.sizes = [half, self.in_shape[axis] - half]
            shapes = [(*self.in_shape[:axis], size, *self.in_shape[axis + 1 :]) for size in self.sizes]
            conditioning = math.prod(shapes[0])
        else:
            passes = torch.as_tensor(mask, dtype=torch.bool)
            if tuple(passes.shape) != self.in_shape:
                raise ShapeError(f"the mask must have the event's shape {self.in_shape}, got {tuple(passes.shape)}")
            self.register_buffer("mask", passes, persistent=False)
            shapes = [self.in_shape, self.in_shape]
            conditioning = int(passes.sum())
        if conditioning == 0 and self.context_shape is None:
            raise ShapeError(
                f"Coupling over {self.in_shape} has nothing to condition on: use Elementwise, or pass context_shape="
            )
        self.masked = mask is not None
        self.raw_shape = (univariate.n_parameters, *shapes[1])
        # A perceptron sees everything flat; a network of the user's sees positions.
        self.flat = net is None
        inputs = (math.prod(shapes[0]),) if self.flat else shapes[0]
        context = (math.prod(self.context_shape),) if self.flat and self.context_shape else self.context_shape
        if net is None:
            inputs = joined_shape(inputs, context)
            net = MLP(inputs, self.raw_shape, hidden, zero_init=True, batch_last=univariate.batch_last)
        self.net = net
        self.convolves = any(isinstance(part, nn.Conv2d) for part in net.modules())

    def _raw(self, x_a: Tensor, context: Tensor | None) -> Tensor:
        if self.flat:
            return self.net(join(x_a.flatten(1), context))
        inputs = join(x_a, context)
        if self.convolves and inputs.device.type == "cpu":
            # Convolutions on a CPU take half the time where a pixel's channels lie side by side.
            inputs = inputs.contiguous(memory_format=torch.channels_last)
        return self.net(inputs).reshape(x_a.shape[0], *self.raw_shape)

    def _couple(self, x: Tensor, context: Tensor | None, *, inverse: bool) -> tuple[Tensor, Tensor]:
        f = self.map.inverse if inverse else self.map.forward
        if self.masked:
            kept = x * self.mask
            y, log_slope = f(x, self._raw(kept, context))
            return torch.where(self.mask, x, y), sum_event(log_slope.where(~self.mask, 0.0))
        x_a, x_b = x.split(self.sizes, self.axis + 1)
        y, log_slope = f(x_b, self._raw(x_a, context))
        return torch.cat([x_a, y], self.axis + 1), sum_event(log_slope)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._couple(x, context, inverse=False)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._couple(z, context, inverse=True)
