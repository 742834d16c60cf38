"""CausalTransformer: parameters of every integer of a sequence from those before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow._internal.shapes import Shape, flat
from surflow.errors import ConfigError
from surflow.nets.attention import AttentionLayer
from surflow.nets.autoregressive import AutoregressiveNet


class CausalTransformer(AutoregressiveNet):
    r"""A transformer over a sequence of integers: the parameters of the i-th from those before it and the context.

    Every integer has a learned embedding, every token a positional one, and the context is mapped to one for all
    tokens. The last layer is zero, so that a distribution that it parametrises begins with its standard form.

    With groups of g integers, such as the pixels of a patch, a token stands for a group, so that attention has g times
    fewer tokens to look at; the integers within a group go one after the other through the last two layers alone:

    .. math:: \text{parameters}_j = W_j \, \mathrm{GELU}\big(U_j h + \sum_{k < j} e_k(v_k)\big)

    Args:
        size: length of the sequence.
        levels: integers are 0, ..., levels - 1.
        n_parameters: outputs per position.
        context_shape: shape of the context, or None.
        group: g, which divides the size.
        columns: for groups that lie in rows of so many: tokens hold the group before and the three above. 0 for a
            line, where they hold the group before.
        width, heads, layers, dropout: as for :class:`SetTransformer`; perceptrons are four times as wide as tokens.

    Shapes: (batch, size) and (batch, *context_shape) to (batch, n_parameters, size).

    Raises:
        ConfigError: for numbers that are not positive, heads that do not divide the width, or groups or columns that
            do not divide the sequence.

    Source: Radford et al., "Improving Language Understanding by Generative Pre-Training", 2018; Vaswani et al.,
    "Attention Is All You Need", arXiv 1706.03762.

    >>> CausalTransformer(7, 10, 3, width=16, heads=2)(torch.zeros(4, 7)).shape
    torch.Size([4, 3, 7])
    """

    neighbours: Tensor

    def __init__(
        self,
        size: int,
        levels: int,
        n_parameters: int,
        context_shape: int | Shape | None = None,
        *,
        group: int = 1,
        columns: int = 0,
        width: int = 96,
        heads: int = 4,
        layers: int = 3,
        dropout: float = 0.0,
    ) -> None:
        positive = min(size, levels, n_parameters, group, width, heads, layers) > 0
        if not positive or columns < 0 or width % heads or not 0 <= dropout < 1:
            raise ConfigError(
                f"CausalTransformer expects positive numbers, a width that heads divide, and dropout in [0, 1), got "
                f"size={size}, levels={levels}, n_parameters={n_parameters}, context_shape={context_shape}, "
                f"group={group}, columns={columns}, width={width}, heads={heads}, layers={layers}, dropout={dropout}"
            )
        if size % group or size // group % max(columns, 1):
            raise ConfigError(
                f"CausalTransformer expects groups that divide the sequence, and rows of them, got size={size}, "
                f"group={group}, columns={columns}"
            )
        # A table that is counted before it is made, whatever size a file asks for.
        super().__init__(torch.arange(size).tolist(), n_parameters, context_shape)
        self.group, self.levels = group, levels
        # A token holds the integers of earlier groups, a level more for those of a group that is not there.
        neighbours = _neighbours(size // group, columns)
        self.register_buffer("neighbours", neighbours, persistent=False)
        inputs = neighbours.shape[1] * group
        self.tokens = nn.Embedding(inputs * (levels + 1), width)
        self.places = nn.Parameter(torch.empty(size // group, width))  # the positional embedding, as files call it
        nn.init.normal_(self.tokens.weight, std=0.1 / inputs**0.5)
        nn.init.normal_(self.places, std=0.1)
        self.context = nn.Linear(self.context_width, width) if self.context_width else None
        self.layers = nn.ModuleList(AttentionLayer(width, heads, 4 * width, dropout) for _ in range(layers))
        self.norm, self.inner = nn.LayerNorm(width), nn.Linear(width, group * width)
        self.within = nn.Embedding(group * levels, width) if group > 1 else None
        if self.within is not None:
            nn.init.normal_(self.within.weight, std=0.1)
        self.last = nn.Parameter(torch.zeros(group, width, n_parameters))
        self.bias = nn.Parameter(torch.zeros(group, n_parameters))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """(batch, size) and (batch, *context_shape) to (batch, n_parameters, size)."""
        v = x.long().unflatten(1, (-1, self.group))
        seen = F.pad(v, (0, 0, 0, 1), value=self.levels)[:, self.neighbours]
        h = self._embedded(seen, self.places, context)
        for layer in self.layers:
            h = layer(h, causal=True)
        inner = self._inner(h)
        if self.within is not None:
            known = self.within(v + self.levels * torch.arange(self.group, device=v.device))
            inner = inner + F.pad(known.cumsum(2)[:, :, :-1], (0, 0, 1, 0))
        raw = torch.einsum("bngw,gwp->bpng", F.gelu(inner), self.last) + self.bias.T.unsqueeze(1)
        return raw.flatten(2)

    def generate(self, find: Callable[[slice, Tensor], Tensor], like: Tensor, context: Tensor | None = None) -> Tensor:
        """As of every :class:`AutoregressiveNet`; a token is computed once, when what it holds is known."""
        batch, size = like.shape
        n = size // self.group
        v = torch.full((batch, n + 1, self.group), self.levels, device=like.device)
        layers = [cast(AttentionLayer, layer) for layer in self.layers]
        caches = [layer.empty_cache(batch, n) for layer in layers]
        found = []
        for i in range(n):
            h = self._embedded(v[:, self.neighbours[i : i + 1]], self.places[i : i + 1], context)
            for k, layer in enumerate(layers):
                h, caches[k] = layer.step(h, caches[k], i)
            inner = self._inner(h)[:, 0]
            for j in range(self.group):
                raw = F.gelu(inner[:, j]) @ self.last[j] + self.bias[j]
                position = i * self.group + j
                part = find(slice(position, position + 1), raw.unsqueeze(2))
                found.append(part)
                v[:, i, j] = part[:, 0].long()
                if self.within is not None:
                    known = self.within(v[:, i, j] + self.levels * j)
                    inner = inner + known.unsqueeze(1)
        return torch.cat(found, 1)

    def _embedded(self, seen: Tensor, positional: Tensor, context: Tensor | None) -> Tensor:
        """Tokens from the groups that each sees, (batch, groups, neighbours, group), and their positional embedding."""
        seen = seen.flatten(2)
        seen = seen + (self.levels + 1) * torch.arange(seen.shape[2], device=seen.device)
        h = self.tokens(seen).sum(2) + positional
        return h if self.context is None or context is None else h + self.context(flat(context)).unsqueeze(1)

    def _inner(self, h: Tensor) -> Tensor:
        return self.inner(self.norm(h)).unflatten(-1, (self.group, -1))


def _neighbours(n: int, columns: int) -> Tensor:
    """Which groups the token of each of n groups holds, (n, 4), or (n, 1) without columns; n stands for none."""
    i = torch.arange(n)
    found = [(i - 1).where(i > 0, n)]
    for step in (-1, 0, 1) if columns else ():
        there = i % columns + step
        found.append((i - columns + step).where((i >= columns) & (there >= 0) & (there < columns), n))
    return torch.stack(found, 1)
