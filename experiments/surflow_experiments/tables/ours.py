"""The preset table, trained as surflow train does within so many minutes of processor time."""

from __future__ import annotations

import copy
import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import surflow as sf
from surflow.app.config import parse_config
from surflow.data import Column, ColumnKind, Part, Schema, Splits
from surflow.flow import Flow
from surflow.training.fitting import fit
from surflow_experiments.tables.data import Rows

# Steps of the pilots, whose difference tells what one costs, and rows that are validated on, as surflow train does.
_PILOTS = (10, 40)
_VALIDATED = 1500


def settings(rows: int) -> dict[str, Any]:
    """Options of the preset and of training that ``surflow train`` settles on for a mixed table of so many rows."""
    part = Part(torch.empty(round(0.7 * rows), 1), None)
    column = Column("one", ColumnKind.CATEGORY, categories=["a", "b"])
    splits = Splits("table", part, part, part, ["one"], sf.Integers(3), None, "", schema=Schema([column]))
    config = parse_config({"data": {"source": "table"}, "training": {"minutes": 1.0}}).settled(splits)
    training = {key: value for key, value in config.training.options().items() if key != "minutes"}
    return {"preset": config.model.preset, "options": dict(config.model.model_extra or {}), "training": training}


def trained(rows: Rows, spec: Mapping[str, Any], seed: int) -> tuple[Flow, dict[str, float]]:
    """The flow and what its training took; kept in ``spec["folder"]``, so that measuring anew does not train anew.

    Args:
        rows: the table.
        spec: ``settings``, ``minutes`` and ``folder``; what decides the training names its file.
        seed: of the weights and of training.
    """
    stated = json.dumps([spec["table"], spec["settings"], spec["minutes"], seed], sort_keys=True)
    path = Path(spec["folder"]) / f"{spec['table']}-{hashlib.sha256(stated.encode()).hexdigest()[:12]}.safetensors"
    record = path.with_suffix(".json")
    if path.exists() and record.exists():
        return sf.load(path), json.loads(record.read_text(encoding="utf-8"))
    chosen = spec["settings"]
    flow = sf.presets.build(
        chosen["preset"], (rows.columns,), support=rows.support, seed=seed, **chosen["options"]
    )
    steps = _steps(flow, rows, chosen["training"], spec["minutes"])
    started = time.process_time()
    history = _fit(flow, rows, chosen["training"] | {"steps": steps}, seed)
    seconds = time.process_time() - started
    batch = chosen["training"]["batch_size"]
    facts = {
        "steps": float(history.steps),
        "planned_steps": float(steps),
        "seconds": seconds,
        "rows_per_second_training": history.steps * min(batch, len(rows.train)) / seconds,
        "parameters": float(sum(p.numel() for p in flow.parameters())),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    flow.save(path)
    record.write_text(json.dumps(facts), encoding="utf-8")
    return flow, facts


def _fit(flow: Flow, rows: Rows, training: Mapping[str, Any], seed: int) -> Any:
    held_out = rows.validation[:_VALIDATED]
    return fit(flow, rows.train, validation=held_out, seed=seed, progress=False, compile=False, **training)


def _steps(flow: Flow, rows: Rows, training: Mapping[str, Any], minutes: float) -> int:
    """How many steps fit into the minutes: pilots of a copy say what a step costs, and what a validation does."""
    seconds = []
    for steps in _PILOTS:
        pilot = copy.deepcopy(flow)
        started = time.process_time()
        _fit(pilot, rows, dict(training) | {"steps": steps, "validate_every": steps}, seed=0)
        seconds.append(time.process_time() - started)
    step = (seconds[1] - seconds[0]) / (_PILOTS[1] - _PILOTS[0])
    with sf.evaluation.evaluating(flow):
        pilot = copy.deepcopy(flow)
        pilot.initialize(rows.train)
        started = time.process_time()
        sf.evaluation.log_probs(pilot, rows.validation[:_VALIDATED])
        step += (time.process_time() - started) / training["validate_every"]
    return max(1, round(60 * minutes / step))
