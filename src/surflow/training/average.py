"""The average of the weights over the last part of a run: what is validated, and what a run leaves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.optim import Optimizer

# Of the weights after t steps those of the last t / 9 have most of the weight.
_DECAY = 8

_KEY = "average"


@torch.no_grad()
def average(optimizer: Optimizer, step: int) -> None:
    r"""Take the weights that step t has left into the average, :math:`m_t = m_{t-1} + \frac{9}{t + 8} (w_t - m_{t-1})`.

    It lies in the optimiser's state, and so in its checkpoints. Weights of half precision have no average.

    Args:
        optimizer: of the weights, which has taken the step.
        step: t, from 1.

    Source: Shamir and Zhang, "Stochastic Gradient Descent for Non-smooth Optimization", arXiv 1212.1824
    (polynomial-decay averaging).

    >>> weight = torch.zeros(1, requires_grad=True)
    >>> optimizer = torch.optim.Adam([weight], lr=1.0)
    >>> for t in (1, 2):
    ...     weight.sum().backward()
    ...     optimizer.step()
    ...     optimizer.zero_grad()
    ...     average(optimizer, t)
    >>> with averaged(optimizer):
    ...     print(round(weight.item(), 4))
    -1.9
    """
    for group in optimizer.param_groups:
        # Half precision would lose the small shares that late steps have.
        weights = [p for p in group["params"] if p in optimizer.state and p.dtype.itemsize >= 4]
        means: list[Tensor] = []
        for weight in weights:
            state = optimizer.state[weight]
            if _KEY not in state:
                state[_KEY] = weight.detach().clone()
            means.append(state[_KEY])
        if weights:
            torch._foreach_lerp_(means, weights, (_DECAY + 1) / (step + _DECAY))


@contextmanager
def averaged(optimizer: Optimizer) -> Iterator[None]:
    """With the average in place of the weights."""
    states = [(weight, state[_KEY]) for weight, state in optimizer.state.items() if _KEY in state]
    with torch.no_grad():
        kept = [weight.clone() for weight, _ in states]
        for weight, mean in states:
            weight.copy_(mean)
    try:
        yield
    finally:
        with torch.no_grad():
            for (weight, _), before in zip(states, kept, strict=True):
                weight.copy_(before)
