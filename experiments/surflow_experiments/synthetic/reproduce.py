"""From groups of comparisons to recorded results, pictures and one HTML page."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from surflow._internal.files import make_folder
from surflow.app.page import PictureWriter, Section, duration, plus_minus
from surflow.data import synthetic_names, synthetic_set
from surflow.errors import ConfigError, SurflowError, unknown_name
from surflow.evaluation import log_probs, read_results, write_results
from surflow.evaluation.results import Row
from surflow_experiments.cells import Outcome, run_cells
from surflow_experiments.recorded import experiment_page
from surflow_experiments.synthetic import pictures
from surflow_experiments.synthetic.groups import GROUPS, WHOLE, Comparison
from surflow_experiments.synthetic.pictures import Frame, Panel
from surflow_experiments.synthetic.trial import DRAWN, RESOLUTION, run

# Pictures are recorded in the repository: a hundred dots an inch are enough for a page.
_DPI = 100

_LEDE = (
    "Every set has a known density, so that every model has a known distance to the truth: the mean of log p(x) − "
    "log q(x) over fresh points, which estimates the Kullback-Leibler divergence, or, for a model with a bound, "
    "something above it. A gap below zero, beyond its error, would be a wrong likelihood."
)

# The outcomes of a comparison by data, model and seed.
_Table = Mapping[tuple[str, str, int], Outcome]


def reproduce(group: str, results: Path, work: Path, *, quick: bool = False) -> Path:
    """Run a group of comparisons, or all of them ("synthetic"), and write results, pictures and the page.

    Args:
        group: one of ``GROUPS``, or ``"synthetic"``.
        results: the folder of ``synthetic.json``, whose rows of the same cases are replaced, and of
            ``synthetic/GROUP.html`` with its pictures.
        work: where trials that are done are kept, so that a killed run goes on.
        quick: only run through everything once.

    Returns:
        The path of the page.

    Raises:
        ConfigError: for an unknown group.
        FileError: before any trial, if the results cannot be written or those that are there cannot be read.
        SurflowError: if trials failed, after the results and the page are made from all others.
    """
    if group not in (WHOLE, *GROUPS):
        raise ConfigError(unknown_name("group of experiments", group, [WHOLE, *GROUPS]))
    chosen = GROUPS if group == WHOLE else {group: GROUPS[group]}
    comparisons = [comparison for part in chosen.values() for comparison in part]
    record, page = results / "synthetic.json", results / "synthetic" / f"{group}.html"
    make_folder(page.parent / "pictures")
    earlier = read_results(record)["rows"] if record.exists() else []
    made = [comparison.cells(quick=quick) for comparison in comparisons]
    outcomes, failed = run_cells([cell for cells in made for cell in cells], run, work, _told)
    write_results(record, f"surflow reproduce {group}{' --quick' if quick else ''}", _merged(earlier, outcomes))
    show = PictureWriter(page.parent / "pictures", _DPI)
    found = {str(outcome.cell): outcome for outcome in outcomes}
    sections, standing = [], []
    for comparison, cells in zip(comparisons, made, strict=True):
        if all(str(cell) in found for cell in cells):
            table = {(cell.case.split("/")[1], cell.model, cell.seed): found[str(cell)] for cell in cells}
            sections.append(_section(comparison, table, show))
            standing += _standing(comparison, table)
        else:
            sections.append(Section(comparison.case, comparison.title, ["Trials of this figure failed."]))
    if group == WHOLE:
        sections.insert(0, _sets(show))
    if standing:
        sections.insert(0, _summary(standing, show, f"gaps-{group}"))
    experiment_page(
        page,
        heading="The plane" if group == WHOLE else group,
        lede=_LEDE,
        facts=_facts(outcomes),
        sections=sections,
        note="Behind ± stand standard deviations over the seeds.",
        quick=quick,
    )
    if failed:
        raise SurflowError(
            f"{len(failed)} trials failed, the others are kept; the page {page} lacks their figures:\n"
            + "\n".join(failed)
        )
    return page


def _facts(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    seconds = sum(outcome.value("seconds") for outcome in outcomes)
    return [
        {"kind": "", "text": "gap: mean of log p(x) − log q(x) over fresh points x, in nats"},
        {"kind": "", "text": f"{len(outcomes)} trials"},
        {"kind": "", "text": f"{duration(seconds)} of processor time in training"},
    ]


def _told(outcome: Outcome) -> str:
    return f"gap {outcome.value('gap'):.4f} nats, {outcome.value('seconds'):.0f} s"


def _merged(earlier: Sequence[Row], outcomes: Sequence[Outcome]) -> list[Row]:
    """New rows in place of those of the same cases; rows of cases that are no more go."""
    new = [row for outcome in outcomes for row in outcome.rows]
    cases = {row["case"] for row in new}
    known = {f"{c.case}/{data}" for part in GROUPS.values() for c in part for data in c.data}
    return [row for row in earlier if row["case"] in known - cases] + new


# -- figures of merit ---------------------------------------------------------------------------------------


def _over_seeds(table: _Table, data: str, model: str, metric: str) -> list[float]:
    return [outcome.value(metric) for (name, made, _), outcome in table.items() if (name, made) == (data, model)]


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    if not np.isfinite(values).all():
        return float(np.mean(values)), math.nan
    return float(np.mean(values)), float(np.std(values, ddof=1)) if len(values) > 1 else 0.0


@dataclass(frozen=True)
class _Standing:
    """Where a model stands on a data set: its gap and the spread over seeds, the goal, the study's gap."""

    case: str
    model: str
    gap: float
    spread: float
    goal: float | None
    reported: float | None


def _standing(comparison: Comparison, table: _Table) -> list[_Standing]:
    found = []
    for data in dict.fromkeys(name for name, _, _ in table):
        for model, made in comparison.models.items():
            gap, spread = _mean_and_spread(_over_seeds(table, data, model, "gap"))
            goal, reported = comparison.goals.get((data, model)), comparison.reported.get((data, model))
            found.append(_Standing(f"{comparison.case}/{data}", made.title, gap, spread, goal, reported))
    return found


def _summary(standing: Sequence[_Standing], show: PictureWriter, name: str) -> Section:
    section = Section("summary", "Summary")
    aimed = [s for s in standing if s.goal is not None]
    missed = [s for s in aimed if s.goal is not None and not s.gap <= s.goal]
    reported = [s for s in standing if s.reported is not None]
    if aimed:
        named = ", ".join(f"{s.case} {s.model} ({s.gap:.3f}, not {s.goal:g})" for s in missed)
        note = "mean gap over the seeds against the goal" + (f"; missed: {named}" if missed else "")
        section.cards.append(_card("Goals met", f"{len(aimed) - len(missed)} of {len(aimed)}", note))
    if reported:
        closer = sum(s.reported is not None and s.gap < s.reported for s in reported)
        note = "of the gaps that were reported are smaller here"
        section.cards.append(_card("Against the study and the original code", f"{closer} of {len(reported)}", note))
    drawn = [s for s in standing if s.goal is not None or s.reported is not None] or standing
    rows = [(f"{s.case}, {s.model}", (s.gap, s.spread), s.goal, s.reported) for s in drawn]
    caption = "Distance to the truth, where there is a goal or a figure to compare with; bars are ± one standard "
    section.pictures.append(show(name, pictures.gaps(rows), f"{caption}deviation over the seeds."))
    return section


def _card(what: str, value: str, note: str) -> dict[str, str]:
    return {"what": what, "value": value, "error": "", "note": note, "tag": ""}


def _merits(comparison: Comparison, table: _Table) -> dict[str, object]:
    lines, marks = [], []
    for standing, (data, model) in zip(
        _standing(comparison, table),
        itertools.product(dict.fromkeys(name for name, _, _ in table), comparison.models),
        strict=True,
    ):
        goal, gap = standing.goal, standing.gap
        marks.append("" if goal is None else "met" if gap <= goal else "missed")
        lines.append(
            [
                data,
                standing.model,
                *(plus_minus(gap, standing.spread) if standing.spread > 0 else (f"{gap:.4f}".replace("-", "−"), "")),
                "" if goal is None else f"{goal:g}, {marks[-1]}",
                "" if standing.reported is None else f"{standing.reported:g}",
                f"{np.mean(_over_seeds(table, data, model, 'nll')):.3f}".replace("-", "−"),
                f"{_over_seeds(table, data, model, 'entropy')[0]:.3f}".replace("-", "−"),
                f"{np.mean(_over_seeds(table, data, model, 'seconds')):.0f}",
                f"{_over_seeds(table, data, model, 'steps')[0]:,.0f}",
                f"{_over_seeds(table, data, model, 'parameters')[0]:,.0f}",
            ]
        )
    head = ["data", "model", "gap (nats)", "±", "goal", "study", "NLL", "entropy", "seconds", "steps", "parameters"]
    return {"head": head, "rows": lines, "numbers": [2, 3, 5, 6, 7, 8, 9, 10], "marks": marks, "marked": 4}


# -- pictures -----------------------------------------------------------------------------------------------


def _sets(show: PictureWriter) -> Section:
    sets = [synthetic_set(name) for name in synthetic_names()]
    return Section(
        "sets",
        "Figures 1 and 2: the data",
        pictures=[
            show("figure-01", pictures.data_sets(sets, labelled=False), "The sets of the plane."),
            show("figure-02", pictures.data_sets([s for s in sets if s.classes], labelled=True), "Their labels."),
        ],
    )


def _section(comparison: Comparison, table: _Table, show: PictureWriter) -> Section:
    section = Section(comparison.case, comparison.title, [comparison.text])
    if comparison.lines:
        section.pictures += _lines(comparison, table, show)
    elif comparison.drawn:
        samples, densities, losses = [], [], []
        for data, given in comparison.data.items():
            if (data, next(iter(comparison.models)), 0) not in table:
                continue
            first = {model: table[data, model, 0] for model in comparison.models}
            limits: Frame = tuple(map(tuple, next(iter(first.values())).arrays["frame"].tolist()))  # type: ignore[assignment]
            distribution = given.distribution()
            points, labels = distribution.sample_labelled(DRAWN, seed=0)
            grid = torch.cartesian_prod(*[torch.linspace(a, b, 2 * RESOLUTION + 1)[1::2] for a, b in limits])
            image = log_probs(distribution, grid).exp().reshape(RESOLUTION, RESOLUTION).numpy()
            colours = labels.numpy() if given.labelled else None
            drawn = [Panel("data", points=points.numpy(), labels=colours, data=True)]
            dense = [Panel("true density", image=image)]
            for model, outcome in first.items():
                gap = np.mean(_over_seeds(table, data, model, "gap"))
                title, note = comparison.models[model].title, f"gap {gap:.3f} nats".replace("-", "−")
                arrays = outcome.arrays
                drawn.append(Panel(title, points=arrays["samples"], labels=arrays.get("labels"), note=note))
                dense.append(Panel(title, image=arrays["density"], note=note))
            samples.append((data, limits, drawn))
            densities.append((data, limits, dense))
            curves = {comparison.models[model].title: outcome.arrays["losses"] for model, outcome in first.items()}
            losses.append((data, next(iter(first.values())).value("entropy"), curves))
        name = comparison.case
        section.pictures.append(show(f"{name}-samples", pictures.panels(samples), "Data, and samples of every model."))
        caption = "Densities, the true one first; of a model with a bound, the bound with 16 draws a pixel."
        section.pictures.append(show(f"{name}-densities", pictures.panels(densities), caption))
        caption = "Training batches, all of fresh draws: NLL, or its bound, and the entropy."
        section.pictures.append(show(f"{name}-losses", pictures.losses(losses), caption))
        section.pictures += _learned_q(comparison, table, show)
    section.tables.append(_merits(comparison, table))
    return section


def _learned_q(comparison: Comparison, table: _Table, show: PictureWriter) -> list:
    """Learned probabilities of the signs over training, where the data are skewed: a fair sign has nothing to show."""
    columns = []
    for data, given in comparison.data.items():
        found = [o.arrays["q"] for (name, _, _), o in table.items() if name == data and "q" in o.arrays]
        if given.skew is None or not found:
            continue
        axis, share = given.skew
        true = [0.5, 0.5]
        true[axis] = 0.5 + share / 2
        columns.append((data, (true[0], true[1]), found))
    if not columns:
        return []
    caption = (
        "Figure 8: the learned probabilities of a positive sign over training, a line for a seed, and the true ones."
    )
    return [show(f"{comparison.case}-q", pictures.learned_q(columns), caption)]


def _lines(comparison: Comparison, table: _Table, show: PictureWriter) -> list:
    """Symmetry lines over the samples, one picture for each number of steps."""
    shown = []
    steps = sorted({int(name.split("_")[1]) for o in table.values() for name in o.arrays if name.startswith("lines_")})
    for step in steps:
        panels = []
        for (_, _, seed), outcome in table.items():
            error = outcome.value(f"line_error_{step}")
            lines = list(outcome.arrays[f"lines_{step}"])
            panels.append(
                Panel(f"seed {seed}", points=outcome.arrays[f"samples_{step}"], lines=lines, note=f"error {error:.0e}")
            )
        limits: Frame = tuple(map(tuple, next(iter(table.values())).arrays["frame"].tolist()))  # type: ignore[assignment]
        rows = [("", limits, panels[i : i + 4]) for i in range(0, len(panels), 4)]
        caption = (
            f"After {step} steps: samples and the lines that the absolute value folds along. The error is the largest "
            "coordinate of a line's points pushed forward again, which is zero on the fold."
        )
        shown.append(show(f"{comparison.case}-lines-{step}", pictures.panels(rows), caption))
    return shown
