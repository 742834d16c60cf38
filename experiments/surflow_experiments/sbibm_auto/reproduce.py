"""From trials of the two defaults to recorded results and one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surflow.app.page import Section, duration
from surflow.evaluation import read_results
from surflow_experiments.cells import Cell, Outcome
from surflow_experiments.recorded import Recorded, experiment_page, record
from surflow_experiments.sbibm_auto.picture import picture
from surflow_experiments.sbibm_auto.tasks import BUDGETS, METHODS, OBSERVATIONS, TASKS, Task, cells
from surflow_experiments.sbibm_auto.trial import run

NAME = "sbibm-auto"
_LEDE = (
    "surflow and the package sbi, each by its default, learn the posteriors of a public benchmark from the same "
    "simulations; neither is told anything of a task but its prior. A classifier is to tell draws of what was learned "
    "from draws of the exact posterior: its accuracy, C2ST, is 0.5 where nobody could, and 1 where anybody can."
)
_CAPTION = (
    "C2ST of every task; 0.5, the line, is the best. The table says over which observations: goals and published "
    "figures are means over several."
)
_HOW = [
    'The tasks, their observations and reference posteriors are those of Lueckmann et al., "Benchmarking '
    'Simulation-Based Inference", arXiv 2101.04653; the table says which observations. The classifier is the '
    "benchmark's, a perceptron with two hidden layers of ten units for each parameter, in five folds, here of 5,000 "
    "draws of each kind, where the benchmark takes 10,000. Reference posteriors choose nothing: fit_posterior decides "
    "by simulations that it holds out.",
    "nsf is neural posterior estimation in the package sbi with a neural spline flow and all its defaults; its draws "
    "outside the prior are rejected, as sbi does. The column told of the task has the models of the experiment sbibm, "
    "of 10,000 simulations, for which a person looked at the task. Published is neural posterior estimation in the "
    "benchmark's paper.",
    "The NLL gap is the mean of log p(θ | x) − log q(θ | x) over fresh pairs; where the exact density is not known it "
    "is left out. Coverage is the share of fresh parameters within regions of highest density of probability .5 and "
    ".9, of 500 pairs, with 100 draws each.",
]


def reproduce(results: Path, work: Path, *, quick: bool = False, data_dir: Path | None = None) -> Path:
    """Run all tasks, and write results and the page.

    Args:
        results: the folder of ``sbibm_auto.json`` and of ``sbibm_auto/sbibm_auto.html``.
        work: where trials that are done are kept, so that a killed run goes on.
        quick: only run through everything once.
        data_dir: a folder with the benchmark's own observations and reference posteriors,
            ``TASK/num_observation_K``; by default observations are simulated, and Lotka-Volterra, whose posterior is
            known by these draws alone, is left out.

    Returns:
        The path of the page.

    Raises:
        FileError: before any trial, if the results cannot be written or the references are not there.
        SurflowError: if trials failed, after the results and the page are made from all others.
    """
    return made_from(cells(quick=quick, data_dir=data_dir), results, work, quick=quick, data_dir=data_dir)


def made_from(trials: Sequence[Cell], results: Path, work: Path, *, quick: bool, data_dir: Path | None) -> Path:
    """The results and the page of some of the trials."""
    recorded = record("sbibm_auto", trials, run, _told, results, work, quick=quick, data_dir=data_dir)
    found = {(outcome.cell.case.split("/")[1], outcome.cell.model): outcome for outcome in recorded.outcomes}
    shown = [recorded.show("c2st", picture(found), _CAPTION)] if found else []
    experiment_page(
        recorded.page,
        heading="Posteriors of a public benchmark, by two defaults",
        lede=_LEDE,
        facts=_facts(recorded),
        sections=[
            Section("table", "All tasks", _missing(found), pictures=shown, tables=[_table(found, _informed(results))]),
            Section("found", "What was found", tables=[_said(found)]),
            Section("how", "How it was run", _HOW),
        ],
        note="One seed, of the simulations and of the training.",
        quick=quick,
    )
    recorded.raise_failures()
    return recorded.page


def _told(outcome: Outcome) -> str:
    return f"C2ST {outcome.value('c2st'):.3f} after {outcome.value('seconds'):.0f} s"


def _facts(recorded: Recorded) -> list[dict[str, str]]:
    seconds = sum(outcome.value("seconds") for outcome in recorded.outcomes)
    return [
        {"kind": "", "text": "C2ST: accuracy of a classifier, draws against exact draws; 0.5 is the best"},
        {"kind": "", "text": f"{duration(seconds)} of processor time in training"},
    ]


def _informed(results: Path) -> dict[tuple[str, str], float]:
    """Mean C2ST of the models that are told of their task, as recorded, by task and model."""
    path = results / "sbibm.json"
    if not path.exists():
        return {}
    found: dict[tuple[str, str], list[float]] = {}
    for row in read_results(path)["rows"]:
        if row["metric"] == "c2st":
            found.setdefault((row["case"].split("/")[1], row["model"]), []).append(row["value"])
    return {key: float(np.mean(values)) for key, values in found.items()}


def _missing(found: Mapping[tuple[str, str], Outcome]) -> list[str]:
    """What was not run, in words."""
    said = []
    for simulations in BUDGETS:
        for method in METHODS:
            missing = [task.title for name, task in TASKS.items() if (f"{name}-{simulations}", method) not in found]
            if missing:
                where = "on no task" if len(missing) == len(TASKS) else f"on all tasks but {', '.join(missing)}"
                said.append(f"{method} with {simulations:,} simulations was run {where}.")
    return said


def _table(found: Mapping[tuple[str, str], Outcome], informed: Mapping[tuple[str, str], float]) -> dict[str, object]:
    lines, marks = [], []
    for name, task in TASKS.items():
        for i, simulations in enumerate(BUDGETS):
            ours, theirs = (found.get((f"{name}-{simulations}", method)) for method in METHODS)
            if ours is None and theirs is None:
                continue
            marks.append(_mark(ours, task.goal[i]))
            known = informed.get((name, task.informed)) if simulations == 10_000 else None
            observed = _observed(next(one for one in (ours, theirs) if one is not None))
            figures = _line(task, i, ours, theirs, marks[-1])
            lines.append([task.title, f"{simulations:,}", observed, *figures, _number(known)])
    numbers = ["auto", "goal", "nsf", "published", "gap of auto", "of nsf", "in 50 %", "in 90 %", "s", "s of nsf"]
    head = ["task", "simulations", "observations", *numbers, "told of the task"]
    return {"head": head, "rows": lines, "numbers": [1, 3, *range(5, 14)], "marks": marks, "marked": 4}


def _mark(outcome: Outcome | None, goal: float) -> str:
    """Whether a goal is met, a mean over all observations; empty where some were not looked at."""
    if outcome is None or len(outcome.cell.spec["observations"]) < OBSERVATIONS:
        return ""
    return "met" if outcome.value("c2st") <= goal else "missed"


def _observed(outcome: Outcome) -> str:
    """Which observations, such as 1-5."""
    numbers = outcome.cell.spec["observations"]
    return f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]}-{numbers[-1]}"


def _line(task: Task, i: int, ours: Outcome | None, theirs: Outcome | None, mark: str) -> list[str]:
    return [
        _value(ours, "c2st"),
        f"{task.goal[i]:g}" + (f", {mark}" if mark else ""),
        _value(theirs, "c2st"),
        f"{task.published[i]:.3f}",
        _value(ours, "nll_gap"),
        _value(theirs, "nll_gap"),
        _value(ours, "coverage_50"),
        _value(ours, "coverage_90"),
        _value(ours, "seconds", 0),
        _value(theirs, "seconds", 0),
    ]


def _value(outcome: Outcome | None, metric: str, digits: int = 3) -> str:
    known = {row["metric"]: row["value"] for row in outcome.rows} if outcome else {}
    return _number(known.get(metric), digits)


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def _said(found: Mapping[tuple[str, str], Outcome]) -> dict[str, object]:
    rows = []
    for name, task in TASKS.items():
        for simulations in BUDGETS:
            outcome = found.get((f"{name}-{simulations}", "auto"))
            if outcome is not None:
                rows.append([task.title, f"{simulations:,}", "; ".join(map(str, outcome.arrays["said"]))])
    return {"head": ["task", "simulations", "what fit_posterior says"], "rows": rows, "numbers": [1]}
