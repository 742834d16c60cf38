"""The distribution of one column given others, row by row: shares, masses, quantiles, and draws from a region."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from copy import copy
from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from surflow.distributions.column_conditionals import ColumnConditionals
from surflow.distributions.column_layout import ColumnLayout
from surflow.distributions.discrete import draw_categories
from surflow.distributions.knots import Knots
from surflow.errors import DataError
from surflow.supports.columns import TOLERANCE

# Of an interval, until a quantile is known to the digits of double precision.
_HALVINGS = 64
# Points at which a distribution function is asked at once.
_POINTS_AT_ONCE = 256


@dataclass(frozen=True)
class Region:
    """Values of one column that a condition allows, as numbers: single ones, or those of intervals.

    Args:
        points: single values, NaN for a missing one; indices of categories.
        intervals: pairs of ends, which belong to them; infinite for none.
    """

    points: tuple[float, ...] = ()
    intervals: tuple[tuple[float, float], ...] = ()


@dataclass(frozen=True)
class Within:
    """A region of a column as its layout has it: which entries it holds, and intervals of the rest.

    Args:
        entries: which of the column's entries, bool; that of the rest is none of them.
        low, high: ends of disjoint intervals of numbers, those of cells on a grid; (intervals,), double.
    """

    entries: Tensor
    low: Tensor
    high: Tensor

    @staticmethod
    def of(layout: ColumnLayout, column: int, region: Region) -> Within:
        """A region of one column.

        Raises:
            DataError: for a value that the column cannot have, or a single number of full resolution.
        """
        values, rest = layout.values_of(column)
        points = torch.tensor(region.points, dtype=torch.float64, device=values.device)
        held = (values[:, None] == points).any(1)
        missing = int(layout.missing_at[column])
        if points.isnan().any():
            if missing < 0:
                raise DataError(f"column {column} has no missing values: expected others in {region}")
            held[missing] = True
        for low, high in region.intervals:
            held = held | ((values >= low) & (values <= high))
        single = points[points.isfinite() & ~torch.isin(points, values)].tolist()
        if rest < 0 and single:
            raise DataError(f"column {column} has the values {values.tolist()}: expected some of these, got {single}")
        step = float(layout.step[column]) if layout.grid[column] else 0.0
        if single and not step:
            raise DataError(
                f"a single number of column {column}, {single[0]:g}, has a density and no probability: expected an "
                "interval, or the number as a known value"
            )
        cells = [(v, v) for v in region.points if math.isfinite(v)] if step else []
        found = [] if rest < 0 else _merged(layout, column, step, [*cells, *region.intervals])
        ends = torch.tensor(found, dtype=torch.float64, device=values.device).reshape(-1, 2)
        return Within(held, ends[:, 0], ends[:, 1])


def _merged(
    layout: ColumnLayout, column: int, step: float, intervals: Iterable[tuple[float, float]]
) -> list[tuple[float, float]]:
    """Intervals of a column's numbers as disjoint ones; on a grid, those of the cells whose centres they hold."""
    origin = float(layout.origin[column])
    least, most = layout.ends[:, column].tolist()
    found: list[tuple[float, float]] = []
    for start, stop in sorted(intervals):
        low, high = max(start, least), min(stop, most)
        if step and math.isfinite(low):
            low = origin + (math.ceil((low - origin) / step - TOLERANCE) - 0.5) * step
        if step and math.isfinite(high):
            high = origin + (math.floor((high - origin) / step + TOLERANCE) + 0.5) * step
        if low >= high:
            continue
        if found and low <= found[-1][1]:
            found[-1] = found[-1][0], max(high, found[-1][1])
        else:
            found.append((low, high))
    return found


class ColumnMarginal:
    """One column of n rows given what is known of each.

    Args:
        layout, column: which one.
        shares: probabilities of its categories or atoms, of the missing value, and of the rest; (n, entries), double.
    """

    def __init__(self, layout: ColumnLayout, column: int, shares: Tensor) -> None:
        self.layout, self.column, self.shares = layout, column, shares
        self.values, self.rest = layout.values_of(column)

    def mass(self, low: Tensor, high: Tensor) -> Tensor:
        """Probabilities of the rest between two numbers, (n, k) or the same of all rows, (1, k); (n, k)."""
        raise NotImplementedError

    def draw(self, low: Tensor, high: Tensor) -> Tensor:
        """Numbers of the rest between two numbers, (n,); (n,), double."""
        raise NotImplementedError

    def of_rows(self, index: Tensor) -> Self:
        """The marginals of some rows, or of the same ones several times, (m,)."""
        picked = copy(self)
        picked.shares = self.shares[index]
        return picked

    def on_scale(self, v: Tensor) -> Tensor:
        """Where numbers, infinite ones among them, lie on the scale of the rest."""
        layout, column = self.layout, self.column
        finite = v.isfinite()
        z, _ = self._scale.forward(v.where(finite, layout.origin[column]).flatten()[None])
        low, high = layout.low[column], layout.high[column]
        return torch.where(finite, z[0].reshape(v.shape).clamp(low, high), torch.where(v > 0, high, low))

    @property
    def _scale(self) -> Knots:
        return self.layout.scale(self.layout.rest_at.new_tensor([self.column]))

    def quantile(self, q: Sequence[float]) -> Tensor:
        """Quantiles of the numbers, as far as the value is not missing; (n, quantiles), double."""
        n, layout, column = len(self.shares), self.layout, self.column
        atoms = self.values.isfinite()
        shares, atoms = self.shares[:, atoms], self.values[atoms]
        wanted = torch.tensor(q, dtype=torch.float64, device=atoms.device) * (
            self.shares[:, self.rest] + shares.sum(1)
        ).unsqueeze(1)
        left, right = layout.low[column].expand_as(wanted), layout.high[column].expand_as(wanted)
        # Of few rows an interval is not halved but cut in 4, 8, ... parts, whose ends are asked at once.
        bits = min(8, max(1, (_POINTS_AT_ONCE // max(1, wanted.numel())).bit_length() - 1))
        inner = torch.arange(1, 2**bits, dtype=torch.float64, device=atoms.device) / 2**bits
        for _ in range(math.ceil(_HALVINGS / bits)):
            middle = left[..., None] + (right - left)[..., None] * inner
            v = self._scale.inverse(middle.flatten()[None])[0].reshape(n, len(q) * len(inner))
            mass = self.mass(torch.full_like(v, -math.inf), v)
            below = mass + (shares[:, None] * (atoms <= v[..., None])).sum(-1)
            part = (below.reshape(n, len(q), -1) < wanted[..., None]).sum(2, keepdim=True)
            ends = torch.cat([left[..., None], middle, right[..., None]], 2)
            left, right = (ends.gather(2, part + i)[..., 0] for i in (0, 1))
        values = self._scale.inverse(right.flatten()[None])[0]
        return layout.snapped(values, torch.full_like(values, column, dtype=torch.long)).reshape(n, -1)

    def draw_within(self, within: Within) -> tuple[Tensor, Tensor]:
        """Values (n,) drawn from a region, and the logarithms of its probabilities (n,); double."""
        n = len(self.shares)
        counted = self.shares * within.entries
        mass = torch.cat([counted, self.mass(within.low[None], within.high[None])], 1) if len(within.low) else counted
        total = mass.sum(1)
        which = draw_categories(n, mass.clamp(min=1e-300).log())
        value = self.values[which.clamp(max=counted.shape[1] - 1)]
        if len(within.low):
            interval = (which - counted.shape[1]).clamp(min=0)
            number = self.draw(within.low[interval], within.high[interval])
            value = torch.where(which < counted.shape[1], value, number)
        return value, total.log()


class LogisticMarginal(ColumnMarginal):
    """A column as conditionals have it given hidden vectors (n, width)."""

    def __init__(self, conditionals: ColumnConditionals, h: Tensor, column: int) -> None:
        of = torch.full((len(h),), column, device=h.device)
        start = int(conditionals.layout.offset[column])
        size = conditionals.layout.sizes[column]
        super().__init__(conditionals.layout, column, conditionals.shares(h, of)[:, start : start + size])
        self.conditionals, self.of, self.mixture = conditionals, of, conditionals.mixture_of(h, of)

    def of_rows(self, index: Tensor) -> Self:
        picked = super().of_rows(index)
        log_weight, m, s = self.mixture
        picked.of, picked.mixture = self.of[index], (log_weight[index], m[index], s[index])
        return picked

    def mass(self, low: Tensor, high: Tensor) -> Tensor:
        n, k = len(self.shares), low.shape[1]
        low, high = (self.on_scale(end).expand(n, -1) for end in (low, high))
        log_weight, m, s = (part.repeat_interleave(k, 0) for part in self.mixture)
        of = self.of.repeat_interleave(k)
        share = self.conditionals.log_mass((log_weight, m, s), of, low.flatten(), high.flatten()).exp()
        return self.shares[:, self.rest, None] * share.reshape(low.shape).where(low < high, 0.0)

    def draw(self, low: Tensor, high: Tensor) -> Tensor:
        return self.conditionals.draw_rest(self.mixture, self.of, self.on_scale(low), self.on_scale(high))


class MixedMarginal(ColumnMarginal):
    """A mixture of marginals of one column, with weights (n, parts)."""

    def __init__(self, parts: Sequence[ColumnMarginal], weight: Tensor) -> None:
        shares = (torch.stack([part.shares for part in parts], 1) * weight[..., None]).sum(1)
        super().__init__(parts[0].layout, parts[0].column, shares)
        self.parts, self.weight = parts, weight

    def of_rows(self, index: Tensor) -> Self:
        picked = super().of_rows(index)
        picked.parts, picked.weight = [part.of_rows(index) for part in self.parts], self.weight[index]
        return picked

    def mass(self, low: Tensor, high: Tensor) -> Tensor:
        return (torch.stack([part.mass(low, high) for part in self.parts], 1) * self.weight[..., None]).sum(1)

    def draw(self, low: Tensor, high: Tensor) -> Tensor:
        mass = torch.cat([part.mass(low[:, None], high[:, None]) for part in self.parts], 1) * self.weight
        k = draw_categories(len(mass), mass.clamp(min=1e-300).log())
        drawn = torch.stack([part.draw(low, high) for part in self.parts], 1)
        return drawn.gather(1, k[:, None])[:, 0]


class PooledMarginal(ColumnMarginal):
    """The mean of several lines of one marginal, side by side, with weights (n, several)."""

    def __init__(self, part: ColumnMarginal, weight: Tensor) -> None:
        shares = (part.shares.reshape(*weight.shape, -1) * weight[..., None]).sum(1)
        super().__init__(part.layout, part.column, shares)
        self.part, self.weight = part, weight

    def of_rows(self, index: Tensor) -> Self:
        picked, several = super().of_rows(index), self.weight.shape[1]
        lines = index[:, None] * several + torch.arange(several, device=index.device)
        picked.part, picked.weight = self.part.of_rows(lines.flatten()), self.weight[index]
        return picked

    def mass(self, low: Tensor, high: Tensor) -> Tensor:
        if len(low) > 1:
            low, high = (end.repeat_interleave(self.weight.shape[1], 0) for end in (low, high))
        return (self.part.mass(low, high).reshape(*self.weight.shape, -1) * self.weight[..., None]).sum(1)

    def draw(self, low: Tensor, high: Tensor) -> Tensor:
        low, high = (end.repeat_interleave(self.weight.shape[1], 0) for end in (low, high))
        mass = self.part.mass(low[:, None], high[:, None]).reshape(self.weight.shape) * self.weight
        k = draw_categories(len(mass), mass.clamp(min=1e-300).log())
        return self.part.draw(low, high).reshape(self.weight.shape).gather(1, k[:, None])[:, 0]


class SharedMarginal(ColumnMarginal):
    """A mixture of lines of one marginal that all rows have in common, with weights (n, lines)."""

    def __init__(self, part: ColumnMarginal, weight: Tensor) -> None:
        super().__init__(part.layout, part.column, weight @ part.shares)
        self.part, self.weight = part, weight

    def of_rows(self, index: Tensor) -> Self:
        picked = super().of_rows(index)
        picked.weight = self.weight[index]
        return picked

    def mass(self, low: Tensor, high: Tensor) -> Tensor:
        each = self.part.mass(low.flatten()[None], high.flatten()[None])  # (lines, rows k)
        if len(low) == 1:
            return self.weight @ each
        return (self.weight.T[..., None] * each.reshape(-1, *low.shape)).sum(0)

    def draw(self, low: Tensor, high: Tensor) -> Tensor:
        (below, above), which = torch.stack([low, high]).unique(dim=1, return_inverse=True)  # few, for many rows
        mass = self.part.mass(below[None], above[None])[:, which].T * self.weight
        return self.part.of_rows(draw_categories(len(mass), mass.clamp(min=1e-300).log())).draw(low, high)


class BinnedMarginal(ColumnMarginal):
    """A column alone, with its bins weighed anew.

    Args:
        conditionals: of which the column alone is the mixture, a row that stands for all.
        shares: of the entries, (n, entries).
        factor: what the probability of every bin is multiplied with, (n, bins).
        ends: of the bins, on the scale, (bins + 1,).
        gate: probability of the rest of the column alone.
    """

    def __init__(
        self,
        conditionals: ColumnConditionals,
        column: int,
        mixture: tuple[Tensor, Tensor, Tensor],
        *,
        shares: Tensor,
        factor: Tensor,
        ends: Tensor,
        gate: Tensor,
    ) -> None:
        super().__init__(conditionals.layout, column, shares)
        self.conditionals, self.mixture, self.factor, self.ends, self.gate = conditionals, mixture, factor, ends, gate
        self.at_ends = self._below(ends)

    def of_rows(self, index: Tensor) -> Self:
        picked = super().of_rows(index)
        picked.factor = self.factor[index]
        return picked

    def _below(self, z: Tensor) -> Tensor:
        """Share of the rest of the column alone up to points of its scale."""
        flat = z.flatten()
        several = [part.expand(len(flat), -1) for part in self.mixture]
        of = torch.full_like(flat, self.column, dtype=torch.long)
        first = self.layout.low[self.column].expand_as(flat)
        log_mass = self.conditionals.log_mass((several[0], several[1], several[2]), of, first, flat)
        return log_mass.exp().where(flat > first, 0.0).reshape(z.shape)

    def _overlaps(self, low: Tensor, high: Tensor) -> Tensor:
        """Probabilities of the rest between points (n, k) of the scale, by bins; (n, k, bins)."""
        below, above = (self._below(z)[..., None] for z in (low, high))
        within = torch.minimum(above, self.at_ends[1:]) - torch.maximum(below, self.at_ends[:-1])
        return self.gate * self.factor[:, None] * within.clamp(min=0)

    def mass(self, low: Tensor, high: Tensor) -> Tensor:
        return self._overlaps(self.on_scale(low), self.on_scale(high)).sum(2)

    def draw(self, low: Tensor, high: Tensor) -> Tensor:
        low, high = self.on_scale(low), self.on_scale(high)
        which = draw_categories(len(low), self._overlaps(low[:, None], high[:, None])[:, 0].clamp(min=1e-300).log())
        low, high = torch.maximum(low, self.ends[which]), torch.minimum(high, self.ends[which + 1])
        low = low.where(low < high, self.layout.low[self.column])  # where nothing is drawn
        high = high.where(low < high, self.layout.high[self.column])
        several = [part.expand(len(low), -1) for part in self.mixture]
        of = torch.full_like(which, self.column)
        return self.conditionals.draw_rest((several[0], several[1], several[2]), of, low, high)
