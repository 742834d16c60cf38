"""What numbers are: finite, constant, and of which location and scale, in double precision and with weights."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from surflow._internal.shapes import flat

# The share of the values at either end that may be outliers.
_OUTER = 0.025
# A standard deviation of so many times that of all but these is made by few values: it says nothing about the others.
_HEAVY = 5.0
# The most rows that :func:`as_rows` gives.
_MOST_ROWS = 2**20
# Numbers nearer than this share of their range are one, but for rounding; from which share of them on numbers repeat;
# and how many of the distances between numbers may be smaller than the grid.
_SAME, _REPEATED, _ODD = 1e-6, 0.05, 0.1


def not_finite(x: Tensor, undefined: Callable[[Tensor], Tensor] | None = None) -> Tensor:
    """Which rows of x, shape (n, *event), hold infinite values, or NaN: (n,) booleans.

    Args:
        x: rows.
        undefined: which NaN count, as of ``Support.undefined``: one may be an event, a missing value; None for all.

    >>> not_finite(torch.tensor([[1.0, 2.0], [1.0, torch.nan]]))
    tensor([False,  True])
    """
    if undefined is None:
        return ~flat(x).isfinite().all(1)
    return undefined(x) | flat(x).isinf().any(1)


def constant(x: Tensor) -> Tensor:
    """Which coordinates of x, shape (n, *event), hold one value in all rows: smallest equals largest, no tolerance.

    >>> constant(torch.tensor([[1e-300, 0.1], [2e-300, 0.1]], dtype=torch.float64))
    tensor([False,  True])
    """
    return (x == x[:1]).all(0)


class Spread(NamedTuple):
    """Location and scale of every coordinate, in double precision.

    Attributes:
        location: mean; where ``robust`` that of the clipped values.
        scale: standard deviation about the location, 0 of a constant; where ``robust`` that of the clipped values,
            which lie between the quantiles of 2.5 and 97.5 percent, those beyond being moved there (winsorised).
        robust: where the standard deviation is more than five times that of the clipped values: few values make it.
    """

    location: Tensor
    scale: Tensor
    robust: Tensor


def spread(x: Tensor, weight: Tensor | None = None, *, center: bool = True) -> Spread:
    """Location and scale of coordinates of any size, far from zero or not; rows of weight w count as w rows.

    Args:
        x: finite numbers, (n, coordinates), at least one row.
        weight: positive, (n,); None for ones.
        center: False takes zero for the location.

    >>> x = torch.tensor([[1.7e9], [1.7e9 + 2]], dtype=torch.float64)
    >>> spread(x).scale.item(), spread(x * 2.0**900).scale.item() == 2.0**900
    (1.0, True)
    """
    x = x.double()
    share = None if weight is None else weight.double() / weight.max()
    share = None if share is None else share / share.sum()
    location, scale = _moments(x, share, center=center)
    clipped = _clipped(x, share, center=center)
    usual_location, usual = _moments(clipped, share, center=center)
    robust = (usual > 0) & (scale / _HEAVY > usual)
    return Spread(torch.where(robust, usual_location, location), torch.where(robust, usual, scale), robust)


def as_rows(x: Tensor, weight: Tensor | None) -> Tensor:
    """Rows of x as often as their weights say, for what counts whole rows: whole weights as they are, others rounded in
    a way that keeps all sums.

    >>> as_rows(torch.tensor([1, 2, 3]), torch.tensor([0.0, 1.0, 2.0]))
    tensor([2, 3, 3])
    """
    if weight is None:
        return x
    x, weight = x[weight > 0], weight[weight > 0].double()
    if not len(x):
        return x
    count = weight / weight.min()
    ends = (count * min(1.0, _MOST_ROWS / count.sum().item())).cumsum(0).round().long()
    return x.repeat_interleave(ends.diff(prepend=ends.new_zeros(1)), 0)


def _moments(x: Tensor, share: Tensor | None, *, center: bool) -> tuple[Tensor, Tensor]:
    """Mean, or 0, and the root mean square deviation from it, of every column; of a constant the value and 0."""

    def mean(v: Tensor) -> Tensor:
        return v.mean(0) if share is None else share @ v

    # In halves of a power of two near the largest number, exactly: neither sums nor differences nor squares overflow.
    unit = _power_of_two(x.abs().amax(0))
    v = x / unit
    location = torch.zeros_like(v[0])
    if center:
        # About a value of the data first, then about the mean itself: nothing cancels.
        location = v[0] + mean(v - v[0])
        location = torch.where(constant(x), v[0], location + mean(v - location))
    about = v - location
    small = _power_of_two(about.abs().amax(0))
    return location * unit, (mean((about / small).square()).sqrt() * small) * unit


def _power_of_two(largest: Tensor) -> Tensor:
    """The one above every number, or 1 for 0; one that has an inverse."""
    exponent = torch.frexp(largest).exponent.clamp(-1020, 1022)
    return torch.where(largest > 0, torch.ldexp(torch.ones_like(largest), exponent), 1.0)


def _clipped(x: Tensor, share: Tensor | None, *, center: bool) -> Tensor:
    """Every column between its outer quantiles, which are values of it; without a centre those of its size."""
    if not center:
        high = _quantile(x.abs(), share, 1 - 2 * _OUTER)
        return x.clamp(-high, high)
    return x.clamp(_quantile(x, share, _OUTER), _quantile(x, share, 1 - _OUTER))


def _quantile(x: Tensor, share: Tensor | None, q: float) -> Tensor:
    """The least value of every column that at least a share q of the rows does not exceed."""
    ordered, order = x.sort(0)
    if share is None:
        return ordered[max(0, math.ceil(q * len(x) - 1e-6) - 1)]
    below = share[order].cumsum(0) < q - 1e-9
    return ordered.gather(0, below.sum(0, keepdim=True).clamp(max=len(x) - 1)).squeeze(0)


def resolution(x: Tensor) -> Tensor:
    """How far apart the numbers of every column of x, (n, D), lie at least, where they repeat; (D,), double.

    A tenth of the distances between numbers that follow each other may be smaller: odd values between those of a grid.
    Where hardly a number repeats, as on a grid that is finer than the data tell, it is 0.

    >>> resolution(torch.tensor([[0.5, 0.1], [1.0, 0.2], [3.0, 0.4], [0.5, 0.8]]))
    tensor([0.5000, 0.0000], dtype=torch.float64)
    """
    found = x.new_zeros(x.shape[1], dtype=torch.float64)
    for i, column in enumerate(x.double().T):
        values = column.sort().values
        apart = values.diff()
        apart = apart[apart > _SAME * (values[-1] - values[0])]
        if 0 < len(apart) < (1 - _REPEATED) * (len(column) - 1):
            found[i] = apart.sort().values[math.floor(_ODD * len(apart))]
    return found
