"""The tasks, what is to be reached with how many simulations, published figures, and the trials."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from surflow.data.simulators.references import reference_numbers
from surflow_experiments.cells import Cell

BUDGETS = (1_000, 10_000)
OBSERVATIONS = 5
_DRAWS, _TESTED = 5_000, 200
# Tasks of a quick run.
_QUICK = 2


@dataclass(frozen=True)
class Task:
    """A task of the benchmark.

    Attributes:
        title: what it is called.
        goal: C2ST that is to be reached, for each of the budgets.
        published: of neural posterior estimation in the benchmark's paper, likewise.
        informed: the model of the experiment ``sbibm`` that is told of the task; empty for none.
    """

    title: str
    goal: tuple[float, float]
    published: tuple[float, float]
    informed: str = ""


TASKS = {
    "two_moons": Task("Two moons", (0.62, 0.53), (0.725, 0.606), "folded"),
    "gaussian_linear": Task("Gaussian, linear", (0.57, 0.52), (0.694, 0.552), "linear"),
    "gaussian_linear_uniform": Task("Gaussian, linear, in a box", (0.57, 0.52), (0.696, 0.553)),
    "gaussian_mixture": Task("Gaussian mixture", (0.60, 0.53), (0.716, 0.615)),
    "slcp": Task("SLCP", (0.90, 0.68), (0.975, 0.901), "symmetric"),
    "slcp_distractors": Task("SLCP among distractors", (0.95, 0.80), (0.982, 0.970)),
    "bernoulli_glm": Task("Bernoulli GLM", (0.70, 0.57), (0.863, 0.678)),
    "bernoulli_glm_raw": Task("Bernoulli GLM, raw", (0.80, 0.62), (0.900, 0.765)),
    "sir_benchmark": Task("SIR", (0.72, 0.58), (0.815, 0.680)),
    "lotka_volterra": Task("Lotka-Volterra", (0.98, 0.85), (0.999, 0.997)),
}
METHODS = ("auto", "nsf")
# Its posterior is known by the benchmark's draws alone.
_NEEDS_DRAWS = ("lotka_volterra",)
# Seconds of one trial, roughly.
_COST = {1_000: 100.0, 10_000: 300.0}


def cells(*, quick: bool, data_dir: Path | None = None) -> list[Cell]:
    """The trials, on the benchmark's observations in a folder or on simulated ones; ``quick`` ones only run through."""
    made = []
    for name in list(TASKS)[:_QUICK] if quick else TASKS:
        if data_dir is None and name in _NEEDS_DRAWS:
            continue
        numbers = list(range(1, OBSERVATIONS + 1)) if data_dir is None else reference_numbers(data_dir, name)
        for simulations in BUDGETS[:1] if quick else BUDGETS:
            for method in METHODS:
                spec = {
                    "simulations": 300 if quick else simulations,
                    "minutes": 0.05 if quick else None,
                    "observations": numbers[:1] if quick else numbers[:OBSERVATIONS],
                    "data_dir": None if data_dir is None else str(data_dir),
                    "draws": 100 if quick else _DRAWS,
                    "tested": 10 if quick else _TESTED,
                }
                made.append(Cell(f"sbibm-auto/{name}-{simulations}", method, 0, spec, _COST[simulations]))
    return made
