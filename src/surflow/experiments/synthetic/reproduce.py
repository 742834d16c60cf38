"""From groups of comparisons to recorded results, pictures and one HTML page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch

from surflow.data import synthetic_names, synthetic_set
from surflow.errors import ConfigError, unknown_name
from surflow.evaluation import read_results, scores, write_results
from surflow.experiments.cells import Outcome, run_cells
from surflow.experiments.synthetic import pictures
from surflow.experiments.synthetic.groups import GROUPS, WHOLE, Comparison
from surflow.experiments.synthetic.pictures import Frame, Panel
from surflow.experiments.synthetic.trial import DRAWN, RESOLUTION, run
from surflow.page import Section, Shower, duration, plus_minus, write_page

# Pictures are recorded in the repository: a hundred dots an inch are enough for a page.
_DPI = 100

# The outcomes of a comparison by data, model and seed.
_Table = Mapping[tuple[str, str, int], Outcome]


def reproduce(group: str, results: Path, work: Path, quick: bool = False) -> Path:
    """Run a group of comparisons, or all of them ("synthetic"), and write results, pictures and the page.

    Args:
        group: one of ``GROUPS``, or ``"synthetic"``.
        results: the folder of ``synthetic.json``, whose rows of the same cases are replaced, and of
            ``synthetic/GROUP.html`` with its pictures.
        work: where trials that are done are kept, so that a killed run goes on.
        quick: only run through everything once.

    Returns:
        The path of the page.
    """
    if group not in (WHOLE, *GROUPS):
        raise ConfigError(unknown_name("group of experiments", group, [WHOLE, *GROUPS]))
    chosen = GROUPS if group == WHOLE else {group: GROUPS[group]}
    comparisons = [comparison for part in chosen.values() for comparison in part]
    made = [comparison.cells(quick) for comparison in comparisons]
    outcomes = run_cells([cell for cells in made for cell in cells], run, work, _told)
    _record(results / "synthetic.json", outcomes)
    page, show = results / "synthetic" / f"{group}.html", Shower(results / "synthetic" / "pictures", _DPI)
    remaining = iter(outcomes)
    sections, standing = [], []
    for comparison, cells in zip(comparisons, made, strict=True):
        own = [next(remaining) for _ in cells]
        table = {(outcome.cell.case.split("/")[1], outcome.cell.model, outcome.cell.seed): outcome for outcome in own}
        sections.append(_section(comparison, table, show))
        standing += _standing(comparison, table)
    if group == WHOLE:
        sections.insert(0, _sets(show))
    sections.insert(0, _summary(standing, show))
    seconds = sum(outcome.value("seconds") for outcome in outcomes)
    facts = [
        {"kind": "exact", "text": "gap = held-out NLL − entropy, in nats"},
        {"kind": "", "text": f"{len(outcomes)} trials"},
        {"kind": "", "text": f"{duration(seconds)} of processor time in training"},
    ]
    lede = (
        "Every set has a known density, so that every model has a known distance to the truth: the gap between its "
        "held-out negative log-likelihood and the entropy, which is the Kullback-Leibler divergence. A gap below zero, "
        "beyond its error, would be a wrong likelihood."
    )
    lede = "A run through everything with a few steps: no figure here means anything. " + lede if quick else lede
    note = "Errors are standard deviations over seeds. A gap is measured on 10,000 fresh points, paired with the truth."
    return write_page(
        page,
        eyebrow="surflow · reproduced experiments",
        heading="The plane" if group == WHOLE else group,
        on="",
        lede=lede,
        facts=facts,
        sections=sections,
        note=note,
    )


def _told(outcome: Outcome) -> str:
    return f"gap {outcome.value('gap'):.4f} nats, {outcome.value('seconds'):.0f} s"


def _record(path: Path, outcomes: Sequence[Outcome]) -> None:
    new = [row for outcome in outcomes for row in outcome.rows]
    cases = {row["case"] for row in new}
    kept = [row for row in read_results(path)["rows"] if row["case"] not in cases] if path.exists() else []
    write_results(path, "surflow reproduce synthetic", kept + new)


# -- figures of merit ---------------------------------------------------------------------------------------


def _over_seeds(table: _Table, data: str, model: str, metric: str) -> list[float]:
    return [outcome.value(metric) for (name, made, _), outcome in table.items() if (name, made) == (data, model)]


def _mean_and_spread(values: Sequence[float]) -> tuple[float, float]:
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


# The case; the gap of every model with its spread, goals, and the report's gaps.
_Standing = tuple[str, Mapping[str, tuple[float, float]], Mapping[str, float], Mapping[str, float]]


def _standing(comparison: Comparison, table: _Table) -> list[_Standing]:
    lines: list[_Standing] = []
    for data in dict.fromkeys(name for name, _, _ in table):
        found = {model: _mean_and_spread(_over_seeds(table, data, model, "gap")) for model in comparison.models}
        goals = {model: goal for (name, model), goal in comparison.goals.items() if name == data}
        reported = {model: old for (name, model), old in comparison.reported.items() if name == data}
        lines.append((f"{comparison.case}/{data}", found, goals, reported))
    return lines


def _summary(standing: Sequence[_Standing], show: Shower) -> Section:
    section = Section("summary", "Summary")
    aimed = [(case, name, found[name][0], goal) for case, found, goals, _ in standing for name, goal in goals.items()]
    missed = [f"{case} {model} ({gap:.3f}, not {goal:g})" for case, model, gap, goal in aimed if not gap <= goal]
    reported = [(found[model][0], old) for _, found, _, reports in standing for model, old in reports.items()]
    section.cards.append(
        {
            "what": "Goals met",
            "value": f"{len(aimed) - len(missed)} of {len(aimed)}",
            "error": "",
            "note": "mean gap over the seeds against the goal" + (f"; missed: {', '.join(missed)}" if missed else ""),
            "tag": "",
        }
    )
    if reported:
        section.cards.append(
            {
                "what": "Against the report and the original code",
                "value": f"{sum(gap < old for gap, old in reported)} of {len(reported)}",
                "error": "",
                "note": "of the models that were reported are closer to the truth here",
                "tag": "",
            }
        )
    rows = [
        (case, found, min(goals.values(), default=None), min(reports.values(), default=None))
        for case, found, goals, reports in standing
    ]
    caption = "Distance to the truth of every model; bars are standard deviations over seeds."
    section.pictures.append(show("gaps", pictures.gaps(rows), caption))
    return section


def _merits(comparison: Comparison, table: _Table) -> dict[str, object]:
    lines, marks = [], []
    for data in dict.fromkeys(name for name, _, _ in table):
        for model, made in comparison.models.items():
            gap, spread = _mean_and_spread(_over_seeds(table, data, model, "gap"))
            goal, old = comparison.goals.get((data, model)), comparison.reported.get((data, model))
            marks.append("" if goal is None else "met" if gap <= goal else "missed")
            lines.append(
                [
                    data,
                    made.title,
                    *(plus_minus(gap, spread) if spread else (f"{gap:.4f}".replace("-", "−"), "")),
                    "" if goal is None else f"{goal:g}, {marks[-1]}",
                    "" if old is None else f"{old:g}",
                    f"{statistics.fmean(_over_seeds(table, data, model, 'nll')):.3f}".replace("-", "−"),
                    f"{_over_seeds(table, data, model, 'entropy')[0]:.3f}".replace("-", "−"),
                    f"{statistics.fmean(_over_seeds(table, data, model, 'seconds')):.0f}",
                    f"{_over_seeds(table, data, model, 'steps')[0]:,.0f}",
                    f"{_over_seeds(table, data, model, 'parameters')[0]:,.0f}",
                ]
            )
    head = ["data", "model", "gap (nats)", "±", "goal", "report", "NLL", "entropy", "seconds", "steps", "parameters"]
    return {"head": head, "rows": lines, "numbers": [2, 3, 5, 6, 7, 8, 9, 10], "marks": marks, "marked": 4}


# -- pictures -----------------------------------------------------------------------------------------------


def _sets(show: Shower) -> Section:
    sets = [synthetic_set(name) for name in synthetic_names()]
    return Section(
        "sets",
        "Figures 1 and 2: the data",
        pictures=[
            show("figure-01", pictures.data_sets(sets, labelled=False), "The sets of the plane."),
            show("figure-02", pictures.data_sets([s for s in sets if s.classes], labelled=True), "Their labels."),
        ],
    )


def _section(comparison: Comparison, table: _Table, show: Shower) -> Section:
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
            law = given.law()
            points, labels = law.sample_labelled(DRAWN, seed=0)
            grid = torch.cartesian_prod(*[torch.linspace(a, b, 2 * RESOLUTION + 1)[1::2] for a, b in limits])
            image = scores(law, grid).exp().reshape(RESOLUTION, RESOLUTION).numpy()
            colours = labels.numpy() if given.labelled else None
            drawn = [Panel("data", points=points.numpy(), labels=colours, data=True)]
            dense = [Panel("true density", image=image)]
            for model, outcome in first.items():
                gap = statistics.fmean(_over_seeds(table, data, model, "gap"))
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
        caption = "Densities, the true one first; the gap is the mean over the seeds."
        section.pictures.append(show(f"{name}-densities", pictures.panels(densities), caption))
        caption = "NLL of the training batches, all fresh draws, and the entropy."
        section.pictures.append(show(f"{name}-losses", pictures.losses(losses), caption))
        section.pictures += _learned_q(comparison, table, show)
    section.tables.append(_merits(comparison, table))
    return section


def _learned_q(comparison: Comparison, table: _Table, show: Shower) -> list:
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
    caption = "Figure 8: the learned probabilities of a positive sign over training, three seeds, and the true ones."
    return [show(f"{comparison.case}-q", pictures.learned_q(columns), caption)]


def _lines(comparison: Comparison, table: _Table, show: Shower) -> list:
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
