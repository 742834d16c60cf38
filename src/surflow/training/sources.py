"""Where training batches come from: sets of rows, a DataLoader, a sampler; batch k is a function of (seed, k)."""

from __future__ import annotations

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
    kind_of,
    refuse_constant,
    table_of,
)
from surflow.training.grouped import Grouped
from surflow.training.shares import FIRST_NUMBERS, FIRST_ROWS, Source, below, counted, share_of

# What ``fit`` takes: rows, and what it takes them from.
RowsLike: TypeAlias = Tensor | np.ndarray | Sequence[Tensor | np.ndarray | None]
Data: TypeAlias = RowsLike | Groups | Dataset | DataLoader | Distribution | Callable[[int], RowsLike] | NamedRows
HeldOut: TypeAlias = float | RowsLike | Dataset | DataLoader | NamedRows

# Tensors of up to so many bytes are kept on the device that trains.
_DEVICE_BYTES = 2**28


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
        return counted(self.table.take(index[share_of(size, rank, world)]), even=size % world == 0)

    def order(self, epoch: int) -> Tensor:
        """The permutation of an epoch."""
        if self._order[0] != epoch:
            generator = torch.Generator().manual_seed(mix(self.seed, ORDER, epoch))
            self._order = (epoch, torch.randperm(self.table.size, generator=generator))
        return self._order[1]

    @cached_property
    def first(self) -> Batch:
        table = self.table.rows
        rows = FIRST_ROWS
        if isinstance(table, Batch):
            rows = max(rows, FIRST_NUMBERS // table.x[0].numel())
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
        return counted(whole.map(lambda part: part[share_of(size, rank, world)]), even=size % world == 0)

    @cached_property
    def first(self) -> Batch:
        return self._draw(max(FIRST_ROWS, self.batch_size), FIRST)


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
        while rows < FIRST_ROWS and (not self.length or len(batches) < self.length):
            batches.append(self.batch(len(batches)))
            rows += batches[-1].x.shape[0]
        self.position, self.iterator = 0, None
        return below(batches)


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
