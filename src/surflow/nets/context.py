"""Networks that turn a raw context, labels and numbers, into something a layer can use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from surflow._internal.configurable import Configurable
from surflow._internal.number_types import KeepsTypes
from surflow.errors import ConfigError


def _floating(x: Tensor) -> Tensor:
    return x if x.is_floating_point() else x.to(torch.get_default_dtype())


class OneHot(Configurable, nn.Module):
    """A label 0, ..., classes - 1, shape (batch,), as a vector with a one at its index, shape (batch, classes).

    Labels may be integers or floats. A label that is out of range gives zeros: checking it would cost a wait
    for the device at every call.

    Args:
        classes: number of labels.

    Raises:
        ConfigError: for less than one class.

    >>> OneHot(3)(torch.tensor([2, 0]))
    tensor([[0., 0., 1.],
            [1., 0., 0.]])
    """

    any_precision = True

    classes: Tensor

    def __init__(self, classes: int) -> None:
        super().__init__()
        if classes < 1:
            raise ConfigError(f"OneHot expects at least one class, got {classes}")
        self.in_shape: tuple[int, ...] = ()
        self.out_shape: tuple[int, ...] = (classes,)
        self.register_buffer("classes", torch.arange(classes), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(batch,) to (batch, classes)."""
        x = _floating(x)
        return (x.unsqueeze(-1) == self.classes).to(x.dtype)


class ContextColumns(Configurable, KeepsTypes):
    """Columns of a raw context side by side: categories one-hot, numbers standardised.

    Args:
        levels: for every column its number of categories, or None for a number.
        mean, scale: a number x becomes (x - mean) / scale; the entries of categories are not used.

    Shapes: (batch, columns) to (batch, sum of one-hot widths and numbers). Mean and scale are kept, and used, in double
    precision, and contexts may be of either; what comes out is of the type that ``to`` sets.

    Raises:
        ConfigError: if the three lists differ in length or a scale is not positive.

    >>> ContextColumns([3, None], mean=[0.0, 10.0], scale=[1.0, 2.0])(torch.tensor([[1.0, 14.0]]))
    tensor([[0., 1., 0., 2.]])
    """

    kept: ClassVar[tuple[str, ...]] = ("mean", "scale")
    any_precision = True

    mean: Tensor
    scale: Tensor
    z_like: Tensor

    def __init__(
        self,
        levels: Sequence[int | None],
        mean: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        levels = list(levels)
        mean = [0.0] * len(levels) if mean is None else list(mean)
        scale = [1.0] * len(levels) if scale is None else list(scale)
        if not levels or not len(levels) == len(mean) == len(scale):
            raise ConfigError(
                "ContextColumns expects one level, mean and scale for each of at least one column, "
                f"got {len(levels)} levels, {len(mean)} means and {len(scale)} scales"
            )
        for i, (level, s) in enumerate(zip(levels, scale, strict=True)):
            if level is None and not s > 0:
                raise ConfigError(f"ContextColumns expects a positive scale, got {s} for column {i}")
        self.in_shape: tuple[int, ...] = (len(levels),)
        self.out_shape: tuple[int, ...] = (sum(1 if level is None else level for level in levels),)
        number = nn.Identity()
        self.encoders = nn.ModuleList(number if level is None else OneHot(level) for level in levels)
        # Categories pass the standardisation unchanged, whatever their entries say.
        numeric = [level is None for level in levels]
        means = [m if n else 0.0 for m, n in zip(mean, numeric, strict=True)]
        scales = [s if n else 1.0 for s, n in zip(scale, numeric, strict=True)]
        self.register_buffer("mean", torch.tensor(means, dtype=torch.float64), persistent=False)
        self.register_buffer("scale", torch.tensor(scales, dtype=torch.float64), persistent=False)
        self.register_buffer("z_like", torch.empty(0), persistent=False)  # for the type of the networks

    def forward(self, x: Tensor) -> Tensor:
        """(batch, columns) to (batch, *out_shape)."""
        x = (x - self.mean) / self.scale
        parts = [encoder(x[:, i]) for i, encoder in enumerate(self.encoders)]
        return torch.cat([p if p.ndim == 2 else p.unsqueeze(1) for p in parts], 1).to(self.z_like.dtype)
