"""Columns of numbers that are linear functions of others."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow.evaluation.features import categorical
from surflow.supports import Support

_MOST_ROWS, _MOST_COLUMNS, _ROWS_A_COLUMN = 5000, 100, 3
# Share of a column's variance that the others leave; and of it what one of them must explain to be named.
_LEFT, _NAMED = 1e-8, 1e-3


def linear_relations(x: Tensor, support: Support) -> list[tuple[int, list[int]]]:
    """Each column that is a linear function of columns before it, and which these are, by number.

    Rows in which a column of numbers is missing are left out; where fewer than three a column are left, nothing is
    said. Columns that are mostly missing are no part of it, nor are those after the first hundred.

    Args:
        x: rows (n, D), NaN where a value is missing.
        support: of the columns.

    >>> from surflow.supports import real
    >>> x = torch.randn(100, 2)
    >>> linear_relations(torch.cat([x, x.sum(1, keepdim=True)], 1).double(), real)
    [(2, [0, 1])]
    """
    named = categorical(support, x.shape[1])
    holes = x.isnan().double().mean(0).tolist()
    columns = [i for i in range(x.shape[1]) if not named[i] and holes[i] < 0.5][:_MOST_COLUMNS]
    rows = x[:, columns].double()
    rows = rows[~rows.isnan().any(1)][:_MOST_ROWS]
    if len(rows) < _ROWS_A_COLUMN * len(columns) or not columns:
        return []
    rows = rows - rows.mean(0)
    scale = rows.abs().amax(0)
    rows = rows / scale.where(scale > 0, 1.0)
    rows = rows / rows.square().mean(0).sqrt().clamp(min=1e-300)
    found: list[tuple[int, list[int]]] = []
    basis: list[int] = []
    for i in range(len(columns)):
        if scale[i] == 0:
            continue
        slopes = torch.linalg.lstsq(rows[:, basis], rows[:, i : i + 1]).solution
        if (rows[:, basis] @ slopes - rows[:, i : i + 1]).square().mean() < _LEFT:
            named_too = (slopes[:, 0].abs() > _NAMED).tolist()
            found.append((columns[i], [columns[j] for j, kept in zip(basis, named_too, strict=True) if kept]))
        else:
            basis.append(i)
    return found
