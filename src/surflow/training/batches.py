"""Batches and sets of rows, and the check that a flow can be trained on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate

from surflow._internal.number_types import number_type
from surflow._internal.numbers import constant, not_finite
from surflow._internal.random import mix, reseed
from surflow._internal.shapes import check_context, check_rows
from surflow.distribution import Distribution
from surflow.errors import DataError, ShapeError
from surflow.supports import real

# Salts that keep the streams of random numbers of one run apart.
ORDER, DRAW, NOISE, FIRST, HOLD_OUT = range(5)

# Rows of a Dataset that are looked at before training.
_CHECKED_ROWS = 1000
# Numbers whose rounding is more than this share of their spread have lost what tells rows apart.
_MOST_LOST, _FEWEST_ROUNDED = 1e-3, 20


class Batch(NamedTuple):
    """Rows of data, their contexts and their weights, where there are any."""

    x: Tensor
    context: Tensor | None = None
    weight: Tensor | None = None

    def map(self, f: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with ``f`` applied to each of its tensors."""
        x, context, weight = self
        return Batch(f(x), None if context is None else f(context), None if weight is None else f(weight))

    def to(self, device: torch.device, flow: Distribution) -> Batch:
        """On a device, of the types that enter the flow: what standardises in double precision is given it."""

        def move(part: Tensor, kind: torch.dtype) -> Tensor:
            if device.type == "mps" and kind == torch.float64:  # has no doubles
                kind = torch.float32
            return part.to(device, kind, non_blocking=True)

        x, context, weight = self
        return Batch(
            move(x, flow._type_of_rows(x.dtype)),
            None if context is None else move(context, flow._type_of_contexts(context.dtype)),
            None if weight is None else move(weight, number_type(flow)),
        )


def as_batch(value: object, *, conditional: bool) -> Batch:
    """What a user or a collate function hands over, as a Batch."""
    parts = list(value) if isinstance(value, tuple | list) else [value]
    if not 1 <= len(parts) <= 3:
        raise DataError(
            f"a batch is x, (x, context) or (x, context, weight), got {len(parts)} parts: "
            "pass a list of rows as torch.tensor(rows)"
        )
    tensors: list[Any] = []
    for name, part in zip(("x", "context", "weight"), parts, strict=False):
        if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
            part = torch.from_numpy(part)
        if not isinstance(part, Tensor) and not (part is None and name != "x"):
            raise DataError(f"{name} must be a tensor of numbers, got {kind_of(part)}")
        tensors.append(part)
    batch = Batch(*tensors)
    if not conditional and batch.context is not None:
        raise ShapeError(
            f"the flow takes no context, but the data bring one of shape {tuple(batch.context.shape)}: "
            "pass x alone (with weights: (x, None, weight)), or build the flow with a context_shape"
        )
    return batch


def kind_of(value: object) -> str:
    """The type of something that is no tensor, and how to make it one."""
    name = type(value).__name__
    if isinstance(value, np.ndarray):
        return f"an array of {value.dtype}: pass x.astype('float32'), of columns that are all numbers"
    if hasattr(value, "to_numpy"):
        return f"{name}: pass df.to_numpy()"
    if isinstance(value, list):
        return f"{name}: pass torch.tensor(rows)"
    return name


def _refuse_rounding(x: Tensor, kind: torch.dtype, what: str) -> None:
    """Raise where what numbers differ by is lost in the type that a flow takes them in."""
    if x.dtype != torch.float64 or x.shape[0] < _FEWEST_ROUNDED:
        return
    rows = x.reshape(x.shape[0], -1)
    lost = (rows - rows.to(kind).double()).abs().nan_to_num(0.0).amax(0)
    spread = (rows - rows.nanmean(0)).square().nanmean(0).sqrt()
    columns = (lost > _MOST_LOST * spread).logical_and(spread > 0).nonzero()[:, 0].tolist()
    if columns:
        i = columns[0]
        raise DataError(
            f"{what}: columns {columns[:8]} of x lose digits that tell rows apart in the flow's {kind}: numbers about "
            f"{rows[:, i].nanmean():g} that differ by {spread[i]:.2g} are rounded by {lost[i]:.2g}. Start it with "
            "Standardize, which subtracts in double precision, or make it double with flow.double()"
        )


def check(batch: Batch, flow: Distribution, what: str) -> None:
    """Raise unless ``flow`` can be trained on ``batch``: shapes, numbers, support, context, weights."""
    x, context, weight = batch
    check_rows(flow, what, x, flow.event_shape)
    if x.shape[0] == 0:
        raise DataError(f"{what}: expected at least one row, got none")
    if x.is_complex():
        raise DataError(f"{what}: expected real numbers, got {x.dtype}")
    if flow.context_shape is not None and context is None:
        raise ShapeError(
            f"{type(flow).__name__} is conditional and expects context of shape "
            f"({', '.join(['batch', *map(str, flow.context_shape)])}), got none: pass (x, context) as data"
        )
    check_context(flow, context, flow.context_shape, x.shape[0])
    for name, part in (("x", x), ("context", context), ("weight", weight)):
        if part is not None:
            _refuse(not_finite(part, flow.support.undefined if name == "x" else None), what, name,
                    "NaN or infinite values", "drop or fill them")  # fmt: skip
    if (kind := flow._type_of_rows(x.dtype)) != x.dtype:
        _refuse(not_finite(x.to(kind), flow.support.undefined), what, "x", f"values beyond the flow's {kind}",
                "start it with Standardize, or make it double with flow.double()")  # fmt: skip
        _refuse_rounding(x, kind, what)
    inside = torch.cat([flow.support.contains(rows) for rows in x.split(10_000)])
    _refuse(~inside, what, "x", f"values outside the flow's support {flow.support!r}",
            "bring the data there, or start the flow with a layer whose domain holds them")  # fmt: skip
    if weight is not None:
        if tuple(weight.shape) != (x.shape[0],):
            raise DataError(f"{what}: expected one weight a row, shape ({x.shape[0]},), got {tuple(weight.shape)}")
        _refuse(weight < 0, what, "weight", "negative values", "weights count rows")
        if not weight.sum() > 0:
            raise DataError(f"{what}: all weights are zero")


def _refuse(bad: Tensor, what: str, name: str, trouble: str, cure: str) -> None:
    count = int(bad.sum())
    if count:
        first = int(bad.nonzero()[0])
        raise DataError(
            f"{what}: {count} of {bad.numel()} rows of {name} hold {trouble}, the first at row {first}: {cure}"
        )


def refuse_constant(batch: Batch, flow: Distribution) -> None:
    """Raise DataError for a coordinate that is the same in all rows that weigh: its density, and so the likelihood, has
    no end."""
    x = batch.x if batch.weight is None else batch.x[batch.weight > 0]
    if x.ndim != 2 or x.shape[0] < 2 or flow.support != real:
        return
    same = constant(x).nonzero().flatten().tolist()
    if same:
        raise DataError(
            f"training data: the columns {same} hold one value in all {x.shape[0]} rows, and a constant has no "
            "density: leave them out"
        )


# -- sets of rows ---------------------------------------------------------------------------------


class Table:
    """A set of rows that can be taken by number: tensors, or a Dataset, whose items are collated."""

    def __init__(self, rows: Batch | Dataset, *, conditional: bool) -> None:
        self.rows, self.conditional = rows, conditional
        self.size = rows.x.shape[0] if isinstance(rows, Batch) else len(rows)  # type: ignore[arg-type]

    def take(self, index: Tensor) -> Batch:
        """The rows of these numbers."""
        if isinstance(self.rows, Batch):
            return self.rows.map(lambda part: part[index.to(part.device)])
        return as_batch(default_collate([self.rows[i] for i in index.tolist()]), conditional=self.conditional)

    def part(self, index: Tensor) -> Table:
        """A table of these rows only."""
        if isinstance(self.rows, Batch):
            return Table(self.take(index), conditional=self.conditional)
        return Table(Subset(self.rows, index.tolist()), conditional=self.conditional)

    def check(self, flow: Distribution, what: str) -> None:
        """Tensors are checked whole, a Dataset by its first rows."""
        if self.size == 0:
            raise DataError(f"{what}: expected at least one row, got none")
        check(
            self.rows if isinstance(self.rows, Batch) else self.take(torch.arange(min(self.size, _CHECKED_ROWS))),
            flow,
            what,
        )

    def chunks(self, size: int) -> Iterator[Batch]:
        """All rows in their order."""
        for index in torch.arange(self.size).split(size):
            yield self.take(index)


class Loaded:
    """The batches of a DataLoader as a validation set: the same in the same order at every pass."""

    def __init__(self, loader: DataLoader, *, conditional: bool, seed: int) -> None:
        self.loader, self.conditional, self.seed = loader, conditional, seed

    def check(self, flow: Distribution, what: str) -> None:
        """Only the first batch is looked at."""
        first = next(iter(self.chunks(0)), None)
        if first is None:
            raise DataError(f"{what}: the DataLoader is empty")
        check(first, flow, what)

    def chunks(self, size: int) -> Iterator[Batch]:
        """The loader's own batches."""
        if isinstance(self.loader.generator, torch.Generator):
            self.loader.generator.manual_seed(mix(self.seed, HOLD_OUT))
        reseed(mix(self.seed, HOLD_OUT))
        for batch in self.loader:
            yield as_batch(batch, conditional=self.conditional)


def table_of(data: object, *, conditional: bool) -> Table | None:
    """Data that is a set of rows, or None."""
    if isinstance(data, TensorDataset):
        data = data.tensors
    if isinstance(data, Tensor | np.ndarray | tuple | list):
        return Table(as_batch(data, conditional=conditional), conditional=conditional)
    if isinstance(data, Dataset) and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return Table(data, conditional=conditional)
    return None
