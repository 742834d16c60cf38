"""Attention between the points of a set: parameters of every point, or of the whole set."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surflow._internal.configurable import Configurable
from surflow.errors import ConfigError
from surflow.nets.attention import AttentionLayer


class SetTransformer(Configurable, nn.Module):
    r"""A transformer over the points of a set, without positions: permuted points have permuted outputs.

    The last layer is zero, so that a layer that it parametrises begins as the identity.

    Args:
        inputs, outputs: numbers of each point, a context among the inputs.
        points: give every point a positional embedding, for sets of so many points in an order that means something,
            such as behind a sort; None for sets, of any size.
        width: of the tokens, which the number of heads divides.
        heads, layers, feedforward: of the transformer.
        dropout: share of what a layer adds to the tokens that is dropped in training.

    Shapes: (batch, inputs, points) to (batch, outputs, points).

    Raises:
        ConfigError: for numbers that are not positive, or heads that do not divide the width.

    Source: Vaswani et al., "Attention Is All You Need", arXiv 1706.03762; Lee et al., "Set Transformer", arXiv
    1810.00825.

    >>> SetTransformer(2, 3, width=16, heads=2)(torch.ones(4, 2, 7)).shape
    torch.Size([4, 3, 7])
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        points: int | None = None,
        *,
        width: int = 64,
        heads: int = 8,
        layers: int = 2,
        feedforward: int = 256,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if min(inputs, outputs, width, heads, layers, feedforward) < 1 or width % heads or not 0 <= dropout < 1:
            raise ConfigError(
                f"SetTransformer expects positive numbers, a width that heads divide, and dropout in [0, 1), got "
                f"inputs={inputs}, outputs={outputs}, width={width}, heads={heads}, layers={layers}, "
                f"feedforward={feedforward}, dropout={dropout}"
            )
        self.first = nn.Linear(inputs, width)
        # The positional embedding, as files call it.
        self.places = None if points is None else nn.Parameter(0.02 * torch.randn(points, width))
        self.encoder = nn.ModuleList(AttentionLayer(width, heads, feedforward, dropout) for _ in range(layers))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, outputs)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, points) to (batch, outputs, points)."""
        h = self.first(x.transpose(1, 2))
        if self.places is not None:
            h = h + self.places
        for layer in self.encoder:
            h = layer(h)
        return self.last(self.norm(h)).transpose(1, 2)


class SetEncoder(SetTransformer):
    r"""The mean over points of what a :class:`SetTransformer` makes of each: numbers that do not depend on the order.

    Args:
        inputs, outputs: numbers of each point, and of what is returned for the set.
        points, width, heads, layers, feedforward, dropout: as for :class:`SetTransformer`.

    Shapes: (batch, inputs, points) to (batch, outputs).

    Source: Edwards and Storkey, "Towards a Neural Statistician", arXiv 1606.02185.

    >>> SetEncoder(2, 3, width=16, heads=2)(torch.ones(4, 2, 7)).shape
    torch.Size([4, 3])
    """

    def forward(self, x: Tensor) -> Tensor:
        """(batch, inputs, points) to (batch, outputs)."""
        return super().forward(x).mean(2)
