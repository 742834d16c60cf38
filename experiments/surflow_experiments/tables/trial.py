"""One trial: a model of a table, and all that is measured of it."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TypeAlias

import numpy as np

from surflow_experiments.cells import Cell, Found, Outcome
from surflow_experiments.tables import holes, measures
from surflow_experiments.tables.classes import Classes
from surflow_experiments.tables.copula import Copula
from surflow_experiments.tables.data import Rows, binary, table
from surflow_experiments.tables.dequantized import DequantizedSpline
from surflow_experiments.tables.engine import Engine
from surflow_experiments.tables.forest import AdversarialForest
from surflow_experiments.tables.marginals import Marginals
from surflow_experiments.tables.models import MODELS
from surflow_experiments.tables.ours import Preset

Fitted: TypeAlias = Marginals | Copula | Classes | AdversarialForest | DequantizedSpline | Preset | Engine

# What a training says of itself, and its units.
_UNITS = {"seconds": "s", "rows_per_second_training": "rows a second", "rows_per_second_drawing": "rows a second"}


def run(cell: Cell) -> Outcome:
    """Fit, score, draw, fill; ``cell.spec`` is what :func:`surflow_experiments.tables.models.cells` puts into it."""
    spec, seed, known = cell.spec, cell.seed, MODELS[cell.model]
    whole = "data_dir" not in spec
    rows = table(spec["table"], seed) if whole else binary(spec["table"], Path(spec["data_dir"]))
    found: list[Found] = []
    arrays: dict[str, np.ndarray] = {}
    if cell.model in ("linear", "trees"):
        started = time.process_time()
        method = "linear" if cell.model == "linear" else "forest"
        found += holes.by_chain(holes.Holes(rows, seed), method, seed)
        return cell.outcome([*found, ("seconds", time.process_time() - started, None, "s")])
    started = time.process_time()
    model = _fitted(cell, rows)
    facts = {"seconds": time.process_time() - started} | getattr(model, "facts", {})
    if not isinstance(model, Engine):
        scored, arrays["log_prob"] = measures.likelihood(model, rows)
        found += scored
    if known.draws and whole:
        found += [row for row in measures.draws(model, rows, spec["measured"], seed) if row[0] not in facts]
    if known.holes and whole:
        asked = holes.Holes(rows, seed)
        found += holes.by_draws(asked, model.columns, seed) if isinstance(model, Preset) else holes.by_middle(asked)
    found += [(name, value, None, _UNITS.get(name, "1")) for name, value in facts.items()]
    found += [("rows", float(len(rows.train)), None, "rows"), ("columns", float(rows.columns), None, "columns")]
    return cell.outcome(found, arrays)


def _fitted(cell: Cell, rows: Rows) -> Fitted:
    spec, seed = cell.spec, cell.seed
    match cell.model:
        case "table":
            return Preset(rows, spec, seed)
        case "independent":
            return Marginals(rows)
        case "copula":
            return Copula(rows, seed)
        case "mixture":
            return Classes(rows, seed)
        case "forest":
            return AdversarialForest(rows, seed)
        case "spline":
            return DequantizedSpline(rows, spec, seed)
        case "engine":
            return Engine(rows, spec["minutes"], spec["measured"]["draws"], seed)
        case _:
            raise ValueError(f"no model {cell.model!r}")
