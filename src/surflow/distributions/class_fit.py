"""Latent classes of a table's rows, fitted by expectation-maximisation from the clusters of k-means."""

from __future__ import annotations

import math
import warnings
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from surflow.distributions.column_layout import ColumnLayout

# Rounds of the algorithm, unless one gains less nats a row, and of k-means.
_ROUNDS, _GAIN, _CLUSTERING = 40, 1e-3, 20
# More rows make the fit hardly better, and take seconds.
_MOST_ROWS, _FEWEST, _MOST_VALUES = 20_000, 1000, 200_000
# As if so many rows more of the whole table were in every class: of a few rows little is known.
_PRIOR = 1.0
# What the clusters leave of a row to others of them.
_DOUBT = 0.1
# Entries of a smaller share of the rows make no cluster.
_SHARE = 0.01
# The narrowest normal of a class, in units of the column's scale.
_NARROWEST = 1e-3


class Classes(NamedTuple):
    """Latent classes, k of them, within which columns are independent.

    Attributes:
        weight: shares of the rows; (k,).
        share: probabilities of the entries of all columns, each of its column; (k, entries).
        own: how much of a column's rest is the normal of the class, and not the column whatever the class; (k, D).
        mean, deviation: of this normal, on the column's scale; (k, D).
    """

    weight: Tensor
    share: Tensor
    own: Tensor
    mean: Tensor
    deviation: Tensor


class ClassRows:
    """Rows of a table as classes are fitted to them: which entry every value is, and where numbers lie on their scales.

    Args:
        layout: of the columns, initialized.
        x: rows (n, D), of which some tens of thousands are used.
    """

    def __init__(self, layout: ColumnLayout, x: Tensor) -> None:
        self.layout = layout
        most = min(_MOST_ROWS, max(_FEWEST, _MOST_VALUES // x.shape[1]))
        if len(x) > most:
            x = x[torch.randperm(len(x))[:most].to(x.device)]
        entry = layout.entries(x)
        place = torch.where(entry < 0, layout.rest_at, entry) + layout.offset
        self.place = place.T.contiguous()  # (D, n), so that counting a column reads what lies side by side
        self.number = (entry < 0).double()
        z, _ = layout.scaled(x)
        centre, width = layout.cells(x)
        self.z = torch.where(layout.grid, centre, z) * self.number
        cell = (width.square() / 12 * self.number).sum(0) / self.number.sum(0).clamp(min=1)
        self.least = cell.where(layout.grid, 0.0) + _NARROWEST**2
        counts = torch.bincount(place.flatten(), minlength=len(layout.column)).double()
        self.alone = (counts + 0.5) / (len(x) + layout.size[layout.column] / 2)

    def fitted(self, k: int) -> Classes:
        """So many classes."""
        if k == 1:
            return self._classes(self.z.new_ones(len(self.z), 1))
        classes, before = self._classes(self._clusters(k)), -math.inf
        for _ in range(_ROUNDS):
            joint = self._log_joint(classes)
            classes, after = self._classes(joint.softmax(1)), joint.logsumexp(1).mean().item()
            if after < before + _GAIN:
                break
            before = after
        return classes

    def _clusters(self, k: int) -> Tensor:
        """Shares that the clusters of k-means have of the rows, (n, k)."""
        from sklearn.cluster import KMeans
        from sklearn.exceptions import ConvergenceWarning

        often = ((self.alone >= _SHARE) & (self.alone <= 1 - _SHARE)).nonzero()[:, 0]
        hot = (self.place[self.layout.column[often]] == often[:, None]).T.float()
        scale = self.z.std(0, correction=0).clamp(min=_NARROWEST)
        points = torch.cat([hot, (self.z / scale).float()], 1).cpu().numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # fewer rows differ than there are clusters
            found = KMeans(k, n_init=1, max_iter=_CLUSTERING, random_state=0).fit_predict(points)
        hot = one_hot(torch.from_numpy(found).long().to(self.z.device), k).double()
        return (1 - _DOUBT) * hot + _DOUBT / k

    def _classes(self, share: Tensor) -> Classes:
        """Classes that have these shares of the rows, (n, k)."""
        n = share.sum(0)
        counts = share.new_zeros(len(self.alone), share.shape[1])
        for place in self.place:  # columns: all of their counts at once would be (n D, k) numbers
            counts.index_add_(0, place, share)
        found = share.T @ self.number
        some = found.clamp(min=1e-9)
        mean = share.T @ self.z / some
        square = (share.T @ self.z.square() - some * mean.square()).clamp(min=0)
        rest = self.alone[self.layout.offset + self.layout.rest_at.clamp(min=0)]
        return Classes(
            weight=n / n.sum(),
            share=((counts + _PRIOR * self.alone[:, None]) / (n + _PRIOR)).T,
            own=some / (some + _PRIOR * rest),
            mean=mean,
            # One number more lies one unit of the scale away.
            deviation=((square + _PRIOR) / (found + _PRIOR) + self.least).sqrt(),
        )

    def _log_joint(self, classes: Classes) -> Tensor:
        """Logarithms of weights and likelihoods of the classes, (n, k), up to a constant of each row."""
        log_share = classes.share.log().T.contiguous()
        nats = classes.weight.clamp(min=1e-300).log().expand(len(self.z), -1).clone()
        for place in self.place:
            nats += log_share[place]
        precise = classes.deviation.square().reciprocal()
        middle = precise * classes.mean
        square = self.z.square() @ precise.T - 2 * self.z @ middle.T + self.number @ (middle * classes.mean).T
        return nats - square / 2 - self.number @ classes.deviation.log().T
