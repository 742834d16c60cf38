"""How one column of numbers is shown: in bars between two ends, the outer ones without an end, and as texts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from surflow.app.explore.questions import Answer, shares, short
from surflow.data import Column, ColumnKind
from surflow.data.tables.columns import decode
from surflow.tables.libraries import written

_BARS = 48
_MIDDLE = (0.05, 0.5, 0.95)
# Parts of a bar, in which its probability is taken as even, but for single values.
_PARTS = 32
# Single values of a column of numbers that are named, from this share on.
_NAMED = 0.02


class Frame:
    """The bars of a column of numbers.

    Args:
        column: what it is.
        low, high: between which nearly all of its values lie.
    """

    def __init__(self, column: Column, low: float, high: float) -> None:
        self.column = column
        step = column.step or 0.0
        if step:  # bars of equally many values
            count = max(1, round((high - low) / step) + 1)
            width = math.ceil(count / _BARS) * step
            start = low - step / 2
            bars = max(2, math.ceil(count * step / width))
        else:
            bars, width, start = _BARS, (high - low) / _BARS or 1.0 / _BARS, low
        self.edges = start + width * torch.arange(bars + 1, dtype=torch.float64)
        self.one_value = bool(step) and width == step

    @property
    def low(self) -> Tensor:
        """Where bars begin, (1, bars): the first nowhere."""
        return torch.cat([torch.tensor([-math.inf]).double(), self.edges[1:-1]])[None]

    @property
    def high(self) -> Tensor:
        """Where bars end, (1, bars): the last nowhere."""
        return torch.cat([self.edges[1:-1], torch.tensor([math.inf]).double()])[None]

    @property
    def centres(self) -> Tensor:
        """The middles of the bars, (bars,)."""
        return (self.edges[1:] + self.edges[:-1]) / 2

    def bar_of(self, values: Tensor) -> Tensor:
        """The bar that values (n,) are in."""
        return torch.searchsorted(self.edges[1:-1].contiguous(), values, right=True)

    def text(self, value: float) -> str:
        """A value as the table writes it; one of full resolution in four digits."""
        if self.column.step is None and self.column.kind is not ColumnKind.DATE:
            return short(value)
        return exact_text(self.column, value)

    def describe(self) -> Answer:
        """The column for the page."""
        edges = self.edges.tolist()
        unit = self.column.unit or ""
        ends = [self.text(float(self._nearest(end))) for end in (edges[0], edges[-1])]
        half = (self.column.step or 0.0) / 2
        firsts = [self._typed(edge + half) for edge in edges[:-1]]
        lasts = [self._typed(edge - half) for edge in edges[1:]]
        shown: Answer = {"low": edges[0], "high": edges[-1], "bars": len(firsts), "ends": ends, "unit": unit}
        return shown | {"firsts": firsts, "lasts": lasts}

    def _typed(self, value: float) -> str:
        """A value as a person would type it."""
        value = float(f"{value:.5g}") if self.column.step is None else value
        return exact_text(self.column, self._nearest(value))

    def show(self, mass: Tensor, missing: float = 0.0, atoms: Sequence[tuple[float, float]] = ()) -> Answer:
        """What is drawn of a distribution: probabilities of bars (bars,), and of single values, which are in them."""
        total = float(mass.sum())
        answer: Answer = {"mass": shares(mass), "missing": round(missing, 5)}
        answer["atoms"] = [[self.text(value), round(share, 5)] for value, share in atoms if share >= _NAMED]
        if total > 1e-9:
            answer["middle"] = [self.text(value) for value in self._quantiles(mass, atoms)]
        return answer

    def _quantiles(self, mass: Tensor, atoms: Sequence[tuple[float, float]]) -> list[float]:
        """Where shares of the values lie below, as near as bars and single values tell."""
        at, share = torch.tensor(list(atoms), dtype=torch.float64).reshape(-1, 2).T
        rest = mass.double().scatter_add(0, self.bar_of(at.contiguous()), -share).clamp(min=0)
        parts = 1 if self.one_value else _PARTS
        within = (torch.arange(parts) + 0.5) / parts * (self.edges[1] - self.edges[0])
        values = torch.cat([(self.edges[:-1, None] + within).flatten(), at])
        values, order = values.sort()
        below = torch.cat([(rest / parts).repeat_interleave(parts), share])[order].cumsum(0)
        wanted = torch.tensor(_MIDDLE, dtype=torch.float64) * below[-1]
        found = torch.searchsorted(below, wanted).clamp(max=len(values) - 1)
        return [float(self._nearest(value)) for value in values[found].tolist()]

    def _nearest(self, value: float) -> float:
        """A value of the column beside a number."""
        column = self.column
        value = max(value, -math.inf if column.low is None else column.low)
        value = min(value, math.inf if column.high is None else column.high)
        if not column.step:
            return value
        return round(round(value / column.step) * column.step, column.decimals)


def exact_text(column: Column, value: float) -> str:
    """A value as the table writes it, to its last digit; of a moment no more than it has."""
    text = str(written(column, decode(column, np.asarray([value])))[0])
    if column.format in ("date", "timestamp"):
        text = text.removesuffix(".000000").removesuffix("T00:00:00")
    return text
