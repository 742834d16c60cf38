"""Priors: uniform in a box, and the supports of distributions of torch."""

from __future__ import annotations

import math

import torch
from torch.distributions import Independent, Uniform, constraints

from surflow.errors import SupportError
from surflow.supports import Interval, Support, positive, product, real


def box(size: int, half: float) -> Independent:
    """The uniform distribution on [-half, half]^size."""
    return Independent(Uniform(torch.full((size,), -half), torch.full((size,), half)), 1)


def support_of(prior: torch.distributions.Distribution) -> Support:
    """The support of a distribution of torch over vectors, whose coordinates are real, positive or in intervals.

    Raises:
        SupportError: for a distribution over anything else.

    >>> from torch.distributions import Exponential, Independent, Uniform
    >>> support_of(Independent(Uniform(torch.tensor([-1.0, -1.0]), torch.tensor([1.0, 1.0])), 1))
    interval(-1, 1)
    >>> support_of(Independent(Exponential(torch.ones(3)), 1))
    positive
    """
    if len(prior.event_shape) != 1 or prior.batch_shape:
        raise SupportError(
            f"expected a distribution over vectors, got event shape {tuple(prior.event_shape)} and batch shape "
            f"{tuple(prior.batch_shape)}: wrap it in torch.distributions.Independent(prior, 1)"
        )
    if prior.support is None:
        raise SupportError(f"expected a distribution that states its support, got {type(prior).__name__}")
    return product(_coordinates_of(prior.support, prior.event_shape[0]))


def _coordinates_of(constraint: constraints.Constraint, size: int) -> list[Support]:
    if constraint.is_discrete:
        raise SupportError(f"expected a distribution of real numbers, got one of integers: {constraint}")
    inner = getattr(constraint, "base_constraint", None)
    if inner is not None:
        return _coordinates_of(inner, size)
    parts = getattr(constraint, "cseq", None)
    if parts is not None:
        lengths = getattr(constraint, "lengths", [1] * len(parts))
        return [one for part, n in zip(parts, lengths, strict=True) for one in _coordinates_of(part, n)]
    low, high = (
        torch.as_tensor(getattr(constraint, name, math.nan)).expand(size).tolist()
        for name in ("lower_bound", "upper_bound")
    )
    if constraint in (constraints.real, constraints.real_vector):
        return [real] * size
    if math.isfinite(low[0]) and math.isfinite(high[0]):
        return [Interval(a, b) for a, b in zip(low, high, strict=True)]
    if set(low) == {0.0} and math.isnan(high[0]):
        return [positive] * size
    raise SupportError(
        f"expected a distribution whose coordinates are real, positive or in intervals, got {constraint}"
    )
