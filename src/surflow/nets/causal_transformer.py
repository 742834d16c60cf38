"""CausalTransformer: parameters of every integer of a sequence from those before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
from torch import Tensor, nn

from surflow.configurable import Configurable
from surflow.errors import ConfigError
from surflow.nets.attention import AttentionLayer


class CausalTransformer(Configurable, nn.Module):
    r"""A transformer over a sequence of integers: the parameters of the i-th from those before it and the context.

    Every integer has a learned vector, every place has one, and the context is mapped to one that all places share.
    The last layer is zero, so that a law that it parametrises begins with its standard form.

    Args:
        size: length of the sequence.
        levels: integers are 0, ..., levels - 1.
        n_parameters: outputs per place.
        context_size: width of the context, 0 for none.
        width, heads, layers, dropout: as for :class:`SetTransformer`; perceptrons are four times as wide as tokens.

    Shapes: (batch, size) and (batch, context_size) to (batch, n_parameters, size).

    Raises:
        ConfigError: for numbers that are not positive, or heads that do not divide the width.

    Source: Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018; Vaswani et al.,
    "Attention Is All You Need", arXiv 1706.03762.

    >>> CausalTransformer(7, 10, 3, width=16, heads=2)(torch.zeros(4, 7)).shape
    torch.Size([4, 3, 7])
    """

    def __init__(
        self,
        size: int,
        levels: int,
        n_parameters: int,
        context_size: int = 0,
        *,
        width: int = 96,
        heads: int = 4,
        layers: int = 3,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        positive = min(size, levels, n_parameters, width, heads, layers) > 0
        if not positive or context_size < 0 or width % heads or not 0 <= dropout < 1:
            raise ConfigError(
                f"CausalTransformer expects positive numbers, a width that heads divide, and dropout in [0, 1), got "
                f"size={size}, levels={levels}, n_parameters={n_parameters}, context_size={context_size}, "
                f"width={width}, heads={heads}, layers={layers}, dropout={dropout}"
            )
        # The token of a place is the integer before it; before the first there is none, which is a level more.
        self.start = levels
        self.tokens = nn.Embedding(levels + 1, width)
        self.places = nn.Parameter(torch.empty(size, width))
        for table in (self.tokens.weight, self.places):
            nn.init.normal_(table, std=0.1)
        self.context = nn.Linear(context_size, width) if context_size else None
        self.layers = nn.ModuleList(AttentionLayer(width, heads, 4 * width, dropout) for _ in range(layers))
        self.norm, self.last = nn.LayerNorm(width), nn.Linear(width, n_parameters)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(batch, size) and (batch, context_size) to (batch, n_parameters, size)."""
        before = torch.cat([x.new_full((len(x), 1), self.start), x[:, :-1]], 1)
        h = self._embedded(before, self.places, context)
        for layer in self.layers:
            h = layer(h, causal=True)
        return self.last(self.norm(h)).transpose(1, 2)

    def _embedded(self, before: Tensor, places: Tensor, context: Tensor | None) -> Tensor:
        h = self.tokens(before.long()) + places
        return h if self.context is None or context is None else h + self.context(context).unsqueeze(1)

    def solve(self, find: Callable[[slice, Tensor], Tensor], like: Tensor, context: Tensor | None = None) -> Tensor:
        """The sequence, one integer after the other, each from the parameters that those before give.

        Args:
            find: from a place, as a slice, and its parameters, (batch, n_parameters, 1), to its integers, (batch, 1).
            like: a tensor of the sequence's shape, (batch, size), and type.
        """
        batch, size = like.shape
        before = like.new_full((batch, 1), self.start)
        layers = [cast(AttentionLayer, layer) for layer in self.layers]
        past = [layer.nothing(batch, size) for layer in layers]
        found = []
        for i in range(size):
            h = self._embedded(before, self.places[i], context)
            for j, layer in enumerate(layers):
                h, past[j] = layer.step(h, past[j], i)
            before = find(slice(i, i + 1), self.last(self.norm(h)).transpose(1, 2))
            found.append(before)
        return torch.cat(found, 1)
