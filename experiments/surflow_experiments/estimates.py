"""Estimates: medians with their errors, and draws against a density."""

from __future__ import annotations

import math
import statistics

import torch
from scipy.stats import chi2

import surflow as sf


def median_and_error(values: list[float]) -> tuple[float, float]:
    """The median and its standard error for a normal distribution: sqrt(pi / 2) times that of the mean."""
    error = statistics.stdev(values) / math.sqrt(len(values))
    return statistics.median(values), math.sqrt(math.pi / 2) * error


@torch.no_grad()
def chi_square(flow: sf.Flow, draws: int, seed: int, boxes: int = 20, half: float = 4.0) -> tuple[float, float]:
    """Statistic and p-value of ``draws`` samples against the density integrated over boxes of a square around zero.

    Box edges lie on the axes, where the densities of sign layers bend. A bound enters as exp(bound), whose mean over
    draws is the density; eight replicates give it, and its variance, which is part of the expected deviation.
    """
    # Splines have narrow bins: 16 points a side of a box are too few for a million draws.
    inner, replicates = (64, 1) if flow.exact else (16, 8)
    x = torch.cat([flow.sample(100_000, seed=seed + i) for i in range(draws // 100_000)])
    width = 2 * half / boxes
    positions = ((x + half) / width).floor().long()
    inside = ((positions >= 0) & (positions < boxes)).all(1)
    observed = torch.bincount((positions[:, 0] * boxes + positions[:, 1])[inside], minlength=boxes**2).double()
    axis = -half + width / inner * (torch.arange(boxes * inner) + 0.5)
    points = torch.cartesian_prod(axis, axis)
    shares = []
    for i in range(replicates):
        with sf.seeded(seed + i):
            log_p = torch.cat([flow.log_prob(part, importance_samples=16) for part in points.split(8192)])
        density = log_p.double().exp().reshape(boxes, inner, boxes, inner)
        shares.append(density.mean((1, 3)).flatten() * width**2)
    share = torch.stack(shares)
    # What is left, boxes of few points and all beyond the square, is one box more: the counts of all sum to the draws.
    used = share.mean(0) * draws >= 10
    share = torch.cat([share[:, used], 1 - share[:, used].sum(1, keepdim=True)], 1)
    observed = torch.cat([observed[used], draws - observed[used].sum(0, keepdim=True)])
    expected = share.mean(0) * draws
    variance = expected + (draws**2 * share.var(0) / replicates if replicates > 1 else 0)
    used = expected >= 10
    statistic = ((observed - expected).square() / variance)[used].sum().item()
    return statistic, float(chi2.sf(statistic, int(used.sum()) - 1))
