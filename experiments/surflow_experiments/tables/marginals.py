"""Columns of a table alone: probabilities of what is counted, and a histogram of the other numbers."""

from __future__ import annotations

import math

import numpy as np

from surflow.supports import Integers, Interval, Positive, Support
from surflow.supports.columns import Grid, WithAtoms
from surflow_experiments.tables.data import Rows

Array = np.ndarray
# Counts that every entry has before any row is seen, rows' share beyond the last numbers seen, and tails' knots.
_PRIOR, _BEYOND, _TAIL = 0.5, 0.5, 12


class Marginal:
    r"""The distribution of one column: entries (categories or atoms, a missing value), and the rest, numbers.

    On the axis of the column missing values come first, then its values in their order, so that every value v has an
    interval of the distribution function H, as long as its mass is.

    Args:
        x: the column in the training rows, double.
        support: of the column.

    Attributes:
        edges: on the axis between the values that occur, -inf first and inf last; no value lies on one.
        below: H at -inf with the missing values left out, with them, and at the edges that follow.
        step: of the grid of the rest, 0 for full resolution.
        categorical: whether there is no rest.
    """

    def __init__(self, x: Array, support: Support) -> None:
        atoms = support.atoms if isinstance(support, WithAtoms) else ()
        rest = support.support if isinstance(support, WithAtoms) else support
        self.has_missing = isinstance(support, WithAtoms) and support.missing
        self.categorical = isinstance(rest, Integers)
        self.entries = np.arange(rest.levels, dtype=float) if isinstance(rest, Integers) else np.asarray(atoms, float)
        self.step, self.origin, self.low, self.high = 0.0, 0.0, -math.inf, math.inf
        if isinstance(rest, Grid):
            self.step, self.origin = rest.step, rest.origin
            self.low = rest.origin + (rest.first - 0.5) * rest.step
            self.high = rest.origin + (rest.last + 0.5) * rest.step
        elif isinstance(rest, Interval):
            self.low, self.high = rest.low, rest.high
        elif isinstance(rest, Positive):
            self.low = 0.0
        entry = self.entry(x)
        counts = np.bincount(entry, minlength=len(self.entries) + 2) + _PRIOR
        counts[-1] *= not self.categorical
        counts[-2] *= self.has_missing
        self.shares = counts / counts.sum()  # of the entries, the missing value and the rest
        self._set_rest(x[entry == len(self.entries) + 1])
        self._set_edges(x)
        self._set_quantiles()

    def entry(self, x: Array) -> Array:
        """Which entry each value is: one of the listed, behind them the missing value, and behind that the rest."""
        size = len(self.entries)
        if self.categorical:
            found = np.where(np.isnan(x), 0, x).astype(int)
        else:
            near = self.step * 1e-3
            at = np.searchsorted(self.entries, x - near).clip(0, max(size - 1, 0))
            met = np.abs(x - self.entries[at]) <= near if size else np.zeros(len(x), bool)
            found = np.where(met, at, size + 1)
        return np.where(np.isnan(x), size, found)

    def _set_rest(self, rest: Array) -> None:
        """Knots of the distribution function of the rest, G, which is linear between them, and of 1 - G."""
        values, counts = np.unique(rest, return_counts=True)
        if not len(values):
            middle = float(np.median(self.entries)) if len(self.entries) else 0.0
            values, counts = np.full(1, min(max(middle, self.low), self.high)), np.ones(1, int)
        n = counts.sum()
        bins = max(2, round(2 * n ** (1 / 3)))
        cut = np.unique(np.searchsorted(counts.cumsum(), np.arange(1, bins) * n / bins))
        cut = cut[cut < len(values) - 1]
        unit = self.step or (values[-1] - values[0]) / max(bins, 1) or abs(values[0]) * 1e-3 or 1.0
        inner = self._between(values[cut], values[cut + 1])
        first, last = values[0] - unit / 2, values[-1] + unit / 2
        first, last = max(first, self.low), min(last, self.high)
        knots = np.concatenate([[first], inner, [last]])
        mass = np.diff(np.concatenate([[0], counts.cumsum()[cut], [n]])).astype(float)
        spread = max(last - first, unit)
        for side, end in ((0, self.low), (1, self.high)):
            edge = knots[0] if side == 0 else knots[-1]
            if end == edge:
                continue
            far, share = edge + (2 * side - 1) * spread * 4.0 ** np.arange(_TAIL), 0.5 ** np.arange(1, _TAIL + 1)
            if math.isfinite(end):
                far, share = np.full(1, end), np.ones(1)
            share = _BEYOND * share / share.sum()
            knots = np.concatenate([far[::-1], knots]) if side == 0 else np.concatenate([knots, far])
            mass = np.concatenate([share[::-1], mass]) if side == 0 else np.concatenate([mass, share])
        mass /= mass.sum()
        self._knots, self._slope = knots, mass / np.diff(knots)
        self._up = np.concatenate([[0.0], mass.cumsum()])
        self._down = np.concatenate([mass[::-1].cumsum()[::-1], [0.0]])

    def _between(self, below: Array, above: Array) -> Array:
        """Points between neighbouring values, at the end of a cell of the grid."""
        if not self.step:
            return (below + above) / 2
        cells = np.rint((above - below) / self.step)
        return below + self.step * (np.floor(cells / 2) + 0.5)

    def _set_edges(self, x: Array) -> None:
        seen = self.entries if self.categorical else np.unique(np.concatenate([x[np.isfinite(x)], self.entries]))
        step = self.step
        if self.categorical:
            between = seen[:-1] + 0.5
        else:
            if step:
                seen = np.unique(np.rint((seen - self.origin) / step)) * step + self.origin
            between = self._between(seen[:-1], seen[1:])
        self.edges = np.concatenate([[-np.inf], between, [np.inf]])
        self.below = np.concatenate([[0.0], self.cdf(self.edges)])
        self.below[-1] = 1.0

    def _set_quantiles(self) -> None:
        """Points of the axis and H there, with a jump at every entry."""
        size = len(self.entries)
        knots = np.zeros(0) if self.categorical else self._knots
        at = np.unique(np.concatenate([knots, self.entries]))
        above = self.cdf(at)
        jump = np.zeros(len(at))
        jump[np.searchsorted(at, self.entries)] = self.shares[:size]
        self._at = np.repeat(at, 2)
        self._height = np.stack([above - jump, above], 1).ravel()

    # -- what it says ---------------------------------------------------------------------------------

    def rest_cdf(self, v: Array) -> Array:
        """G, the distribution function of the rest."""
        if self.categorical:
            return np.zeros_like(v)
        return np.interp(v, self._knots, self._up)

    def cdf(self, v: Array) -> Array:
        """H: the probability of missing values and of those up to v."""
        size = len(self.entries)
        counted = np.concatenate([[0.0], self.shares[:size].cumsum()])
        return (
            self.shares[size]
            + counted[np.searchsorted(self.entries, v, side="right")]
            + self.shares[size + 1] * self.rest_cdf(v)
        )

    def rest_mass(self, v: Array) -> Array:
        """Mass of the cell of numbers of the rest, or their density; 0 where there is no rest."""
        if self.categorical:
            return np.zeros_like(v)
        if not self.step:
            i = np.searchsorted(self._knots, v) - 1
            inside = (i >= 0) & (i < len(self._slope))
            return np.where(inside, self._slope[i.clip(0, len(self._slope) - 1)], 0.0)
        a, b = v - self.step / 2, v + self.step / 2
        low = np.interp(b, self._knots, self._up) - np.interp(a, self._knots, self._up)
        high = np.interp(a, self._knots, self._down) - np.interp(b, self._knots, self._down)
        return np.where(np.interp(v, self._knots, self._up) < 0.5, low, high)

    def mass(self, x: Array) -> Array:
        """The mass of every value, or its density where it has full resolution and is no atom."""
        size, entry = len(self.entries), self.entry(x)
        alone = self.shares[np.minimum(entry, size)] * (entry <= size)
        with_rest = ~np.isnan(x) & ((entry == size + 1) | (self.step > 0))
        return alone + self.shares[size + 1] * np.where(with_rest, self.rest_mass(np.nan_to_num(x)), 0.0)

    def is_density(self, x: Array) -> Array:
        """Which values have a density in place of a mass."""
        return (self.entry(x) == len(self.entries) + 1) & (self.step == 0)

    def interval(self, x: Array) -> tuple[Array, Array]:
        """The ends of every value's interval of H, which are one point where it has a density."""
        size, entry = len(self.entries), self.entry(x)
        v = np.nan_to_num(x)
        counted = np.concatenate([[0.0], self.shares[:size].cumsum()])
        near = self.step * 1e-3
        low = self.shares[size] + counted[np.searchsorted(self.entries, v - near, side="left")]
        low = low + self.shares[size + 1] * self.rest_cdf(v - self.step / 2)
        low = np.where(entry == size, 0.0, low)
        high = np.where(self.is_density(x), low, low + self.mass(x))
        return low, np.minimum(high, 1.0)

    def quantile(self, u: Array) -> Array:
        """The values at probabilities u: on the grid, NaN for a missing one."""
        v = np.interp(u, self._height, self._at)
        if self.step:
            near = self.origin + np.rint((v - self.origin) / self.step) * self.step
            v = near.clip(self.low + self.step / 2, self.high - self.step / 2)
        return np.where(u < self.shares[len(self.entries)], np.nan, np.rint(v) if self.categorical else v)


class Marginals:
    """All columns of a table alone, which as a model makes them independent.

    Args:
        rows: the table.
    """

    def __init__(self, rows: Rows) -> None:
        x = rows.train.numpy()
        self.columns = [Marginal(x[:, i], part) for i, part in enumerate(rows.parts)]

    def log_mass(self, x: Array) -> Array:
        """Nats of every value of rows (n, D)."""
        return np.log(np.stack([c.mass(x[:, i]) for i, c in enumerate(self.columns)], 1))

    def intervals(self, x: Array) -> tuple[Array, Array]:
        """The ends of the intervals of rows (n, D)."""
        ends = [c.interval(x[:, i]) for i, c in enumerate(self.columns)]
        return np.stack([a for a, _ in ends], 1), np.stack([b for _, b in ends], 1)

    def is_density(self, x: Array) -> Array:
        """Which values of rows (n, D) have a density."""
        return np.stack([c.is_density(x[:, i]) for i, c in enumerate(self.columns)], 1)

    def quantiles(self, u: Array) -> Array:
        """Rows at probabilities (n, D)."""
        return np.stack([c.quantile(u[:, i]) for i, c in enumerate(self.columns)], 1)

    # -- as a model -----------------------------------------------------------------------------------

    def log_prob(self, x: Array) -> Array:
        """Nats of rows (n, D)."""
        return self.log_mass(x).sum(1)

    def sample(self, n: int, seed: int) -> Array:
        """Rows, each column by itself."""
        return self.quantiles(np.random.default_rng(seed).random((n, len(self.columns))))
