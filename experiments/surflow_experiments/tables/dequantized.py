"""A spline flow on dequantised columns: every value is spread over its interval of normal scores."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

import surflow as sf
from surflow.distribution import Distribution
from surflow.evaluation import draws, log_probs
from surflow_experiments.tables.budget import fit_within
from surflow_experiments.tables.data import Rows
from surflow_experiments.tables.marginals import Array, Marginals

# Draws of the noise for a row's bound, and rows that are validated on.
_DRAWS, _VALIDATED = 20, 1500
# Probabilities whose normal scores are drawn.
_EDGE = 1e-9


class DequantizedSpline:
    r"""The preset spline on normal scores :math:`z = \Phi^{-1}(u)`, u uniform in a value's interval (a, b).

    .. math:: p(x) = E_u\Big[q(z) \prod_i \frac{b_i - a_i}{\phi(z_i)}\Big]

    by which the mean over twenty draws is an importance-weighted bound of the probability of a row, in nats of the same
    kind as all others'. A number of full resolution has one score, and the slope of its column's distribution function
    in place of b - a.

    Args:
        rows: the table.
        spec: ``settings`` of the preset, and ``minutes``.
        seed: of the weights and of training.
    """

    def __init__(self, rows: Rows, spec: Mapping[str, Any], seed: int) -> None:
        self.marginals = Marginals(rows)
        low, high = (torch.from_numpy(end) for end in self.marginals.intervals(rows.train.numpy()))
        width = high - low

        def draw(n: int) -> Tensor:
            i = torch.randint(len(low), (n,))
            u = low[i] + width[i] * torch.rand_like(width[i])
            return torch.special.ndtri(u.clamp(_EDGE, 1 - _EDGE)).float()

        chosen = spec["settings"]
        self.flow = sf.presets.build(chosen["preset"], (rows.columns,), seed=seed, **chosen["options"])
        held_out = normal_scores(self.marginals, rows.validation.numpy()[:_VALIDATED], np.random.default_rng(seed))
        with sf.seeded(seed):
            self.facts = fit_within(self.flow, draw, held_out, chosen["training"], spec["minutes"], seed)
        self.facts["rows_per_second_training"] = (
            self.facts["steps"] * chosen["training"]["batch_size"] / self.facts["seconds"]
        )

    def log_prob(self, x: Array) -> Array:
        """Bounds of rows (n, D), in nats."""
        return bound(self.flow, self.marginals, x, np.random.default_rng(0))

    def sample(self, n: int, seed: int) -> Array:
        """Rows (n, D)."""
        with sf.seeded(seed):
            z = draws(self.flow, n)
        return self.marginals.quantiles(torch.special.ndtr(z.double()).numpy())


def normal_scores(marginals: Marginals, x: Array, random: np.random.Generator) -> Tensor:
    """Scores of rows (n, D), drawn within their values' intervals."""
    low, high = marginals.intervals(x)
    u = torch.from_numpy(low + (high - low) * random.random(low.shape))
    return torch.special.ndtri(u.clamp(_EDGE, 1 - _EDGE)).float()


def bound(flow: Distribution, marginals: Marginals, x: Array, random: np.random.Generator) -> Array:
    """Importance-weighted bounds of rows (n, D), in nats, for a distribution of their scores."""
    each = []
    for _ in range(_DRAWS):
        z = normal_scores(marginals, x, random)
        log_normal = -(z.double().square() / 2 + math.log(2 * math.pi) / 2).sum(1)
        each.append(log_probs(flow, z) - log_normal)
    return (torch.stack(each).logsumexp(0) - math.log(_DRAWS)).numpy() + marginals.log_mass(x).sum(1)
