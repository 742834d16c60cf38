"""A causal transformer over the columns of a row in any order: what it makes of values, and what is asked next."""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow.distributions.column_layout import ColumnLayout, SomeColumns
from surflow.nets.attention import AttentionLayer

# Hats between which a number on its column's scale lies, as the network sees it, and how far they reach.
_HATS = 16
_REACH = 2.5
# The longest of the waves, on the scale, that say where exactly it lies; each next one is half as long.
_LONGEST = 2.0


class ColumnTransformer(nn.Module):
    r"""Hidden vectors of columns, each a function of the values before it in an order, and of which columns these are.

    Token i is the sum of what stands for the value before, o(i - 1), and of what asks for column o(i). A value's vector
    is that of its entry, and for numbers a function of the number on its column's scale: piecewise linear, and waves.

    Args:
        layout: of the columns.
        width, layers, heads: of the transformer; perceptrons are twice as wide as tokens.
        dropout: share of what its layers add that is dropped in training.
        context_size: numbers of the context, 0 for none.
        waves: how many it sees of a number.

    Source: Pannatier, Courdier and Fleuret, "sigma-GPTs: A New Approach to Autoregressive Models", arXiv 2404.09562
    (tokens that say which is next); Gorishniy, Rubachev and Babenko, "On Embeddings for Numerical Features in Tabular
    Deep Learning", arXiv 2203.05556.
    """

    def __init__(
        self,
        layout: ColumnLayout,
        width: int,
        layers: int,
        heads: int,
        *,
        dropout: float,
        context_size: int,
        waves: int = 0,
    ) -> None:
        super().__init__()
        self.layout = layout
        self.waves = waves
        size = len(layout.sizes)
        self.embedding = nn.Parameter(torch.randn(sum(layout.sizes), width) * 0.1)
        self.numbers = nn.Parameter(torch.randn(size, _HATS + 1 + 2 * waves, width) * 0.1)
        self.asked = nn.Parameter(torch.randn(size, width) * 0.1)
        self.first = nn.Parameter(torch.zeros(width))
        self.context = nn.Linear(context_size, width) if context_size else None
        self.layers = nn.ModuleList(AttentionLayer(width, heads, 2 * width, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, x: Tensor, order: Tensor, context: Tensor | None) -> Tensor:
        """Vectors (n, D, width) of the columns of rows (n, D), in an order (n or 1, D) of each row or of all.

        A common order may leave columns out: their values are not used, and their vectors are zero.
        """
        values = self._embedded(x)
        places = order.expand(len(x), -1)[..., None].expand(-1, -1, values.shape[2])
        before = values.index_select(1, order[0, :-1]) if len(order) == 1 else values.gather(1, places[:, :-1])
        h = torch.cat([self.first.expand(len(x), 1, -1), before], 1) + self.asked[order]
        h = h + self._given(context)
        for layer in self.layers:
            h = layer(h, causal=True)
        h = self.norm(h)
        if order.shape[1] < x.shape[1]:
            return torch.zeros_like(values).scatter(1, places, h)
        back = order.argsort(1)
        return h.index_select(1, back[0]) if len(back) == 1 else h.gather(1, back[..., None].expand_as(h))

    def steps(self, order: Tensor, context: Tensor | None, asked: list[list[int]]) -> ColumnSteps:
        """The same, one column of the orders (n, D) after the other, of which ``asked`` are those at each place."""
        return ColumnSteps(self, order, context, asked)

    def _given(self, context: Tensor | None) -> Tensor | float:
        return 0.0 if self.context is None or context is None else self.context(context.flatten(1))[:, None]

    def _embedded(self, x: Tensor, columns: list[int] | None = None) -> Tensor:
        """Vectors of the values (n, columns) of some columns, or all; (n, columns, width)."""
        values = self.layout if columns is None else SomeColumns(self.layout, columns)
        numbers = self.numbers if columns is None else self.numbers[columns]
        entry = values.entries(x)
        local = torch.where(entry < 0, values.rest_at, entry)
        # A value outside the support has no density, and stands for something inside.
        which = torch.minimum(local.clamp(min=0), values.size - 1) + values.offset
        z, _ = values.scaled(x)
        seen = _seen(z.to(numbers.dtype), self.waves) * ((values.rest_at >= 0) & x.isfinite())[..., None]
        return F.embedding(which, self.embedding) + torch.einsum("ncf,cfw->ncw", seen, numbers)


class ColumnSteps:
    """Passes through a :class:`ColumnTransformer` token by token, with cached keys and values."""

    def __init__(self, net: ColumnTransformer, order: Tensor, context: Tensor | None, asked: list[list[int]]) -> None:
        self.net, self.order, self.asked = net, order, asked
        self.layers = [cast(AttentionLayer, layer) for layer in net.layers]
        self.caches = [layer.empty_cache(*order.shape) for layer in self.layers]
        self.before = net.first.expand(len(order), 1, -1)
        self.given = net._given(context)

    def ask(self, i: int) -> Tensor:
        """The vector (n, width) of the i-th columns in the orders."""
        h = self.before + self.net.asked[self.order[:, i], None] + self.given
        for k, layer in enumerate(self.layers):
            h, self.caches[k] = layer.step(h, self.caches[k], i)
        return self.net.norm(h)[:, 0]

    def tell(self, i: int, rows: Tensor) -> None:
        """Let the rows (n, D), known up to the i-th columns, be what the next columns are asked given."""
        columns = self.asked[i]
        # Of all columns that any row asks for, one of them kept: they are few, and cost little beside a layer.
        values = self.net._embedded(rows[:, columns], columns)
        place = self.order.new_zeros(rows.shape[1])
        place[columns] = torch.arange(len(columns), device=place.device)
        self.before = values.gather(1, place[self.order[:, i], None, None].expand(-1, -1, values.shape[2]))


def _seen(z: Tensor, waves: int) -> Tensor:
    """What the network sees of numbers on their scale: hats, the number itself, far ones drawn near, and waves."""
    at = torch.linspace(-_REACH, _REACH, _HATS, dtype=z.dtype, device=z.device)
    gap = 2 * _REACH / (_HATS - 1)
    hats = (1 - (z.clamp(-_REACH, _REACH)[..., None] - at).abs() / gap).clamp(min=0)
    turns = z[..., None] * (2 * math.pi / _LONGEST * 2.0 ** torch.arange(waves, dtype=z.dtype, device=z.device))
    return torch.cat([hats, (z / 4).tanh()[..., None] * 4, turns.sin(), turns.cos()], -1)
