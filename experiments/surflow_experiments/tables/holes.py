"""Values that were taken out of rows, and what is put into the holes."""

from __future__ import annotations

import warnings
from typing import Any, Protocol

import numpy as np
import torch
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import BayesianRidge, LogisticRegression

from surflow.distributions.column_distribution import ColumnDistribution
from surflow.evaluation import mean_and_error
from surflow.evaluation.features import categorical
from surflow_experiments.cells import Found
from surflow_experiments.tables.data import Rows
from surflow_experiments.tables.marginals import Array

# The share of values that are taken out, of how many held-out rows, in how many patterns, and draws for a hole.
_SHARE, _ROWS, _PATTERNS, _DRAWS = 0.2, 300, 20, 40
_INTERVAL = 0.9
# Rows that the chained equations learn from, rounds in which they fill, and names beyond which they only know indices.
_LEARNED, _ROUNDS, _NAMES = 3000, 5, 30


class Estimator(Protocol):
    """What scikit-learn has for one column given others."""

    def fit(self, X: Array, y: Array) -> object: ...
    def predict(self, X: Array) -> Array: ...


class Holes:
    """Some held-out rows, and which of their values are out.

    A fifth of the columns by chance, anew for every fifteenth row. Values that were missing to begin with are not told
    from those that were taken out, and nobody asks for them.

    Attributes:
        x: the rows (n, D), whole.
        out: what is not known of them, bool.
        asked: what is asked for: all that is out and was there.
        named: which columns hold names, (D,).
        known: values of each column in the training rows.
        spread: standard deviations of the columns.

    Args:
        rows: the table.
        seed: of the choice.
    """

    def __init__(self, rows: Rows, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.rows = rows
        self.x = rows.test.numpy()[random.permutation(len(rows.test))[:_ROWS]]
        patterns = random.random((_PATTERNS, rows.columns)) < _SHARE
        self.out = patterns[np.arange(len(self.x)) % _PATTERNS]
        self.asked = self.out & ~np.isnan(self.x)
        self.named = np.asarray(categorical(rows.support, rows.columns))
        self.known = [column[~np.isnan(column)] for column in rows.train.numpy().T]
        self.spread = np.asarray([values.std() or 1.0 for values in self.known])

    def scores(self, guess: Array, mean: Array | None = None) -> list[Found]:
        """Accuracy of names, and errors of numbers in standard deviations of their columns.

        Args:
            guess: filled rows, for numbers a median.
            mean: other ones for the root of the mean square; None for the same.
        """
        names, numbers = self.asked & self.named, self.asked & ~self.named
        found: list[Found] = []
        if names.any():
            right = torch.from_numpy(guess[names] == self.x[names])
            found.append(("hole_accuracy", *mean_and_error(right.double()), "share of values"))
        if numbers.any():
            off = np.abs(guess - self.x) / self.spread
            square = (((guess if mean is None else mean) - self.x) / self.spread)[numbers] ** 2
            found.append(("hole_error", *mean_and_error(torch.from_numpy(off[numbers])), "standard deviations"))
            found.append(("hole_rmse", float(np.sqrt(square.mean())), None, "standard deviations"))
        return found


def by_draws(holes: Holes, model: ColumnDistribution, seed: int) -> list[Found]:
    """Scores of the most frequent name and the median of draws, coverage of their intervals, and nats of the truth."""
    x, known = torch.from_numpy(holes.x), torch.from_numpy(~holes.out)
    n, size = x.shape
    drawn = model.sample_given(x.repeat_interleave(_DRAWS, 0), known.repeat_interleave(_DRAWS, 0), seed=seed)
    each = drawn.double().reshape(n, _DRAWS, size).numpy()
    guess, mean = holes.x.copy(), holes.x.copy()
    tail = 50 * (1 - _INTERVAL)
    inside = []
    for i, j in zip(*np.nonzero(holes.asked), strict=True):
        values = each[i, :, j]
        values = values[~np.isnan(values)]
        if not len(values):  # every draw says that there is none
            values = holes.known[j]
        if holes.named[j]:
            guess[i, j] = mean[i, j] = _middle(values, named=True)[0]
            continue
        guess[i, j], mean[i, j] = _middle(values, named=False)
        low, high = np.percentile(values, [tail, 100 - tail], method="inverted_cdf")
        inside.append(low <= holes.x[i, j] <= high)
    nats = []
    for pattern in np.unique(holes.out, axis=0):
        rows = torch.from_numpy((holes.out == pattern).all(1))
        of, given = (np.flatnonzero(mask).tolist() for mask in (pattern, ~pattern))
        if of:
            with torch.no_grad():
                nats.append(-model.log_prob_of(x[rows], of, given) / len(of))
    found = holes.scores(guess, mean)
    if inside:
        found.append(("hole_coverage", *mean_and_error(torch.tensor(inside).double()), "share of values"))
    if nats:
        found.append(("hole_nats", *mean_and_error(torch.cat(nats)), "nats a value"))
    return found


def by_middle(holes: Holes) -> list[Found]:
    """Scores of the most frequent name and the median of each column."""
    guess, mean = holes.x.copy(), holes.x.copy()
    for j, values in enumerate(holes.known):
        middle, average = _middle(values, named=bool(holes.named[j]))
        guess[holes.out[:, j], j], mean[holes.out[:, j], j] = middle, average
    return holes.scores(guess, mean)


def by_chain(holes: Holes, method: str, seed: int) -> list[Found]:
    """Scores of chained equations: every column is predicted from the others, round by round.

    Training rows are complete but for values that are missing for good, so that the model of a column is fitted once.

    Args:
        holes: the rows.
        method: "linear", Bayesian ridge and logistic regressions as in MICE, or "forest", as in missForest.
        seed: of the forests.
    """
    train = holes.rows.train.numpy()
    train = train[np.random.default_rng(seed).permutation(len(train))[:_LEARNED]]
    code = _Code(train, holes.named, one_hot=method == "linear")
    filled = holes.x.copy()
    models: list[Estimator | None] = []
    for j in range(train.shape[1]):
        rows = ~np.isnan(train[:, j])
        y = train[rows, j]
        middle, average = _middle(y, named=bool(holes.named[j]))
        filled[holes.out[:, j], j] = middle if holes.named[j] else average
        model = _model(method, named=bool(holes.named[j]), names=len(np.unique(y)), seed=seed)
        if model is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                model.fit(code.without(train[rows], j), y)
        models.append(model)
    for _ in range(_ROUNDS):
        for j, model in enumerate(models):
            holed = holes.out[:, j]
            if model is not None and holed.any():
                filled[holed, j] = model.predict(code.without(filled[holed], j))
    return holes.scores(filled)


def _middle(values: Array, *, named: bool) -> tuple[float, float]:
    if not len(values):
        return 0.0, 0.0
    kinds, counts = np.unique(values, return_counts=True)
    return (float(kinds[counts.argmax()]),) * 2 if named else (float(np.median(values)), float(values.mean()))


def _model(method: str, *, named: bool, names: int, seed: int) -> Estimator | None:
    """None where there is nothing to learn, or too many names for one regression each."""
    if names < 2 or (named and method == "linear" and names > _NAMES):
        return None
    if method == "linear":
        return LogisticRegression(max_iter=100) if named else BayesianRidge()
    options: dict[str, Any] = {"n_estimators": 50, "max_features": "sqrt", "random_state": seed}
    return RandomForestClassifier(**options) if named else RandomForestRegressor(**options)


class _Code:
    """Rows as numbers for scikit-learn: names one-hot or as indices, missing numbers as the mean and a mark."""

    def __init__(self, train: Array, named: Array, *, one_hot: bool) -> None:
        self.kinds = [
            np.unique(column[~np.isnan(column)]) if one_hot and name else np.zeros(0)
            for column, name in zip(train.T, named, strict=True)
        ]
        self.missing = np.isnan(train).any(0)
        known = [column[~np.isnan(column)] for column in train.T]
        self.mean = [values.mean() if len(values) else 0.0 for values in known]
        self.spread = [(values.std() if len(values) else 0.0) or 1.0 for values in known]

    def without(self, x: Array, j: int) -> Array:
        """The code of all columns but one, (n, numbers)."""
        parts = []
        for k, kinds in enumerate(self.kinds):
            if k == j:
                continue
            column = x[:, k]
            if 0 < len(kinds) <= _NAMES:
                parts.append((column[:, None] == kinds).astype(float))
            else:
                number = (column - self.mean[k]) / self.spread[k]
                parts.append(np.nan_to_num(number)[:, None])
            if self.missing[k]:
                parts.append(np.isnan(column)[:, None].astype(float))
        return np.concatenate(parts, 1)
