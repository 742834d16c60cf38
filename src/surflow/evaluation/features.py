"""Rows of mixed columns as numbers that distances and classifiers understand."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow.supports import Integers, Product, Support
from surflow.supports.columns import Grid, WithAtoms

# Categories of more names than this keep their index: as one-hot columns they would crowd out the others.
_MOST_ONE_HOT = 30


def mixed(support: Support) -> bool:
    """Whether a support is that of a table's columns, some of whose values have probabilities of their own.

    >>> from surflow.supports import product, real
    >>> mixed(product([real, Integers(3)])), mixed(Integers(256)), mixed(real)
    (True, False, False)
    """
    parts = [part for part, _ in support.parts] if isinstance(support, Product) else [support]
    alone = not isinstance(support, Product)
    return any(isinstance(part, Grid | WithAtoms) or (isinstance(part, Integers) and not alone) for part in parts)


def features(x: Tensor, support: Support) -> Tensor:
    """Rows (n, D) as numbers without holes: categories one-hot, a missing number as the middle and a mark.

    >>> from surflow.supports import product, real
    >>> features(torch.tensor([[1.0, 5.0], [0.0, 7.0]]), product([Integers(2), real]))
    tensor([[0., 1., 5.],
            [1., 0., 7.]])
    """
    columns = []
    for i, part in enumerate(support.coordinates(x.shape[1])):
        values, missing = x[:, i], x[:, i].isnan()
        rest = part.support if isinstance(part, WithAtoms) else part
        if isinstance(rest, Integers) and rest.levels <= _MOST_ONE_HOT:
            columns.append((values[:, None] == torch.arange(rest.levels, device=x.device)).to(x.dtype))
        else:
            middle = values[~missing].median() if not missing.all() else values.new_zeros(())
            columns.append(torch.where(missing, middle, values)[:, None])
        if isinstance(part, WithAtoms) and part.missing:
            columns.append(missing.to(x.dtype)[:, None])
    return torch.cat(columns, 1)


def categorical(support: Support, size: int) -> list[bool]:
    """Which of so many columns hold categories without an order.

    >>> from surflow.supports import product, real
    >>> categorical(product([Integers(2), real]), 2)
    [True, False]
    """
    parts = support.coordinates(size)
    return [isinstance(part.support if isinstance(part, WithAtoms) else part, Integers) for part in parts]


def snapped(x: Tensor, support: Support) -> Tensor:
    """Rows (n, D) as a file would have them: numbers on the nearest point of their columns' grids, between the ends.

    >>> from surflow.supports import product
    >>> snapped(torch.tensor([[1.4, -2.0]]), product([Grid(1.0), Grid(0.5, low=0.0)]))
    tensor([[1., 0.]], dtype=torch.float64)
    """
    x = x.double()
    parts = support.coordinates(x.shape[1])
    grids = [part.support if isinstance(part, WithAtoms) else part for part in parts]
    stated = [
        (g.step, g.origin, g.low, g.high, 1.0) if isinstance(g, Grid) else (1.0, 0.0, -math.inf, math.inf, 0.0)
        for g in grids
    ]
    step, origin, low, high, on_grid = torch.tensor(stated, dtype=torch.float64).T
    nearest = (origin + ((x - origin) / step).round() * step).clamp(low, high)
    return torch.where(on_grid.bool(), nearest, x) + 0.0  # no negative zero, which is another text
