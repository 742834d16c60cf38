"""Training within a budget of processor time, as ``surflow train --minutes`` does by the clock."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping
from typing import Any

from torch import Tensor

import surflow as sf
from surflow.flow import Flow
from surflow.training.fitting import History
from surflow.training.sources import Data

# Steps of the first of some pilots, each twice as long as the one before, and seconds of one that is long enough.
_PILOT, _LONG_ENOUGH = 10, 1.5
# How often fit validates where nothing else is said.
_VALIDATIONS = 30


def fit_within(
    flow: Flow, data: Data, validation: Tensor, training: Mapping[str, Any], minutes: float, seed: int
) -> dict[str, float]:
    """Train as many steps as fit into the minutes of one core, unless patience ends first; what it took.

    Others may share the machine, so that minutes by the clock would be of no use: pilots of copies say what a step and
    a validation cost, and the schedule is of so many steps.

    Args:
        flow: the flow, not trained yet.
        data, validation: rows, or for data what draws them.
        training: other options of :func:`surflow.fit`, ``validate_every`` among them.
        minutes: of processor time, the pilots not counted.
        seed: of training.
    """
    _pilot(flow, data, validation, training, _PILOT, seed)  # the first call pays for what later ones find ready
    steps, before, spent = 0, 0.0, 0.0
    while spent < _LONG_ENOUGH:
        steps, before = max(_PILOT, 2 * steps), spent
        pilot, spent = _pilot(flow, data, validation, training, steps, seed)
    cost = (spent - before) / (steps / 2 if before else steps)
    started = time.process_time()
    sf.evaluation.log_probs(pilot, validation)
    validating = time.process_time() - started
    every = training.get("validate_every")
    seconds = 60 * minutes
    if every is None:
        seconds, every = seconds - _VALIDATIONS * validating, math.inf
    planned = max(1, round(seconds / (cost + validating / every)))
    started = time.process_time()
    history = _fit(flow, data, validation, dict(training) | {"steps": planned}, seed)
    return {
        "seconds": time.process_time() - started,
        "steps": float(history.steps),
        "planned_steps": float(planned),
        "parameters": float(sum(p.numel() for p in flow.parameters())),
    }


def _pilot(
    flow: Flow, data: Data, validation: Tensor, training: Mapping[str, Any], steps: int, seed: int
) -> tuple[Flow, float]:
    pilot = copy.deepcopy(flow)
    started = time.process_time()
    _fit(pilot, data, validation[:1], dict(training) | {"steps": steps, "validate_every": steps}, seed)
    return pilot, time.process_time() - started


def _fit(flow: Flow, data: Data, validation: Tensor, training: Mapping[str, Any], seed: int) -> History:
    return sf.fit(flow, data, validation=validation, seed=seed, progress=False, compile=False, **training)
