"""A Gaussian copula over the columns: exact rectangles of the grid, by a sequence of truncated normals."""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr, ndtri

from surflow_experiments.tables.data import Rows
from surflow_experiments.tables.marginals import Array, Marginals

# Sweeps of the sampler that fits the correlations, of which the first half is left out; draws for a row's mass.
_SWEEPS, _DRAWS = 40, 200
# Numbers that are held at once.
_AT_ONCE = 4_000_000
_LOWEST = 1e-300


class Copula:
    r"""Columns whose normal scores are jointly normal.

    A row on grids has the probability of a box: :math:`P(a_i < Z_i \le b_i \text{ for all } i)` for Z normal with
    correlations R, where a and b are normal quantiles of the ends of the values' intervals. R is the mean over sweeps
    of a sampler that draws scores within their boxes and then takes R from them (Hoff, "Extending the rank likelihood
    for semiparametric copula estimation", arXiv math/0610413). The boxes are computed by importance sampling, one
    coordinate given those before it (Geweke, Hajivassiliou and Keane): the logarithm of a mean of 200 unbiased
    weights, in the mean not above the log-likelihood.

    Args:
        rows: the table.
        seed: of the sampler.
    """

    def __init__(self, rows: Rows, seed: int) -> None:
        self.marginals = Marginals(rows)
        self.correlation = self._fit(rows.train.numpy(), np.random.default_rng(seed))

    def _fit(self, x: Array, random: np.random.Generator) -> Array:
        low, high = self.marginals.intervals(x)
        n, size = x.shape
        z = ndtri(((low + high) / 2).clip(1e-12, 1 - 1e-12))
        free = high > low
        total = np.zeros((size, size))
        for sweep in range(_SWEEPS):
            R = self._correlation(z)
            if sweep >= _SWEEPS // 2:
                total += R
            P = np.linalg.inv(R)
            for j in range(size):
                mean = z[:, j] - z @ P[:, j] / P[j, j]
                sd = P[j, j] ** -0.5
                a, b = ndtr((ndtri(low[:, j]) - mean) / sd), ndtr((ndtri(high[:, j]) - mean) / sd)
                u = (a + (b - a) * random.random(n)).clip(1e-12, 1 - 1e-12)
                drawn = (mean + sd * ndtri(u)).clip(-8, 8)
                z[:, j] = np.where(free[:, j], drawn, z[:, j])
        return self._correlation_of(total)

    def _correlation(self, z: Array) -> Array:
        n, size = z.shape
        return self._correlation_of(z.T @ z / n + size / n * np.eye(size))

    @staticmethod
    def _correlation_of(moments: Array) -> Array:
        scale = moments.diagonal() ** -0.5
        return moments * scale * scale[:, None]

    def log_prob(self, x: Array, seed: int = 0) -> Array:
        """Nats of rows (n, D)."""
        at_once = max(1, _AT_ONCE // (_DRAWS * x.shape[1]))
        random = np.random.default_rng(seed)
        return np.concatenate([self._score(x[i : i + at_once], random) for i in range(0, len(x), at_once)])

    def _score(self, x: Array, random: np.random.Generator) -> Array:
        low, high = self.marginals.intervals(x)
        point = self.marginals.is_density(x)
        order = np.argsort((high - low).mean(0))  # what is narrow decides most of the others
        low, high, point = low[:, order], high[:, order], point[:, order]
        a, b = ndtri(low), ndtri(high)
        L = np.linalg.cholesky(self.correlation[np.ix_(order, order)])
        log_density = self.marginals.log_mass(x)[:, order]
        at = np.where(point, a, 0.0)  # where a value has one score
        noise = np.zeros((len(x), _DRAWS, x.shape[1]))
        log_weight = np.zeros((len(x), _DRAWS))
        for j in range(x.shape[1]):
            mean = noise[:, :, :j] @ L[j, :j]
            below, above = ((end[:, j, None] - mean) / L[j, j] for end in (a, b))
            turned = below > 0  # in the upper tail differences are taken from the other side
            below, above = np.where(turned, -above, below), np.where(turned, -below, above)
            first, last = ndtr(below), ndtr(above)
            mass = np.maximum(last - first, _LOWEST)
            drawn = ndtri((first + mass * random.random(mass.shape)).clip(_LOWEST, 1 - 1e-16))
            drawn = np.where(turned, -drawn, drawn)
            exact = (at[:, j, None] - mean) / L[j, j]
            density = (at[:, j, None] ** 2 - exact**2) / 2 - np.log(L[j, j]) + log_density[:, j, None]
            noise[:, :, j] = np.where(point[:, j, None], exact, drawn)
            log_weight += np.where(point[:, j, None], density, np.log(mass))
        top = log_weight.max(1)
        return top + np.log(np.exp(log_weight - top[:, None]).mean(1))

    def sample(self, n: int, seed: int) -> Array:
        """Rows (n, D)."""
        random = np.random.default_rng(seed)
        z = random.standard_normal((n, len(self.correlation))) @ np.linalg.cholesky(self.correlation).T
        return self.marginals.quantiles(ndtr(z))
