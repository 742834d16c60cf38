"""The training of a trial: kept when it is done, and taken up again when it was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import surflow as sf
from surflow._internal.files import written_whole
from surflow.data import Splits
from surflow.flow import Flow
from surflow.surjections.quantize import Dequantize
from surflow.training.fitting import fit
from surflow_experiments.cells import Cell

Pair = tuple[Tensor, Tensor]


@dataclass
class Trained:
    """A trained flow, the seconds and steps that it took, and the losses of validation events, (step, nats)."""

    flow: Flow
    seconds: float
    steps: int
    losses: list[tuple[int, float]]


def _without_noise(flow: Flow, train: Pair, validation: Pair) -> tuple[Flow, Any, Pair]:
    """What to train, on which rows, and how to validate: a flow that jumps behind its noise learns from noisy data.

    The bound over the noise then has no unbiased gradient. The density of data with the noise on them has the gradient
    at the rows of a batch, as any density has.
    """
    noise = flow.transforms[0] if flow.estimator().refusal else None
    if not isinstance(noise, Dequantize):
        return flow, train, validation
    rest = Flow(list(flow.transforms)[1:], base=flow.base, context_net=flow.context_net)  # type: ignore[arg-type]

    def draw(n: int) -> Pair:
        rows = torch.randint(len(train[0]), (n,))
        return noise(train[0][rows])[0], train[1][rows]

    with sf.seeded(0):
        return rest, draw, (noise(validation[0])[0], validation[1])


def trained(cell: Cell, splits: Splits, build: Callable[[], Flow]) -> Trained:
    """The flow of a cell, trained on the training events given their context.

    ``cell.spec`` has ``folder``, under which trainings are kept; ``training``, the options of :func:`surflow.fit`;
    ``validated``, how many validation events are scored while it trains; and ``options`` of the model and ``rows``.
    """
    spec = cell.spec
    # A training with another specification is another training.
    stated = json.dumps([spec[key] for key in ("options", "training", "rows", "validated")], sort_keys=True)
    folder = Path(spec["folder"]) / f"{cell.model}-{cell.seed}-{hashlib.sha256(stated.encode()).hexdigest()[:12]}"
    path, record = folder / "model.safetensors", folder / "trained.npz"
    if path.exists() and record.exists():
        with np.load(record) as kept:
            kept_flow = sf.load(path)
            assert isinstance(kept_flow, sf.Flow)
            return Trained(kept_flow, float(kept["seconds"]), int(kept["steps"]), kept["losses"].tolist())
    with sf.seeded(cell.seed):
        flow = build()
    train, held_out = splits.train, splits.validation
    n = spec["validated"]
    validation: Pair = (held_out.x[:n], held_out.context[:n])  # type: ignore[index]
    learner, pairs, validation = _without_noise(flow, (train.x, train.context), validation)  # type: ignore[arg-type]
    history = fit(
        learner, pairs, validation=validation, seed=cell.seed, folder=folder, progress=False, **spec["training"]
    )
    flow.save(path)
    losses = history.losses("validation")
    with written_whole(record) as scratch:
        np.savez(scratch, seconds=history.seconds, steps=history.steps, losses=np.asarray(losses))
    return Trained(flow, history.seconds, history.steps, losses)
