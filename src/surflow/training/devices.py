"""Devices of a run: how many were started, and what one of them meets."""

from __future__ import annotations

import torch
import torch.distributed as dist
from lightning.pytorch import Trainer

from surflow._internal.ranks import ranks
from surflow.errors import ConfigError, DataError, NonFiniteError


def launched(devices: int | str | list[int] | None, num_nodes: int | None) -> tuple[int | str | list[int], int]:
    """What is stated; else as many as were started."""
    known = ranks()
    if known.external and isinstance(devices or 1, int):
        stated = known.here if devices is None else devices, known.nodes if num_nodes is None else num_nodes
        if stated != (known.here, known.nodes):
            raise ConfigError(
                f"devices={stated[0]} and num_nodes={stated[1]}, but {known.here} processes were started on each of "
                f"{known.nodes} machines: leave both out, or start others"
            )
    default = (known.here, known.nodes) if known.external else (1, 1)
    return default[0] if devices is None else devices, default[1] if num_nodes is None else num_nodes


def shared(trainer: Trainer, trouble: DataError | NonFiniteError | None) -> DataError | NonFiniteError | None:
    """What any device has met, on all of them: they end together."""
    if trainer.world_size == 1:
        return trouble
    met = trainer.strategy.reduce(torch.tensor(float(trouble is not None), device=trainer.strategy.root_device))
    if not met.item():
        return None
    said: list[tuple[bool, str] | None] = [None] * trainer.world_size
    dist.all_gather_object(said, None if trouble is None else (isinstance(trouble, DataError), str(trouble)))
    of_data, message = next(found for found in said if found is not None)
    return trouble or (DataError if of_data else NonFiniteError)(message)
