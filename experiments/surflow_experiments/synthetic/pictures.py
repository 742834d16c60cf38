"""Pictures of the plane: samples and densities in grids, losses, learned signs, and gaps to the entropy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from surflow.data import Synthetic
from surflow.plots.events import class_colours, top_of_mass
from surflow.plots.style import DATA, INK, QUIET, REFERENCE, SAMPLES, frame, new_figure, style_axes, to_numpy

Frame = tuple[tuple[float, float], tuple[float, float]]

_MOST_POINTS = 3000
_FEWEST_NATS = 1e-3
# Curves of models: told apart by lightness as well, for colour-blind readers and grey print.
_MODELS = (DATA, SAMPLES, "#009e73", "#cc79a7", "#30363d", "#56b4e9")
_BAND = "#f4f6f8"
_DASHED = (0, (5, 3))
_ACROSS = 4
_SETS_ACROSS = 5


@dataclass
class Panel:
    """What one panel of a grid shows.

    Attributes:
        title: over it.
        points: shape (n, 2); 3000 of them are drawn.
        labels: of the points, shape (n,), integers: they give the colours.
        image: a density, shape (G, G): [i, j] is that at x_i, y_j, and the grid's cells fill the frame.
        lines: curves in the plane, each of shape (P, 2).
        note: a short text under it.
        data: True for the truth, whose points are in the colour of data, not in that of samples.
    """

    title: str
    points: np.ndarray | None = None
    labels: np.ndarray | None = None
    image: np.ndarray | None = None
    lines: Sequence[np.ndarray] = ()
    note: str = ""
    data: bool = False


def panels(rows: Sequence[tuple[str, Frame, Sequence[Panel | None]]], size: float = 1.9) -> Figure:
    """A grid of panels, ``size`` inches wide each: rows with a name, a frame ((left, right), (low, high)) and panels.

    A title stands over the first panel of a column and over every one that has another title than the one above it.
    None leaves a hole.

    >>> from surflow.data import moons
    >>> panel = Panel("data", moons.sample(100, seed=0).numpy(), data=True)
    >>> len(panels([("moons", ((-3, 3), (-3, 3)), [panel, None])]).axes)
    2
    """
    across = max(len(row) for _, _, row in rows)
    shapes = [_shape(limits) for _, limits, _ in rows]
    figure = new_figure(size * across + 0.25, size * sum(shapes) + 0.2 * len(rows) + 0.1)
    figure.set_layout_engine("compressed", w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    axes = figure.subplots(len(rows), across, squeeze=False, gridspec_kw={"height_ratios": shapes})
    above: dict[int, str] = {}
    for (name, limits, row), line in zip(rows, axes, strict=True):
        for i, ax in enumerate(line):
            panel = row[i] if i < len(row) else None
            if panel is None:
                # Without a frame, but with its position and, in the first column, the row's name.
                _fit(ax, limits)
                ax.spines[:].set_visible(False)
            else:
                _draw(ax, panel, limits)
                if above.get(i) != panel.title:
                    ax.set_title(panel.title, fontsize=9, color=INK, pad=3)
                above[i] = panel.title
        line[0].set_ylabel(name, fontsize=9, color=INK, labelpad=4)
    return figure


def data_sets(sets: Sequence[Synthetic], *, labelled: bool) -> Figure:
    """The data sets, 10 000 draws each of which 3000 are drawn, five a row; with colours for their labels if labelled.

    >>> from surflow.data import circle, moons
    >>> len(data_sets([moons, circle], labelled=False).axes)
    2
    """
    across = min(len(sets), _SETS_ACROSS)
    down = math.ceil(len(sets) / across)
    figure = new_figure(1.9 * across, 2.1 * down)
    figure.set_layout_engine("compressed", w_pad=0.03, h_pad=0.03, wspace=0, hspace=0)
    axes = figure.subplots(down, across, squeeze=False).ravel()
    for ax in axes[len(sets) :]:
        ax.remove()
    for ax, data in zip(axes, sets, strict=False):
        x, labels = data.sample_labelled(10_000, seed=0)
        points = to_numpy(x)
        shown = labels.numpy() if labelled and data.classes is not None else None
        _draw(ax, Panel(data.name, points, shown, data=True), _square(points))
        ax.set_title(data.name, fontsize=9, color=INK, pad=3)
    return figure


def losses(columns: Sequence[tuple[str, float, Mapping[str, np.ndarray]]]) -> Figure:
    """The NLL of training batches, one panel for a data set: its name, its entropy, and (step, NLL) rows of the models.

    The scale is that of training after its beginning, which is cut off; a running mean lies over the batches.

    >>> steps = np.arange(200.0)
    >>> losses([("moons", 1.0, {"flow": np.stack([steps, 1 + 50 / (steps + 1)], 1)})]).axes[0].get_ylabel()
    'NLL (nats)'
    """
    names = list(dict.fromkeys(name for _, _, curves in columns for name in curves))
    figure, axes = _grid(len(columns))
    for i, (ax, (title, floor, curves)) in enumerate(zip(axes, columns, strict=False)):
        ax.set_title(title, fontsize=9, color=INK)
        late = [np.array([floor] if math.isfinite(floor) else [])]
        for name, rows in curves.items():
            curve = rows[np.isfinite(rows[:, 1])]
            late.append(curve[len(curve) // 20 :, 1])
            colour = _MODELS[names.index(name)]
            ax.plot(*curve.T, color=colour, alpha=0.18, linewidth=0.5)
            ax.plot(curve[:, 0], _running_mean(curve[:, 1]), color=colour, linewidth=1.4)
        shown = np.concatenate(late)
        if math.isfinite(floor):
            ax.axhline(floor, color=REFERENCE, linestyle=_DASHED, linewidth=1.1)
        if len(shown):
            low, high = np.quantile(shown, [0.005, 0.985])
            span = max(high - low, 0.05)
            ax.set_ylim(min(low, floor if math.isfinite(floor) else low) - 0.1 * span, high + 0.25 * span)
        ax.set_xlabel("step")
        if i % _ACROSS == 0:
            ax.set_ylabel("NLL (nats)")
    handles = [
        Line2D([], [], color=colour, linewidth=1.6, label=name) for name, colour in zip(names, _MODELS, strict=False)
    ]
    handles.append(Line2D([], [], color=REFERENCE, linestyle=_DASHED, linewidth=1.1, label="entropy"))
    _legend(figure, handles)
    return figure


def learned_q(columns: Sequence[tuple[str, tuple[float, float], Sequence[np.ndarray]]]) -> Figure:
    """Probabilities of a positive sign on both axes while they are learned, one panel for a data set.

    A column is its name, the true probabilities, and for every seed rows of (step, the one of x, the one of y).

    >>> rows = np.array([[0, 0.5, 0.5], [100, 0.69, 0.51]])
    >>> learned_q([("moons", (0.7, 0.5), [rows])]).axes[0].get_title()
    'moons'
    """
    figure, axes = _grid(len(columns))
    axes_of_plane = (("of x", DATA), ("of y", SAMPLES))
    values = [q for _, truth, seeds in columns for q in (*truth, *(v for rows in seeds for v in rows[:, 1:].ravel()))]
    low, high = min(0.4, *(v - 0.03 for v in values)), max(0.9, *(v + 0.03 for v in values))
    for i, (ax, (title, truth, seeds)) in enumerate(zip(axes, columns, strict=False)):
        ax.set_title(title, fontsize=9, color=INK)
        for axis, (_, colour) in enumerate(axes_of_plane):
            ax.axhline(truth[axis], color=colour, linestyle=_DASHED, linewidth=1.1)
            for rows in seeds:
                ax.plot(rows[:, 0], rows[:, axis + 1], color=colour, alpha=0.8, linewidth=1.0)
        ax.set_ylim(low, high)
        ax.set_xlabel("step")
        if i % _ACROSS == 0:
            ax.set_ylabel("probability of\na positive sign")
        else:
            ax.tick_params(labelleft=False)
    handles = [Line2D([], [], color=colour, linewidth=1.6, label=f"sign {of}") for of, colour in axes_of_plane]
    handles.append(Line2D([], [], color=QUIET, linestyle=_DASHED, linewidth=1.1, label="truth"))
    _legend(figure, handles)
    return figure


def gaps(rows: Sequence[tuple[str, tuple[float, float], float | None, float | None]]) -> Figure:
    """Gaps to the entropy on a logarithmic axis, one line for a model of a case, first on top.

    A row is its label, the mean over the seeds with their standard deviation, the goal, and the figure of the
    study. A gap beyond its goal has another marker. What lies at or below 0.001 nats is drawn there as an arrow to the
    left, and what is not finite as an arrow at the right end.

    >>> gaps([("moons, NF", (0.02, 0.005), 0.05, None)]).axes[0].get_xlabel()
    'gap to the entropy (nats)'
    """
    figure = new_figure(7.6, 0.19 * len(rows) + 1.1)
    ax = figure.subplots()
    style_axes(ax)
    ax.set_xscale("log")
    found = [v for _, (mean, _), goal, earlier in rows for v in (mean, goal, earlier)]
    finite = [v for v in found if v is not None and math.isfinite(v)]
    right = 1.6 * max(*finite, 0.1) if finite else 1.0
    for position, (_, (mean, deviation), goal, earlier) in enumerate(rows):
        if position % 2:
            ax.axhspan(position - 0.5, position + 0.5, color=_BAND, linewidth=0, zorder=0)
        if goal is not None:
            ax.plot(
                max(goal, _FEWEST_NATS), position, "|", color=REFERENCE, markersize=9, markeredgewidth=1.6, zorder=2
            )
        if earlier is not None:
            _dot(ax, earlier, position, right, QUIET, "x", 5.0)
        missed = goal is not None and not mean <= goal
        colour = SAMPLES if missed else DATA
        if _FEWEST_NATS < mean < math.inf and deviation > 0:
            ends = max(mean - deviation, _FEWEST_NATS), min(mean + deviation, right)
            ax.plot(ends, [position] * 2, color=colour, linewidth=1.1, zorder=3)
        _dot(ax, mean, position, right, colour, "s" if missed else "o", 4.6)
    ax.set_xlim(0.8 * _FEWEST_NATS, 1.15 * right)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_yticks(range(len(rows)), [label for label, *_ in rows], fontsize=8)
    ax.grid(axis="y", visible=False)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_formatter(FuncFormatter(lambda v, _: "≤ 0.001" if v <= 1.01 * _FEWEST_NATS else f"{v:g}"))
    ax.tick_params(axis="x", which="both", labeltop=len(rows) > 20, top=len(rows) > 20)
    ax.tick_params(axis="x", which="minor", length=2, color=QUIET)
    ax.set_xlabel("gap to the entropy (nats)")

    def handle(marker: str, size: float, colour: str, label: str) -> Line2D:
        return Line2D([], [], color=colour, linestyle="none", marker=marker, markersize=size, label=label)

    handles = [handle("o", 4.6, DATA, "here")]
    if any(goal is not None and not mean <= goal for _, (mean, _), goal, _ in rows):
        handles.append(handle("s", 4.6, SAMPLES, "here, goal missed"))
    if any(goal is not None for _, _, goal, _ in rows):
        handles.append(handle("|", 9, REFERENCE, "goal"))
    if any(earlier is not None for *_, earlier in rows):
        handles.append(handle("x", 5, QUIET, "the study or the original code"))
    if len(finite) < sum(v is not None for v in found):
        handles.append(handle(">", 5, REFERENCE, "not finite"))
    _legend(figure, handles)
    return figure


# -- pieces -------------------------------------------------------------------------------------------------


def _draw(ax: Axes, panel: Panel, limits: Frame) -> None:
    (left, right), (low, high) = limits
    if panel.image is not None:
        image = np.nan_to_num(panel.image, nan=0, posinf=0, neginf=0)
        top = top_of_mass(image)  # so that one spike does not darken the rest
        ax.imshow(image.T, origin="lower", extent=(left, right, low, high), vmin=0, vmax=top or 1, cmap="viridis")
    if panel.points is not None:
        # Evenly spaced rows: the draws may be in an order.
        kept = np.unique(
            np.linspace(0, len(panel.points) - 1, min(_MOST_POINTS, len(panel.points))).round().astype(int)
        )
        colours = DATA if panel.data else SAMPLES
        if panel.labels is not None:
            colours = np.array(class_colours(int(panel.labels.max()) + 1))[panel.labels[kept]]
        x, y = panel.points[kept].T
        # One collection in the order of the draws: no class covers another.
        ax.scatter(x, y, s=1.2, c=colours, alpha=0.6, linewidths=0)
    for line in panel.lines:
        ax.plot(*line.T, color=REFERENCE, linewidth=0.9)
    _fit(ax, limits)
    if panel.note:
        ax.set_xlabel(panel.note, fontsize=7.5, color=INK, labelpad=2)


def _fit(ax: Axes, limits: Frame) -> None:
    ax.set(xlim=limits[0], ylim=limits[1], xticks=[], yticks=[], aspect="equal")
    ax.spines[:].set(color=QUIET, linewidth=0.5)


def _shape(limits: Frame) -> float:
    """Height of a frame in units of its width."""
    (left, right), (low, high) = limits
    return (high - low) / (right - left)


def _square(points: np.ndarray) -> Frame:
    """A square frame, so that all panels are alike."""
    limits = frame(points)
    half = max(high - low for low, high in limits) / 2
    (left, right), (bottom, top) = [((low + high) / 2 - half, (low + high) / 2 + half) for low, high in limits]
    return (left, right), (bottom, top)


def _grid(count: int) -> tuple[Figure, list[Axes]]:
    """Axes for curves, four a row."""
    across = min(count, _ACROSS)
    down = math.ceil(count / across)
    figure = new_figure(2.5 * across + 0.4, 2.2 * down + 0.4)
    axes = list(figure.subplots(down, across, squeeze=False).ravel())
    for ax in axes[count:]:
        ax.remove()
    for ax in axes[:count]:
        style_axes(ax, small=True)
        ax.xaxis.set_major_locator(MaxNLocator(3, integer=True))
    return figure, axes[:count]


def _dot(ax: Axes, value: float, position: float, right: float, colour: str, marker: str, size: float) -> None:
    if not math.isfinite(value):
        value, marker = right, ">"
    elif value <= _FEWEST_NATS:
        value, marker = _FEWEST_NATS, "<"
    ax.plot(value, position, marker, color=colour, markersize=size, zorder=4)


def _running_mean(values: np.ndarray) -> np.ndarray:
    """Means over a thirtieth of the steps, over fewer at the ends."""
    window = np.ones(max(1, len(values) // 30) | 1)
    return np.convolve(values, window, "same") / np.convolve(np.ones(len(values)), window, "same")


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, fontsize=8.5, labelcolor=INK
    )
