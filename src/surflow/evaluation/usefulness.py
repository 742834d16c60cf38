"""What samples of a table are worth: models trained on them and tested on real rows, beside models of real rows."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surflow.evaluation.detection import auc, boosting
from surflow.evaluation.features import categorical
from surflow.supports import Support

_FEWEST = 20
_MOST_CLASSES = 6
# The skill from which a column counts as predicted.
_PREDICTED = 0.1


class Usefulness(NamedTuple):
    """How well each of some columns is predicted from all others, on a scale from 0, by chance, to 1.

    Attributes:
        columns: which, by number.
        classes: whether the column's values are categories, whose skill is 2 AUC - 1; that of numbers is the R squared
            of their ranks.
        real, samples: the skill of models trained on real rows, and on samples; (columns,).
        error: the standard error of samples - real, paired on the tested rows; (columns,).
        mean: of real and of samples over the columns that real rows predict, with a skill of 0.1 or more, and the
            standard error of their difference; None if there are none.
    """

    columns: list[int]
    classes: list[bool]
    real: Tensor
    samples: Tensor
    error: Tensor
    mean: tuple[float, float, float] | None


def usefulness(
    train: Tensor,
    samples: Tensor,
    test: Tensor,
    support: Support,
    seed: int = 0,
    *,
    given: tuple[Tensor, Tensor] | None = None,
    most_columns: int = 12,
    most_rows: int = 5000,
) -> Usefulness:
    """Gradient boosting predicts each column from the others, trained on rows or on as many samples, tested on rows.

    Numbers are predicted as ranks among the training rows, so that a few large ones do not decide. Of a category with
    many names, the most frequent ones are predicted, each against all others, and weighed by how frequent they are.
    Rows where the predicted value is missing are left out.

    Args:
        train, samples, test: (n, D) each, NaN where a value is missing.
        support: of the columns.
        seed: of what is chosen by chance.
        given: numbers that are known beside them, such as a context: of the rows trained on, (n, C), which the samples
            share row by row, and of the tested rows.
        most_columns, most_rows: how much is done; columns beyond are left out by chance.

    >>> from surflow.supports import real
    >>> x = torch.randn(400, 1).repeat(1, 2)
    >>> found = usefulness(x[:200], torch.randn(200, 2), x[200:], real)
    >>> found.real[0] > 0.9, found.samples[0] < 0.1
    (tensor(True), tensor(True))
    """
    random = np.random.default_rng(seed)
    n = min(len(train), len(samples), most_rows)
    size = train.shape[1]
    if given is not None:
        train, samples, test = (
            torch.cat([part.double(), known[: len(part)].double()], 1)
            for part, known in ((train, given[0]), (samples, given[0]), (test, given[1]))
        )
    parts = [
        part[torch.from_numpy(random.permutation(len(part))[:k])].double().numpy()
        for part, k in ((train, n), (samples, n), (test, most_rows))
    ]
    named = categorical(support, size)
    found, influences = [], []
    for column in sorted(random.permutation(size)[:most_columns].tolist()):
        scored = _column(parts, column, named, seed)
        if scored is not None:
            found.append((column, named[column], scored[0][0], scored[1][0]))
            influences.append(scored[1][1] - scored[0][1])
    difference = np.stack(influences) if influences else np.zeros((0, 1))
    real, drawn = (np.array([row[side] for row in found]) for side in (2, 3))
    kept = real >= _PREDICTED
    mean = None
    if kept.any():
        error = float(np.sqrt(np.square(difference[kept].mean(0)).sum()))
        mean = float(real[kept].mean()), float(drawn[kept].mean()), error
    return Usefulness(
        [row[0] for row in found],
        [row[1] for row in found],
        torch.from_numpy(real),
        torch.from_numpy(drawn),
        torch.from_numpy(np.sqrt(np.square(difference).sum(1))),
        mean,
    )


def _column(
    parts: list[np.ndarray], column: int, named: list[bool], seed: int
) -> list[tuple[float, np.ndarray]] | None:
    """Skill and influences of the tested rows, for both models; None where there is nothing to predict."""
    kept = [~np.isnan(part[:, column]) for part in parts]
    train, samples, test = (part[rows] for part, rows in zip(parts, kept, strict=True))
    y = [part[:, column] for part in (train, samples, test)]
    if min(map(len, y)) < _FEWEST or any(len(np.unique(values)) < 2 for values in (y[0], y[2])):
        return None
    inputs = [np.delete(part, column, 1) for part in (train, samples, test)]
    others = named[:column] + named[column + 1 :]
    if named[column]:
        names, counts = np.unique(y[0], return_counts=True)
        classes = names[np.argsort(-counts, kind="stable")[:_MOST_CLASSES]]
    else:
        order = np.sort(y[0])
        y = [(np.searchsorted(order, v, "left") + np.searchsorted(order, v, "right")) / (2 * len(order)) for v in y]
    scored = []
    for rows, target in zip(inputs[:2], y[:2], strict=True):
        if named[column]:
            value, influence = _of_classes(rows, target, inputs[2], y[2], classes, others, seed)
        else:
            model = boosting(rows, others, classes=False, seed=seed).fit(rows, target)
            value, influence = _r_squared(y[2], model.predict(inputs[2]))
        whole = np.zeros(len(kept[2]))
        whole[kept[2]] = influence
        scored.append((value, whole))
    return scored


def _of_classes(
    rows: np.ndarray, target: np.ndarray, test: np.ndarray, truth: np.ndarray, classes: np.ndarray, named: list[bool],
    seed: int,
) -> tuple[float, np.ndarray]:  # fmt: skip
    """2 AUC - 1, each class against all others and weighed by its share of the tested rows."""
    total, influence, weight = 0.0, np.zeros(len(test)), 0.0
    for name in classes[:1] if len(classes) == 2 else classes:
        positive = truth == name
        if not 0 < positive.sum() < len(positive):
            continue
        score = np.zeros(len(test))
        if 0 < (target == name).sum() < len(target):
            model = boosting(rows, named, classes=True, seed=seed).fit(rows, target == name)
            score = model.decision_function(test)
        value, each = auc(score, positive)
        share = positive.mean()
        total, influence, weight = total + share * value, influence + share * each, weight + share
    return (2 * total / weight - 1, 2 * influence / weight) if weight else (0.0, influence)


def _r_squared(truth: np.ndarray, guess: np.ndarray) -> tuple[float, np.ndarray]:
    error, spread = np.square(truth - guess), np.square(truth - truth.mean())
    value = 1 - error.sum() / spread.sum()
    return float(value), -(error - (1 - value) * spread) / spread.sum()
