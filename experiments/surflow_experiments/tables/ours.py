"""The preset table, trained as ``surflow train`` does, and what that settles on for a table of so many rows."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

import surflow as sf
from surflow.app.config import parse_config
from surflow.data import Column, ColumnKind, Part, Schema, Splits
from surflow.distributions.column_distribution import ColumnDistribution
from surflow.errors import ConfigError
from surflow.evaluation import draws, log_probs
from surflow.presets.registry import PRESETS
from surflow_experiments.tables.budget import fit_within
from surflow_experiments.tables.data import Rows
from surflow_experiments.tables.marginals import Array

# Rows that are validated on while a mixed table trains, as surflow train does.
_VALIDATED = 1500


def settings(rows: int, *, mixed: bool = True) -> dict[str, Any]:
    """Preset, all its options, and training that ``surflow train --minutes`` settles on for a table, without its rows.

    Args:
        rows: that are trained on.
        mixed: whether it has categories or holes; a table of numbers trains another preset.
    """
    part = Part(torch.empty(rows, 1), None)
    column = Column("one", ColumnKind.CATEGORY, categories=["a"]) if mixed else Column("one", ColumnKind.NUMBER)
    splits = Splits("table", part, part, part, ["one"], sf.supports.real, None, "", schema=Schema([column]))
    config = parse_config({"data": {"source": "table"}, "training": {"minutes": 1.0}}).settled(splits)
    training = {key: value for key, value in config.training.options().items() if key != "minutes"}
    preset = config.model.preset or "table"
    known = inspect.signature(PRESETS[preset]).parameters
    options = {name: known[name].default for name in sf.presets.options(preset)} | (config.model.model_extra or {})
    return {"preset": preset, "options": options, "training": training}


class Preset:
    """The preset, trained; kept in a folder, so that what is measured anew is not trained anew.

    Args:
        rows: the table.
        spec: ``table``, ``settings`` and ``minutes``, which name the file, and ``folder``.
        seed: of the weights and of training.
    """

    def __init__(self, rows: Rows, spec: Mapping[str, Any], seed: int) -> None:
        chosen = spec["settings"]
        stated = json.dumps([spec["table"], chosen, spec["minutes"], seed], sort_keys=True)
        path = Path(spec["folder"]) / f"{spec['table']}-{hashlib.sha256(stated.encode()).hexdigest()[:12]}.safetensors"
        record = path.with_suffix(".json")
        if path.exists() and record.exists():
            self.flow, self.facts = sf.load(path), json.loads(record.read_text(encoding="utf-8"))
            return
        self.flow = sf.presets.build(
            chosen["preset"], (rows.columns,), support=rows.support, seed=seed, **chosen["options"]
        )
        held_out = rows.validation[:_VALIDATED]
        self.facts = fit_within(self.flow, rows.train, held_out, chosen["training"], spec["minutes"], seed)
        batch = min(chosen["training"]["batch_size"], len(rows.train))
        self.facts["rows_per_second_training"] = self.facts["steps"] * batch / self.facts["seconds"]
        path.parent.mkdir(parents=True, exist_ok=True)
        self.flow.save(path)
        record.write_text(json.dumps(self.facts), encoding="utf-8")

    @property
    def columns(self) -> ColumnDistribution:
        """The distribution of the rows, any columns given any others."""
        base = self.flow.base
        if not isinstance(base, ColumnDistribution):
            raise ConfigError(f"the preset of a mixed table has all conditionals, got a base {type(base).__name__}")
        return base

    def log_prob(self, x: Array) -> Array:
        """Nats of rows (n, D)."""
        return log_probs(self.flow, torch.from_numpy(x)).numpy()

    def sample(self, n: int, seed: int) -> Array:
        """Rows (n, D)."""
        with sf.seeded(seed):
            return draws(self.flow, n).double().numpy()
