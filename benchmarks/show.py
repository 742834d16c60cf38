"""The table and the pictures of a recorded benchmark: `python -m benchmarks.show docs/results/benchmark.json`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.cases import COMPARED
from benchmarks.model import BOUNDS
from benchmarks.scaling import SIZES, action
from surflow.evaluation.results import Row, read_results
from surflow.plots.style import DATA, QUIET, SAMPLES, new_figure, save, style_axes

_TIMES = {"train_step": "training step", "log_prob": "log-density", "sample": "draws"}
_AXES = {"size": "coordinates", "batch": "rows", "layers": "couplings", "importance": "importance samples"}
_BOUND = "#c9ced5"


def write(path: Path) -> list[Path]:
    """Everything that is made from the file: the table beside it, the pictures in the folder of its name."""
    content = read_results(path)
    rows: list[Row] = content["rows"]
    table = path.with_suffix(".md")
    table.write_text(_page(content["command"], content["versions"], rows), encoding="utf-8")
    folder = path.with_suffix("")
    written = [path, table]
    for case in COMPARED:
        if models_of(rows, case):
            written.append(save(_bars(rows, case), folder / f"{case}.png", dpi=150))
    if models_of(rows, "scaling"):
        written.append(save(_scaling(rows), folder / "scaling.png", dpi=150))
    return written


def models_of(rows: Sequence[Row], case: str) -> list[str]:
    """The models of a case, in their order."""
    return list(dict.fromkeys(row["model"] for row in rows if row["case"] == case))


def find(rows: Sequence[Row], case: str, model: str, metric: str) -> Row | None:
    """The row of a figure, if there is one."""
    key = (case, model, metric)
    return next((row for row in rows if (row["case"], row["model"], row["metric"]) == key), None)


# -- the table ------------------------------------------------------------------------------------------


def _page(command: str, versions: dict[str, str], rows: Sequence[Row]) -> str:
    parts = [
        "# Benchmark",
        f"`{command}`, with {', '.join(f'{name} {version}' for name, version in versions.items())}.",
        "Processor time on one core in ms, the median of repetitions taken in turn, with its standard error, and "
        "as a multiple of surflow's. Models of a case have the same size, see the parameters. `limit` is torch's "
        "matrix products alone, `bare` the same arithmetic written by hand. Memory is "
        "the growth of a process that trains.",
    ]
    if goals := _goals(rows):
        parts += ["## goals", goals]
    for case in COMPARED:
        if models_of(rows, case):
            parts += [f"## {case}", _table(rows, case)]
    if models_of(rows, "scaling"):
        parts += ["## scaling", _exponents(rows)]
    if models_of(rows, "first_use"):
        seconds = [row for row in rows if row["case"] == "first_use"]
        lines = [
            "| first use | s |",
            "|---|---|",
            *(f"| {row['metric']} | {number(row['value'])} |" for row in seconds),
        ]
        parts += ["## first use", "\n".join(lines)]
    return "\n\n".join(parts) + "\n"


# The most that our time may be of the best of others: case, metric, the others, share.
_TORCH = ("zuko", "nflows", "normflows", "FrEIA")
_GOALS = [
    ("affine", "train_step", ("flowjax",), 0.85),
    ("affine", "train_step", _TORCH, 0.6),
    ("affine", "train_step", ("limit",), 1 / 0.75),
    ("affine", "log_prob", ("flowjax",), 1.0),
    ("affine", "sample", ("flowjax",), 1.0),
    ("affine", "log_prob", ("limit",), 1 / 0.9),
    ("affine", "sample", ("limit",), 1 / 0.9),
    ("spline", "train_step", ("flowjax",), 0.8),
    ("spline", "train_step", _TORCH, 0.4),
    *(("spline", metric, ("flowjax",), 0.75) for metric in ("log_prob", "sample")),
    *(("spline", metric, _TORCH, 0.3) for metric in ("log_prob", "sample")),
    ("autoregressive", "train_step", (*_TORCH, "flowjax"), 0.8),
    ("autoregressive", "sample", (*_TORCH, "flowjax"), 0.5),
    ("image", "train_step", _TORCH, 0.8),
    *((f"layers.{name}", "train_step", ("bare",), 1.0) for name in ("abs", "max_pool", "sort", "dequantize")),
]


def _goals(rows: Sequence[Row]) -> str:
    """Which goals were reached, by our faster model, compiled where there is one."""
    lines = ["| case | time | of | goal, at most | measured | |", "|---|---|---|---|---|---|"]
    for case, metric, others, goal in _GOALS:
        ours = [find(rows, case, model, metric) for model in ("surflow", "surflow-compiled")]
        theirs = [find(rows, case, model, metric) for model in others]
        if not any(ours) or not any(theirs):
            continue
        share = min(row["value"] for row in ours if row) / min(row["value"] for row in theirs if row)
        name = "the best on PyTorch" if others == _TORCH else "the best of all" if len(others) > 1 else others[0]
        verdict = "met" if share <= goal else "**missed**"
        lines.append(f"| {case} | {_TIMES[metric]} | {name} | {goal:.2f} | {share:.2f} | {verdict} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _table(rows: Sequence[Row], case: str) -> str:
    models = models_of(rows, case)
    times = {metric: name for metric, name in _TIMES.items() if any(find(rows, case, m, metric) for m in models)}
    lines = [
        f"| {case} | {' | '.join(times.values())} | memory, MB | parameters |",
        "|---" * (len(times) + 3) + "|",
    ]
    for model in models:
        cells = [_time(find(rows, case, model, metric), find(rows, case, "surflow", metric)) for metric in times]
        memory, size = find(rows, case, model, "peak_memory"), find(rows, case, model, "parameters")
        cells += [f"{memory['value']:.0f}" if memory else "", f"{size['value']:,.0f}" if size else ""]
        lines.append(f"| {model} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _time(row: Row | None, ours: Row | None) -> str:
    if row is None:
        return ""
    text = f"{number(row['value'])} ± {number(row['error'] or 0)}"
    return text if ours is None or ours is row else f"{text} ({row['value'] / ours['value']:.2f} ×)"


def number(value: float) -> str:
    """Three digits or so."""
    return (
        f"{value:.0f}"
        if value >= 100
        else f"{value:.1f}"
        if value >= 10
        else f"{value:.2g}"
        if value < 1
        else f"{value:.2f}"
    )


def _exponents(rows: Sequence[Row]) -> str:
    lines = ["| | time grows with the power | memory with the power |", "|---|---|---|"]
    for axis in SIZES:
        found = [find(rows, "scaling", axis, f"{metric}_exponent") for metric in (action(axis), "peak_memory")]
        cells = ["" if row is None else f"{row['value']:.2f}" for row in found]
        lines.append(f"| {_AXES[axis]} | {' | '.join(cells)} |")
    return "\n".join(lines)


# -- the pictures ---------------------------------------------------------------------------------------


def _bars(rows: Sequence[Row], case: str) -> Figure:
    """A panel per metric, a bar per model; surflow in the colour of its own, bounds in grey."""
    models = models_of(rows, case)
    metrics = [metric for metric in _TIMES if any(find(rows, case, model, metric) for model in models)]
    figure = new_figure(3.0 * len(metrics) + 0.8, 0.7 + 0.32 * len(models))
    axes = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
    for ax, metric in zip(axes, metrics, strict=True):
        found = {model: row for model in models if (row := find(rows, case, model, metric))}
        values = [row["value"] for row in found.values()]
        colours = [DATA if model.startswith("surflow") else _BOUND if model in BOUNDS else SAMPLES for model in found]
        places = [models.index(model) for model in found]
        ax.barh(places, values, xerr=[row["error"] or 0 for row in found.values()], color=colours, height=0.7)
        for place, value in zip(places, values, strict=True):
            ax.annotate(number(value), (value, place), (4, 0), textcoords="offset points", va="center", fontsize=8)
        ax.set_yticks(range(len(models)), models)
        ax.set_xlim(0, 1.2 * max(values))
        ax.set_xlabel(f"{_TIMES[metric]}, ms")
        style_axes(ax)
        ax.grid(False, axis="y")
    axes[0].invert_yaxis()
    return figure


def _scaling(rows: Sequence[Row]) -> Figure:
    """A panel per axis: time on the left scale, memory on the right, both logarithmic."""
    figure = new_figure(10.0, 6.4)
    for ax, axis in zip(figure.subplots(2, 2).flat, SIZES, strict=True):
        _line(ax, rows, axis, action(axis), DATA, "o-", f"{_TIMES[action(axis)]}, ms")
        other = ax.twinx()
        _line(other, rows, axis, "peak_memory", SAMPLES, "s--", "memory, MB")
        ax.set_xlabel(_AXES[axis])
        for part, colour in ((ax, DATA), (other, SAMPLES)):
            style_axes(part, grid=part is ax)
            part.yaxis.label.set_color(colour)
        other.spines["right"].set_visible(True)
        other.spines["right"].set_color(QUIET)
    return figure


def _line(ax: Axes, rows: Sequence[Row], axis: str, metric: str, colour: str, style: str, label: str) -> None:
    points = [(size, row["value"]) for size in SIZES[axis] if (row := find(rows, "scaling", f"{axis}={size}", metric))]
    ax.loglog(*zip(*points, strict=True), style, color=colour, markersize=4)
    ax.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if points[-1][1] < 30 * points[0][1] else (1,)))
    for scale in (ax.xaxis, ax.yaxis):
        scale.set_major_formatter("{x:g}")
        scale.set_minor_formatter(NullFormatter())
    power = find(rows, "scaling", axis, f"{metric}_exponent")
    ax.set_ylabel(label + ("" if power is None else f" (power {power['value']:.2f})"))


if __name__ == "__main__":
    for written in write(Path(sys.argv[1])):
        print(written)
