"""Two-sample tests: energy distance with a permutation p-value, and the accuracy of a classifier."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surflow.errors import ConfigError, DataError, ShapeError, unknown_name
from surflow.evaluation.likelihood import mean_and_error

_CHUNK_ELEMENTS = 2**22
CLASSIFIERS = ("forest", "mlp")


def energy_distance(x: Tensor, y: Tensor) -> float:
    r"""Energy distance of two sets of rows, shapes (n, D) and (m, D); zero if and only if they are the same set.

    .. math:: 2\, E|X - Y| - E|X - X'| - E|Y - Y'|

    with all pairs of rows for the expectations (the V-statistic, never negative). Memory is bounded.

    Args:
        x, y: the sets, shapes (n, D) and (m, D).

    Raises:
        ShapeError: if the rows differ in length.
        DataError: if a set is empty.

    Source: Székely and Rizzo, "Energy statistics: A class of statistics based on distances", 2013.

    >>> import torch
    >>> energy_distance(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [0.0]]))
    0.0
    >>> energy_distance(torch.tensor([[0.0]]), torch.tensor([[3.0]]))
    6.0
    """
    x, y = _rows(x, y)
    between = _mean_distance(x, y)
    return max(0.0, 2 * between - _mean_distance(x, x) - _mean_distance(y, y))


def energy_test(
    x: Tensor, y: Tensor, permutations: int = 199, seed: int = 0, groups: tuple[Tensor, Tensor] | None = None
) -> tuple[float, float]:
    """Energy distance and its permutation p-value.

    p is (1 + number of permutations that are at least as far apart) / (1 + permutations). The coordinates are divided
    by their pooled standard deviation, so that all count alike. The matrix of all distances is held: pass at most a
    few thousand rows.

    Sets that were given the same labels, or the same contexts row by row, agree in them more than two independent sets
    would: only rows of one group are like each other, and p is uniform if permutations keep within groups.

    Args:
        x, y: rows, shapes (n, D) and (m, D).
        permutations: how many.
        seed: of the permutations.
        groups: of the rows of x and of y, integers of shapes (n,) and (m,), if they were fixed beforehand.

    >>> import torch
    >>> _, p = energy_test(torch.zeros(50, 1), torch.ones(50, 1), permutations=99)
    >>> p
    0.01
    """
    x, y = _rows(x, y)
    both = _standardised(torch.cat([x, y]))
    distances = torch.cdist(both, both, compute_mode="donot_use_mm_for_euclid_dist")
    n, m = x.shape[0], y.shape[0]
    weights = torch.cat([torch.full((n,), 1 / n), torch.full((m,), -1 / m)]).to(both)
    generator = torch.Generator().manual_seed(seed)
    if groups is None:
        shuffled = [weights[torch.randperm(n + m, generator=generator)] for _ in range(permutations)]
    else:
        group = torch.cat(groups).cpu().double()
        sorted_rows = group.argsort(stable=True)
        shuffled = []
        for _ in range(permutations):
            mixed = (group + torch.rand(n + m, generator=generator, dtype=torch.float64)).argsort()
            shuffled.append(torch.empty_like(weights).index_put_((sorted_rows,), weights[mixed]))
    w = torch.stack([weights, *shuffled])
    # The statistic is a quadratic form in the weights, so all permutations are one product of matrices.
    values = -((w @ distances) * w).sum(1)
    tolerance = 1e-9 * values.abs().max()
    p = (1 + (values[1:] >= values[0] - tolerance).sum().item()) / (1 + permutations)
    return max(0.0, values[0].item()), p


def frechet_distance(x: Tensor, y: Tensor) -> float:
    r"""Distance of two sets of features by their first two moments; 0 is the best.

    .. math:: |m_x - m_y|^2 + \operatorname{tr}\big(C_x + C_y - 2 (C_x C_y)^{1/2}\big)

    A figure means nothing without the network that the features are from, and the numbers of rows: moments of samples
    differ by chance, so that two sets of one distribution are apart too, by more the fewer rows and the more features
    there are. Compare with the distance of real rows from as many other real ones.

    Args:
        x, y: features of the sets, shapes (n, D) and (m, D).

    Source: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", arXiv
    1706.08500; Dowson and Landau, "The Frechet distance between multivariate normal distributions", 1982.

    >>> import torch
    >>> x = torch.tensor([[0.0], [2.0]])
    >>> round(frechet_distance(x, x + 3), 4)
    9.0
    """
    x, y = _rows(x, y)
    if min(len(x), len(y)) < 2 or not (x.isfinite().all() and y.isfinite().all()):
        raise DataError(f"expected two finite rows of each set or more, got {len(x)} and {len(y)} rows")
    difference = x.mean(0) - y.mean(0)
    a, b = (part.T.cov().reshape(x.shape[1], -1) for part in (x, y))
    # The eigenvalues of C_x C_y are those of C_x^(1/2) C_y C_x^(1/2), which is symmetric.
    values, vectors = torch.linalg.eigh(a)
    root = vectors * values.clamp(min=0).sqrt() @ vectors.T
    trace = torch.linalg.eigvalsh(root @ b @ root).clamp(min=0).sqrt().sum()
    return max(0.0, (difference.square().sum() + a.trace() + b.trace() - 2 * trace).item())


def classifier_test(
    x: Tensor, y: Tensor, seed: int = 0, classifier: str = "forest", *, paired: bool = False
) -> tuple[float, float]:
    """Accuracy with which a classifier tells rows of x from rows of y, and its standard error; 0.5 is the best.

    The two sets should be of one size. A figure means nothing without its classifier:

    - "forest": a random forest of 100 trees, 5 rows or more a leaf, grown on half of the rows and scored on the others,
      which are independent of it: their accuracy a has the standard error sqrt(a (1 - a) / N) for N scored rows;
    - "mlp": a perceptron with two hidden layers of 10 units for every coordinate, ReLU, trained by Adam for at most
      1000 rounds on rows standardised by the mean and standard deviation of x, the reference, and scored in five folds:
      the C2ST of the benchmark of simulation-based inference. Folds depend on each other, for rows vote on each other's
      sides, both rightly or both wrongly: where such pairs decide, the variance is twice that of independent rows, and
      the error is sqrt(2 a (1 - a) / N) for all N rows. It is rather too large, and no estimate is unbiased.

    Source: Lopez-Paz and Oquab, "Revisiting Classifier Two-Sample Tests", arXiv 1610.06545; Lueckmann et al.,
    "Benchmarking Simulation-Based Inference", arXiv 2101.04653; Bengio and Grandvalet, "No Unbiased Estimator of the
    Variance of K-Fold Cross-Validation", Journal of Machine Learning Research 5 (2004).

    Args:
        x, y: rows, shapes (n, D) and (m, D).
        seed: of the halves or folds, and of the classifier.
        classifier: "forest" or "mlp".
        paired: whether row i of y was given the same context as row i of x. The two are then on the same side of every
            split: from one of them in training, the context would tell that the other one is of the other set.

    Raises:
        ConfigError: for another classifier.
        ShapeError: for paired sets that differ in size.
        DataError: for sets of one row.

    >>> import torch
    >>> classifier_test(torch.zeros(50, 1), torch.ones(50, 1))
    (1.0, 0.0)
    """
    if classifier not in CLASSIFIERS:
        raise ConfigError(unknown_name("classifier", classifier, CLASSIFIERS))
    x, y = _rows(x, y)
    if min(len(x), len(y)) < 2:
        raise DataError(f"a classifier needs two rows of each set or more, got {len(x)} and {len(y)}")
    if paired and len(x) != len(y):
        raise ShapeError(f"paired sets have as many rows each, got {len(x)} and {len(y)}")
    return (_forest if classifier == "forest" else _perceptron)(x, y, seed, paired=paired)


def _forest(x: Tensor, y: Tensor, seed: int, *, paired: bool) -> tuple[float, float]:
    from sklearn.ensemble import RandomForestClassifier

    random = np.random.default_rng(seed)
    order = random.permutation(len(x))
    sides = [(x, order), (y, order if paired else random.permutation(len(y)))]
    train = [rows[index[: len(rows) // 2]] for rows, index in sides]
    model = RandomForestClassifier(100, min_samples_leaf=5, random_state=seed)
    model.fit(torch.cat(train).numpy(), np.repeat([0, 1], [len(rows) for rows in train]))
    right = [
        torch.from_numpy(model.predict(rows[index[len(rows) // 2 :]].numpy()) == side).double()
        for side, (rows, index) in enumerate(sides)
    ]
    if paired:  # two rows of one context are not independent, but pairs are
        accuracy, error = mean_and_error((right[0] + right[1]) / 2)
        return accuracy, error or 0.0
    accuracy = torch.cat(right).mean().item()
    return accuracy, math.sqrt(accuracy * (1 - accuracy) / sum(map(len, right)))


def _perceptron(x: Tensor, y: Tensor, seed: int, *, paired: bool) -> tuple[float, float]:
    from sklearn.model_selection import KFold, StratifiedKFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    mean, scale = x.mean(0), x.std(0)
    rows = (torch.cat([x, y]) - mean) / scale.where(scale > 0, 1.0)
    hidden = (10 * x.shape[1], 10 * x.shape[1])
    model = MLPClassifier(hidden_layer_sizes=hidden, max_iter=1000, random_state=seed)
    labels = np.repeat([0, 1], [len(x), len(y)])
    folds: Any = StratifiedKFold(min(5, len(x), len(y)), shuffle=True, random_state=seed)
    if paired:
        pairs = KFold(min(5, len(x)), shuffle=True, random_state=seed).split(x)
        folds = [tuple(np.concatenate([i, i + len(x)]) for i in fold) for fold in pairs]
    accuracy = float(cross_val_score(model, rows.numpy(), labels, cv=folds).mean())
    return accuracy, math.sqrt(2 * accuracy * (1 - accuracy) / len(rows))


def _rows(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    if not len(x) or not len(y):
        raise DataError(f"two sets with at least one row each are expected, got {len(x)} and {len(y)} rows")
    x, y = (part.detach().cpu().double().reshape(part.shape[0], -1) for part in (x, y))
    if x.shape[1] != y.shape[1]:
        raise ShapeError(f"two sets of rows of one length are expected, got lengths {x.shape[1]} and {y.shape[1]}")
    return x, y


def _standardised(rows: Tensor) -> Tensor:
    scale = rows.std(0, correction=0)
    return rows / scale.where(scale > 0, 1.0)


def _mean_distance(x: Tensor, y: Tensor) -> float:
    at_once = max(1, _CHUNK_ELEMENTS // y.shape[0])
    sums = [torch.cdist(part, y, compute_mode="donot_use_mm_for_euclid_dist").sum() for part in x.split(at_once)]
    return torch.stack(sums).sum().item() / (x.shape[0] * y.shape[0])
