"""AnyOrder: rows of a table, one column after the other, in whichever order is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow._internal.number_types import number_type, type_for
from surflow._internal.random import seeded
from surflow._internal.shapes import Shape, check_context, check_rows
from surflow.distribution import Distribution
from surflow.distributions.column_conditionals import ColumnConditionals
from surflow.distributions.column_layout import ColumnLayout
from surflow.errors import ConfigError, DataError, ShapeError
from surflow.nets.attention import AttentionLayer
from surflow.supports import Support

# Tokens that pass through the network at once where no gradients are recorded.
_TOKENS_AT_ONCE = 2**15
# Of the orders whose mean is the density.
_SEED = 0
# Hats between which a number on its column's scale lies, as the network sees it.
_HATS = 16
_REACH = 2.5


class AnyOrder(Distribution):
    r"""Rows of mixed columns, numbers, categories and missing values, with all conditionals of any on any others.

    .. math:: \log p(x) = \log \frac1k \sum_{j=1}^k \prod_{i=1}^D p(x_{o_j(i)} \mid x_{o_j(1)}, \dots, x_{o_j(i-1)})

    for k fixed orders of the columns. By the chain rule every product is an exact density, and so is their mean, which
    is better than each. All conditionals come from one causal transformer, whose tokens are a column's value and the
    column that is asked for next. Values of columns on a :class:`~surflow.column_supports.Grid` have masses, as have
    categories, atoms and missing values; those of full resolution have densities.

    In training mode with gradients, as in ``fit``, ``elbo`` is the log-likelihood under one order, drawn anew for every
    row: all orders are learned, and its mean over orders is a lower bound of the logarithm of their mean likelihood.
    ``log_prob`` is the density in every mode. Before training, ``initialize`` takes frequencies and scales of the
    columns from the data; ``fit`` calls it.

    Args:
        event_shape: D, or (D,).
        context_shape: shape of the context, or None.
        support: that of the columns, such as ``product([Integers(3), WithAtoms(Grid(0.01), atoms=(0.0,))])``: real,
            positive, intervals and the circle for numbers of full resolution, grids for numbers that were rounded,
            integers for categories, and :class:`~surflow.column_supports.WithAtoms` around these.
        width, layers, heads: of the transformer; perceptrons are twice as wide as tokens.
        components: logistics of which a column's numbers are a mixture, given others.
        dropout: share of what its layers add that is dropped in training; None for .3 divided by the cube root of
            thousands of rows, at most .3, as ``initialize`` counts them.
        orders: k, the number of orders in the density; at most D! of them differ.

    Raises:
        ShapeError: for events that are no vectors.
        SupportError: for a support of columns of another kind.
        ConfigError: for numbers that are not positive, heads that do not divide the width, or dropout outside [0, 1).

    Source: the chain rule in all orders: Uria, Murray and Larochelle, "A deep and tractable density estimator", arXiv
    1310.1757; tokens that say what is next: Pannatier et al., "sigma-GPTs", arXiv 2404.09562.

    >>> import torch, surflow as sf
    >>> with sf.seeded(0):
    ...     rows = sf.AnyOrder(2, support=sf.product([sf.Integers(2), sf.Integers(3)]), width=8, heads=2)
    >>> every = torch.cartesian_prod(torch.arange(2.0), torch.arange(3.0))
    >>> round(rows.log_prob(every).exp().sum().item(), 4)
    1.0
    """

    reparameterized = False
    order_table: Tensor

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        support: Support,
        width: int = 64,
        layers: int = 3,
        heads: int = 4,
        components: int = 8,
        dropout: float | None = None,
        orders: int = 8,
    ) -> None:
        super().__init__(event_shape, support=support, context_shape=context_shape)
        if len(self.event_shape) != 1 or not self.event_shape[0]:
            raise ShapeError(f"rows of a table are vectors of one column or more, got event shape {self.event_shape}")
        if min(width, layers, heads, components, orders) < 1 or width % heads or not 0 <= (dropout or 0) < 1:
            raise ConfigError(
                "AnyOrder expects positive numbers, a width that heads divide, and dropout in [0, 1), got "
                f"width={width}, layers={layers}, heads={heads}, components={components}, dropout={dropout}, "
                f"orders={orders}"
            )
        (size,) = self.event_shape
        self.layout = ColumnLayout(support.coordinates(size))
        self.conditionals = ColumnConditionals(self.layout, width, components)
        self.numbers = nn.Parameter(torch.randn(size, _HATS + 1, width) * 0.1)
        self.asked = nn.Parameter(torch.randn(size, width) * 0.1)
        self.first = nn.Parameter(torch.zeros(width))
        inputs = None if self.context_shape is None else math.prod(self.context_shape)
        self.context = None if inputs is None else nn.Linear(inputs, width)
        self.drops = dropout is None
        self.layers = nn.ModuleList(AttentionLayer(width, heads, 2 * width, dropout or 0.0) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        with seeded(_SEED):
            self.register_buffer("order_table", _orders(orders, size))

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None) -> None:
        """Take the columns' frequencies and scales, and the share of dropout, from rows of the training data."""
        x, _, _ = self._rows(x, context)
        self.layout.initialize(x)
        if self.drops:
            share = min(0.3, 0.3 / (max(len(x), 1) / 1000) ** (1 / 3))
            for layer in self.layers:
                cast(AttentionLayer, layer).drop.p = share

    # -- scoring ------------------------------------------------------------------------------------

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return super().elbo(x, context)

    def elbo(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().elbo(x, context)
        x, context, batch = self._rows(x, context)
        order = torch.rand(x.shape, device=x.device).argsort(1)
        return self._terms(x, order, context).sum(1).reshape(batch)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self._mean(x, self.order_table, context)

    def _mean(self, x: Tensor, orders: Tensor, context: Tensor | None, of: Sequence[int] | None = None) -> Tensor:
        """Log of the mean likelihood of the columns ``of``, or all, over the orders (k, columns)."""
        at_once = max(1, _TOKENS_AT_ONCE // orders.shape[1])
        if not torch.is_grad_enabled() and x.shape[0] > at_once:
            parts = x.split(at_once)
            given = [None] * len(parts) if context is None else context.split(at_once)
            return torch.cat([self._mean(*part, of) for part in zip(parts, [orders] * len(parts), given, strict=True)])
        each = [self._terms(x, order[None], context) for order in orders]
        total = torch.stack([terms.sum(1) if of is None else terms[:, of].sum(1) for terms in each])
        never = total.isneginf().all(0)
        return total.where(~never, 0.0).logsumexp(0).sub(math.log(len(orders))).masked_fill(never, -math.inf)

    def _terms(self, x: Tensor, order: Tensor, context: Tensor | None) -> Tensor:
        """Nats of every value given those before it in the order (rows or 1, columns), for rows (n, D).

        What the order leaves out counts nothing, and nothing depends on it.
        """
        values = self._embedded(x)
        places = order.expand(len(x), -1)[..., None].expand(-1, -1, values.shape[2])
        before = values.index_select(1, order[0, :-1]) if len(order) == 1 else values.gather(1, places[:, :-1])
        h = self._start(len(x), order, before, context)
        for layer in self.layers:
            h = layer(h, causal=True)
        h = self.norm(h)
        h = torch.zeros_like(values).scatter(1, places, h) if order.shape[1] < x.shape[1] else self._back(h, order)
        terms = self.conditionals.log_prob(h, x)
        if order.shape[1] < x.shape[1]:
            asked = torch.zeros(x.shape[1], dtype=torch.bool, device=x.device).index_fill(0, order[0], True)  # noqa: FBT003
            terms = terms.where(asked, 0.0)
        return terms

    def _back(self, h: Tensor, order: Tensor) -> Tensor:
        """Tokens in an order, (n, D, width), as those of the columns one after the other."""
        inverse = order.argsort(1)
        return h.index_select(1, inverse[0]) if len(order) == 1 else h.gather(1, inverse[..., None].expand_as(h))

    def _start(self, n: int, order: Tensor, before: Tensor, context: Tensor | None) -> Tensor:
        h = torch.cat([self.first.expand(n, 1, -1), before], 1) + self.asked[order]
        return h if self.context is None or context is None else h + self.context(context.flatten(1))[:, None]

    def _embedded(self, x: Tensor) -> Tensor:
        """Vectors of all values, (n, D) to (n, D, width)."""
        layout = self.layout
        entry = layout.entries(x)
        local = torch.where(entry < 0, layout.rest_at, entry).clamp(min=0)
        # What is outside the support is embedded as something inside.
        which = (torch.minimum(local, layout.size - 1) + layout.offset)
        z, _ = layout.scaled(x)
        numeric = (layout.rest_at >= 0) & x.isfinite()
        seen = self._seen(z.to(self.numbers.dtype)) * numeric[..., None]
        return F.embedding(which, self.conditionals.embedding) + torch.einsum("ncf,cfw->ncw", seen, self.numbers)

    def _seen(self, z: Tensor) -> Tensor:
        """What the network sees of numbers on their scale: hats, and the number itself, far ones drawn near."""
        at = torch.linspace(-_REACH, _REACH, _HATS, dtype=z.dtype, device=z.device)
        gap = 2 * _REACH / (_HATS - 1)
        hats = (1 - (z.clamp(-_REACH, _REACH)[..., None] - at).abs() / gap).clamp(min=0)
        return torch.cat([hats, (z / 4).tanh()[..., None] * 4], -1)

    # -- drawing ------------------------------------------------------------------------------------

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._sample(n, context)
        return x, self._log_prob(x, context)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        which = torch.randint(len(self.order_table), (n,), device=self.asked.device)
        return self._generate(self.order_table[which], context)

    @torch.no_grad()
    def _generate(
        self, order: Tensor, context: Tensor | None, x: Tensor | None = None, known: Tensor | None = None
    ) -> Tensor:
        """Values one after the other in the orders (n, D) of the rows, those ``known`` taken from x."""
        n, size = order.shape
        kind = type_for(number_type(self), self.support.largest)
        rows = torch.zeros(n, size, dtype=torch.float64, device=order.device)
        layers = [cast(AttentionLayer, layer) for layer in self.layers]
        caches = [layer.empty_cache(n, size) for layer in layers]
        before = self.first.expand(n, 1, -1)
        entries = torch.arange(len(self.layout.atom), device=order.device)
        given = None if self.context is None or context is None else self.context(context.flatten(1))[:, None]
        for i in range(size):
            column = order[:, i]
            h = before + self.asked[column][:, None]
            h = h if given is None else h + given
            for k, layer in enumerate(layers):
                h, caches[k] = layer.step(h, caches[k], i)
            value = self.conditionals.draw(self.norm(h)[:, 0], column, entries).to(kind)
            if x is not None and known is not None:
                value = torch.where(known.gather(1, column[:, None]), x.gather(1, column[:, None]), value[:, None])[:, 0]
            rows = rows.scatter(1, column[:, None], value.double()[:, None])
            if i + 1 < size:
                # Of all columns, and one of them kept: a value costs little beside a layer.
                places = column[:, None, None].expand(-1, -1, before.shape[2])
                before = self._embedded(rows.to(kind)).gather(1, places)
        return rows.to(kind)


def _orders(k: int, size: int) -> Tensor:
    """Up to k orders of so many columns that all differ, each beside its reverse."""
    found: dict[tuple[int, ...], None] = {}
    most = min(k, math.factorial(min(size, 12)))
    while len(found) < most:
        order = torch.randperm(size).tolist()
        for each in (order, order[::-1]):
            if len(found) < most:
                found[tuple(each)] = None
    return torch.tensor(list(found))
