"""Grouped: batches of a file that is larger than memory; each device reads its part of the groups of rows."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from surflow._internal.groups import Groups
from surflow._internal.random import mix
from surflow.distribution import Distribution
from surflow.errors import ConfigError, DataError
from surflow.training.batches import FIRST, ORDER, Batch, as_batch, check
from surflow.training.shares import FIRST_NUMBERS, FIRST_ROWS, Source, below, counted, share_of

# Of groups so many are read to initialise a flow; and those that are shuffled together have about so many numbers.
_FIRST_GROUPS = 4
_WINDOW_NUMBERS = 2**23


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
        taken = range(*share_of(parts, rank, world).indices(parts))
        batch = below([self._next(step, part, parts) for part in taken])
        return counted(batch, even=parts % world == 0)

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
        return below(found)

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
            window = below([self._read(number).map(lambda t, a=a, b=b: t[a:b]) for number, a, b in pieces])  # type: ignore[misc]
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
        rows = below([self._read(number) for number in self.order(0)[:_FIRST_GROUPS].tolist()])
        generator = torch.Generator().manual_seed(mix(self.seed, FIRST))
        most = max(FIRST_ROWS, FIRST_NUMBERS // rows.x[0].numel())
        index = torch.randperm(rows.x.shape[0], generator=generator)[:most]
        return rows.map(lambda part: part[index])
