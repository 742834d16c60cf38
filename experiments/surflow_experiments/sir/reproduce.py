"""Figures 22 to 24 of the study as they should have been: results, pictures and one HTML page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from surflow import plots
from surflow.app.page import PictureWriter, Section, duration, plus_minus
from surflow.data import SIR
from surflow_experiments.cells import Cell, Outcome
from surflow_experiments.goals import Goal, goals_section
from surflow_experiments.recorded import command_of, experiment_page, record
from surflow_experiments.sir.trial import run

_DRAWS = 999

# Of every trial.
_FLOW = {"components": 12, "features": 16, "widths": [256, 256], "options": {"layers": 1}}
_TRAINING = {"validation": 0.05, "batch_size": 256, "lr": 4e-3}
_SIMULATIONS = 20_000
# The noise that baselines and goals are known for.
_HARD = "additive-1e-4"


@dataclass(frozen=True)
class Case:
    """One model of the epidemic with one kind of noise.

    Attributes:
        name, title: of the case.
        simulator: options of :class:`surflow.data.SIR`.
        models: the presets to train, the one that is drawn first.
        seeds: of the first preset; others are trained with seed 0.
        steps: of the training.
    """

    name: str
    title: str
    simulator: dict[str, Any]
    models: tuple[str, ...] = ("posterior",)
    seeds: int = 1
    steps: int = 9000

    def cells(self, *, quick: bool) -> list[Cell]:
        spec = {
            "simulator": self.simulator,
            "simulations": 400 if quick else _SIMULATIONS,
            "flow": _FLOW,
            "training": {**_TRAINING, "steps": 20 if quick else self.steps},
            "tests": 20 if quick else 1000,
            "data_sets": 20 if quick else 500,
            "draws": 99 if quick else _DRAWS,
            "density_draws": 19 if quick else 199,
        }
        return [
            Cell(self.name, model, seed, spec)
            for i, model in enumerate(self.models)
            for seed in range(1 if quick or i else self.seeds)
        ]


def _noises(*, degenerate: bool, steps: int) -> list[Case]:
    kind, models = ("degenerate", ("product", "posterior")) if degenerate else ("basic", ("posterior",))
    names = "lambda1, lambda2, mu, I0" if degenerate else "lambda, mu, I0"
    made: list[tuple[str, str, dict[str, Any]]] = [
        (_HARD, "noise of 0.0001", {"sigma": 1e-4}),
        ("additive-1e-3", "noise of 0.001", {"sigma": 1e-3}),
        ("poisson", "Poisson counts of 1000 people", {"noise": "poisson"}),
    ]
    return [
        Case(
            f"{kind}-{name}",
            f"{kind.capitalize()} ({names}), {title}",
            {"degenerate": degenerate, **noise},
            models if name == _HARD else models[:1],
            3 if name == _HARD else 1,
            steps,
        )
        for name, title, noise in made
    ]


CASES = [*_noises(degenerate=False, steps=9000), *_noises(degenerate=True, steps=7000)]


_BASIC, _DEGENERATE = (f"basic-{_HARD}", "posterior"), (f"degenerate-{_HARD}", "product")
GOALS = [
    *(Goal(*of, "nll_gap", "NLL above exact (nats)", 0.3, "1.4") for of in (_BASIC, _DEGENERATE)),
    *(Goal(*of, "seconds", "processor seconds of training", 87, "87") for of in (_BASIC, _DEGENERATE)),
    Goal(
        *_DEGENERATE,
        "product_relative_error",
        "median relative error of lambda1 lambda2, of draws",
        0.006,
        "0.0144",
    ),
    Goal(*_DEGENERATE, "product_relative_error_of_mean", "the same of the posterior's mean", 0.006),
    Goal(*_DEGENERATE, "contraction_lambda1", "contraction of lambda1", 0.02, "0.139", of_exact=True),
    Goal(*_DEGENERATE, "contraction_lambda2", "contraction of lambda2", 0.02, "0.793", of_exact=True),
    *(
        Goal(*of, "sbc_inside", "share of quantities inside the 95 % band", 1, "mu and I0 outside", least=True)
        for of in (_BASIC, _DEGENERATE)
    ),
    Goal(*_DEGENERATE, "pit_p", "lambda1 given the product, p of uniformity", 0.05, "0.25", least=True),
]
_GOALS_NOTE = (
    "The baseline is the neural spline flow of the package sbi, with the same simulations and one thread. No "
    "honest posterior has a smaller relative error than the exact one in the column beside it. Of several "
    "quantities, each inside its band with probability .95 if calibrated, one in twenty is outside by chance, and "
    "the exact posterior's are outside as well where the data sets are unusual."
)

_LEDE = (
    "An epidemic is observed for a hundred days; what were its rates? The likelihood of these simulators is known, so "
    "that the exact posterior of every data set is there to compare with, by importance sampling. Where two rates act "
    "through their product alone, the data cannot tell them apart: the right answer is a curved ridge along which "
    "only the prior speaks, not a round blob and not a point."
)


def reproduce(results: Path, work: Path, *, quick: bool = False) -> Path:
    """Train, compare with the exact posteriors, and write ``sir.json`` and ``sir/sir.html`` with its pictures.

    Args:
        results: the folder of both.
        work: where trials that are done are kept, so that a killed run goes on.
        quick: only run through everything once.

    Returns:
        The path of the page.

    Raises:
        FileError: before any trial, if the results cannot be written.
        SurflowError: if trials failed; the others are kept.
    """
    cases = [case for case in CASES if case.name.endswith(_HARD)] if quick else CASES
    cells = [cell for case in cases for cell in case.cells(quick=quick)]
    found = record("sir", cells, run, _told, results, work, quick=quick)
    found.raise_failures()
    outcomes, show = found.outcomes, found.show
    seconds = sum(outcome.value("seconds") for outcome in outcomes)
    return experiment_page(
        found.page,
        heading="The epidemic",
        lede=_LEDE,
        facts=[
            {"kind": "exact", "text": "every likelihood here is exact"},
            {"kind": "", "text": f"{cells[0].spec['simulations']:,} simulations a training"},
            {"kind": "", "text": f"{len(outcomes)} trainings, {duration(seconds)} of processor time"},
        ],
        sections=[
            goals_section(GOALS, outcomes, "baseline", [_GOALS_NOTE]),
            *(_section(case, outcomes, show) for case in cases),
        ],
        note="Behind ± stand standard errors over the test data sets. "
        f"Made by {command_of('sir', quick=quick, data_dir=None)}.",
        quick=quick,
    )


def _told(outcome: Outcome) -> str:
    return f"gap {outcome.value('nll_gap'):.3f} nats, {outcome.value('seconds'):.0f} s"


def _of(case: str, outcomes: Sequence[Outcome], model: str | None = None) -> list[Outcome]:
    found = [outcome for outcome in outcomes if outcome.cell.case == case]
    return [outcome for outcome in found if outcome.cell.model == (model or found[0].cell.model)]


def _text(value: float) -> str:
    return plus_minus(value, None)[0]


_COLUMNS = [
    ("nll_exact", "exact NLL"),
    ("nll_gap", "NLL above it"),
    ("sbc_inside", "inside bands"),
    ("coverage_p", "coverage p"),
    ("tarp_p", "random points p"),
    ("band_coverage_90", "in 90 % bands (.9 is right)"),
    ("resimulation_error", "error of curves"),
    ("seconds", "seconds"),
]


def _section(case: Case, outcomes: Sequence[Outcome], show: PictureWriter) -> Section:
    drawn = _of(case.name, outcomes)[0]
    sir = SIR(**case.simulator)
    arrays = {name: torch.from_numpy(array) for name, array in drawn.arrays.items()}
    section = Section(case.name, case.title)
    curves = None
    if sir.degenerate:
        product = float(arrays["truth"][0] * arrays["truth"][1])
        curves = {(0, 1): lambda first: product / first}
    names = sir.quantity_names
    n_ranks = drawn.cell.spec["draws"] + 1
    corner = plots.corner(
        arrays["drawn"], sir.parameters, reference=arrays["exact"], truth=arrays["truth"], curves=curves
    )
    dashed = " Dashed: the parameters with the true product." if sir.degenerate else ""
    days = arrays["observed"].reshape(2, -1)
    again = arrays["resimulated"].reshape(len(arrays["resimulated"]), 2, -1)
    series = ["infected", "removed"]
    unit = "people a day" if case.simulator.get("noise") == "poisson" else "share of people a step"
    levels = {"highest density": arrays["density_levels"], "random points": arrays["point_levels"]}
    section.pictures = [
        show(
            f"{case.name}-corner",
            corner,
            f"The posterior of one data set: the flow's draws over those of the exact posterior. Grey lines: the "
            f"parameters it was simulated with, the means of the prior.{dashed}",
        ),
        show(
            f"{case.name}-ecdf",
            plots.rank_ecdf(arrays["ranks"], n_ranks, names),
            f"Simulation-based calibration, {len(arrays['ranks'])} data sets: ECDF of the truth's rank among "
            f"{n_ranks - 1} draws, and the band that holds 95 % of calibrated curves whole.",
        ),
        show(f"{case.name}-ranks", plots.rank_histogram(arrays["ranks"], n_ranks, names), "The ranks themselves."),
        show(f"{case.name}-coverage", plots.coverage(levels), "How often the truth lies in regions of a credibility."),
        show(
            f"{case.name}-bands",
            plots.bands(
                dict(zip(series, days, strict=True)),
                {name: again[:, i] for i, name in enumerate(series)},
                x="day",
                y=unit,
            ),
            "The same data set, and resimulations of the posterior's draws.",
        ),
        show(f"{case.name}-codes", plots.latents(arrays["codes"]), "The latent of true parameters given their data."),
    ]
    rows = []
    for outcome in (o for o in outcomes if o.cell.case == case.name):
        values = []
        for metric, _ in _COLUMNS:
            row = next(row for row in outcome.rows if row["metric"] == metric)
            value, error = plus_minus(row["value"], row["error"])
            values.append(f"{value} ± {error}" if error else value)
        rows.append([outcome.cell.model, str(outcome.cell.seed), *values])
    head = ["preset", "seed", *(title for _, title in _COLUMNS)]
    section.tables = [{"head": head, "rows": rows, "numbers": list(range(1, len(head)))}]
    section.tables.append(_parameters(sir, _of(case.name, outcomes)))
    return section


def _parameters(sir: SIR, found: Sequence[Outcome]) -> dict[str, Any]:
    rows = []
    for name in sir.quantity_names:
        row = [name]
        for metric in (f"{name}_relative_error", f"{name}_relative_error_95", f"contraction_{name}"):
            for end in ("", "_exact"):
                values = [r["value"] for o in found for r in o.rows if r["metric"] == metric + end]
                row.append(_text(float(np.mean(values))) if values else "")
        rows.append(row)
    head = ["parameter", "median relative error", "exact", "95 %", "exact", "contraction", "exact"]
    return {"head": head, "rows": rows, "numbers": list(range(1, len(head)))}
