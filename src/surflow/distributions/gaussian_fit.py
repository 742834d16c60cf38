"""Gaussian mixtures fitted to rows, by expectation-maximisation, as scikit-learn has it, and their number chosen."""

from __future__ import annotations

import math
import warnings
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor

from surflow._internal.numbers import resolution

if TYPE_CHECKING:
    from sklearn.mixture import GaussianMixture

Array: TypeAlias = np.ndarray

# More rows make the fit hardly better.
_MOST_ROWS = 2000
# What is tried, and into how many parts rows are divided to choose.
_FORMS, _NUMBERS, _FOLDS = ("diag", "tied", "full"), (1, 2, 3, 4, 6, 8, 12, 16), 3
# Contexts of so few kinds that each has rows enough are labels, and have components of their own.
_ROWS_A_LABEL = 5
# With fewer rows a column a covariance is nearly singular.
_FEW_ROWS = 5
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


class _Found(NamedTuple):
    """A mixture, and the log-density of all rows, each left out when it was fitted."""

    model: Joint
    nats: float


def fit_joint(x: Tensor, c: Tensor, most: int) -> Joint:
    """The Gaussian mixture that predicts x given c best, of up to ``most`` components.

    Covariances are diagonal, one for all, or one for each component; where contexts are labels, components of each
    label are fitted alone as well. What is best is decided by cross-validation. No component is narrower than the grid
    of rounded numbers: its density of a value that repeats is not above the probability of the value, over the step of
    the grid.

    Args:
        x: rows (n, D), of unit size.
        c: contexts (n, C), of unit size; C may be 0.
        most: number of components.
    """
    if len(x) > _MOST_ROWS:
        kept = torch.randperm(len(x))[:_MOST_ROWS]
        x, c = x[kept], c[kept]
    size = c.shape[1]
    floor = (resolution(x).square() / (2 * math.pi)).numpy() + _RIDGE
    y = torch.cat([c, x], 1).double().numpy()
    found = _chosen(y, size, most, floor)
    apart = _of_labels(y, size, most, floor) if size else None
    return found.model if apart is None or apart.nats < found.nats else apart.model


def _of_labels(y: Array, size: int, most: int, floor: Array) -> _Found | None:
    """A mixture for each label, where contexts, the first ``size`` columns, are labels."""
    labels, which, count = np.unique(y[:, :size], axis=0, return_inverse=True, return_counts=True)
    if len(labels) < 2 or len(labels) > most or count.min() < _ROWS_A_LABEL:
        return None
    apart = np.square(labels[:, None] - labels).sum(2)
    variance = _LABEL * apart[apart > 0].min()
    weights, means, covariances, nats = [], [], [], 0.0
    for number, label in enumerate(labels):
        rows = y[which.ravel() == number, size:]
        found = _chosen(rows, 0, most // len(labels), floor)
        parts = len(found.model.weight)
        covariance = np.zeros((parts, y.shape[1], y.shape[1]))
        covariance[:, :size, :size] = variance * np.eye(size)
        covariance[:, size:, size:] = found.model.covariance
        weights.append(found.model.weight * len(rows) / len(y))
        means.append(np.c_[np.tile(label, (parts, 1)), found.model.mean])
        covariances.append(covariance)
        nats += found.nats
    return _Found(Joint(np.concatenate(weights), np.concatenate(means), np.concatenate(covariances)), nats)


def _chosen(y: Array, size: int, most: int, floor: Array) -> _Found:
    """The mixture that predicts rows (c, x) best when they are left out, fitted to all; c has ``size`` columns."""
    n = len(y)
    fold = np.random.default_rng(0).permutation(n) % _FOLDS
    numbers = [k for k in _NUMBERS if k <= max(1, min(most, n // _ROWS_A_LABEL))]
    kinds = [(k, form) for k in numbers for form in _FORMS if k > 1 or form != "tied"]

    nats = np.zeros((len(kinds), n))
    for i in range(min(_FOLDS, n) if n > 1 else 0):
        for row, kind in zip(nats, kinds, strict=True):
            row[fold == i] = _log_prob(_fitted(y[fold != i], *kind, floor), y[fold == i], size)
    # The first, of the fewest components, that is behind the best by no more than a standard error.
    behind = nats[nats.sum(1).argmax()] - nats
    best = int(np.argmax(behind.mean(1) <= behind.std(1) / math.sqrt(n)))
    return _Found(_fitted(y, *kinds[best], floor), nats[best].sum())


def _fitted(y: Array, k: int, form: str, floor: Array) -> Joint:
    """A mixture of k components, whose last columns are no narrower than ``floor``."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.mixture import GaussianMixture

    size = y.shape[1]
    middle, scale = y.mean(0), y.std(0)
    scale = np.where(scale > 0, scale, 1.0)
    u = (y - middle) / scale
    if len(u) < 2:  # of which scikit-learn makes nothing
        u = np.concatenate([u - 1, u + 1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        model = GaussianMixture(min(k, len(u)), covariance_type=form, reg_covar=_RIDGE, random_state=0).fit(u)
    covariance = _shrunk(_full(model, form, size), u, model, form) * scale[:, None] * scale
    wide = np.r_[np.full(size - len(floor), _RIDGE), floor]
    return Joint(model.weights_, model.means_ * scale + middle, covariance + np.diag(wide))


def _full(fitted: GaussianMixture, form: str, size: int) -> Array:
    """Covariances of every component, whole."""
    k, found = fitted.n_components, fitted.covariances_
    if form == "diag":
        return found[:, :, None] * np.eye(size)
    return np.broadcast_to(found, (k, size, size))


def _shrunk(covariance: Array, u: Array, fitted: GaussianMixture, form: str) -> Array:
    """Covariances of fewer than five rows a column with correlations nearer to zero, as Ledoit and Wolf have it."""
    from sklearn.covariance import ledoit_wolf_shrinkage

    if form == "diag":
        return covariance
    which = fitted.predict(u)
    noise = u - fitted.means_[which]
    found = covariance.copy()
    for k in range(len(covariance)):
        rows = noise if form == "tied" else noise[which == k]
        if len(rows) >= _FEW_ROWS * u.shape[1]:
            continue
        variance = np.diagonal(covariance[k])
        share = ledoit_wolf_shrinkage(rows / np.sqrt(variance), assume_centered=True) if len(rows) > 1 else 1.0
        found[k] += share * (np.diag(variance) - covariance[k])
    return found


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
