"""The equations of Lotka and Volterra, many at once: Taylor series, with steps as each row needs them."""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Terms of a series, and how small the last two are to be, as shares of the population.
_ORDER, _LAST = 16, 1e-10
# Steps from one time to the next after which a row is given up, and rows that are followed at once.
_MOST, _AT_ONCE = 2000, 2**16


@torch.no_grad()
def populations(rates: Tensor, start: tuple[float, float], *, every: float, points: int) -> Tensor:
    r"""Prey p and predators q at times 0, every, 2 every, ...

    .. math:: \dot p = \alpha p - \beta p q, \qquad \dot q = -\gamma q + \delta p q

    With alpha = 0 and beta = delta these are the susceptible and the infected of an epidemic. The coefficients of
    the Taylor series about a time follow from each other, for the equations are quadratic; a step is as long as the
    last ones allow. Relative errors are of some 1e-8. Gradients do not pass.

    Args:
        rates: alpha, beta, gamma and delta, shape (rows, 4).
        start: p and q at the beginning.
        every: from one time to the next.
        points: how many times.

    Returns:
        p and q in double precision, shape (2, points, rows). NaN where rates are so large that steps become too short.

    >>> p, q = populations(torch.tensor([[1.0, 0.0, 2.0, 0.0]]), (3.0, 5.0), every=0.5, points=3)
    >>> bool(torch.allclose(p[2, 0], 3 * torch.tensor(1.0).exp().double()))
    True
    """
    followed = []
    for part in rates.double().split(_AT_ONCE):
        now = torch.tensor(start, dtype=torch.float64).unsqueeze(1).expand(2, len(part))
        seen = [now]
        for _ in range(points - 1):
            seen.append(_after(part.T, seen[-1], every))
        followed.append(torch.stack(seen, 1))
    return torch.cat(followed, 2) if followed else rates.new_empty(2, points, 0, dtype=torch.float64)


def _after(rates: Tensor, now: Tensor, duration: float) -> Tensor:
    """Both populations, shape (2, rows), some time later."""
    then = torch.full_like(now, math.nan)
    row, left = torch.arange(now.shape[1]), torch.full_like(now[0], duration)
    for _ in range(_MOST):
        series = _series(rates, now)
        share = (series[-2:].abs() / series[0]).amax(1)
        step = torch.minimum((_LAST / share[0]) ** (1 / (_ORDER - 1)), (_LAST / share[1]) ** (1 / _ORDER)).minimum(left)
        now = series[-1]
        for k in range(_ORDER - 1, -1, -1):
            now = torch.addcmul(series[k], now, step)
        left = left - step
        going = left > 0
        then[:, row[~going]] = now[:, ~going]
        if not going.any():
            break
        rates, now, row, left = rates[:, going], now[:, going], row[going], left[going]
    return then


def _series(rates: Tensor, now: Tensor) -> Tensor:
    """Coefficients of the Taylor series of both populations, shape (order + 1, 2, rows)."""
    growth, met = torch.stack([rates[0], -rates[2]]), torch.stack([-rates[1], rates[3]])
    series = now.new_empty(_ORDER + 1, *now.shape)
    # The predators' once more, last first: the coefficients of a product are sums of such pairs.
    backwards = torch.empty_like(series[:, 1])
    series[0], backwards[-1] = now, now[1]
    for k in range(_ORDER):
        product = (series[: k + 1, 0] * backwards[_ORDER - k :]).sum(0)
        series[k + 1] = (growth * series[k] + met * product) / (k + 1)
        backwards[_ORDER - 1 - k] = series[k + 1, 1]
    return series
