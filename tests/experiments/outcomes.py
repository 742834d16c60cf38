"""Outcomes of cells that take no time, in a module of their own, which the processes that run them import."""

from __future__ import annotations

import os

import numpy as np

from surflow.evaluation.results import Row
from surflow_experiments.cells import Cell, Outcome


def outcome(cell: Cell) -> Outcome:
    """The number of the cell and its square; negative ones fail."""
    if cell.spec["number"] < 0:
        raise ValueError("a negative number")
    value = float(cell.spec["number"])
    row = Row(case=cell.case, model=cell.model, seed=cell.seed, metric="m", value=value, error=None, unit="1")
    return Outcome(cell, [row], {"square": np.asarray(value**2)})


def killed(cell: Cell) -> Outcome:
    """The process ends as one that the system kills."""
    os._exit(9)
