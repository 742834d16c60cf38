"""From trials of the benchmark's tasks to recorded results, pictures and one HTML page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from surflow.app.page import PictureWriter, Section, duration, plus_minus
from surflow.plots.style import frame
from surflow_experiments.cells import Outcome
from surflow_experiments.recorded import experiment_page, record
from surflow_experiments.sbibm.tasks import SIMULATIONS, TASKS, Task, cells
from surflow_experiments.sbibm.trial import DRAWN, run
from surflow_experiments.synthetic import pictures
from surflow_experiments.synthetic.pictures import Frame, Panel

_LEDE = (
    f"One flow learns the posteriors of all observations of a task from {SIMULATIONS:,} simulations. For some "
    "observations, which it has not seen, a classifier is to tell ten thousand of its draws from as many of the exact "
    "posterior: its accuracy, C2ST, is 0.5 where nobody could, and 1 where anybody can."
)
_PUBLISHED = (
    "Observations and reference posteriors are the benchmark's own, observations {numbers}. The library's exact "
    "posteriors, closed forms or importance sampling, have the same means to {shift:.3f} standard deviations, where "
    "chance alone between draws makes 0.01 of most."
)
_SIMULATED = (
    "Observations are draws of the simulators with fixed seeds, and the exact posteriors are the library's own: closed "
    "forms, or importance sampling with twenty draws for each that is kept."
)
_HOW = [
    'The tasks are those of Lueckmann et al., "Benchmarking Simulation-Based Inference", arXiv 2101.04653. The '
    "classifier is the benchmark's, a perceptron with two hidden layers of ten units for each parameter, in five "
    "folds.",
    "A twentieth of the simulations is held out for early stopping. Where there are several members, flows that "
    "started from other weights are mixed in equal parts. The NLL gap is the mean of log p(θ | x) − log q(θ | x) over "
    "fresh pairs, the Kullback-Leibler divergence of what was learned; one prior draw in a thousand can outweigh all "
    "others in it, and no classifier would notice.",
    "The figures to compare with are those of neural posterior estimation with 10,000 simulations: in the paper, and "
    "with the package sbi in 2024, on the benchmark's own ten observations. They know of the prior's box at most, not "
    "of symmetries; a model here that knows no more stands beside the one that does.",
]


def reproduce(results: Path, work: Path, *, quick: bool = False, data_dir: Path | None = None) -> Path:
    """Run all tasks, and write results, pictures and the page.

    Args:
        results: the folder of ``sbibm.json`` and of ``sbibm/sbibm.html`` with its pictures.
        work: where trials that are done are kept, so that a killed run goes on.
        quick: only run through everything once.
        data_dir: a folder with the benchmark's own observations and reference posteriors,
            ``TASK/num_observation_K``; by default observations are simulated.

    Returns:
        The path of the page.

    Raises:
        FileError: before any trial, if the results cannot be written or the references are not there.
        SurflowError: if trials failed, after the results and the page are made from all others.
    """
    recorded = record(
        "sbibm", cells(quick=quick, data_dir=data_dir), run, _told, results, work, quick=quick, data_dir=data_dir
    )
    outcomes, show = recorded.outcomes, recorded.show
    found: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        found.setdefault((outcome.cell.case.split("/")[1], outcome.cell.model), []).append(outcome)
    sections = [
        Section("table", "All tasks", tables=[_table(found)]),
        Section("how", "How it was run", [_observed(outcomes), *_HOW]),
    ]
    for name, task in TASKS.items():
        models = {model: found[name, model][0] for model in task.models if (name, model) in found}
        sections.insert(-1, _section(name, task, models, show))
    experiment_page(
        recorded.page,
        heading="Posteriors of a public benchmark",
        lede=_LEDE,
        facts=_facts(outcomes),
        sections=sections,
        note="Behind ± stand standard deviations over the seeds: of the simulations, and of the training.",
        quick=quick,
    )
    recorded.raise_failures()
    return recorded.page


def _observed(outcomes: Sequence[Outcome]) -> str:
    if not outcomes or outcomes[0].cell.spec["data_dir"] is None:
        return _SIMULATED
    numbers = sorted({number for outcome in outcomes for number in outcome.cell.spec["observations"]})
    shift = max(outcome.value("reference_shift") for outcome in outcomes)
    return _PUBLISHED.format(numbers=", ".join(map(str, numbers)), shift=shift)


def _told(outcome: Outcome) -> str:
    return f"C2ST {outcome.value('c2st'):.3f}, NLL gap {outcome.value('nll_gap'):.3f} nats"


def _facts(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    training, testing = (
        sum(outcome.value(metric) for outcome in outcomes) for metric in ("seconds", "seconds_of_classifiers")
    )
    return [
        {"kind": "", "text": "C2ST: accuracy of a classifier, draws against exact draws; 0.5 is the best"},
        {"kind": "", "text": f"{duration(training)} of processor time in training"},
        {"kind": "", "text": f"{duration(testing)} in drawing and in classifiers"},
    ]


def _table(found: Mapping[tuple[str, str], Sequence[Outcome]]) -> dict[str, object]:
    lines, marks = [], []
    for (name, model), outcomes in found.items():
        task = TASKS[name]
        c2st, gap = ([outcome.value(metric) for outcome in outcomes] for metric in ("c2st", "nll_gap"))
        aimed = model == next(iter(task.models))
        marks.append("" if not aimed else "met" if np.mean(c2st) <= task.goal else "missed")
        lines.append(
            [
                task.title,
                task.models[model].title,
                str(len(outcomes)),
                *_mean_and_spread(c2st),
                f"{task.goal:g}, {marks[-1]}" if aimed else "",
                f"{task.package:g}",
                f"{task.paper:g}",
                *_mean_and_spread(gap),
                f"{np.mean([outcome.value('seconds') for outcome in outcomes]):.0f}",
                f"{outcomes[0].value('parameters'):,.0f}",
            ]
        )
    numbers = ["seeds", "C2ST", "±", "goal", "sbi", "paper", "NLL gap (nats)", "±", "seconds", "parameters"]
    head = ["task", "model", *numbers]
    return {"head": head, "rows": lines, "numbers": [2, 3, 4, 6, 7, 8, 9, 10, 11], "marks": marks, "marked": 5}


def _mean_and_spread(values: Sequence[float]) -> tuple[str, str]:
    return plus_minus(float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else None)


def _section(name: str, task: Task, models: Mapping[str, Outcome], show: PictureWriter) -> Section:
    texts = [task.text, *(f"{made.title}: {made.text}" for made in task.models.values())]
    if not models:
        return Section(name, task.title, [*texts, "Trials of this task failed."])
    parameters = task.simulator().parameters
    rows = []
    first = next(iter(models.values()))
    for i, number in enumerate(first.cell.spec["observations"][:DRAWN]):
        for a, b in task.drawn:
            exact = first.arrays[f"exact_{i}"][:, [a, b]]
            limits = _frame(exact)
            line: list[Panel | None] = [Panel("exact", points=exact, data=True)]
            for model, outcome in models.items():
                note = f"C2ST {outcome.value(f'c2st_{number}'):.3f}"
                drawn = outcome.arrays[f"drawn_{i}"][:, [a, b]]
                line.append(Panel(model, points=drawn, note=note))
            rows.append((f"{number}: {parameters[a]}, {parameters[b]}", limits, line))
    caption = (
        "Draws of the posteriors of the first two observations, exact and learned; the C2ST is over all parameters."
    )
    return Section(name, task.title, texts, pictures=[show(name, pictures.panels(rows), caption)])


def _frame(points: np.ndarray) -> Frame:
    """A square about the points."""
    limits = frame(points)
    half = max(high - low for low, high in limits) / 2
    (left, right), (low, high) = [((a + b) / 2 - half, (a + b) / 2 + half) for a, b in limits]
    return (left, right), (low, high)
