"""Whether samples of a table are told from its rows by gradient boosting, and what gives them away."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surflow.evaluation.features import categorical
from surflow.supports import Support

_FOLDS = 5
_SHUFFLED = 60
# What scikit-learn's histograms tell apart.
_MOST_CATEGORIES = 255


class Detection(NamedTuple):
    """How well samples are told from rows.

    Attributes:
        auc: the probability that a row is taken for more real than a sample; 0.5 is guessing.
        error: its standard error.
        without: what is left of it when a column is shuffled, for each of the first 60; (columns,).
    """

    auc: float
    error: float
    without: Tensor


def auc(score: np.ndarray, positive: np.ndarray) -> tuple[float, np.ndarray]:
    """The area under the ROC curve, and each row's influence on it, whose squares sum to its variance.

    Args:
        score: (n,), higher for rows that are taken for positive.
        positive: (n,), bool, of both kinds at least one.

    Source: DeLong, DeLong and Clarke-Pearson, "Comparing the Areas under Two or More Correlated Receiver Operating
    Characteristic Curves: A Nonparametric Approach", 1988.

    >>> auc(np.array([0.0, 1.0, 2.0]), np.array([False, True, True]))[0]
    1.0
    """
    high, low = np.sort(score[positive]), np.sort(score[~positive])
    below = (np.searchsorted(low, score, "left") + np.searchsorted(low, score, "right")) / (2 * len(low))
    above = 1 - (np.searchsorted(high, score, "left") + np.searchsorted(high, score, "right")) / (2 * len(high))
    value = float(below[positive].mean())
    return value, np.where(positive, (below - value) / len(high), (above - value) / len(low))


def detection(
    x: Tensor, y: Tensor, support: Support, seed: int = 0, *, given: Tensor | None = None, most: int = 5000
) -> Detection:
    """Rows x told from samples y by gradient boosting, over five folds.

    Args:
        x, y: rows and samples, (n, D) each; NaN where a value is missing. As many of each are used, and at most so many
            as ``most``.
        support: of the columns.
        seed: of the folds.
        given: numbers (n, C) that row i and sample i share, such as a context; the two are then in one fold.
        most: rows of each set.

    >>> from surflow.supports import real
    >>> x = torch.arange(50.0)[:, None]
    >>> detection(x, x + 100, real).auc
    1.0
    """
    from sklearn.model_selection import GroupKFold, StratifiedKFold

    n = min(len(x), len(y), most)
    random = np.random.default_rng(seed)
    chosen = [random.permutation(len(x))[:n]]
    chosen.append(chosen[0] if given is not None else random.permutation(len(y))[:n])
    sides = [part[index] for part, index in zip((x, y), chosen, strict=True)]
    rows = torch.cat(sides).double().numpy()
    size = rows.shape[1]
    named = categorical(support, size)
    if given is not None:
        rows = np.concatenate([rows, given.double().numpy()[np.tile(chosen[0], 2)]], 1)
    real = np.repeat([True, False], n)
    folds = StratifiedKFold(_FOLDS, shuffle=True, random_state=seed).split(rows, real)
    if given is not None:
        folds = GroupKFold(_FOLDS).split(rows, real, np.tile(np.arange(n), 2))
    scores = np.empty((min(size, _SHUFFLED) + 1, 2 * n))
    for train, test in folds:
        model = boosting(rows[train], named, classes=True, seed=seed).fit(rows[train], real[train])
        scores[0, test] = model.decision_function(rows[test])
        shuffled = random.permutation(len(test))
        for column in range(len(scores) - 1):
            changed = rows[test].copy()
            changed[:, column] = changed[shuffled, column]
            scores[column + 1, test] = model.decision_function(changed)
    value, influence = auc(scores[0], real)
    # Scores of several folds are on one scale, as each is of as many rows of either kind.
    without = torch.tensor([auc(score, real)[0] for score in scores[1:]])
    return Detection(value, float(np.sqrt(np.square(influence).sum())), without)


def boosting(rows: np.ndarray, named: list[bool], *, classes: bool, seed: int):  # type: ignore[no-untyped-def]
    """Gradient boosting of trees that take categories and missing values as they are.

    Args:
        rows: that it will be trained on, (n, C); the first columns are those of the table.
        named: which of these hold categories.
        classes: whether a class is predicted, or a number.
        seed: of the trees.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    kind = HistGradientBoostingClassifier if classes else HistGradientBoostingRegressor
    marked = [i for i, name in enumerate(named) if name and np.nanmax(rows[:, i], initial=0.0) < _MOST_CATEGORIES]
    # Trees of a few hundred rows have leaves of 20 by default, which leaves them no leaf to grow.
    return kind(
        max_iter=100, max_leaf_nodes=15, min_samples_leaf=min(20, max(2, len(rows) // 30)), early_stopping=False,
        categorical_features=marked or None, random_state=seed,
    )  # fmt: skip
