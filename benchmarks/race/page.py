"""The page and the pictures of a recorded race: `python -m benchmarks.race.page docs/results/race.json`."""

from __future__ import annotations

import ast
import itertools
import sys
from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullFormatter

from benchmarks.race.worker import RECIPES
from benchmarks.show import find, models_of, number
from surflow.evaluation.results import Row, read_results
from surflow.plots.style import DATA, INK, SAMPLES, new_figure, save, style_axes

_OURS, _GOAL = "surflow", 1 / 3
_COLOURS = {
    _OURS: DATA, "zuko": SAMPLES, "nflows": "#3b8f6f", "normflows": "#7a4fa0", "sbi": INK, "flowjax": "#b8ac1a",
}  # fmt: skip

# (seconds, NLL) of the checkpoints in their order.
Curve = list[tuple[float, float]]


def write(path: Path) -> list[Path]:
    """The page beside the file, a picture of each set's curves in the folder of its name."""
    content = read_results(path)
    rows: list[Row] = content["rows"]
    names = list(dict.fromkeys(row["case"] for row in rows))
    parts = [
        "# Time to quality",
        f"`{content['command']}`, with {', '.join(f'{name} {v}' for name, v in content['versions'].items())}.",
        "Held-out negative log-likelihood against processor seconds on one core, from the start of the process with "
        "its imports and all compilation; smaller is better. Every library runs by its own recipe, surflow by what "
        "`surflow train` does without options; rows, splits and units are the same for all. A point of a curve is the "
        "checkpoint with the best validation so far, and neither it nor its choice is on the clock; the next comes 15 %"
        " later. Of integers surflow states the probability, and peers, given noise on them, a bound on it.",
    ]
    if goals := _goals(rows, names):
        parts += ["## Seconds to the best peer's final likelihood", goals]
    models = [model for model in RECIPES if any(row["model"] == model for row in rows)]
    parts += ["## Recipes", "\n".join(f"- **{model}**: {_recipe(model)}" for model in models)]
    written = [path]
    for name in names:
        picture = save(_picture(rows, name), path.with_suffix("") / f"{name}.png", dpi=150)
        written.append(picture)
        parts += [f"## {name}", f"![{name}: NLL against seconds]({path.stem}/{picture.name})", _table(rows, name)]
    page = path.with_suffix(".md")
    page.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
    return [*written, page]


def _recipe(model: str) -> str:
    """What the docstring of a recipe says; its module could not be imported without the library."""
    tree = ast.parse((Path(__file__).parent / f"{RECIPES[model]}.py").read_text(encoding="utf-8"))
    function = next(node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == model)
    return " ".join((ast.get_docstring(function) or "").split())


def curve(rows: Sequence[Row], name: str, model: str) -> Curve:
    """What was recorded of a model on a set."""
    points: Curve = []
    for i in itertools.count():
        seconds, nll = find(rows, name, model, f"seconds {i}"), find(rows, name, model, f"nll {i}")
        if seconds is None or nll is None:
            return points
        points.append((seconds["value"], nll["value"]))
    raise AssertionError  # count has no end


def reached(points: Curve, target: float) -> float | None:
    """The seconds of the first checkpoint with this NLL, or None."""
    return next((seconds for seconds, nll in points if nll <= target), None)


def _at(points: Curve, seconds: float) -> float | None:
    """The NLL of the last checkpoint by then."""
    return next((nll for then, nll in reversed(points) if then <= seconds), None)


def _goals(rows: Sequence[Row], names: Sequence[str]) -> str:
    """Our time as a share of the best peer's: goal a third."""
    lines = [
        "| set | best peer | its NLL | its seconds | surflow's | share | a third |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in names:
        curves = {model: curve(rows, name, model) for model in models_of(rows, name)}
        ours = curves.pop(_OURS, None)
        if ours is None or not curves:
            continue
        best = min(curves, key=lambda model: curves[model][-1][1])
        target = curves[best][-1][1]
        theirs, seconds = reached(curves[best], target), reached(ours, target)
        cells = [name, best, _nats(target), number(theirs or 0), *_share(seconds, theirs, ours)]
        met = seconds is not None and theirs is not None and seconds <= _GOAL * theirs
        lines.append(f"| {' | '.join([*cells, 'met' if met else '**missed**'])} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _table(rows: Sequence[Row], name: str) -> str:
    """Every model's end, when we were there, and where we were then."""
    ours = curve(rows, name, _OURS)
    lines = [
        f"| {name} | first step, s | end, s | NLL | reached, s | surflow reached it, s | share | surflow then |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model in models_of(rows, name):
        points = curve(rows, name, model)
        end, target = points[-1]
        last, ended = find(rows, name, model, f"nll {len(points) - 1}"), find(rows, name, model, "ended by itself")
        error = last["error"] if last is not None else None
        theirs = reached(points, target)
        stop = f"{number(end)}, by itself" if ended is not None and ended["value"] else number(end)
        cells = [model, number(points[0][0]), stop, f"{_nats(target)} ± {number(error or 0)}", number(theirs or 0)]
        if model == _OURS or not ours:
            cells += ["", "", ""]
        else:
            then = _at(ours, end)
            cells += [*_share(reached(ours, target), theirs, ours), "" if then is None else _nats(then)]
        lines.append(f"| {' | '.join(cells)} |")
    unit = next((row["unit"] for row in rows if row["case"] == name and row["metric"] == "nll 0"), "")
    note = f"In {unit}, with the standard error over test rows; surflow then: its NLL at the end of that model."
    return "\n".join(lines) + f"\n\n{note}"


def _share(seconds: float | None, theirs: float | None, ours: Curve) -> tuple[str, str]:
    if seconds is None or theirs is None:
        return f"not in {number(ours[-1][0])}", "none"
    return number(seconds), f"{seconds / theirs:.2f}"


def _nats(value: float) -> str:
    return f"{value:.3f}"


def _picture(rows: Sequence[Row], name: str) -> Figure:
    """A line per model, in seconds on a logarithmic scale; a dot where one ended by itself."""
    figure = new_figure(6.4, 3.6)
    ax = figure.subplots()
    curves = {model: curve(rows, name, model) for model in models_of(rows, name)}
    for model, points in curves.items():
        seconds, nll = zip(*points, strict=True)
        width = 2.4 if model == _OURS else 1.4
        ax.plot(seconds, nll, color=_COLOURS[model], linewidth=width, label=model, zorder=3 if model == _OURS else 2)
        ended = find(rows, name, model, "ended by itself")
        if ended is not None and ended["value"]:
            ax.plot(seconds[-1], nll[-1], "o", color=_COLOURS[model], markersize=5)
    ends = [points[-1][1] for points in curves.values()]
    # What matters lies near the ends: the first steps are off the scale.
    room = max(max(ends) - min(ends), 0.02 * abs(min(ends)), 1e-3)
    ax.set_ylim(min(ends) - 0.15 * room, max(ends) + room)
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("processor seconds")
    ax.set_ylabel(
        f"held-out NLL, {next(row['unit'] for row in rows if row['metric'] == 'nll 0' and row['case'] == name)}"
    )
    style_axes(ax)
    ax.legend(frameon=False, fontsize=8.5)
    return figure


if __name__ == "__main__":
    for written in write(Path(sys.argv[1])):
        print(written)
