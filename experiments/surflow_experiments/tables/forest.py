"""Adversarial random forests: trees that tell rows from rows of independent columns, until they no longer can."""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from sklearn.ensemble import RandomForestClassifier
from sklearn.tree import DecisionTreeClassifier

from surflow_experiments.tables.data import Rows
from surflow_experiments.tables.leaves import Parts
from surflow_experiments.tables.marginals import Array, Marginals

_TREES, _ROUNDS = 30, 10
# What validation rows choose from: rows in a leaf, real and made, at least, and the prior of the parts.
_LEAST, _PRIORS = (5, 20), (0.3, 1.0, 3.0, 10.0)


class AdversarialForest:
    """Leaves in which the columns are independent, a mixture of all; a density of our own on the leaves.

    A forest learns to tell rows from rows whose columns were drawn independently; then, while it can by out-of-bag
    votes, from rows drawn independently within its leaves. Every tree is a mixture of its leaves, weighed by their
    rows, and the density is the mean over trees. The density of a leaf is that of :class:`Parts` within the leaf's box.

    Source: Watson, Blesch, Kapar and Wright, "Adversarial random forests for density estimation and generative
    modelling", arXiv 2205.09435.

    Args:
        rows: the table; its validation rows choose the size of leaves and the prior.
        seed: of the trees.
    """

    def __init__(self, rows: Rows, seed: int) -> None:
        self.marginals = Marginals(rows)
        self.x = rows.train.numpy()
        held_out = rows.validation.numpy()[:2000]
        best = -np.inf
        for least in _LEAST:
            forest = self._grown(least, seed)
            boxes = [self._boxes(tree) for tree in forest.estimators_]
            for prior in _PRIORS:
                self._set(forest, boxes, prior)
                found = self.log_prob(held_out).mean()
                if found > best:
                    best, chosen = found, (forest, boxes, prior)
        self._set(*chosen)

    def _codes(self, x: Array) -> Array:
        """Ranks of values among those that occur, 0 for missing ones: trees know no more of numbers."""
        ranks = [np.searchsorted(c.edges[1:-1], v) + 1 for c, v in zip(self.marginals.columns, x.T, strict=True)]
        return np.where(np.isnan(x), 0, np.stack(ranks, 1)).astype(np.float32)

    def _grown(self, least: int, seed: int) -> RandomForestClassifier:
        random = np.random.default_rng(seed)
        real = self._codes(self.x)
        n = len(real)
        made = np.stack([random.permutation(column) for column in real.T], 1)
        before = np.inf
        for number in range(_ROUNDS):
            forest = RandomForestClassifier(_TREES, min_samples_leaf=least, oob_score=True, random_state=seed + number)
            forest.fit(np.concatenate([real, made]), np.repeat([1, 0], n))
            if forest.oob_score_ <= 0.5 or forest.oob_score_ >= before:
                break
            before = forest.oob_score_
            made = self._shuffled(forest, real, random)
        return forest

    def _shuffled(self, forest: RandomForestClassifier, real: Array, random: np.random.Generator) -> Array:
        """As many rows, every value that of any row in the same leaf of a tree."""
        made, tree = np.empty_like(real), random.integers(_TREES, size=len(real))
        leaves = forest.apply(real)
        for b in range(_TREES):
            rows = np.flatnonzero(tree == b)
            like = _Like(leaves[:, b], leaves[random.integers(len(real), size=len(rows)), b], random)
            for j in range(real.shape[1]):
                made[rows, j] = real[like(j), j]
        return made

    def _boxes(self, fitted: DecisionTreeClassifier) -> tuple[Array, Array]:
        """The edges between which every node lies, (nodes, D) each."""
        tree, size = fitted.tree_, len(self.marginals.columns)
        first = np.zeros((tree.node_count, size), int)
        last = np.asarray([[len(c.below) - 1 for c in self.marginals.columns]]).repeat(tree.node_count, 0)
        for node in range(tree.node_count):  # parents have lower numbers than their children
            left, right = tree.children_left[node], tree.children_right[node]
            if left < 0:
                continue
            j, cut = tree.feature[node], int(np.floor(tree.threshold[node])) + 1
            for child in (left, right):
                first[child], last[child] = first[node], last[node]
            last[left, j] = min(last[left, j], cut)
            first[right, j] = max(first[right, j], cut)
        return first, last

    def _set(self, forest: RandomForestClassifier, boxes: list[tuple[Array, Array]], prior: float) -> None:
        self.forest, self.leaves = forest, forest.apply(self._codes(self.x))
        n = len(self.x)
        self.parts = []
        for b, (first, last) in enumerate(boxes):
            place = (self.leaves[:, b], np.arange(n))
            weight = csr_array((np.ones(n), place), (len(first), n))
            self.parts.append(Parts(self.marginals, self.x, weight, first, last, prior))

    def log_prob(self, x: Array) -> Array:
        """Nats of rows (n, D)."""
        leaves, n = self.forest.apply(self._codes(x)), len(self.x)
        each = np.stack(
            [
                part.log_prob(x, leaves[:, b]).sum(1) + np.log(np.maximum(part.rows[leaves[:, b]], 1e-300) / n)
                for b, part in enumerate(self.parts)
            ]
        )
        top = each.max(0)
        return top + np.log(np.exp(each - top).mean(0))

    def sample(self, n: int, seed: int) -> Array:
        """Rows (n, D)."""
        random = np.random.default_rng(seed)
        tree = random.integers(_TREES, size=n)
        out = np.empty((n, self.x.shape[1]))
        for b, part in enumerate(self.parts):
            rows = np.flatnonzero(tree == b)
            leaf = self.leaves[random.integers(len(self.x), size=len(rows)), b]
            out[rows] = part.sample(leaf, _Like(self.leaves[:, b], leaf, random), self.x, random)
        return out


class _Like:
    """Numbers of rows that lie in given leaves, drawn anew for every column."""

    def __init__(self, leaves: Array, wanted: Array, random: np.random.Generator) -> None:
        self.order = leaves.argsort(kind="stable")
        ordered = leaves[self.order]
        self.start = np.searchsorted(ordered, wanted)
        self.count = np.searchsorted(ordered, wanted, side="right") - self.start
        self.random = random

    def __call__(self, column: int) -> Array:
        return self.order[self.start + (self.random.random(len(self.start)) * self.count).astype(int)]
