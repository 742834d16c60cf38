"""The preset for tables of mixed columns."""

from __future__ import annotations

from typing import overload

from surflow._internal.random import seeded
from surflow._internal.shapes import Shape, as_shape
from surflow.data.tables.schema import Schema
from surflow.data.tables.support import support_of
from surflow.distributions.any_order import AnyOrder
from surflow.distributions.column_classes import ColumnClasses
from surflow.distributions.column_mixture import ColumnMixture
from surflow.distributions.column_tree import ColumnTree
from surflow.errors import ConfigError
from surflow.flow import ContextNet, Flow
from surflow.presets.start import of_context
from surflow.supports import Support, real
from surflow.tables import defaults
from surflow.tables.model import TableModel


@overload
def table(
    event_shape: Schema,
    *,
    seed: int | None = ...,
    width: int = ...,
    layers: int = ...,
    heads: int = ...,
    components: int = ...,
    dropout: float | None = ...,
    orders: int = ...,
    waves: int | None = ...,
) -> TableModel: ...


@overload
def table(
    event_shape: int | Shape,
    context_shape: int | Shape | None = ...,
    *,
    context_net: ContextNet | None = ...,
    support: Support = ...,
    seed: int | None = ...,
    width: int = ...,
    layers: int = ...,
    heads: int = ...,
    components: int = ...,
    dropout: float | None = ...,
    orders: int = ...,
    waves: int | None = ...,
) -> Flow: ...


def table(
    event_shape: int | Shape | Schema,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    width: int = 64,
    layers: int = 3,
    heads: int = 2,
    components: int = 8,
    dropout: float | None = None,
    orders: int = 8,
    waves: int | None = None,
) -> Flow | TableModel:
    """For tables of numbers, categories, dates and holes, any column given any others, by a causal transformer.

    :class:`~surflow.AnyOrder`, without a context in a :class:`~surflow.ColumnMixture` with a
    :class:`~surflow.ColumnTree` and :class:`~surflow.ColumnClasses`, the simple models that it should never fall
    behind: exact masses of what has a probability, densities of the rest.

    Args:
        event_shape: number of columns; or the schema of a table, for a :class:`~surflow.TableModel` that knows names
            and values: its support is that of the columns that are used, and its dropout and waves suit the number of
            rows.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of the columns, as the schema of a table says it.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        width, layers, heads: of the transformer.
        components: logistics of which a column's numbers are a mixture, given others.
        dropout: share of its hidden values that is dropped in training, by default .1; more for fewer rows.
        orders: how many orders of the columns the density is the mean of.
        waves: how many of them the transformer sees of a number, by default none; 6 for some tens of thousands of rows.

    Raises:
        ShapeError: for events that are no vectors, or a context that is no vector.
        SupportError: for a support of another kind than that of columns.
        ConfigError: for a context or a support beside a schema.

    >>> import surflow as sf
    >>> table(2, support=sf.product([sf.Integers(3), sf.real]), width=16, seed=0).exact
    True
    """
    if isinstance(event_shape, Schema):
        if context_shape is not None or context_net is not None or support != real:
            raise ConfigError("a schema says what the columns are, and any of them may be given: leave the rest out")
        schema = event_shape
        flow = table(
            len(schema.used), support=support_of(schema.used), seed=seed, width=width, layers=layers, heads=heads,
            components=components, orders=orders, dropout=defaults.dropout(schema.rows) if dropout is None else dropout,
            waves=defaults.waves(schema.rows) if waves is None else waves,
        )  # fmt: skip
        return TableModel(flow, schema)
    with seeded(seed):
        context, context_net = of_context(context_shape, context_net)
        shape = as_shape(event_shape)
        net = AnyOrder(
            shape, context or None, support=support, width=width, layers=layers, heads=heads, components=components,
            dropout=0.1 if dropout is None else dropout, orders=orders, waves=waves or 0,
        )  # fmt: skip
        if context:
            return Flow([], base=net, context_net=context_net)
        simple = [ColumnTree(shape, support=support), ColumnClasses(shape, support=support)]
        return Flow([], base=ColumnMixture([net, *simple]))
