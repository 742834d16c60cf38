"""Where the values of a table's columns lie: which are counted one by one, and on which scale the others are."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn

from surflow.distributions.knots import Knots, fitted_knots
from surflow.errors import SupportError
from surflow.supports import Circle, Integers, Interval, Positive, Real, Support
from surflow.supports.columns import TOLERANCE, Grid, WithAtoms

# Where a column without ends ends on its own scale, on which its values have about unit variance: no logistic reaches.
FAR = 1e4


class DoubleBuffers(nn.Module):
    """A module whose buffers in double precision stay so, whatever the module is made."""

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> DoubleBuffers:  # noqa: FBT001, FBT002
        # Positions of values stay double, whatever the parameters are: in single precision cents of millions are lost.
        before = dict(self._buffers)
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            moved = self._buffers[name]
            if buffer is not None and moved is not None and moved.dtype != buffer.dtype:
                self._buffers[name] = buffer.to(moved.device)
        return self


class ColumnValues:
    """Where values of columns lie among the entries and on the scales of these: those of a layout, or some of them."""

    offset: Tensor
    size: Tensor
    categorical: Tensor
    atoms: Tensor
    missing_at: Tensor
    rest_at: Tensor
    origin: Tensor
    knots: Tensor

    def entries(self, x: Tensor) -> Tensor:
        """Which of its column's entries each value (n, columns) is, counted within the column, -1 for the rest.

        What is outside the support may be anything.
        """
        atoms = self.atoms.to(x.dtype)
        i = torch.searchsorted(atoms, x.T.contiguous()).clamp(max=atoms.shape[1] - 1)
        met = (x == atoms.gather(1, i).T) & x.isfinite()  # infinite ones fill the table of atoms up
        entry = i.T.where(met, -1)
        category = torch.minimum(x.nan_to_num(0.0, 0.0, 0.0).clamp(min=0), (self.size - 1).to(x.dtype)).long()
        entry = torch.where(self.categorical, category, entry)
        return torch.where(x.isnan(), self.missing_at, entry)

    def scaled(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Values (n, columns) on the scale of their columns, and the logarithm of the scale's slope there; double.

        Missing values are in the middle.
        """
        v = torch.where(x.isfinite(), x, self.origin.to(x.dtype)).double()
        z, log_slope = Knots(*self.knots).forward(v.T.contiguous())
        return z.T, log_slope.T


class SomeColumns(ColumnValues):
    """Some columns of a layout, in the order in which they are listed."""

    def __init__(self, layout: ColumnLayout, columns: list[int]) -> None:
        for name in ColumnValues.__annotations__:
            part = getattr(layout, name)
            setattr(self, name, part[:, columns] if name == "knots" else part[columns])


class ColumnLayout(DoubleBuffers, ColumnValues):
    """Columns side by side, each a set of entries: its categories or atoms, the missing value, and the rest of it.

    Entries of all columns are numbered through. The rest, numbers on a grid or of full resolution, is measured on a
    scale of its own, a monotone spline through quantiles of the training data on which it is near to a standard normal.

    Args:
        supports: that of each column.

    Attributes:
        sizes, rests: the number of entries of each column, and whether the last stands for a rest; lists.
        offset, size: where the entries of a column begin, and how many there are; (columns,).
        missing_at, rest_at: which of a column's entries stand for a missing value and for the rest, -1 where none does.
        atom: the value of every entry, NaN for those two; double.
        column: the column of every entry.
        log_frequency: the logarithm of the share of every entry in the training data; double.
        reserved: the probability of a column's entries that goes to all of them alike, so that what training did not
            meet has one: the estimate of Good and Turing for values not met before.
        grid: which columns lie on a grid.
        low, high: ends of the rest on its scale; double.
    """

    atom: Tensor
    column: Tensor
    log_frequency: Tensor
    reserved: Tensor
    grid: Tensor
    step: Tensor
    ends: Tensor
    low: Tensor
    high: Tensor
    fitted: Tensor

    def __init__(self, supports: Sequence[Support]) -> None:
        super().__init__()
        parts = [_Column(support) for support in supports]
        counts = torch.tensor([part.counted for part in parts])
        missing, rest = (torch.tensor([getattr(part, name) for part in parts]) for name in ("missing", "has_rest"))
        size = counts + missing.long() + rest.long()
        self.sizes: list[int] = size.tolist()
        self.rests: list[bool] = rest.tolist()
        buffers = {
            "size": size,
            "offset": size.cumsum(0) - size,
            "missing_at": counts.where(missing, -1),
            "rest_at": (counts + missing.long()).where(rest, -1),
            "column": torch.arange(len(parts)).repeat_interleave(size),
            "categorical": torch.tensor([part.categories is not None for part in parts]),
            "grid": torch.tensor([part.step > 0 for part in parts]),
            "step": torch.tensor([part.step or 1.0 for part in parts], dtype=torch.float64),
            "origin": torch.tensor([part.origin for part in parts], dtype=torch.float64),
            "ends": torch.tensor([(part.low, part.high) for part in parts], dtype=torch.float64).T.contiguous(),
        }
        most = max(1, *(len(part.atoms) for part in parts))
        padded = [list(part.atoms) + [math.inf] * (most - len(part.atoms)) for part in parts]
        atoms = torch.tensor(padded, dtype=torch.float64)
        local = torch.arange(int(size.sum())) - buffers["offset"][buffers["column"]]
        of = buffers["column"]
        value = local.double().where(buffers["categorical"][of], atoms[of, local.clamp(max=most - 1)])
        self.register_buffer("atom", value.where(local < counts[of], math.nan))
        self.register_buffer("atoms", atoms)
        for name, tensor in buffers.items():
            self.register_buffer(name, tensor)
        # What the training data say.
        self.register_buffer("log_frequency", -size.double().log()[of])
        self.register_buffer("reserved", torch.full((len(parts),), 1e-3, dtype=torch.float64))
        self.register_buffer("knots", torch.stack([part.start() for part in parts], 1))
        self.register_buffer("fitted", torch.tensor(False))
        self.register_buffer("low", torch.zeros(len(parts), dtype=torch.float64))
        self.register_buffer("high", torch.zeros(len(parts), dtype=torch.float64))
        self._set_ends()

    # -- values ---------------------------------------------------------------------------------------

    def entries_of(self, columns: list[int]) -> Tensor:
        """The numbers of all entries of some columns."""
        starts = [0, *accumulate(self.sizes)]
        parts = [torch.arange(starts[i], starts[i + 1], device=self.column.device) for i in columns]
        return torch.cat(parts)

    def values_of(self, column: int) -> tuple[Tensor, int]:
        """Values of a column's entries, NaN for the missing one and the rest, and the place of the rest, or -1."""
        start = sum(self.sizes[:column])
        return self.atom[start : start + self.sizes[column]], self.sizes[column] - 1 if self.rests[column] else -1

    def inside(self, x: Tensor, entry: Tensor) -> Tensor:
        """Which values (n, columns) belong to their columns' supports; bool."""
        v = x.double()
        k = (v - self.origin) / self.step
        near = ((k - k.round()).abs() <= TOLERANCE) | ~self.grid
        slack = self.step * TOLERANCE * self.grid
        rest = near & (v >= self.ends[0] - slack) & (v <= self.ends[1] + slack) & v.isfinite() & (self.rest_at >= 0)
        category = self.categorical & (v == v.floor()) & (v >= 0) & (v < self.size - (self.missing_at >= 0).long())
        return rest | torch.where(self.categorical & ~x.isnan(), category, entry >= 0)

    def snapped(self, v: Tensor, column: Tensor) -> Tensor:
        """Numbers (n,) of the rest of the columns (n,), on their grids and between their ends."""
        step, origin = self.step[column], self.origin[column]
        on_grid = origin + ((v - origin) / step).round() * step
        v = torch.where(self.grid[column], on_grid, v)
        return v.clamp(self.ends[0][column], self.ends[1][column])

    def cells(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Centres and widths, on the scale, of the cells of values (n, columns) that lie on grids; double."""
        v = torch.where(x.isfinite(), x, self.origin.to(x.dtype)).double()
        half = self.step / 2
        z, _ = self.scale().forward(torch.cat([v - half, v + half]).T.contiguous())
        below, above = z.T.chunk(2)
        return (below + above) / 2, above - below

    def scale(self, column: Tensor | None = None) -> Knots:
        """The spline of every column, or of the columns (n,), as rows."""
        x, z, slope = self.knots if column is None else self.knots[:, column]
        return Knots(x, z, slope)

    # -- what the training data say -------------------------------------------------------------------

    @torch.no_grad()
    def initialize(self, x: Tensor) -> None:
        """Take frequencies and scales from rows (n, columns); only once."""
        n = x.shape[0]
        if self.fitted or n == 0:
            return
        entry = self.entries(x)
        local = torch.where(entry < 0, self.rest_at, entry)
        total = torch.zeros(len(self.atom), dtype=torch.float64, device=x.device)
        flat = (local + self.offset).flatten()
        total.index_add_(0, flat, torch.ones_like(flat, dtype=torch.float64))
        smooth = 0.5
        of = self.column
        self.log_frequency.copy_(((total + smooth) / (n + smooth * self.size[of])).log())
        once = torch.zeros(len(self.size), dtype=torch.float64, device=x.device).index_add_(
            0, of, (total == 1).double()
        )
        self.reserved.copy_(((once + 1) / (n + 2)).clamp(max=0.5))
        for column in range(len(self.size)):  # once, before training
            rest = x[:, column][entry[:, column] < 0].double().cpu()
            if self.rest_at[column] >= 0 and rest.numel():
                step = self.step[column].item() if self.grid[column] else 0.0
                self.knots[:, column] = fitted_knots(rest, step, self.knots[:, column].cpu())
        self._set_ends()
        self.fitted.fill_(True)

    def _set_ends(self) -> None:
        half = self.step / 2 * self.grid
        for name, end, sign in (("low", self.ends[0], -1.0), ("high", self.ends[1], 1.0)):
            finite = end.isfinite()
            z, _ = self.scale().forward((torch.where(finite, end, self.origin) + sign * half)[:, None])
            self._buffers[name] = z[:, 0].where(finite, sign * FAR)


class _Column:
    """What a support says of one column."""

    def __init__(self, support: Support) -> None:
        self.missing = isinstance(support, WithAtoms) and support.missing
        self.atoms = support.atoms if isinstance(support, WithAtoms) else ()
        rest = support.support if isinstance(support, WithAtoms) else support
        self.categories = rest.levels if isinstance(rest, Integers) else None
        self.counted = len(self.atoms) if self.categories is None else self.categories
        self.has_rest = self.categories is None
        self.step, self.origin, self.low, self.high = 0.0, 0.0, -math.inf, math.inf
        if isinstance(rest, Grid):
            self.step, self.origin = rest.step, rest.origin
            self.low, self.high = rest.origin + rest.first * rest.step, rest.origin + rest.last * rest.step
        elif isinstance(rest, Interval | Positive | Circle):
            self.low = rest.low if isinstance(rest, Interval) else 0.0 if isinstance(rest, Positive) else -math.pi
            self.high = rest.high if isinstance(rest, Interval) else math.inf if isinstance(rest, Positive) else math.pi
        elif not isinstance(rest, Integers | Real):
            raise SupportError(
                "columns are numbers (real, positive, an Interval, the circle, or on a Grid) or Integers, possibly "
                f"WithAtoms; got {support!r}"
            )

    def start(self) -> Tensor:
        """Knots of the scale before there are data: the identity, or what makes two units of a bounded column."""
        if math.isfinite(self.low) and math.isfinite(self.high):
            middle, unit = (self.low + self.high) / 2, max(self.high - self.low, self.step or 1e-12) / 4
        else:
            middle = self.low + 1 if math.isfinite(self.low) else self.high - 1 if math.isfinite(self.high) else 0.0
            unit = max(1.0, self.step)
        return Knots.line(middle, unit)
