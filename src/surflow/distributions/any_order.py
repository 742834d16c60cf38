"""AnyOrder: rows of a table, one column after the other, in whichever order is asked for."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.numbers import as_rows
from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.distributions.column_conditionals import ColumnConditionals
from surflow.distributions.column_distribution import ColumnDistribution
from surflow.distributions.column_marginals import ColumnMarginal, LogisticMarginal, PooledMarginal
from surflow.distributions.column_transformer import ColumnTransformer
from surflow.distributions.discrete import draw_categories
from surflow.distributions.stacked import weights
from surflow.errors import ConfigError
from surflow.supports import Support

# Of the orders whose mean is the density.
_SEED = 0
_LEAST_WEIGHT = 0.01
# Logits of entries that are held at once in drawing.
_LOGITS_AT_ONCE = 2**23


class AnyOrder(ColumnDistribution):
    r"""Rows of mixed columns, numbers, categories and missing values, with all conditionals of any on any others.

    .. math:: \log p(x) = \log \sum_{j=1}^k w_j \prod_{i=1}^D p(x_{o_j(i)} \mid x_{o_j(1)}, \dots, x_{o_j(i-1)})

    for k fixed orders of the columns. By the chain rule every product is an exact density, and so is their mean, which
    is mostly better than each. The weights are 1/k until ``weigh`` sets them to what held-out rows say. Conditionals
    all come from one causal transformer, whose tokens are a column's value and the column that is asked for next.
    Values of columns on a :class:`~surflow.supports.columns.Grid` have masses, as have categories, atoms and missing
    values; those of full resolution have densities.

    In training mode with gradients, as in ``fit``, ``elbo`` is the log-likelihood under one order, drawn anew for every
    row: all orders are learned, and its mean over orders is a lower bound of the logarithm of their mean likelihood.
    ``log_prob`` is the density in every mode, and ``sample_given`` draws an order of what is known, and of what is not,
    for each row. Before training, ``initialize`` takes frequencies and scales of the columns from the data; ``fit``
    calls it.

    Args:
        event_shape: D, or (D,).
        context_shape: shape of the context, or None.
        support: that of the columns, such as ``product([Integers(3), WithAtoms(Grid(0.01), atoms=(0.0,))])``: real,
            positive, intervals and the circle for numbers of full resolution, grids for numbers that were rounded,
            integers for categories, and :class:`~surflow.supports.columns.WithAtoms` around these.
        width, layers, heads: of the transformer; perceptrons are twice as wide as tokens.
        components: logistics of which a column's numbers are a mixture, given others.
        dropout: share of what the layers add that is dropped in training; .5 suits a few hundred rows, .2 a few
            thousand, and 0 some tens of thousands.
        orders: k, the number of orders in the density, all different; D! if there are no more.
        waves: how many waves, each half as long as the one before, the network sees of a number beside where it lies
            roughly; 6 suit some tens of thousands of rows whose columns are computed from others.

    Raises:
        ShapeError: for events that are no vectors.
        SupportError: for a support of columns of another kind.
        ConfigError: for numbers that are not positive, heads that do not divide the width, or dropout outside [0, 1).

    Source: the chain rule in all orders: Uria, Murray and Larochelle, "A Deep and Tractable Density Estimator", arXiv
    1310.1757.

    >>> import torch, surflow as sf
    >>> with sf.seeded(0):
    ...     rows = sf.AnyOrder(2, support=sf.product([sf.Integers(2), sf.Integers(3)]), width=8)
    >>> every = torch.cartesian_prod(torch.arange(2.0), torch.arange(3.0))
    >>> round(rows.log_prob(every).exp().sum().item(), 4)
    1.0
    >>> rows.log_prob_of(every, of=[1], given=[0]).exp().reshape(2, 3).sum(1)
    tensor([1.0000, 1.0000], grad_fn=<SumBackward1>)
    """

    order_table: Tensor
    log_weight: Tensor

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        support: Support,
        width: int = 64,
        layers: int = 3,
        heads: int = 2,
        components: int = 8,
        dropout: float = 0.1,
        orders: int = 8,
        waves: int = 0,
    ) -> None:
        super().__init__(event_shape, support=support, context_shape=context_shape)
        if min(width, layers, heads, components, orders) < 1 or waves < 0 or width % heads or not 0 <= dropout < 1:
            raise ConfigError(
                "AnyOrder expects positive numbers, a width that heads divide, and dropout in [0, 1), got "
                f"width={width}, layers={layers}, heads={heads}, components={components}, dropout={dropout}, "
                f"orders={orders}, waves={waves}"
            )
        (size,) = self.event_shape
        context_size = 0 if self.context_shape is None else math.prod(self.context_shape)
        self.net = ColumnTransformer(
            self.layout, width, layers, heads, dropout=dropout, context_size=context_size, waves=waves
        )
        self.conditionals = ColumnConditionals(self.layout, self.net.embedding, components)
        with seeded(_SEED):
            self.register_buffer("order_table", _orders(orders, size))
        self.register_buffer("log_weight", torch.zeros(len(self.order_table)))
        self.used = len(self.order_table)  # those of some weight come first
        self.asked: list[list[int]] = []  # which columns these ask for at each place
        _count(self)
        self.register_load_state_dict_post_hook(_count)

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        """Take the columns' frequencies and scales from rows of the training data; only once."""
        x, _, _ = self._rows(x, context)
        self.layout.initialize(as_rows(x, weight))

    @torch.no_grad()
    def weigh(self, x: Tensor, context: Tensor | None = None) -> None:
        """Set the weights of the orders to those of the highest likelihood of rows that were not trained on.

        Orders of less than a hundredth are given up, so that scoring takes less time.

        Args:
            x: rows (n, D), at least one.
            context: one of each row, or None.

        Raises:
            DataError: for no rows, or none that has a density.
        """
        x, context, _ = self._rows(x, context)
        self.used = len(self.order_table)
        log_weight = weights(self._in_parts(lambda x, context: self._each(x, context).T, x, context, each=self.used))
        log_weight, first = log_weight.sort(descending=True)
        self.order_table.copy_(self.order_table[first])
        self.log_weight.copy_(log_weight.where(log_weight > math.log(_LEAST_WEIGHT), -math.inf))
        _count(self)

    # -- scoring ------------------------------------------------------------------------------------

    def elbo(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if not (self.training and torch.is_grad_enabled()):
            return super().elbo(x, context)
        x, context, batch = self._rows(x, context)
        order = torch.rand(x.shape, device=x.device).argsort(1)
        return self._terms(x, order, context).sum(1).reshape(batch)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        def mean(x: Tensor, context: Tensor | None) -> Tensor:
            return _log_mean(self._each(x, context), self.log_weight[: self.used])

        return self._in_parts(mean, x, context, each=self.used)

    def _each(self, x: Tensor, context: Tensor | None) -> Tensor:
        """Nats of rows under every order that is used, (orders, n)."""
        return self._nats(self._hidden(x, self.order_table[: self.used, None], context), x).sum(2)

    def _hidden(self, x: Tensor, orders: Tensor, context: Tensor | None) -> Tensor:
        """What the network makes of rows (n, D) in some orders (k, n or 1, columns), in one pass; (k, n, D, width)."""
        k = len(orders)
        if k == 1:
            return self.net(x, orders[0], context)[None]
        order = orders.expand(-1, len(x), -1).flatten(0, 1)
        each = None if context is None else context.repeat(k, *[1] * (context.ndim - 1))
        return self.net(x.repeat(k, 1), order, each).unflatten(0, (k, len(x)))

    def _nats(self, h: Tensor, x: Tensor) -> Tensor:
        """Nats of the values of rows (n, D) given hidden vectors (k, n, D, width); (k, n, D)."""
        return self.conditionals.log_prob(h.flatten(0, 1), x.repeat(len(h), 1)).unflatten(0, h.shape[:2])

    def _terms(self, x: Tensor, order: Tensor, context: Tensor | None) -> Tensor:
        """Nats of every value given those before it in the order (n or 1, columns), for rows (n, D)."""
        return self._nats(self._hidden(x, order[None], context), x)[0]

    # -- drawing ------------------------------------------------------------------------------------

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        which = draw_categories(n, self.log_weight[None])
        x = torch.zeros(n, *self.event_shape, device=which.device, dtype=self._event_type)
        known = torch.zeros_like(x, dtype=torch.bool)
        return self._generate(self.order_table[which], context, x, known, self.asked)

    @torch.no_grad()
    def _generate(
        self, order: Tensor, context: Tensor | None, x: Tensor, known: Tensor, asked: list[list[int]]
    ) -> Tensor:
        """Values one after the other in the orders (n, D) of the rows; those ``known``, (n, D), are kept from x.

        ``asked`` are the columns that any row may ask for at each place of its order.
        """
        at_once = max(1, _LOGITS_AT_ONCE // sum(self.layout.sizes))
        if len(x) > at_once:
            given = [None] * len(x.split(at_once)) if context is None else context.split(at_once)
            parts = zip(order.split(at_once), given, x.split(at_once), known.split(at_once), strict=True)
            return torch.cat([self._generate(*part, asked) for part in parts])
        net = self.net.steps(order, context, asked)
        for i in range(order.shape[1]):
            column = order[:, i, None]
            drawn = self.conditionals.draw(net.ask(i), column[:, 0], asked[i])[:, None].to(x.dtype)
            x = x.scatter(1, column, torch.where(known.gather(1, column), x.gather(1, column), drawn))
            net.tell(i, x)
        return x

    def _filled(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        order = (torch.rand(x.shape, device=x.device) - known.to(torch.get_default_dtype())).argsort(1)
        every = list(range(x.shape[1]))
        return self._generate(order, context, x, known, [every] * len(every))

    # -- conditionals -------------------------------------------------------------------------------

    def log_prob_of(
        self, x: Tensor, of: Sequence[int], given: Sequence[int] = (), context: Tensor | None = None
    ) -> Tensor:
        r"""Nats of some columns given others, whatever the rest: :math:`\log p(x_{of} \mid x_{given})`, shape (n,).

        It is a mean over the k orders of ``log_prob``, in each of which the columns given come first: the mean of
        :math:`p_j(x_{given})\, p_j(x_{of} \mid x_{given})` with the weights of the orders, divided by that of
        :math:`p_j(x_{given})`. So orders count as they predict what is known. With ``orders=1`` columns are taken as
        they are listed, and conditionals obey the chain rule to the digit. Arguments and errors are those of
        :meth:`ColumnDistribution.log_prob_of`.
        """
        return super().log_prob_of(x, of, given, context)

    def _log_prob_of(self, x: Tensor, of: list[int], given: list[int], context: Tensor | None) -> Tensor:
        orders, log_weight = self._orders_of(of, given)
        terms = self._nats(self._hidden(x, orders, context), x)
        before, after = terms[..., given].sum(2), terms[..., of].sum(2)
        known = log_weight.to(before.dtype)[:, None] + before
        return _log_sum(known.log_softmax(0) + after)

    def _orders_of(self, of: list[int], given: list[int]) -> tuple[Tensor, Tensor]:
        """The orders that are used, of the columns given and then those asked for, (k, 1, columns), and log-weights.

        Those that differ in other columns only are one, with the weight of all.
        """
        orders: dict[tuple[int, ...], list[int]] = {}
        if len(self.order_table) == 1:
            orders[(*given, *of)] = [0]
        else:
            for j, order in enumerate(self.order_table[: self.used].tolist()):
                ordered = (sorted(part, key=order.index) for part in (given, of))
                orders.setdefault(tuple(column for part in ordered for column in part), []).append(j)
        log_weight = torch.stack([self.log_weight[same].logsumexp(0) for same in orders.values()])
        return torch.tensor(list(orders), device=log_weight.device, dtype=torch.long)[:, None], log_weight

    def _orders(self, known: Tensor, of: int | None = None) -> Tensor:
        """The orders that are used with what is known first, and next the column asked for; (orders, n, D)."""
        place = self.order_table[: self.used].argsort(1).to(torch.get_default_dtype())[:, None]
        later = (~known).to(place.dtype) * 2 * place.shape[2]
        if of is not None:
            later[:, of] = place.shape[2]
        return (place + later).argsort(2)

    def _log_known(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        given = _common(known)
        if given is not None:
            return self._log_prob_of(x, given, [], context) if given else self.log_weight.new_zeros(len(x))
        each = self._nats(self._hidden(x, self._orders(known), context), x).where(known, 0.0).sum(2)
        return _log_mean(each, self.log_weight[: self.used])

    def _marginal(
        self,
        x: Tensor,
        known: Tensor,
        of: int,
        context: Tensor | None,
        *,
        listed: Sequence[int] | None = None,
        drawing: bool = False,
    ) -> ColumnMarginal:
        given = _common(known) if listed is None else list(listed)
        if given is not None:  # other columns may be left out
            orders, log_weight = self._orders_of([of], given)
        elif drawing:  # as in filling rows, what is known comes in an order of its own in each
            first = known.to(torch.get_default_dtype()).index_fill(1, torch.tensor([of], device=x.device), 0.5)
            orders = (torch.rand(x.shape, device=x.device) / 2 - first).argsort(1)[None]
        else:
            orders, log_weight = self._orders(known, of), self.log_weight[: self.used]
        h = self._hidden(x, orders, context)
        if len(h) == 1:
            return LogisticMarginal(self.conditionals, h[0, :, of], of)
        before = self._nats(h, x).where(known, 0.0).sum(2).T
        part = LogisticMarginal(self.conditionals, h[:, :, of].transpose(0, 1).flatten(0, 1), of)
        return PooledMarginal(part, (before.double() + log_weight.double()).softmax(1))

    def _marginals(
        self, x: Tensor, known: Tensor, of: list[int], context: Tensor | None, *, drawing: bool = False
    ) -> list[ColumnMarginal]:
        given, log_weight = known[0].nonzero()[:, 0], self.log_weight.new_zeros(1)
        if drawing:  # one order of what is known for each row
            first = given[torch.rand(len(x), len(given), device=x.device).argsort(1)][:, None]
        else:
            found, log_weight = self._orders_of([], given.tolist())
            first = found[:, 0].expand(len(x), -1, -1)  # (n, orders, known)
        n, orders = first.shape[:2]
        columns = torch.tensor(of, device=x.device)
        # All columns asked for after all orders, in one pass: (n, orders, columns).
        order = torch.cat(
            [first[:, :, None].expand(-1, -1, len(of), -1), columns.expand(n, orders, -1)[..., None]], 3
        ).flatten(0, 2)
        rows = x.repeat_interleave(orders * len(of), 0)
        each = None if context is None else context.repeat_interleave(orders * len(of), 0)
        h = self.net(rows, order, each)
        asked = h[torch.arange(len(h), device=x.device), order[:, -1]].reshape(n * orders, len(of), -1)
        weight = x.new_zeros(n, orders, dtype=torch.float64)
        if orders > 1:
            before = self.conditionals.log_prob(h[:: len(of)], x.repeat_interleave(orders, 0)).reshape(n, orders, -1)
            weight = before.where(known[:, None], 0.0).sum(2).double() + log_weight.double()
        weight = weight.softmax(1)
        parts = [LogisticMarginal(self.conditionals, asked[:, i], column) for i, column in enumerate(of)]
        return [PooledMarginal(part, weight) for part in parts]

    @torch.no_grad()
    def account(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Nats of every value given all others of its row, in one order of these, (n, D): the lowest are the oddest.

        Args:
            x: rows (n, D).
            context: one of each row, or None.
        """
        x, context, _ = self._rows(x, context)
        first, size = self.order_table[0], x.shape[1]
        columns = torch.arange(size, device=first.device)[:, None]
        # Every column last, the others as they come: a stable sort by whether it is the one.
        orders = first[(first == columns).byte().argsort(dim=1, stable=True)][:, None]

        def each(x: Tensor, context: Tensor | None) -> Tensor:
            last = self._hidden(x, orders, context).diagonal(dim1=0, dim2=2).transpose(1, 2)
            return self.conditionals.log_prob(last, x)

        return self._in_parts(each, x, context, each=size)


def _count(table: nn.Module, _: object = None) -> None:
    """Orders of some weight, as Python's numbers: no step of scoring or drawing waits for a device to say them."""
    assert isinstance(table, AnyOrder)
    table.used = int(table.log_weight.isfinite().sum())
    table.asked = [sorted(set(columns)) for columns in table.order_table[: table.used].T.tolist()]


def _common(known: Tensor) -> list[int] | None:
    """The columns that are known, where they are the same in all rows (n, D)."""
    if not len(known) or not bool((known == known[0]).all()):
        return None
    return [int(column) for column in known[0].nonzero()[:, 0]]


def _log_mean(each: Tensor, log_weight: Tensor) -> Tensor:
    """Log of the weighed mean of likelihoods from their logarithms (orders, n); (n,)."""
    return _log_sum(each + log_weight.to(each.dtype).log_softmax(0)[:, None])


def _log_sum(each: Tensor) -> Tensor:
    """Log of the sum of numbers from their logarithms (orders, n); (n,)."""
    never = each.isneginf().all(0)  # where a logarithm of a sum has no gradient
    return each.where(~never, 0.0).logsumexp(0).masked_fill(never, -math.inf)


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
