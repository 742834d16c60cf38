"""A mixture of normals and of frequencies: latent classes within which the columns are independent."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array
from sklearn.cluster import KMeans

from surflow.evaluation.features import features
from surflow_experiments.tables.data import Rows
from surflow_experiments.tables.leaves import Parts
from surflow_experiments.tables.marginals import Array, Marginals

# Numbers of classes that validation rows choose from, rounds of the algorithm, and the prior of the parts.
_CLASSES, _ROUNDS, _PRIOR = (4, 12, 36), 20, 1.0
_LEAST_WEIGHT = 1e-3


class _Fit(NamedTuple):
    """Classes, the logarithms of their weights, and the share that each has of every training row."""

    parts: Parts
    log_share: Array
    share: Array


class Classes:
    """A Gaussian mixture with diagonal covariances, and frequencies where a column counts; masses on the grid.

    Fitted by expectation-maximisation from the clusters of k-means. Most tables have categories or holes, of which a
    mixture of full covariances knows nothing.

    Args:
        rows: the table; its validation rows choose the number of classes.
        seed: of the clusters.
    """

    def __init__(self, rows: Rows, seed: int) -> None:
        self.marginals = Marginals(rows)
        self.x = rows.train.numpy()
        held_out = rows.validation.numpy()[:2000]
        points = features(rows.train, rows.support).numpy()
        points = (points - points.mean(0)) / np.maximum(points.std(0), 1e-9)
        fitted = [
            self._fit(KMeans(number, n_init=1, random_state=seed).fit_predict(points), number)
            for number in _CLASSES
            if number <= max(_CLASSES[0], len(self.x) // 5)
        ]
        self.fit = max(fitted, key=lambda fit: _log_sum(self._each(held_out, fit)).mean())

    def _fit(self, cluster: Array, number: int) -> _Fit:
        share = np.eye(number)[cluster] * 0.9 + 0.1 / number
        for _ in range(_ROUNDS):
            each = self._each(self.x, self._set(share))
            share = np.exp(each - each.max(1, keepdims=True))
            share /= share.sum(1, keepdims=True)
        return self._set(share)

    def _set(self, share: Array) -> _Fit:
        weight = csr_array(np.where(share > _LEAST_WEIGHT, share, 0.0).T)
        parts = Parts(self.marginals, self.x, weight, None, None, _PRIOR)
        return _Fit(parts, np.log(share.mean(0)), share)

    @staticmethod
    def _each(x: Array, fit: _Fit) -> Array:
        """Nats of rows and classes, (n, classes)."""
        each = [fit.parts.log_prob(x, np.full(len(x), k)).sum(1) for k in range(len(fit.log_share))]
        return fit.log_share + np.stack(each, 1)

    def log_prob(self, x: Array) -> Array:
        """Nats of rows (n, D)."""
        return _log_sum(self._each(x, self.fit))

    def sample(self, n: int, seed: int) -> Array:
        """Rows (n, D)."""
        random = np.random.default_rng(seed)
        weight = np.exp(self.fit.log_share)
        part = random.choice(len(weight), size=n, p=weight / weight.sum())
        kept = np.where(self.fit.share > _LEAST_WEIGHT, self.fit.share, 0.0).cumsum(0)

        def like(column: int) -> Array:
            found = np.empty(n, int)
            for k in np.unique(part):
                rows = np.flatnonzero(part == k)
                found[rows] = np.searchsorted(kept[:, k], random.random(len(rows)) * kept[-1, k], side="right")
            return found.clip(0, len(self.x) - 1)

        return self.fit.parts.sample(part, like, self.x, random)


def _log_sum(each: Array) -> Array:
    top = each.max(1)
    return top + np.log(np.exp(each - top[:, None]).sum(1))
