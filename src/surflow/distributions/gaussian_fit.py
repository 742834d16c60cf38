"""Gaussian mixtures fitted to rows, by expectation-maximisation, as scikit-learn has it, and their number chosen."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from surflow._internal.numbers import resolution

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

Array: TypeAlias = np.ndarray

# More rows make the fit hardly better.
_MOST_ROWS = 5000
# Of the covariances, from the fewest parameters on.
_FORMS = ("diag", "tied", "full")
# Contexts of so few kinds that each has rows enough are labels, and have components of their own.
_ROWS_A_LABEL = 5
# The variance of a label, in squared distances between labels: others are e^50 times less likely.
_LABEL = 0.01
# Added to the variances of standardised columns.
_RIDGE = 1e-6


class Joint(NamedTuple):
    """A Gaussian mixture of (context, x), or of x alone where the context has no numbers, K components.

    Attributes:
        weight: of the components; (K,).
        mean: (K, C + D).
        covariance: (K, C + D, C + D).
    """

    weight: Array
    mean: Array
    covariance: Array


def fit_joint(x: Tensor, c: Tensor, most: int) -> Joint:
    """The Gaussian mixture with which x given c has the lowest BIC, of up to ``most`` components.

    Covariances are diagonal, one for all, or one for each component; where contexts are labels, components of each
    label are fitted alone as well. No component is narrower than the grid of rounded numbers: its density of a value
    that repeats is not above the probability of the value, over the step of the grid.

    Args:
        x: rows (n, D), of unit size.
        c: contexts (n, C), of unit size; C may be 0.
        most: number of components.
    """
    if len(x) > _MOST_ROWS:
        kept = torch.randperm(len(x))[:_MOST_ROWS]
        x, c = x[kept], c[kept]
    size = c.shape[1]
    floor = np.r_[np.zeros(size), (resolution(x).square() / (2 * math.pi)).numpy()]
    y = torch.cat([c, x], 1).double().numpy()
    best, least = None, math.inf
    for model, free in [*_mixtures(y, most, _FORMS), *_of_labels(y, size, most)]:
        wide = model._replace(covariance=model.covariance + np.diag(floor + _RIDGE))
        bic = -2 * _log_prob(wide, y, size).sum() + free * math.log(len(y))
        if bic < least:
            best, least = wide, bic
    assert best is not None
    return best


def _of_labels(y: Array, size: int, most: int) -> Iterator[tuple[Joint, float]]:
    """A mixture for each label, where contexts, the first ``size`` columns, are labels."""
    if not size:
        return
    labels, which, count = np.unique(y[:, :size], axis=0, return_inverse=True, return_counts=True)
    if len(labels) < 2 or len(labels) > most or count.min() < _ROWS_A_LABEL:
        return
    apart = np.square(labels[:, None] - labels).sum(2)
    variance = _LABEL * apart[apart > 0].min()
    weights, means, covariances, total = [], [], [], 0.0
    for number, label in enumerate(labels):
        rows = y[which.ravel() == number, size:]
        model, free = min(
            _mixtures(rows, most // len(labels), ("diag", "full")),
            key=lambda found: -2 * _log_prob(found[0], rows, 0).sum() + found[1] * math.log(len(y)),
        )
        parts = len(model.weight)
        covariance = np.zeros((parts, y.shape[1], y.shape[1]))
        covariance[:, :size, :size] = variance * np.eye(size)
        covariance[:, size:, size:] = model.covariance
        weights.append(model.weight * len(rows) / len(y))
        means.append(np.c_[np.tile(label, (parts, 1)), model.mean])
        covariances.append(covariance)
        total += free
    yield Joint(np.concatenate(weights), np.concatenate(means), np.concatenate(covariances)), total


def _mixtures(y: Array, most: int, forms: tuple[str, ...]) -> Iterator[tuple[Joint, float]]:
    """Mixtures of up to ``most`` components, and their numbers of parameters."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    n, size = y.shape
    middle, scale = y.mean(0), y.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    u = (y - middle) / scale
    for k in range(1, max(1, min(most, n // 3)) + 1):
        for form in forms if k > 1 else [form for form in forms if form != "tied"]:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)
                fitted = GaussianMixture(k, covariance_type=form, reg_covar=_RIDGE, random_state=0).fit(u)
            covariance = _full(fitted, form, size) * scale[:, None] * scale
            yield Joint(fitted.weights_, fitted.means_ * scale + middle, covariance), _free(k, size, form)


def _full(fitted: GaussianMixture, form: str, size: int) -> Array:
    """Covariances of every component, whole."""
    k, found = fitted.n_components, fitted.covariances_
    if form == "diag":
        return found[:, :, None] * np.eye(size)
    return np.broadcast_to(found, (k, size, size))


def _free(k: int, size: int, form: str) -> float:
    """The number of parameters."""
    covariance = {"diag": k * size, "tied": size * (size + 1) // 2, "full": k * size * (size + 1) // 2}[form]
    return k - 1 + k * size + covariance


def _log_prob(model: Joint, y: Array, size: int) -> Array:
    """log p(x | c) of rows (c, x), where c has ``size`` columns; (n,)."""
    whole = _log_mixed(model.weight, model.mean, model.covariance, y)
    if not size:
        return whole
    return whole - _log_mixed(model.weight, model.mean[:, :size], model.covariance[:, :size, :size], y[:, :size])


def _log_mixed(weight: Array, mean: Array, covariance: Array, y: Array) -> Array:
    t, m = torch.from_numpy(y), torch.from_numpy(mean)
    cholesky = torch.linalg.cholesky(torch.from_numpy(covariance))
    noise = torch.linalg.solve_triangular(cholesky, (t - m[:, None]).mT, upper=False)
    log_det = cholesky.diagonal(dim1=1, dim2=2).log().sum(1)
    each = -0.5 * noise.square().sum(1) - log_det[:, None] - 0.5 * y.shape[1] * math.log(2 * math.pi)
    return (each + torch.from_numpy(weight).log()[:, None]).logsumexp(0).numpy()
