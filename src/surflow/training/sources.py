"""Where training batches come from: sets of rows, a DataLoader, a sampler; batch k is a function of (seed, k)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from surflow._internal.groups import Groups
from surflow._internal.random import mix, reseed
from surflow.distribution import Distribution
from surflow.errors import ConfigError, DataError
from surflow.tables.table import Table as NamedRows
from surflow.training.batches import (
    DRAW,
    FIRST,
    HOLD_OUT,
    ORDER,
    Batch,
    Table,
    as_batch,
    check,
    kind_of,
    refuse_constant,
    table_of,
)

# What ``fit`` takes: rows, and what it takes them from.
RowsLike: TypeAlias = Tensor | np.ndarray | Sequence[Tensor | np.ndarray | None]
Data: TypeAlias = RowsLike | Groups | Dataset | DataLoader | Distribution | Callable[[int], RowsLike] | NamedRows
HeldOut: TypeAlias = float | RowsLike | Dataset | DataLoader | NamedRows

# Rows that the layers fitted to data see: at least so many, and of small events more, up to so many numbers.
_FIRST_ROWS = 1000
_FIRST_NUMBERS = 2**20

# Of groups so many are read for that; and those that are shuffled together have about so many numbers.
_FIRST_GROUPS = 4
_WINDOW_NUMBERS = 2**23

# Tensors of up to so many bytes are kept on the device that trains.
_DEVICE_BYTES = 2**28


class Source:
    """Gives batch ``step`` of a run. Several devices share a batch: each takes the slice of its rank.

    Attributes:
        devices: how many devices a run was begun with: its batches have so many times ``batch_size`` rows, however many
            share them now; None for as many as now.
    """

    devices: int | None = None

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        raise NotImplementedError

    @cached_property
    def first(self) -> Batch:
        """The rows that the flow is initialised with and that a stream is checked on."""
        raise NotImplementedError

    def to(self, device: torch.device) -> None:
        """Keep what is small there."""

    def check(self, flow: Distribution) -> None:
        """Raise before training on what cannot be trained on."""
        check(self.first, flow, "training data")


class Rows(Source):
    """A table in epochs: permutations, each a function of (seed, epoch), one after the other without a seam."""

    def __init__(self, table: Table, batch_size: int, seed: int) -> None:
        self.table, self.batch_size, self.seed = table, batch_size, seed
        self._order: tuple[int, Tensor] = (-1, torch.empty(0))

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        n = self.table.size
        size = min(self.batch_size * (self.devices or world), n)  # never more than the whole set
        if size < world:
            raise DataError(f"{size} rows a step cannot be shared by {world} devices: use fewer")
        reseed(mix(self.seed, DRAW, step))  # a Dataset may draw, as augmentations do
        if size == n and world == 1:
            return self.table.take(torch.arange(n)) if not isinstance(self.table.rows, Batch) else self.table.rows
        begin = step * size
        pieces = []
        for epoch in range(begin // n, (begin + size - 1) // n + 1):
            offset = epoch * n
            pieces.append(self.order(epoch)[max(begin - offset, 0) : begin + size - offset])
        index = pieces[0] if len(pieces) == 1 else torch.cat(pieces)
        return _counted(self.table.take(index[_share(size, rank, world)]), even=size % world == 0)

    def order(self, epoch: int) -> Tensor:
        """The permutation of an epoch."""
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, ORDER, epoch))
            self._order = (epoch, torch.randperm(self.table.size, generator=generator))
        return self._order[1]

    @cached_property
    def first(self) -> Batch:
        table = self.table.rows
        rows = _FIRST_ROWS
        if isinstance(table, Batch):
            rows = max(rows, _FIRST_NUMBERS // table.x[0].numel())
        return self.table.take(self.order(0)[:rows])

    def to(self, device: torch.device) -> None:
        rows = self.table.rows
        if isinstance(rows, Batch) and sum(part.nbytes for part in rows if part is not None) <= _DEVICE_BYTES:
            self.table = Table(rows.map(lambda part: part.to(device)), conditional=self.table.conditional)

    def check(self, flow: Distribution) -> None:
        self.table.check(flow, "training data")
        if isinstance(self.table.rows, Batch):
            refuse_constant(self.table.rows, flow)


class Fresh(Source):
    """New rows at every step, from a Distribution or a callable n -> batch."""

    def __init__(self, draw: Callable[[int], RowsLike], batch_size: int, seed: int, *, conditional: bool) -> None:
        self.draw, self.batch_size, self.seed, self.conditional = draw, batch_size, seed, conditional

    def _draw(self, n: int, *salt: int) -> Batch:
        reseed(mix(self.seed, *salt))
        batch = as_batch(self.draw(n), conditional=self.conditional)
        if batch.x.shape[:1] != (n,):
            raise DataError(f"the sampler was asked for {n} rows and gave x of shape {tuple(batch.x.shape)}")
        return batch

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        size = self.batch_size * (self.devices or world)
        if size < world:
            raise DataError(f"{size} rows a step cannot be shared by {world} devices: use fewer")
        whole = self._draw(size, DRAW, step)
        return _counted(whole.map(lambda part: part[_share(size, rank, world)]), even=size % world == 0)

    @cached_property
    def first(self) -> Batch:
        return self._draw(max(_FIRST_ROWS, self.batch_size), FIRST)


class Stream(Source):
    """A user's DataLoader, whose order is seeded for every batch; rank r takes batches r, r + world, ..."""

    def __init__(self, loader: DataLoader, seed: int, *, conditional: bool) -> None:
        self.loader, self.seed, self.conditional = loader, seed, conditional
        self.position = 0
        self.iterator: Iterator[object] | None = None
        try:
            self.length = len(loader)
        except TypeError:  # an iterable set that does not know its length
            self.length = 0

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        if self.devices not in (None, world):
            raise ConfigError(
                f"the run was begun on {self.devices} devices, each with batches of its own from the DataLoader, and "
                f"cannot go on with {world}: pass a Dataset for that"
            )
        wanted = step * world + rank
        if self.length and wanted // self.length > self.position // self.length:
            self.position, self.iterator = wanted // self.length * self.length, None
        if wanted < self.position:
            self.position, self.iterator = 0, None
        while True:
            batch = self._next()
            if self.position > wanted:
                return as_batch(batch, conditional=self.conditional)

    def _next(self) -> object:
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

    @cached_property
    def first(self) -> Batch:
        batches: list[Batch] = []
        rows = 0
        while rows < _FIRST_ROWS and (not self.length or len(batches) < self.length):
            batches.append(self.batch(len(batches)))
            rows += batches[-1].x.shape[0]
        self.position, self.iterator = 0, None
        return _below(batches)


def _share(size: int, rank: int, world: int) -> slice:
    """The rows of a batch for one device: all rows go to one each, and no device has more than one above another."""
    return slice(rank * size // world, (rank + 1) * size // world)


def _counted(batch: Batch, *, even: bool) -> Batch:
    """With weights, where devices have different numbers of rows, by which all rows count alike."""
    if even or batch.weight is not None:
        return batch
    return batch._replace(weight=torch.ones(batch.x.shape[0], device=batch.x.device))


class Grouped(Source):
    """Groups of rows, in epochs, read one after the other.

    An epoch is a permutation of the groups, cut into as many parts as the run was begun with devices. A part is a
    sequence of rows without a seam, epoch after epoch, of which every batch takes the next; parts differ by one row at
    most, which nothing is added or left out for. Rows are shuffled within windows of some groups.
    """

    def __init__(self, groups: Groups, flow: Distribution, batch_size: int, seed: int) -> None:
        self.groups, self.flow, self.batch_size, self.seed = groups, flow, batch_size, seed
        self.conditional = flow.context_shape is not None
        self.sizes = torch.tensor(groups.sizes)
        self.size = int(self.sizes.sum())
        self.window = max(1, _WINDOW_NUMBERS // max(1, math.prod(flow.event_shape)))
        self._open: dict[int, tuple[tuple[int, int], Batch]] = {}  # of each part the window that is read

    def batch(self, step: int, rank: int = 0, world: int = 1) -> Batch:
        parts = self.devices or world
        if self.size < parts:
            raise DataError(f"{self.size} rows cannot be shared by {parts} devices")
        if parts < world:
            raise ConfigError(
                f"the run was begun on {parts} devices, each with a part of the file, and cannot go on with {world}: "
                "use as many or fewer"
            )
        taken = range(*_share(parts, rank, world).indices(parts))
        batch = _below([self._next(step, part, parts) for part in taken])
        return _counted(batch, even=parts % world == 0)

    def _next(self, step: int, part: int, parts: int) -> Batch:
        """The rows of a part for a step."""
        begin, end = part * self.size // parts, (part + 1) * self.size // parts
        position, wanted, found = step * self.batch_size, self.batch_size, list[Batch]()
        while wanted:
            epoch, offset = divmod(position, end - begin)
            start, rows = self._window(epoch, part, begin, end, offset)
            taken = min(wanted, rows.x.shape[0] - (offset - start))
            found.append(rows.map(lambda t, at=offset - start, n=taken: t[at : at + n]))  # type: ignore[misc]
            position, wanted = position + taken, wanted - taken
        return _below(found)

    def _window(self, epoch: int, part: int, begin: int, end: int, offset: int) -> tuple[int, Batch]:
        """The window of a part that holds its row number ``offset``, and the number of its first row."""
        order = self.order(epoch)
        ends = self.sizes[order].cumsum(0).tolist()
        start, pieces, rows = begin, list[tuple[int, int, int]](), 0
        for number, stop in zip(order.tolist(), ends, strict=True):
            first = stop - int(self.sizes[number])
            low, high = max(first, begin), min(stop, end)
            if low >= high:
                continue
            pieces.append((number, low - first, high - first))
            rows += high - low
            if rows >= self.window or high == end:
                if start - begin + rows > offset:
                    break
                start, pieces, rows = start + rows, [], 0
        key = (epoch, start)
        if part not in self._open or self._open[part][0] != key:
            self._open.pop(part, None)  # before the next is read
            window = _below([self._read(number).map(lambda t, a=a, b=b: t[a:b]) for number, a, b in pieces])  # type: ignore[misc]
            generator = torch.Generator().manual_seed(mix(self.seed, ORDER, epoch, start))
            index = torch.randperm(window.x.shape[0], generator=generator)
            self._open[part] = key, window.map(lambda t: t[index])
        return start - begin, self._open[part][1]

    def _read(self, number: int) -> Batch:
        rows = as_batch(self.groups.read(number), conditional=self.conditional)
        if rows.x.shape[0] != int(self.sizes[number]):
            raise DataError(f"group {number} has {rows.x.shape[0]} rows, and had {int(self.sizes[number])} before")
        check(rows, self.flow, f"training data, group {number}")
        return rows

    def order(self, epoch: int) -> Tensor:
        """The permutation of the groups, without those that have no rows, in an epoch."""
        there = self.sizes.nonzero()[:, 0]
        generator = torch.Generator().manual_seed(mix(self.seed, ORDER, epoch))
        return there[torch.randperm(len(there), generator=generator)]

    @cached_property
    def first(self) -> Batch:
        rows = _below([self._read(number) for number in self.order(0)[:_FIRST_GROUPS].tolist()])
        generator = torch.Generator().manual_seed(mix(self.seed, FIRST))
        most = max(_FIRST_ROWS, _FIRST_NUMBERS // rows.x[0].numel())
        index = torch.randperm(rows.x.shape[0], generator=generator)[:most]
        return rows.map(lambda part: part[index])


def _below(parts: list[Batch]) -> Batch:
    """Batches one below the other."""
    if len(parts) == 1:
        return parts[0]
    x, context, weight = zip(*parts, strict=True)
    return Batch(torch.cat(x), _joined(context), _joined(weight))


def _joined(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    given = [part for part in parts if part is not None]
    return torch.cat(given) if len(given) == len(parts) else None


def source_of(data: Data, flow: Distribution, batch_size: int, seed: int) -> Source:
    """The source of whatever ``fit`` accepts as data."""
    conditional = flow.context_shape is not None
    if isinstance(data, Groups):
        return Grouped(data, flow, batch_size, seed)
    if isinstance(data, DataLoader):
        return Stream(data, seed, conditional=conditional)
    if isinstance(data, Distribution):
        return Fresh(_draws(data, conditional=conditional), batch_size, seed, conditional=conditional)
    table = table_of(data, conditional=conditional)
    if table is not None:
        return Rows(table, batch_size, seed)
    if callable(data):
        return Fresh(data, batch_size, seed, conditional=conditional)
    raise DataError(
        "data must be a tensor, a tuple (x, context, weight), a Dataset, a DataLoader, a Distribution or a callable "
        f"n -> batch, got {kind_of(data)}"
    )


def split(source: Source, fraction: float, seed: int) -> tuple[Source, Table]:
    """A random part of the rows held out."""
    if not isinstance(source, Rows):
        raise ConfigError("validation as a fraction needs a set of rows (tensors, a Dataset): pass a validation set")
    table = source.table
    if not 0 < fraction < 1:
        raise ConfigError(f"validation={fraction}: expected a fraction between 0 and 1")
    held = round(table.size * fraction)
    if not 0 < held < table.size:
        raise ConfigError(f"validation={fraction} of {table.size} rows holds out {held}: expected one or more")
    order = torch.randperm(table.size, generator=torch.Generator().manual_seed(mix(seed, HOLD_OUT)))
    return Rows(table.part(order[held:]), source.batch_size, seed), table.part(order[:held])


def _draws(data: Distribution, *, conditional: bool) -> Callable[[int], RowsLike]:
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
