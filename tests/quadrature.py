"""Midpoint rules on supports, for the total mass of a density over at most two coordinates."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

from surflow.supports import Circle, Integers, Interval, Ordered, Permutations, Positive, Product, Ragged, Support


def edges(support: Support, points: int) -> Tensor:
    """Ends of the cells on one coordinate; the real line is stretched by sinh, the half-line by exp."""
    if isinstance(support, Interval):
        return torch.linspace(support.low, support.high, points + 1, dtype=torch.float64)
    if isinstance(support, Circle):
        return torch.linspace(-math.pi, math.pi, points + 1, dtype=torch.float64)
    if isinstance(support, Positive):
        return torch.linspace(-25.0, 9.0, points + 1, dtype=torch.float64).exp()
    return torch.linspace(-7.0, 7.0, points + 1, dtype=torch.float64).sinh()


def axis(support: Support, points: int) -> tuple[Tensor, Tensor]:
    """Points and log-weights on the support of one coordinate: the midpoint rule in the stretched coordinate."""
    if isinstance(support, Integers):
        values = torch.arange(support.levels, dtype=torch.float64)
        return values, torch.zeros_like(values)
    ends = edges(support, points)
    if isinstance(support, Positive):
        step = 34.0 / points
        values = (ends[:-1] * ends[1:]).sqrt()
        return values, values.log() + math.log(step)
    if isinstance(support, Interval | Circle):
        return (ends[:-1] + ends[1:]) / 2, (ends[1:] - ends[:-1]).log()
    t = (ends[:-1].asinh() + ends[1:].asinh()) / 2
    return t.sinh(), t.cosh().log() + math.log(14.0 / points)


def grid(support: Support, shape: tuple[int, ...], points: int) -> tuple[Tensor, Tensor]:
    """Events of ``shape`` over the support, and the log-weight of each."""
    size = math.prod(shape)
    if isinstance(support, Permutations):
        orders = torch.tensor(list(itertools.permutations(range(support.size))), dtype=torch.float64)
        return orders, torch.zeros(len(orders), dtype=torch.float64)
    if isinstance(support, Ragged):  # one point of one coordinate
        values, weights = axis(Interval(support.low, support.high), points)
        present = torch.stack([values, torch.ones_like(values)], 1)
        return torch.cat([present, torch.zeros(1, 2)]).reshape(-1, *shape), torch.cat([weights, torch.zeros(1)])
    if isinstance(support, Product):
        parts = [part for part, n in support.parts for _ in range(n)]
    elif isinstance(support, Ordered) and support.levels:
        parts = [Integers(support.levels)] * size
    elif isinstance(support, Ordered):
        parts = [Interval(-40.0, 40.0)] * size  # the density is zero off the cone, with an edge on the diagonal
    else:
        parts = [support] * size
    axes = [axis(part, points) for part in parts]
    values = torch.cartesian_prod(*[a for a, _ in axes]).reshape(-1, *shape)
    weights = torch.cartesian_prod(*[w for _, w in axes]).reshape(-1, size).sum(1)
    return values, weights
