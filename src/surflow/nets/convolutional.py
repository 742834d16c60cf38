"""ConvNet: residual convolutions, from an image and its context to the parameters of another image."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow._internal.configurable import Configurable
from surflow._internal.shapes import Shape, as_shape, joined_shape
from surflow.errors import ConfigError

# Numbers of the vector that stands for an integer.
_NUMBERS = 8


class ConvNet(Configurable, nn.Module):
    r"""Convolutions of 3 x 3 with residual blocks, :math:`h \leftarrow h + W_2\, r(W_1\, r(h))` for a rectifier r.

    The last layer is zero, so that a layer or a distribution that it parametrises begins with its standard form.

    Args:
        inputs, outputs: numbers of channels.
        width: of the hidden layers.
        blocks: how many residual blocks.
        levels: if given, inputs are integers 0, ..., levels - 1, each of which has a learned vector: a network can then
            tell 253 from 254, or 0 from 1, where numbers hardly differ.
        context_shape: shape of the context among the inputs, or None: its channels are the last ones, and numbers in
            any case.

    Shapes: (batch, inputs, height, width) to (batch, outputs, height, width).

    Raises:
        ConfigError: for a number of channels, a width or levels that are not positive.

    Source: He et al., "Identity Mappings in Deep Residual Networks", arXiv 1603.05027.

    >>> ConvNet(1, 3, width=8)(torch.ones(2, 1, 5, 7)).shape
    torch.Size([2, 3, 5, 7])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int = 64,
        blocks: int = 2,
        levels: int | None = None,
        context_shape: int | Shape | None = None,
    ) -> None:
        super().__init__()
        context = joined_shape((0, 0, 0), None if context_shape is None else as_shape(context_shape))[0]
        positive = min(inputs, outputs, width, 1 if levels is None else levels) > 0
        if not positive or blocks < 0 or not 0 <= context <= inputs:
            raise ConfigError(
                f"ConvNet expects positive numbers, and no more context than inputs, got inputs={inputs}, "
                f"outputs={outputs}, width={width}, blocks={blocks}, levels={levels}, context_shape={context_shape}"
            )
        self.integers, self.vectors = inputs - context, None
        if levels is not None:
            self.vectors = nn.Embedding(levels, _NUMBERS)
            # Smooth functions of the brightness at first.
            frequency = torch.arange(1, _NUMBERS + 1) * (math.pi / max(levels - 1, 1))
            with torch.no_grad():
                self.vectors.weight.copy_(torch.cos(torch.arange(levels)[:, None] * frequency))
            inputs = _NUMBERS * self.integers + context
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
        h = x
        if self.vectors is not None:
            # What is no level, as far from it as it may be, is scored as nothing by whoever asks.
            level = x[:, : self.integers].nan_to_num().clamp(0, self.vectors.num_embeddings - 1).long()
            known = self.vectors(level).permute(0, 1, 4, 2, 3).flatten(1, 2)
            h = torch.cat([known, x[:, self.integers :].to(known.dtype)], 1)  # integers may be of a wider type
        if h.device.type == "cpu":
            # Convolutions on a CPU take half the time where a pixel's channels lie side by side.
            h = h.contiguous(memory_format=torch.channels_last)
        h = self.first(h)
        for inner, outer in zip(self.inner, self.outer, strict=True):
            h = h + outer(F.relu(inner(F.relu(h))))
        return self.last(F.relu(h))
