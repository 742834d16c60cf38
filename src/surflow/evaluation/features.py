"""Rows of mixed columns as numbers that distances and classifiers understand."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow.column_supports import Grid, WithAtoms
from surflow.supports import Integers, Product, Support

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
