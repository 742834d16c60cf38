"""ConvNet: residual convolutions, from an image and its context to the parameters of another image."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow.configurable import Configurable
from surflow.errors import ConfigError


class ConvNet(Configurable, nn.Module):
    r"""Convolutions of 3 x 3 with residual blocks, :math:`h \leftarrow h + W_2\, r(W_1\, r(h))` for a rectifier r.

    The last layer is zero, so that a layer or a law that it parametrises begins with its standard form.

    Args:
        inputs, outputs: numbers of channels.
        width: of the hidden layers.
        blocks: how many residual blocks.
        scale: what inputs are divided by, such as the levels of integers.
        context: so many of the inputs, the last ones, are a context of unit size, and are not divided.

    Shapes: (batch, inputs, height, width) to (batch, outputs, height, width).

    Raises:
        ConfigError: for a number of channels, a width or a scale that is not positive.

    Source: He et al., "Identity Mappings in Deep Residual Networks", arXiv 1603.05027.

    >>> ConvNet(1, 3, width=8)(torch.ones(2, 1, 5, 7)).shape
    torch.Size([2, 3, 5, 7])
    """

    scale: Tensor

    def __init__(
        self, inputs: int, outputs: int, width: int = 64, blocks: int = 2, scale: float = 1.0, context: int = 0
    ) -> None:
        super().__init__()
        if min(inputs, outputs, width) < 1 or blocks < 0 or not scale > 0 or not 0 <= context <= inputs:
            raise ConfigError(
                f"ConvNet expects positive numbers, and no more context than inputs, got inputs={inputs}, "
                f"outputs={outputs}, width={width}, blocks={blocks}, scale={scale}, context={context}"
            )
        per_input = [scale] * (inputs - context) + [1.0] * context
        self.register_buffer("scale", torch.tensor(per_input).reshape(-1, 1, 1), persistent=False)
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.inner, self.outer = (
            nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(blocks)) for _ in range(2)
        )
        self.last = nn.Conv2d(width, outputs, 3, padding=1)
        for layer in (self.last, *self.outer):
            for parameter in layer.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, height, width) to (batch, outputs, height, width)."""
        h = x / self.scale
        if h.device.type == "cpu":
            # Convolutions on a CPU take half the time where a pixel's channels lie side by side.
            h = h.contiguous(memory_format=torch.channels_last)
        h = self.first(h)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(F.relu(inner(F.relu(h))))
        return self.last(F.relu(h))
