"""Whether samples of a table repeat the rows that the model was trained on."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surflow.evaluation.features import categorical
from surflow.supports import Support

_AT_ONCE = 512


class Memory(NamedTuple):
    """How near samples are to training rows.

    Attributes:
        rows: how many training rows and held-out rows are compared, of each.
        nearer: the share of samples that are nearer to a training row than to a held-out one; half of those that are as
            near to either count.
        error: its standard error, if the model knew neither.
        p: how often chance alone gives so large a share.
    """

    rows: int
    nearer: float
    error: float
    p: float


def memory(
    train: Tensor, held_out: Tensor, samples: Tensor, support: Support, seed: int = 0, *, most: int = 2000
) -> Memory:
    r"""Are samples nearer to rows that were trained on than to as many that were not?

    Had the model seen neither set, it would be chance in which of them a row lies, for every sample's nearest row: the
    labels of the :math:`2n` rows are exchangeable. With :math:`c_j` samples nearest to row j, of m, the share of those
    nearest to training rows then has the mean 1/2 and the variance

    .. math:: \frac{2n}{2n - 1} \sum_j \frac{(c_j - m / 2n)^2}{4 m^2}

    which counts that some rows are the nearest of many samples: a binomial interval would be too short. Distances sum
    those of the columns: of numbers the difference of their ranks among all rows, of categories 0 or 1, as for missing
    values. A model that only learned what is general may be slightly above 1/2 as well, as training rows show it.

    Args:
        train, held_out: rows (n, D) that were trained on, and that were not; as many of each are used.
        samples: (m, D).
        support: of the columns.
        seed: of what is chosen by chance.
        most: rows of each set.

    >>> from surflow.supports import real
    >>> x = torch.randn(400, 3)
    >>> memory(x[:200], x[200:], x[:200] + 1e-3, real).nearer
    1.0
    """
    n, m = min(len(train), len(held_out), most), min(len(samples), most)
    random = np.random.default_rng(seed)
    chosen = [
        part[torch.from_numpy(random.permutation(len(part))[:k])].double()
        for part, k in ((train, n), (held_out, n), (samples, m))
    ]
    rows, drawn = torch.cat(chosen[:2]), chosen[2]
    named = torch.tensor(categorical(support, rows.shape[1]))
    numbers = _ranks(rows[:, ~named], rows[:, ~named]), _ranks(drawn[:, ~named], rows[:, ~named])
    names = rows[:, named].nan_to_num(-1.0), drawn[:, named].nan_to_num(-1.0)
    count = torch.zeros(2 * n, dtype=torch.float64)
    for start in range(0, m, _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        distance = torch.cdist(numbers[1][part], numbers[0], p=1.0)
        for a, b in zip(names[1][part].T, names[0].T, strict=True):
            distance += a[:, None] != b
        nearest = distance <= distance.amin(1, keepdim=True) + 1e-9
        count += (nearest / nearest.sum(1, keepdim=True)).sum(0)
    nearer = count[:n].sum().item() / m
    variance = (count - m / (2 * n)).square().sum().item() / (4 * m * m) * 2 * n / (2 * n - 1)
    error = math.sqrt(variance)
    z = (nearer - 0.5) / error if error > 0 else 0.0
    return Memory(n, nearer, error, math.erfc(z / math.sqrt(2)) / 2)


def copies(x: Tensor, of: Tensor) -> Tensor:
    """Which rows x (n, D) are equal to one of others (m, D) in every column, missing values included; (n,), bool.

    Args:
        x: rows to look for.
        of: rows among which they may be.

    >>> copies(torch.tensor([[1.0, float("nan")], [1.0, 2.0]]), torch.tensor([[1.0, float("nan")]]))
    tensor([ True, False])
    """
    # Any number that is no value stands for a missing one.
    both = torch.cat([of, x]).double().nan_to_num(math.pi * 1e300) + 0.0
    index = both.unique(dim=0, return_inverse=True)[1]
    return torch.isin(index[len(of) :], index[: len(of)])


def _ranks(x: Tensor, among: Tensor) -> Tensor:
    """Numbers (n, D) as shares of those (m, D) below them, and a mark for missing ones; (n, 2 D)."""
    columns = []
    for v, reference in zip(x.T, among.T, strict=True):
        known = reference[~reference.isnan()].sort()[0]
        if not len(known):
            known = reference.new_zeros(1)
        filled = v.nan_to_num(0.0).contiguous()
        share = (torch.searchsorted(known, filled) + torch.searchsorted(known, filled, right=True)) / (2 * len(known))
        # From a missing value it is about as far to any number as from one end of the column to the other.
        columns += [torch.where(v.isnan(), 0.5, share), 0.75 * v.isnan()]
    return torch.stack(columns, 1) if columns else x.new_zeros(len(x), 0)
