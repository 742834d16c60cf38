"""Source: where the batches of a run come from, and how devices share them."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from surflow.distribution import Distribution
from surflow.training.batches import Batch, check

# Rows that the layers fitted to data see: at least so many, and of small events more, up to so many numbers.
FIRST_ROWS = 1000
FIRST_NUMBERS = 2**20


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


def share_of(size: int, rank: int, world: int) -> slice:
    """The rows of a batch for one device: all rows go to one each, and no device has more than one above another."""
    return slice(rank * size // world, (rank + 1) * size // world)


def counted(batch: Batch, *, even: bool) -> Batch:
    """With weights, where devices have different numbers of rows, by which all rows count alike."""
    if even or batch.weight is not None:
        return batch
    return batch._replace(weight=torch.ones(batch.x.shape[0], device=batch.x.device))


def below(parts: list[Batch]) -> Batch:
    """Batches one below the other."""
    if len(parts) == 1:
        return parts[0]
    x, context, weight = zip(*parts, strict=True)
    return Batch(torch.cat(x), _joined(context), _joined(weight))


def _joined(parts: tuple[Tensor | None, ...]) -> Tensor | None:
    given = [part for part in parts if part is not None]
    return torch.cat(given) if len(given) == len(parts) else None
