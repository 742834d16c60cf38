"""Where batches come from: sets of rows, a DataLoader, a sampler; batch k is a function of (seed, k)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset, default_collate

from surflow._training.seeding import mix, reseed
from surflow.distribution import Distribution, check_context, check_rows
from surflow.errors import ConfigError, DataError

# Salts that keep the streams of random numbers of one run apart.
ORDER, DRAW, NOISE, FIRST, HOLD_OUT = range(5)

# Rows that the layers fitted to data see: at least so many, and of small events more, up to so many numbers.
_FIRST_ROWS = 1000
_FIRST_NUMBERS = 2**20

# Tensors of up to so many bytes are kept on the device that trains.
_DEVICE_BYTES = 2**28


class Batch(NamedTuple):
    """Rows of data, their contexts and their weights, where there are any."""

    x: Tensor
    context: Tensor | None = None
    weight: Tensor | None = None

    def map(self, f: Callable[[Tensor], Tensor]) -> Batch:
        """The batch with ``f`` applied to each of its tensors."""
        x, context, weight = self
        return Batch(f(x), None if context is None else f(context), None if weight is None else f(weight))

    def to(self, device: torch.device, dtype: torch.dtype) -> Batch:
        """Where and as what the flow computes; integer contexts stay integers, for they may be labels."""

        def move(part: Tensor) -> Tensor:
            return part.to(device, dtype if part.is_floating_point() else part.dtype, non_blocking=True)

        moved = self.map(move)
        return moved._replace(x=moved.x.to(dtype), weight=None if moved.weight is None else moved.weight.to(dtype))


def as_batch(value: Any, conditional: bool) -> Batch:
    """What a user or a collate function hands over, as a Batch; a flow that takes no context is given none."""
    parts = list(value) if isinstance(value, tuple | list) else [value]
    if not 1 <= len(parts) <= 3:
        raise DataError(f"a batch is x, (x, context) or (x, context, weight), got {len(parts)} parts")
    tensors: list[Any] = []
    for name, part in zip(("x", "context", "weight"), parts, strict=False):
        if isinstance(part, np.ndarray) and part.dtype.kind in "biuf":
            part = torch.from_numpy(part)
        if not isinstance(part, Tensor) and not (part is None and name != "x"):
            raise DataError(f"{name} must be a tensor of numbers, got {type(part).__name__}")
        tensors.append(part)
    batch = Batch(*tensors)
    return batch if conditional else batch._replace(context=None)


def check(batch: Batch, flow: Distribution, what: str) -> None:
    """Raise unless ``flow`` can be trained on ``batch``: shapes, numbers, support, context, weights."""
    x, context, weight = batch
    check_rows(flow, what, x, flow.event_shape)
    if x.shape[0] == 0:
        raise DataError(f"{what}: expected at least one row, got none")
    if x.is_complex():
        raise DataError(f"{what}: expected real numbers, got {x.dtype}")
    check_context(flow, context, flow.context_shape, x.shape[0])
    for name, part in (("x", x), ("context", context), ("weight", weight)):
        if part is not None:
            _refuse(~part.isfinite().flatten(1).all(1) if part.ndim > 1 else ~part.isfinite(), what, name,
                    "NaN or infinite values", "drop or fill them")  # fmt: skip
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


# -- sets of rows ---------------------------------------------------------------------------------


class Table:
    """A set of rows that can be taken by number: tensors, or a Dataset, whose items are collated."""

    def __init__(self, rows: Batch | Dataset, conditional: bool) -> None:
        self.rows, self.conditional = rows, conditional
        self.size = rows.x.shape[0] if isinstance(rows, Batch) else len(rows)  # type: ignore[arg-type]

    def take(self, index: Tensor) -> Batch:
        """The rows of these numbers."""
        if isinstance(self.rows, Batch):
            return self.rows.map(lambda part: part[index.to(part.device)])
        return as_batch(default_collate([self.rows[i] for i in index.tolist()]), self.conditional)

    def part(self, index: Tensor) -> Table:
        """A table of these rows only."""
        if isinstance(self.rows, Batch):
            return Table(self.take(index), self.conditional)
        return Table(Subset(self.rows, index.tolist()), self.conditional)

    def check(self, flow: Distribution, what: str) -> None:
        """Tensors are checked whole, a Dataset by its first rows."""
        if self.size == 0:
            raise DataError(f"{what}: expected at least one row, got none")
        check(
            self.rows if isinstance(self.rows, Batch) else self.take(torch.arange(min(self.size, _FIRST_ROWS))),
            flow,
            what,
        )

    def chunks(self, size: int) -> Iterator[Batch]:
        """All rows in their order."""
        for index in torch.arange(self.size).split(size):
            yield self.take(index)


class Loaded:
    """The batches of a DataLoader as a validation set: the same in the same order at every pass."""

    def __init__(self, loader: DataLoader, conditional: bool, seed: int) -> None:
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
            yield as_batch(batch, self.conditional)


# -- sources of training batches --------------------------------------------------------------------


class Source:
    """Gives batch ``step`` of a run. Several devices share a batch: each takes the slice of its rank."""

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        raise NotImplementedError

    def first(self) -> Batch:
        """The rows that the flow is initialised with and that a stream is checked on."""
        raise NotImplementedError

    def to(self, device: torch.device) -> None:
        """Keep what is small there."""

    def check(self, flow: Distribution) -> None:
        """Raise before training on what cannot be trained on."""
        check(self.first(), flow, "training data")


class Rows(Source):
    """A table in epochs: permutations, each a function of (seed, epoch), one after the other without a seam."""

    def __init__(self, table: Table, batch_size: int, seed: int) -> None:
        self.table, self.batch_size, self.seed = table, batch_size, seed
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        n = self.table.size
        # Never more than the whole set, and the same number of rows on every device.
        size = min(self.batch_size * world, n) // world * world
        if size == 0:
            raise DataError(f"{n} rows cannot be shared by {world} devices")
        if size == n and world == 1:
            return self.table.take(torch.arange(n)) if not isinstance(self.table.rows, Batch) else self.table.rows
        begin = step * size
        pieces = []
        for epoch in range(begin // n, (begin + size - 1) // n + 1):
            offset = epoch * n
            pieces.append(self.order(epoch)[max(begin - offset, 0) : begin + size - offset])
        index = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        reseed(mix(self.seed, DRAW, step))  # a Dataset may draw, as augmentations do
        return self.table.take(index[rank * (size // world) : (rank + 1) * (size // world)])

    def order(self, epoch: int) -> Tensor:
        """The permutation of an epoch."""
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, ORDER, epoch))
            self._order = (epoch, torch.randperm(self.table.size, generator=generator))
        return self._order[1]

    def first(self) -> Batch:
        table = self.table.rows
        rows = _FIRST_ROWS
        if isinstance(table, Batch):
            rows = max(rows, _FIRST_NUMBERS // table.x[0].numel())
        return self.table.take(self.order(0)[:rows])

    def to(self, device: torch.device) -> None:
        rows = self.table.rows
        if isinstance(rows, Batch) and sum(part.nbytes for part in rows if part is not None) <= _DEVICE_BYTES:
            self.table = Table(rows.map(lambda part: part.to(device)), self.table.conditional)

    def check(self, flow: Distribution) -> None:
        self.table.check(flow, "training data")


class Fresh(Source):
    """New rows at every step, from a Distribution or a callable n -> batch."""

    def __init__(self, draw: Callable[[int], Any], batch_size: int, seed: int, conditional: bool) -> None:
        self.draw, self.batch_size, self.seed, self.conditional = draw, batch_size, seed, conditional

    def _draw(self, n: int, *salt: int) -> Batch:
        reseed(mix(self.seed, *salt))
        batch = as_batch(self.draw(n), self.conditional)
        if batch.x.shape[:1] != (n,):
            raise DataError(f"the sampler was asked for {n} rows and gave x of shape {tuple(batch.x.shape)}")
        return batch

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        size = self.batch_size
        whole = self._draw(size * world, DRAW, step)
        return whole.map(lambda part: part[rank * size : (rank + 1) * size])

    def first(self) -> Batch:
        return self._draw(max(_FIRST_ROWS, self.batch_size), FIRST)


class Stream(Source):
    """A user's DataLoader, whose order is seeded for every batch; rank r takes batches r, r + world, ..."""

    def __init__(self, loader: DataLoader, seed: int, conditional: bool) -> None:
        self.loader, self.seed, self.conditional = loader, seed, conditional
        self.position = 0
        self.iterator: Iterator[Any] | None = None
        try:
            self.length = len(loader)
        except TypeError:  # an iterable set that does not know its length
            self.length = 0

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        wanted = step * world + rank
        if self.length and wanted // self.length > self.position // self.length:
            self.position, self.iterator = wanted // self.length * self.length, None
        if wanted < self.position:
            self.position, self.iterator = 0, None
        while True:
            batch = self._next()
            if self.position > wanted:
                return as_batch(batch, self.conditional)

    def _next(self) -> Any:
        for _ in range(2):
            reseed(mix(self.seed, DRAW, self.position))
            if self.iterator is None:
                if isinstance(self.loader.generator, torch.Generator):
                    self.loader.generator.manual_seed(mix(self.seed, ORDER, self.position))
                self.iterator = iter(self.loader)
            batch = next(self.iterator, None)
            if batch is not None:
                self.position += 1
                return batch
            self.iterator = None
        raise DataError("the DataLoader is empty: it gave no batch")

    def first(self) -> Batch:
        batches: list[Batch] = []
        rows = 0
        while rows < _FIRST_ROWS and (not self.length or len(batches) < self.length):
            batches.append(self.batch(len(batches)))
            rows += batches[-1].x.shape[0]
        self.position, self.iterator = 0, None
        x, context, weight = zip(*batches, strict=True)
        return Batch(torch.cat(x), _joined(context), _joined(weight))


def _joined(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    given = [part for part in parts if part is not None]
    return torch.cat(given) if len(given) == len(parts) else None


def source_of(data: Any, flow: Distribution, batch_size: int, seed: int) -> Source:
    """The source of whatever ``fit`` accepts as data."""
    conditional = flow.context_shape is not None
    if isinstance(data, DataLoader):
        return Stream(data, seed, conditional)
    if isinstance(data, Distribution):
        return Fresh(_draws(data, conditional), batch_size, seed, conditional)
    table = table_of(data, conditional)
    if table is not None:
        return Rows(table, batch_size, seed)
    if callable(data):
        return Fresh(data, batch_size, seed, conditional)
    raise DataError(
        "data must be a tensor, a tuple (x, context, weight), a Dataset, a DataLoader, a Distribution or a callable "
        f"n -> batch, got {type(data).__name__}"
    )


def table_of(data: Any, conditional: bool) -> Table | None:
    """Data that is a set of rows, or None."""
    if isinstance(data, TensorDataset):
        data = data.tensors
    if isinstance(data, Tensor | np.ndarray | tuple | list):
        return Table(as_batch(data, conditional), conditional)
    if isinstance(data, Dataset) and hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return Table(data, conditional)
    return None


def split(source: Source, fraction: float, seed: int) -> tuple[Source, Table]:
    """A random part of the rows held out."""
    if not isinstance(source, Rows):
        raise ConfigError("validation as a fraction needs a set of rows (tensors, a Dataset): pass a validation set")
    table = source.table
    held = round(table.size * fraction)
    if not 0 < held < table.size:
        raise ConfigError(f"validation={fraction} of {table.size} rows leaves {held} to validate on: expected 0 to 1")
    order = torch.randperm(table.size, generator=torch.Generator().manual_seed(mix(seed, HOLD_OUT)))
    return Rows(table.part(order[held:]), source.batch_size, seed), table.part(order[:held])


def _draws(data: Distribution, conditional: bool) -> Callable[[int], Any]:
    if not conditional:
        return data.sample
    labelled = getattr(data, "sample_labelled", None)
    if labelled is None:
        raise DataError(
            f"the flow takes a context, but {type(data).__name__} draws none: pass a callable n -> (x, context)"
        )
    return labelled


def steps_from(start: int, end: int | None) -> Iterable[int]:
    """The numbers of the steps that are left."""
    step = start
    while end is None or step < end:
        yield step
        step += 1
