"""The training of a trial: kept when it is done, and taken up again when it was killed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import surflow as sf
from surflow.data import Splits
from surflow.flow import Flow
from surflow.training.fitting import fit
from surflow_experiments.cells import Cell


@dataclass
class Trained:
    """A trained flow, the seconds and steps that it took, and the losses of validation events, (step, nats)."""

    flow: Flow
    seconds: float
    steps: int
    losses: list[tuple[int, float]]


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
            return Trained(sf.load(path), float(kept["seconds"]), int(kept["steps"]), kept["losses"].tolist())
    with sf.distribution.seeded(cell.seed):
        flow = build()
    train, held_out = splits.train, splits.validation
    n = spec["validated"]
    validation = (held_out.x[:n], held_out.context[:n])  # type: ignore[index]
    pairs = (train.x, train.context)
    history = fit(flow, pairs, validation=validation, seed=cell.seed, folder=folder, progress=False, **spec["training"])
    flow.save(path)
    losses = history.losses("validation")
    np.savez(record, seconds=history.seconds, steps=history.steps, losses=np.asarray(losses))
    return Trained(flow, history.seconds, history.steps, losses)
