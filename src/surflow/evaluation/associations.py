"""How strongly the columns of a table go together, pair by pair, with one measure for numbers and categories alike."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from surflow.evaluation.features import categorical
from surflow.supports import Support

_MOST_BINS = 10
# Rows for each cell of a pair's table of counts; a bin of fewer says nothing, and is joined with the fullest.
_ROWS_A_CELL = 5


def associations(x: Tensor, support: Support) -> Tensor:
    r"""The association of every pair of columns, from 0, independent, to 1, one is a function of the other; (D, D).

    .. math:: r = \sqrt{\frac{1 - e^{-2 I}}{1 - e^{-2 \min(H_a, H_b)}}}

    with I the mutual information of the two columns in bins, in nats, less what chance gives it, and H their entropies.
    It needs no order and no straight line, takes missing values as values, and is on the scale of a correlation: of two
    normal numbers it is about the size of their correlation, which bins can only make smaller. Numbers are in bins of
    about as many rows each, as many as the rows suffice for and at most 10; of categories the most frequent, and one
    bin for the others. Values that fewer than five rows have say nothing. The diagonal is 1.

    Args:
        x: rows (n, D), NaN where a value is missing.
        support: of the columns.

    Source: Linfoot, "An informational measure of correlation", 1957; Miller, "Note on the bias of information
    estimates", 1955.

    >>> from surflow.supports import product, real
    >>> a = torch.linspace(-1, 1, 500)
    >>> associations(torch.stack([a, a.square()], 1), real)[0, 1] > 0.9
    tensor(True)
    """
    n, size = x.shape
    most = int(min(_MOST_BINS, max(2, math.isqrt(n // _ROWS_A_CELL))))
    named = categorical(support, size)
    bins = torch.stack([_binned(x[:, i].double(), most, named=named[i]) for i in range(size)], 1)
    hot = torch.nn.functional.one_hot(bins, most + 1).flatten(1).float()  # the last bin is that of missing values
    counts = (hot.T @ hot).double().reshape(size, most + 1, size, most + 1).transpose(1, 2) / max(n, 1)
    alone = counts.diagonal(dim1=0, dim2=1).diagonal(dim1=0, dim2=1)  # (D, bins)
    expected = alone[:, None, :, None] * alone[None, :, None, :]
    information = torch.xlogy(counts, counts / expected.clamp(min=1e-300)).sum((2, 3))
    levels = (alone > 0).sum(1).double()
    # One bin alone has no information, and leaves none to chance.
    information = (information - (levels[:, None] - 1) * (levels - 1) / (2 * max(n, 1))).clamp(min=0)
    entropy = -torch.xlogy(alone, alone).sum(1)
    largest = -torch.expm1(-2 * torch.minimum(entropy[:, None], entropy))
    r = (-torch.expm1(-2 * information) / largest.clamp(min=1e-12)).clamp(max=1).sqrt()
    return r.fill_diagonal_(1.0)


def _binned(v: Tensor, most: int, *, named: bool) -> Tensor:
    """The bin of every value, (n,): 0, ..., most - 1, and most for missing values."""
    missing = v.isnan()
    there = v[~missing]
    bins = torch.full_like(v, most, dtype=torch.long)
    if not len(there):
        return bins
    values, index, counts = there.unique(return_inverse=True, return_counts=True)
    if named or len(values) <= most:
        each = counts.argsort(descending=True, stable=True).argsort()
    else:
        each = ((counts.cumsum(0) - counts / 2) / len(there) * most).long()  # equal values are in one bin
    bins[~missing] = each.clamp(max=most - 1)[index]
    rows = bins.bincount()
    return torch.where(rows[bins] < _ROWS_A_CELL, rows.argmax(), bins)
