"""Summary: an observation, standardised or projected on its principal components, and a perceptron behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.configurable import Configurable
from surflow._internal.shapes import Shape, as_shape
from surflow.errors import ConfigError, DataError
from surflow.nets.mlp import smooth_perceptron


class Summary(Configurable, nn.Module):
    r"""What a flow is given of an observation: numbers of unit size, and a smooth perceptron of them.

    .. math:: s(x) = f(P (x - m))

    with m the mean of the training observations, and P their standardisation, coordinate by coordinate, or their
    projection on the leading principal components, each scaled to unit variance. ``fit`` sets both before training.
    Components are for long observations of few parameters, such as time series: noise fills all directions alike,
    and a network that sees only those in which observations differ learns from far fewer simulations.

    Args:
        shape: shape of one observation.
        features: length of the summary; None for P (x - m) itself, without a perceptron.
        hidden: widths of the hidden layers.
        components: how many principal components; None to standardise coordinate by coordinate.

    Shapes: (batch, *shape) to (batch, features).

    Raises:
        ConfigError: for components beyond the observation's length.
        DataError: if the training observations are not finite, or fewer than the components.

    >>> import torch
    >>> net = Summary(3, hidden=())
    >>> net.initialize(torch.tensor([[0.0, 5.0, 1.0], [2.0, 5.0, 1.0]]))
    >>> net(torch.tensor([[2.0, 5.0, 3.0]]))
    tensor([[1., 0., 2.]])
    """

    mean: Tensor
    projection: Tensor
    fitted: Tensor

    def __init__(
        self,
        shape: int | Shape,
        features: int | None = None,
        hidden: Sequence[int] = (128, 128),
        components: int | None = None,
    ) -> None:
        super().__init__()
        self.in_shape = as_shape(shape)
        size = math.prod(self.in_shape)
        if components is not None and not 1 <= components <= size:
            raise ConfigError(f"components must be from 1 to the length of an observation, {size}, got {components}")
        self.components = components
        # A vector scales coordinates, a matrix projects on components.
        projection = torch.ones(size) if components is None else torch.eye(components, size)
        self.register_buffer("mean", torch.zeros(size))
        self.register_buffer("projection", projection)
        self.register_buffer("fitted", torch.tensor(False))
        widths = [len(projection), *hidden]
        self.layers = None if features is None else smooth_perceptron([*widths, features])
        self.out_shape: Shape = (len(projection) if features is None else features,)

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Take mean and projection from observations, once."""
        x = x.flatten(1)
        if self.fitted or not len(x):
            return
        if not x.isfinite().all():
            raise DataError("Summary is fitted to finite observations, got NaN or infinite values")
        mean = x.mean(0)
        if self.components is None:
            std = x.std(0, correction=0)
            # A constant coordinate tells nothing about a scale.
            projection = 1 / std.where(std > 1e-6 * mean.abs().clamp(min=1e-12), 1.0)
        else:
            if len(x) < self.components:
                raise DataError(f"{self.components} components need as many observations at least, got {len(x)}")
            centred = (x - mean).double()
            values, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
            values, vectors = values[-self.components :].flip(0), vectors[:, -self.components :].flip(1)
            # Directions in which observations hardly differ, to rounding, are not blown up.
            scale = values.clamp(min=1e-12 * float(values[0]), max=None).sqrt()
            projection = (vectors / scale).T.to(x)
        self.mean.copy_(mean)
        self.projection.copy_(projection)
        self.fitted.fill_(True)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, *shape) to (batch, features)."""
        x = x.flatten(1).to(self.mean.dtype) - self.mean
        x = x * self.projection if self.components is None else x @ self.projection.T
        return x if self.layers is None else self.layers(x)
