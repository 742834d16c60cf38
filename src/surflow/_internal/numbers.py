"""What numbers are: finite, constant, and of which location and scale, in double precision and with weights."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from surflow._internal.shapes import flat

# Median of |x - median| to standard deviation, of a normal distribution.
_PER_DEVIATION = 1.482602218505602
# A standard deviation of so many times that one is made by few values: it says nothing about the others.
_HEAVY = 5.0


def finite_rows(x: Tensor) -> Tensor:
    """Which rows of x, shape (n, *event), hold finite numbers alone: (n,) booleans.

    >>> finite_rows(torch.tensor([[1.0, 2.0], [1.0, torch.nan]]))
    tensor([ True, False])
    """
    return flat(x).isfinite().all(1)


def constant(x: Tensor) -> Tensor:
    """Which coordinates of x, shape (n, *event), hold one value in all rows: smallest equals largest, no tolerance.

    >>> constant(torch.tensor([[1e-300, 0.1], [2e-300, 0.1]], dtype=torch.float64))
    tensor([False,  True])
    """
    return (x == x[:1]).all(0)


class Spread(NamedTuple):
    """Location and scale of every coordinate, in double precision.

    Attributes:
        location: mean, or median where ``robust``.
        scale: standard deviation about the location, or where ``robust`` 1.4826 times the median of the absolute
            deviations, which is the same for normal data; 0 of a constant.
        robust: where the standard deviation is more than five times that: some few values make it.
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
    >>> spread(x).scale.item(), spread(x * 1e290).scale.item() == 1e290
    (1.0, True)
    """
    x = x.double()
    share = None if weight is None else (weight / weight.max()).double()
    share = None if share is None else share / share.sum()

    def mean(v: Tensor) -> Tensor:
        return v.mean(0) if share is None else share @ v

    same = constant(x)
    location = torch.zeros_like(x[0])
    if center:
        # About a value of the data first, then about the mean itself: nothing cancels.
        location = x[0] + mean(x - x[0])
        location = torch.where(same, x[0], location + mean(x - location))
    about = x - location
    largest = about.abs().amax(0)
    unit = torch.where(largest > 0, largest, 1.0)  # squares neither overflow nor vanish
    scale = unit * mean((about / unit).square()).sqrt()
    scale = scale.masked_fill(same & (location == x[0]), 0.0)
    middle = _median(x, share) if center else location
    usual = _PER_DEVIATION * _median((x - middle).abs(), share)
    robust = (usual > 0) & (scale > _HEAVY * usual)
    return Spread(torch.where(robust, middle, location), torch.where(robust, usual, scale), robust)


def _median(x: Tensor, share: Tensor | None) -> Tensor:
    """The lower median of every column."""
    if share is None:
        return x.median(0).values
    ordered, order = x.sort(0)
    below = share[order].cumsum(0) < 0.5 - 1e-9
    return ordered.gather(0, below.sum(0, keepdim=True).clamp(max=len(x) - 1)).squeeze(0)
