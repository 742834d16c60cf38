"""Summary: an observation, standardised or projected on its principal components, and a perceptron behind it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from surflow._internal.configurable import Configurable
from surflow._internal.number_types import KeepsTypes
from surflow._internal.numbers import constant
from surflow._internal.shapes import Shape, as_shape, flat
from surflow._internal.standardizer import Standardizer
from surflow.errors import ConfigError, DataError
from surflow.nets.mlp import smooth_perceptron


class Summary(Configurable, KeepsTypes):
    r"""What a flow is given of an observation: numbers of unit size, and a smooth perceptron of them.

    .. math:: s(x) = f(P (x - m))

    with m the mean of the training observations, and P their standardisation, coordinate by coordinate, or their
    projection on the leading principal components, each scaled to unit variance; in double precision, and with the
    robust location and scale, and the compression, of :class:`surflow.Standardize` where few values make the deviation.
    ``fit`` sets both before training.
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

    kept: ClassVar[tuple[str, ...]] = ("projection",)
    any_precision = True

    projection: Tensor | None

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
        self.standardizer = Standardizer((size,))
        projection = None if components is None else torch.eye(components, size, dtype=torch.float64)
        self.register_buffer("projection", projection)
        widths = [components or size, *hidden]
        self.layers = None if features is None else smooth_perceptron([*widths, features])
        self.out_shape: Shape = (widths[0] if features is None else features,)

    @property
    def robust(self) -> Tensor:
        """For which coordinates location and scale are the robust ones, as of :class:`surflow.Standardize`."""
        return self.standardizer.robust

    @torch.no_grad()
    def initialize(self, x: Tensor, *, weight: Tensor | None = None) -> None:
        """Take mean and projection from observations, once; those of weight w count as w of them."""
        x, fitted = flat(x), bool(self.standardizer.fitted)
        if weight is not None:
            x, weight = x[weight > 0], weight[weight > 0].double()
        if self.projection is not None and 0 < len(x) < self.projection.shape[0]:
            raise DataError(f"{self.projection.shape[0]} components need as many observations at least, got {len(x)}")
        self.standardizer.fit(x, weight, type(self).__name__)
        if self.projection is None or fitted or not len(x):
            return
        varies, log_scale = ~constant(x), self.standardizer.log_scale
        # In the units of the data, which make some coordinates matter more, but for one common factor.
        largest = log_scale[varies].max() if varies.any() else log_scale.new_zeros(())
        relative = torch.where(varies, (log_scale - largest).exp(), 0.0)
        centred = self.standardizer.exactly(x)[0] * relative
        share = torch.full_like(centred[:, :1], 1 / len(x)) if weight is None else (weight / weight.sum())[:, None]
        values, vectors = torch.linalg.eigh((share * centred).T @ centred)
        n = len(self.projection)
        values, vectors = values[-n:].flip(0), vectors[:, -n:].flip(1)
        # Directions in which observations hardly differ, to rounding, are not blown up.
        scale = values.clamp(min=1e-12 * float(values[0])).sqrt()
        self.projection.copy_((vectors / torch.where(scale > 0, scale, 1.0)).T * relative)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, *shape) to (batch, features)."""
        if self.projection is None:
            x, _ = self.standardizer(flat(x))
        else:
            u, _ = self.standardizer.exactly(flat(x))
            x = (u.to(self.projection.dtype) @ self.projection.T).to(self.standardizer.z_like.dtype)
        return x if self.layers is None else self.layers(x)
