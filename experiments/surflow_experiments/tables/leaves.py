"""Mixtures whose parts make the columns independent: in each part counts of entries, and a normal of the numbers."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array
from scipy.special import ndtr, ndtri

from surflow_experiments.tables.marginals import Array, Marginals

# The narrowest normal of a part, in standard deviations of the column.
_NARROWEST = 1e-3


class Parts:
    r"""Parts of a mixture, each with its own weight of every row of the training data, and perhaps its own box.

    .. math:: p_j(v \mid l) = \frac{n_{lj}(v) + n_{lj} N(v) + s\, m_j(v) / m_j(l)}{n_l + s}

    for column j in part l of :math:`n_l` rows: the counts of entries (categories, atoms, the missing value), the mass
    of a normal N with the mean and deviation of the other numbers in the part, between the ends of its box, and s rows
    of the column alone, restricted to the box. Where numbers have full resolution, N and m are densities.

    Args:
        marginals: the columns alone, m.
        x: training rows (n, D).
        weight: of the rows in the parts, (parts, n), sparse.
        first, last: edges of the marginals between which each part lies in each column, (parts, D), from 0 to the
            number of edges; None for no boxes.
        prior: s.
    """

    def __init__(
        self, marginals: Marginals, x: Array, weight: csr_array, first: Array | None, last: Array | None, prior: float
    ) -> None:
        self.marginals, self.prior = marginals, prior
        columns = marginals.columns
        size = len(columns)
        self.rows = np.asarray(weight.sum(1)).ravel()
        shape = (len(self.rows), size)
        first = np.zeros(shape, int) if first is None else first
        last = np.asarray([[len(c.below) - 1 for c in columns]]).repeat(shape[0], 0) if last is None else last
        self.ends = np.empty((2, *shape))  # probabilities of the columns alone at the ends of the boxes
        self.low, self.high = np.empty(shape), np.empty(shape)
        self.mean, self.sd, self.rest = np.zeros(shape), np.ones(shape), np.zeros(shape)
        self.counts: list[csr_array] = []
        for j, column in enumerate(columns):
            self.ends[:, :, j] = column.below[first[:, j]], column.below[last[:, j]]
            self.low[:, j] = column.edges[np.maximum(first[:, j] - 1, 0)].clip(column.low)
            self.high[:, j] = column.edges[np.maximum(last[:, j] - 1, 0)].clip(None, column.high)
            entry = column.entry(x[:, j])
            kinds = len(column.entries) + 2
            hot = csr_array((np.ones(len(x)), (np.arange(len(x)), entry)), (len(x), kinds))
            self.counts.append(csr_array(weight @ hot))
            number = entry == kinds - 1
            if not number.any():
                continue
            v = x[:, j]
            middle, scale = v[number].mean(), v[number].std() or column.step or 1.0
            t = np.where(number, (np.where(number, v, middle) - middle) / scale, 0.0)
            n = weight @ number.astype(float)
            one, two = weight @ t, weight @ t**2
            some = np.maximum(n, 1e-12)
            mean = one / some
            # As if one row more lay a standard deviation of the column away: of a few rows little is known.
            variance = (np.maximum(two - n * mean**2, 0) + 1.0) / (n + 1)
            width = (column.step / scale) if column.step else 0.0
            self.rest[:, j] = n
            self.mean[:, j] = np.where(n > 0, mean, 0.0) * scale + middle
            self.sd[:, j] = np.sqrt(variance + width**2 / 12 + _NARROWEST**2) * scale

    def log_prob(self, x: Array, part: Array) -> Array:
        """Nats of every value of rows (n, D), each in one part (n,); -inf outside its box is not looked for."""
        found = np.empty(x.shape)
        for j, column in enumerate(self.marginals.columns):
            v, entry = x[:, j], column.entry(x[:, j])
            kinds = len(column.entries) + 2
            counted = np.where(entry < kinds - 1, self.counts[j][part, np.minimum(entry, kinds - 2)], 0.0)
            share = self.ends[1, part, j] - self.ends[0, part, j]
            mass = counted + self.prior * column.mass(v) / np.maximum(share, 1e-300)
            if not column.categorical:
                with_rest = ~np.isnan(v) & ((entry == kinds - 1) | (column.step > 0))
                normal = self._normal(np.nan_to_num(v), part, j, column.step)
                mass = mass + np.where(with_rest, self.rest[part, j] * normal, 0.0)
            found[:, j] = np.log(mass / (self.rows[part] + self.prior))
        return found

    def _normal(self, v: Array, part: Array, j: int, step: float) -> Array:
        """The mass of a cell, or the density, under the normal of the parts between the ends of their boxes."""
        mean, sd = self.mean[part, j], self.sd[part, j]
        whole = _between((self.low[part, j] - mean) / sd, (self.high[part, j] - mean) / sd)
        t = (v - mean) / sd
        if step:
            return _between(t - step / 2 / sd, t + step / 2 / sd) / whole
        return np.exp(-t * t / 2) / (np.sqrt(2 * np.pi) * sd * whole)

    def sample(self, part: Array, like: Callable[[int], Array], x: Array, random: np.random.Generator) -> Array:
        """One row of each of the parts (n,).

        Args:
            part: of each row.
            like: for a column, the numbers of rows of the training data, one of each part as its weights say.
            x: the training rows.
            random: what draws.
        """
        out = np.empty((len(part), len(self.marginals.columns)))
        for j, column in enumerate(self.marginals.columns):
            value = x[like(j), j]
            if not column.categorical:
                rest = column.entry(value) == len(column.entries) + 1
                value = np.where(rest, self._draw_normal(part, j, column.step, column.origin, random), value)
            low, high = self.ends[:, part, j]
            alone = column.quantile(low + (high - low) * random.random(len(part)))
            out[:, j] = np.where(random.random(len(part)) * (self.rows[part] + self.prior) < self.prior, alone, value)
        return out

    def _draw_normal(self, part: Array, j: int, step: float, origin: float, random: np.random.Generator) -> Array:
        mean, sd = self.mean[part, j], self.sd[part, j]
        low, high = ndtr((self.low[part, j] - mean) / sd), ndtr((self.high[part, j] - mean) / sd)
        v = mean + sd * ndtri((low + (high - low) * random.random(len(part))).clip(1e-12, 1 - 1e-12))
        edge = step / 2 * (1 - 1e-6)
        v = v.clip(self.low[part, j] + edge, self.high[part, j] - edge)
        return origin + np.rint((v - origin) / step) * step if step else v


def _between(a: Array, b: Array) -> Array:
    """The share of a standard normal between two points, in either tail, at least what a density there can be."""
    turned = a > 0
    a, b = np.where(turned, -b, a), np.where(turned, -a, b)
    return np.maximum(ndtr(b) - ndtr(a), 1e-300)
