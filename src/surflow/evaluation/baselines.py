"""Simple models of mixed columns, for what a model has to beat: independent columns, a tree of pairs, a copula."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow.distributions.column_layout import ColumnLayout
from surflow.distributions.column_tree import ColumnTree
from surflow.evaluation.gaussian import Gaussian, fit_gaussian
from surflow.evaluation.likelihood import log_probs
from surflow.supports import Integers, Support
from surflow.supports.columns import Grid, WithAtoms

_CHUNK_ROWS = 4096
# The training rows that are counted; more change a baseline in the third digit. Values of rows that are counted, and
# columns beyond which counts of all pairs fill the memory.
_MOST_ROWS, _MOST_VALUES, _MOST_COLUMNS = 50_000, 2_000_000, 200


def column_scores(train: Tensor, x: Tensor, support: Support) -> dict[str, Tensor]:
    r"""Nats of rows x under simple models of the training rows, as masses and densities of the same columns; (n,) each.

    ===========  =====================================================================================================
    independent  the product of the columns, each with its frequencies and its scale
    tree         :class:`~surflow.ColumnTree`, every column given one other; of up to 200 columns
    copula       where every column holds numbers and none is missing: the Gaussian copula, by the chain rule. Column i
                 is normal on its scale given those before it, and a number on a grid has the mass of its cell
    ===========  =====================================================================================================

    Args:
        train: rows (m, D) to learn from.
        x: rows (n, D) to score.
        support: of the columns.

    >>> from surflow.supports import product
    >>> every = torch.cartesian_prod(torch.arange(2.0), torch.arange(3.0))
    >>> scores = column_scores(every.repeat(9, 1), every, product([Integers(2), Integers(3)]))
    >>> {name: round(score.exp().sum().item(), 4) for name, score in scores.items()}
    {'tree': 1.0, 'independent': 1.0}
    """
    size = x.shape[1]
    train = train[torch.randperm(len(train))[: min(_MOST_ROWS, max(1000, _MOST_VALUES // size))]]
    tree = ColumnTree(size, support=support)
    found = {}
    if size <= _MOST_COLUMNS:
        tree.initialize(train)
        found["tree"] = log_probs(tree, x)
    else:
        tree.layout.initialize(train)
    found["independent"] = _alone(tree, x)
    parts = support.coordinates(size)
    if len(parts) > 1 and all(_number(part) for part in parts):
        found["copula"] = _copula(tree.layout, fit_gaussian(tree.layout.scaled(train)[0]), x)
    return found


def _alone(tree: ColumnTree, x: Tensor) -> Tensor:
    """The columns alone are what the tree says of them without a hidden vector."""
    with torch.no_grad():
        nothing = torch.zeros(1)
        return torch.cat(
            [tree.alone.log_prob(nothing.expand(*part.shape, 1), part).sum(1) for part in x.split(_CHUNK_ROWS)]
        ).double()


def _number(part: Support) -> bool:
    """Whether a column is a number in every row, and on a grid, where atoms are numbers like others, or without any."""
    if isinstance(part, WithAtoms):
        return not part.missing and isinstance(part.support, Grid)
    return not isinstance(part, Integers)


def _copula(layout: ColumnLayout, fitted: Gaussian, x: Tensor) -> Tensor:
    z, log_slope = layout.scaled(x)
    centre, width = layout.cells(x)
    z = torch.where(layout.grid, centre, z)
    noise = torch.linalg.solve_triangular(fitted.cholesky, (z - fitted.coefficients[0]).T, upper=False).T
    scale = fitted.cholesky.diagonal()
    mean = z - noise * scale  # of each column given those before it
    low, high, a, b = (
        (end - mean) / scale for end in (layout.low, layout.high, centre - width / 2, centre + width / 2)
    )
    density = -0.5 * noise.square() - scale.log() - 0.918938533204672742 + log_slope
    within = torch.where(layout.grid, _log_normal_mass(a, b), density) - _log_normal_mass(low, high)
    return within.sum(1).masked_fill(~layout.inside(x, layout.entries(x)).all(1), -torch.inf)


def _log_normal_mass(a: Tensor, b: Tensor) -> Tensor:
    """The logarithm of the standard normal's mass from a to b, on the side where nothing cancels."""
    flip = a > 0
    a, b = torch.where(flip, -b, a), torch.where(flip, -a, b)
    larger, smaller = torch.special.log_ndtr(b), torch.special.log_ndtr(a)
    return larger + torch.log(-torch.expm1((smaller - larger).clamp(max=-1e-15)))
