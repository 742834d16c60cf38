"""What fills the holes of a table: the best guess for each, or draws of all holes of a row together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from surflow._internal.random import seeded
from surflow.data.tables.columns import decode
from surflow.data.tables.schema import Column
from surflow.distributions.column_distribution import ColumnDistribution
from surflow.distributions.column_marginals import Region
from surflow.tables.explanation import expected, in_blocks

if TYPE_CHECKING:
    from surflow.tables.libraries import Fill

# Draws of what is not missing are asked for again so often where they came out missing, before they are weighed.
_AGAIN = 8


def fills(
    base: ColumnDistribution,
    columns: Sequence[Column],
    x: Tensor,
    *,
    draws: int | None,
    seed: int | None,
    progress: bool = False,
) -> list[dict[str, Fill]]:
    """For every draw, by column, the rows of x (n, columns) that have a hole, NaN, and their values.

    Args:
        base: the distribution of the rows.
        columns: what they are.
        x: the rows, whose known values the support holds.
        draws: how many, or None for the one best guess.
        seed: of the draws.
        progress: show a bar.
    """
    known = ~x.isnan()
    open_rows = (~known).any(1).nonzero()[:, 0]
    filled = x.expand(draws or 1, *x.shape).clone()
    for number in range(draws or 1):
        for block, at in enumerate(in_blocks(open_rows, "filling holes", progress=progress)):
            if draws is None:
                filled[0, at] = _best(base, columns, x[at], known[at])
            else:
                own = None if seed is None else (seed * 1_000_003 + number) * 1_000_003 + block
                filled[number, at] = _joint(base, columns, x[at], known[at], own)
    holes = {column.name: (~known[:, i]).nonzero()[:, 0].numpy() for i, column in enumerate(columns)}
    return [
        {
            column.name: (holes[column.name], decode(column, each[holes[column.name], i].numpy()))
            for i, column in enumerate(columns)
            if len(holes[column.name])
        }
        for each in filled
    ]


def _best(base: ColumnDistribution, columns: Sequence[Column], x: Tensor, known: Tensor) -> Tensor:
    out = x.clone()
    for i in (~known).any(0).nonzero()[:, 0].tolist():
        at = ~known[:, i]
        out[at, i] = expected(base, columns, x[at], known[at], i, missing=False)
    return out


def _joint(base: ColumnDistribution, columns: Sequence[Column], x: Tensor, known: Tensor, seed: int | None) -> Tensor:
    """Holes drawn together, given that none is missing: drawn anew where one is, weighed where that is often."""
    out, left = x.clone(), torch.arange(len(x))
    with seeded(seed):
        for _ in range(_AGAIN):
            if not len(left):
                return out
            drawn = base.sample_given(x[left], known[left]).to(x.dtype)
            out[left] = torch.where(known[left], x[left], drawn)
            left = left[~_filled_in(columns, out[left], known[left])]
        for pattern in known[left].unique(dim=0):
            at = left[(known[left] == pattern).all(1)]
            where = {i: _anything(columns[i]) for i in (~pattern).nonzero()[:, 0].tolist()}
            drawn, _ = base.sample_where(x[at], pattern.nonzero()[:, 0].tolist(), where)
            out[at] = torch.where(pattern, x[at], drawn.to(x.dtype))
    return out


def _filled_in(columns: Sequence[Column], x: Tensor, known: Tensor) -> Tensor:
    """Rows whose holes all have a value that a file can hold."""
    names = [len(c.categories) if c.kind.named else torch.inf for c in columns]
    return (known | (x < torch.tensor(names, dtype=x.dtype))).all(1)


def _anything(column: Column) -> Region:
    """Every value of a column that is not missing."""
    if column.kind.named:
        return Region(points=tuple(map(float, range(len(column.categories)))), intervals=())
    return Region(points=(), intervals=((-np.inf, np.inf),))
