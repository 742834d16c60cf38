"""A perceptron whose outputs see only the inputs of earlier groups."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow.configurable import Configurable
from surflow.nets.mlp import initialize_relu


class _MaskedLinear(nn.Linear):
    mask: Tensor

    def __init__(self, mask: Tensor) -> None:
        super().__init__(mask.shape[1], mask.shape[0])
        self.register_buffer("mask", mask.to(self.weight.dtype), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * self.mask, self.bias)


class MaskedMLP(Configurable, nn.Module):
    """Parameters of coordinate i from the coordinates of groups before i's, and from all of the context.

    Args:
        groups: the group of each input coordinate, from 0 on.
        n_parameters: outputs per coordinate; the output has shape (batch, n_parameters, coordinates).
        context_size: width of the context, 0 for none.
        hidden: widths of the hidden layers.

    Source: Germain et al., "MADE: Masked Autoencoder for Distribution Estimation", arXiv 1502.03509.
    """

    def __init__(
        self, groups: Sequence[int], n_parameters: int, context_size: int = 0, hidden: Sequence[int] = (64, 64)
    ) -> None:
        super().__init__()
        inputs = torch.tensor(list(groups))
        # A hidden unit of degree m sees the groups up to m; degree -1 sees the context alone.
        first = -1 if context_size else 0
        degrees = torch.arange(first, max(int(inputs.max()), first + 1))
        # The context is an input that everything may see.
        seen = torch.cat([inputs, torch.full((context_size,), -1)])
        layers: list[nn.Linear] = []
        for width in hidden:
            unit = degrees.repeat(-(-width // len(degrees)))[:width].sort().values
            layers.append(_MaskedLinear(unit[:, None] >= seen))
            seen = unit
        initialize_relu(layers)
        last = _MaskedLinear(inputs.repeat(n_parameters)[:, None] > seen)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
        self.layers = nn.Sequential(*(module for layer in layers for module in (layer, nn.ReLU())), last)
        self.raw_shape = (n_parameters, len(inputs))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(batch, coordinates) and (batch, context_size) to (batch, n_parameters, coordinates)."""
        inputs = x if context is None else torch.cat([x, context], 1)
        return self.layers(inputs).reshape(-1, *self.raw_shape)
