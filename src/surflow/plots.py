"""Pictures: every function returns a matplotlib Figure of its own, without pyplot and its global state.

Data are blue, samples orange, references black: told apart by colour-blind readers and in grey print.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from surflow.distribution import Distribution
from surflow.evaluation.likelihood import scores
from surflow.flow import Term

DATA, SAMPLES, REFERENCE = "#1f5a99", "#d9730d", "#1b1f24"
_QUIET, _FAINT, _INK = "#8a929c", "#e6e9ed", "#30363d"
# Okabe and Ito's colours, in an order of alternating lightness; more classes than these are taken from viridis.
_CLASSES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#4d4d4d", "#b8ac1a")
_DPI = 170
_DASHED = (0, (5, 3))
_MOST_POINTS = 4000
_MOST_COLUMNS = 6
_MOST_TERMS = 40
# Log-density of a bound: draws for each grid point of a picture.
_PICTURE_SAMPLES = 16


def save(figure: Figure, path: str | Path) -> Path:
    """Write the picture; the ending of the path says the format (png, svg, pdf)."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        # A column's name in a script that the font lacks is drawn as boxes: no reason to trouble the user.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(path, dpi=_DPI, facecolor="white", bbox_inches="tight", pad_inches=0.08)
    return path


def samples_beside_data(
    data: Tensor,
    samples: Tensor,
    columns: Sequence[str] = ("x₁", "x₂"),
    labels: Tensor | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Held-out data and as many samples in the plane, shapes (n, 2), in one frame; the frame is the data's.

    ``labels``, shape (n,), are the categories that row i of both sets was drawn for, with their names.

    >>> import torch
    >>> samples_beside_data(torch.randn(100, 2), torch.randn(100, 2)).axes[0].get_title()
    'data'
    """
    n = min(len(data), len(samples), _MOST_POINTS)
    real, fake = _numpy(data)[:n], _numpy(samples)[:n]
    limits = frame(real)
    figure = _figure(8.6, 4.0 * _shape(limits) + 0.7)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, points, title, colour in ((axes[0], real, "data", DATA), (axes[1], fake, "samples", SAMPLES)):
        _style(ax)
        size, alpha = _marker(n)
        if labels is None:
            ax.scatter(points[:, 0], points[:, 1], s=size, c=colour, alpha=alpha, linewidths=0)
        else:
            _scatter_classes(ax, points, _numpy(labels)[:n].astype(int), names, size, alpha)
        ax.set(xlim=limits[0], ylim=limits[1], xlabel=_name(columns[0]), title=title)
        _same_scale(ax, limits)
    axes[0].set_ylabel(_name(columns[1]))
    outside = _share_outside(fake, limits)
    if outside >= 0.0005:
        axes[1].set_xlabel(f"{_name(columns[0])}\n{100 * outside:.1f} % of the samples lie outside the frame")
    if labels is not None and names is not None and len(names) <= 12:
        _legend(figure, axes[0], len(names))
    return figure


def density(
    model: Distribution,
    bounds: Sequence[tuple[float, float]],
    context: Tensor | None = None,
    *,
    truth: Distribution | None = None,
    columns: Sequence[str] = ("x₁", "x₂"),
    titles: Sequence[str] | None = None,
    resolution: int | None = None,
) -> Figure:
    """The density over a rectangle of the plane, ``bounds = ((left, right), (bottom, top))``.

    There is one panel for each row of the context. A bound is drawn with 16 importance samples a point and called a
    bound. With ``truth`` its density stands beside, on the same scale. The scale ends at a density that 2 % of the mass
    surpass, so that one spike does not darken the rest.

    >>> import surflow as sf
    >>> density(sf.Normal(2), ((-3, 3), (-3, 3)), resolution=20).axes[0].get_title()
    'density of the flow'
    """
    resolution = resolution or (240 if model.exact else 128)
    (left, right), (low, high) = bounds
    x = torch.linspace(left, right, resolution + 1)
    y = torch.linspace(low, high, resolution + 1)
    grid = torch.cartesian_prod((x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2)  # pixel centres

    def image(law: Distribution, given: Tensor | None) -> np.ndarray:
        rows = None if given is None else given.expand(len(grid), *given.shape)
        log_density = scores(law, grid, rows, importance_samples=_PICTURE_SAMPLES)
        return log_density.exp().nan_to_num(0, 0, 0).reshape(resolution, resolution).T.numpy()

    conditions = [None] if context is None or model.context_shape is None else list(context)
    what = "density of the flow" if model.exact else "lower bound of the density"
    heading = [what] if len(conditions) == 1 else [f"context {i}" for i in range(len(conditions))]
    heading = heading if titles is None else [_name(title) for title in titles]
    panels = [(heading[i], image(model, given)) for i, given in enumerate(conditions)]
    if truth is not None:
        panels.append(("true density", image(truth, None)))
    across = min(len(panels), 4)
    down = math.ceil(len(panels) / across)
    width = {1: 5.0, 2: 4.1}.get(across, 2.7)
    figure = _figure(width * across + 1.1, (0.94 * width * _shape(bounds) + 0.4) * down + 0.3)
    axes = np.atleast_1d(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)).ravel()
    top = max(_top_of_mass(panel) for _, panel in panels) or 1.0
    if truth is not None:
        top = min(top, 2 * float(panels[-1][1].max())) or top
    beyond = max(float(panel.max()) for _, panel in panels) > 1.001 * top
    for ax, (title, panel) in zip(axes, panels, strict=False):
        drawn = ax.imshow(
            panel, origin="lower", extent=(left, right, low, high), vmin=0, vmax=top, cmap="viridis", aspect="auto"
        )
        _style(ax, grid=False)
        ax.set_title(title)
        _same_scale(ax, bounds)
    for i, ax in enumerate(axes):
        ax.set_visible(i < len(panels))
        if i >= len(panels) - across:
            ax.set_xlabel(_name(columns[0]))
            ax.tick_params(labelbottom=True)
        if i % across == 0:
            ax.set_ylabel(_name(columns[1]))
    bar = figure.colorbar(
        drawn, ax=list(axes[: len(panels)]), extend="max" if beyond else "neither", pad=0.02, aspect=28
    )
    bar.set_label("density (per unit of area)", color=_INK, fontsize=9)
    bar.ax.tick_params(labelsize=8, color=_QUIET, labelcolor=_INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def pairs(data: Tensor, samples: Tensor, columns: Sequence[str]) -> Figure:
    """Every pair of the first six columns, shapes (n, D): data below the diagonal, samples above, both on it.

    >>> import torch
    >>> len(pairs(torch.randn(50, 3), torch.randn(50, 3), ["a", "b", "c"]).axes)
    9
    """
    size = min(data.shape[1], _MOST_COLUMNS)
    n = min(len(data), len(samples), _MOST_POINTS)
    real, fake = _numpy(data)[:n, :size], _numpy(samples)[:n, :size]
    limits = frame(real)
    side = max(1.75, 5.2 / size) if size > 1 else 4.4
    figure = _figure(side * size + 0.5, side * size + 0.5 if size > 1 else 3.4)
    axes = figure.subplots(size, size, squeeze=False)
    dot, alpha = _marker(n * size)
    for i in range(size):
        for j in range(size):
            ax = axes[i, j]
            _style(ax, small=size > 3)
            if i == j:
                _histograms(ax, real[:, i], fake[:, i], limits[i])
                ax.set_yticks([])
                ax.set_title(_name(columns[i]) if size > 1 else "")
            else:
                points, colour = (real, DATA) if i > j else (fake, SAMPLES)
                ax.scatter(points[:, j], points[:, i], s=dot, c=colour, alpha=alpha, linewidths=0)
                ax.set_ylim(*limits[i])
            ax.set_xlim(*limits[j])
            ax.tick_params(labelbottom=i == size - 1, labelleft=j == 0 and i > 0)
            if i == size - 1:
                ax.set_xlabel(_name(columns[j]))
            if j == 0 and i > 0:
                ax.set_ylabel(_name(columns[i]))
    if size == 1:
        axes[0, 0].set_ylabel("share of rows per unit")
    _legend(figure, axes[0, 0], 2)
    return figure


def images(
    data: Tensor,
    samples: Tensor,
    labels: Tensor | None = None,
    names: Sequence[str] | None = None,
    levels: int | None = None,
) -> Figure:
    """Images, shapes (n, channels, height, width), in a grid: data on the left, samples on the right.

    With ``labels``, shape (n,), the categories that row i of both sets was drawn for, every category has a row.

    >>> import torch
    >>> len(images(torch.rand(9, 1, 4, 4), torch.rand(9, 1, 4, 4)).axes)
    2
    """
    across = 8
    pick = _picture_rows(len(data), across, None if labels is None else _numpy(labels).astype(int))
    low, high = (0.0, levels - 1.0) if levels else (float(data.min()), float(data.max()))
    down = len(pick)
    figure = _figure(9.2, 9.2 / 2 * down / across + 0.5)
    axes = figure.subplots(1, 2)
    figure.set_layout_engine("constrained", wspace=0.05)
    for ax, part, title in ((axes[0], data, "data"), (axes[1], samples, "samples")):
        tile = _numpy(((part.float() - low) / max(high - low, 1e-12)).clamp(0, 1))
        tile = tile.transpose(0, 2, 3, 1)  # channels last, as pictures are
        tile = tile if tile.shape[-1] == 3 else tile.mean(-1)
        height, width = tile.shape[1:3]
        gap = max(1, round(min(height, width) / 10))
        canvas = np.full((down * (height + gap) - gap, across * (width + gap) - gap, *tile.shape[3:]), np.nan)
        for r, row in enumerate(pick):
            for c, index in enumerate(row):
                top, left = r * (height + gap), c * (width + gap)
                canvas[top : top + height, left : left + width] = tile[index]
        canvas = np.where(np.isnan(canvas), 1.0, canvas) if canvas.ndim == 3 else canvas
        ax.imshow(canvas, cmap="gray_r", vmin=0, vmax=1, interpolation="nearest")
        _style(ax, grid=False)
        ax.spines[:].set_visible(False)
        ax.set_title(title)
        ax.set_xticks([])
        ax.set_yticks([])
        if labels is not None and names is not None and ax is axes[0]:
            order = [int(_numpy(labels)[row[0]]) for row in pick]
            ax.set_yticks([r * (height + gap) + height / 2 for r in range(down)], [_name(names[i]) for i in order])
            ax.tick_params(length=0)
    return figure


def clouds(data: Tensor, samples: Tensor) -> Figure:
    """Point clouds, shapes (n, 2, points): six held-out ones above, six samples below, in one frame.

    >>> import torch
    >>> len(clouds(torch.rand(9, 2, 20), torch.rand(9, 2, 20)).axes)
    12
    """
    n = min(6, len(data), len(samples))
    limits = frame(_numpy(data).transpose(0, 2, 1).reshape(-1, 2))
    figure = _figure(1.6 * n + 0.4, 3.6)
    axes = figure.subplots(2, n, sharex=True, sharey=True, squeeze=False)
    for row, part, title, colour in ((0, data, "data", DATA), (1, samples, "samples", SAMPLES)):
        for i in range(n):
            ax = axes[row, i]
            _style(ax, small=True)
            ax.scatter(part[i, 0].cpu(), part[i, 1].cpu(), s=7, c=colour, alpha=0.8, linewidths=0)
            ax.set(xlim=limits[0], ylim=limits[1])
            _same_scale(ax, limits)
        axes[row, 0].set_ylabel(title)
    return figure


def losses(log: Sequence[Mapping[str, Any]], entropy: float | None = None) -> Figure:
    """Training and validation NLL against the step, from rows with step, split, nll and learning_rate.

    The scale shows where training ends; early steps far above it are cut off, and the picture says where they began.

    >>> rows = [{"step": i, "split": "train", "nll": 3 / (i + 1), "learning_rate": 1e-3} for i in range(50)]
    >>> losses(rows).axes[0].get_ylabel()
    'NLL (nats per event)'
    """
    rows = [row for row in log if math.isfinite(float(row["nll"]))]
    curves = {
        split: np.array([(float(row["step"]), float(row["nll"])) for row in rows if row["split"] == split])
        for split in ("train", "validation")
    }
    rates = np.array([(float(row["step"]), float(row["learning_rate"])) for row in rows if row.get("learning_rate")])
    with_rates = len(rates) > 1 and rates[:, 1].max() > 0
    figure = _figure(8.6, 4.6 if with_rates else 3.8)
    grid = {"height_ratios": [4, 1]} if with_rates else {}
    axes = figure.subplots(2 if with_rates else 1, 1, sharex=True, squeeze=False, gridspec_kw=grid)[:, 0]
    ax = axes[0]
    _style(ax)
    train, validation = curves["train"], curves["validation"]
    if len(train):
        smooth = _running_median(train[:, 1])
        if len(train) > 40:
            ax.plot(*train.T, color=DATA, alpha=0.22, linewidth=0.7)
            ax.plot(train[:, 0], smooth, color=DATA, linewidth=1.7, label="training (running median)")
        else:
            ax.plot(*train.T, color=DATA, linewidth=1.7, label="training")
    if len(validation):
        few = len(validation) <= 60
        ax.plot(
            *validation.T, color=SAMPLES, linewidth=1.5, marker="o" if few else None, markersize=3.5, label="validation"
        )
        best = validation[validation[:, 1].argmin()]
        label = f"best validation: {_plain(best[1])} at step {best[0]:,.0f}"
        ax.plot(*best, "D", color=REFERENCE, markersize=5, label=label)
    if entropy is not None and math.isfinite(entropy):
        ax.axhline(
            entropy, color=REFERENCE, linestyle=_DASHED, linewidth=1.2, label=f"entropy, the floor: {_plain(entropy)}"
        )
    values = np.concatenate([curve[:, 1] for curve in curves.values() if len(curve)] or [np.zeros(1)])
    bottom, top = _loss_range(values, train, validation, entropy)
    ax.set_ylim(bottom, top)
    ax.set_ylabel("NLL (nats per event)")
    early = max(
        (float(curve[: max(1, len(curve) // 10), 1].max()) for curve in curves.values() if len(curve)), default=0.0
    )
    if early > top:
        note = f"↑ from {early:.3g}"
        ax.annotate(note, (0.008, 0.985), xycoords="axes fraction", va="top", fontsize=8, color=_QUIET)
    if any(len(curve) for curve in curves.values()) or entropy is not None:
        figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=8.5, labelcolor=_INK)
    if with_rates:
        _style(axes[1])
        axes[1].plot(*rates.T, color=_QUIET, linewidth=1.3)
        axes[1].set_ylim(0, rates[:, 1].max() * 1.15)
        axes[1].set_ylabel("learning\nrate")
        axes[1].yaxis.set_major_locator(MaxNLocator(2))
        axes[1].ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
        axes[1].yaxis.get_offset_text().set_fontsize(7.5)
    axes[-1].set_xlabel("step")
    axes[-1].xaxis.set_major_locator(MaxNLocator(8, integer=True))
    return figure


def codes(z: Tensor) -> Figure:
    """The code of held-out data, shape (n, D), against N(0, 1).

    Its histograms, and its first two coordinates with the circle that holds 90 % of a standard normal.

    >>> import torch
    >>> len(codes(torch.randn(500, 2)).axes)
    3
    """
    rows = _numpy(z.flatten(1))
    rows = rows[np.isfinite(rows).all(1)]
    size = rows.shape[1]
    own = size if size <= 3 else 1  # panels: one for each coordinate, or all in one
    panels = own + (size > 1)
    figure = _figure(3.4 * panels + 0.4, 3.5)
    axes = figure.subplots(1, panels, squeeze=False)[0]
    reach = 4.2
    line = np.linspace(-reach, reach, 300)
    normal = np.exp(-(line**2) / 2) / math.sqrt(2 * math.pi)
    bins = np.linspace(-reach, reach, max(14, min(56, round(len(rows) ** 0.5))) + 1)
    for i in range(own):
        ax = axes[i]
        _style(ax)
        if own == size:
            # Shares of all rows, so that what lies beyond the frame is missing inside it.
            counts, _ = np.histogram(rows[:, i], bins)
            ax.stairs(counts / len(rows) / np.diff(bins), bins, fill=True, color=DATA, alpha=0.55, label="code")
            ax.set_xlabel(f"z{_subscript(i + 1)}")
        else:
            for column in rows.T[:64]:
                counts, _ = np.histogram(column, bins)
                ax.stairs(counts / len(rows) / np.diff(bins), bins, color=DATA, alpha=max(0.1, 3 / size), linewidth=0.8)
            counts, _ = np.histogram(rows, bins)
            label = f"all {size} coordinates"
            ax.stairs(counts / rows.size / np.diff(bins), bins, color=DATA, linewidth=2, label=label)
            ax.set_xlabel("coordinates of the code (thin: each of them)")
        ax.plot(line, normal, color=REFERENCE, linewidth=1.5, label="N(0, 1)")
        ax.set_xlim(-reach, reach)
        ax.set_ylim(0, max(0.62, ax.get_ylim()[1]) if own == size else 0.75)
        ax.set_box_aspect(1)
        ax.legend(frameon=False, fontsize=8.5, loc="upper right", labelcolor=_INK)
    axes[0].set_ylabel("density")
    if size > 1:
        ax = axes[-1]
        _style(ax)
        radius = math.sqrt(2 * math.log(10))
        first = rows[:, :2]
        inside = float((np.hypot(*first.T) <= radius).mean())
        shown = first[:_MOST_POINTS]
        dot, alpha = _marker(len(shown))
        ax.scatter(shown[:, 0], shown[:, 1], s=dot, c=DATA, alpha=alpha, linewidths=0)
        angle = np.linspace(0, 2 * math.pi, 200)
        ax.plot(radius * np.cos(angle), radius * np.sin(angle), color=REFERENCE, linewidth=1.5)
        ax.set(xlim=(-reach, reach), ylim=(-reach, reach), xlabel="z₁", ylabel="z₂", aspect="equal")
        ax.set_title(f"{100 * inside:.1f} % in the 90 % circle")
    return figure


def account(terms: Sequence[Term]) -> Figure:
    """Where the nats come from: a bar for every layer and the base, data side on top.

    Exact terms are blue, bounds orange and hatched. With more than 40 terms, layers of one name share a bar.

    >>> len(account([Term("Abs", -1.4, True), Term("Normal", -1.8, True)]).axes[0].patches)
    2
    """
    names = [f"{i} {_name(term.name)}" for i, term in enumerate(terms[:-1])] + [_name(terms[-1].name)]
    if len(terms) > _MOST_TERMS:
        terms = _gathered(terms)
        names = [_name(term.name) for term in terms]
    # Held-out rows of density zero make a term infinite: it has no bar, and its label says so.
    labels = [signed(term.nats, 2) if math.isfinite(term.nats) else "not finite" for term in terms]
    total = sum(term.nats for term in terms)
    terms = [term if math.isfinite(term.nats) else term._replace(nats=0.0) for term in terms]
    figure = _figure(8.6, 0.27 * len(terms) + 1.1)
    ax = figure.subplots()
    _style(ax)
    places = np.arange(len(terms))
    for exact, colour, hatch, label in ((True, DATA, None, "exact"), (False, SAMPLES, "////", "bound")):
        own = [i for i, term in enumerate(terms) if term.exact == exact]
        if own:
            values = [terms[i].nats for i in own]
            ax.barh(
                places[own], values, color=colour, hatch=hatch, edgecolor="white", linewidth=0, height=0.68, label=label
            )
    reach = max(*(abs(term.nats) for term in terms), 1e-6)
    for i, term in enumerate(terms):
        ax.annotate(
            labels[i], (term.nats, i), xytext=(4 if term.nats >= 0 else -4, 0), textcoords="offset points",
            ha="left" if term.nats >= 0 else "right", va="center", fontsize=8, color=_INK,
        )  # fmt: skip
    ax.axvline(0, color=REFERENCE, linewidth=0.9)
    low, high = min(0.0, *(t.nats for t in terms)), max(0.0, *(t.nats for t in terms))
    ax.set_xlim(low - 0.14 * reach * (low < 0) - 0.02 * reach, high + 0.14 * reach * (high > 0) + 0.02 * reach)
    ax.set_yticks(places, names)
    ax.set_ylim(len(terms) - 0.4, -0.6)
    ax.grid(axis="y", visible=False)
    ax.set_xlabel(f"mean contribution to log p(x) (nats per event); sum {signed(total, 3)}")
    if not all(term.exact for term in terms):
        figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8.5, labelcolor=_INK)
    return figure


def standing(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The NLL of the flow (or its tightest bound) between the entropy, where it is known, and the Gaussian baseline.

    >>> from surflow.evaluation import Row
    >>> row = Row(case="", model="spline", seed=0, metric="nll", value=1.0, error=0.1, unit="")
    >>> [label.get_text() for label in standing([row]).axes[0].get_yticklabels()]
    ['spline']
    """
    found = {row["metric"]: row for row in rows}
    finite = {name for name, row in found.items() if math.isfinite(row["value"])}
    bounds = sorted((name for name in found if name.startswith("nll_bound_k")), key=len)
    flow = found["nll"] if "nll" in found else found[bounds[-1]]
    lines = [(found[name], label, colour) for name, label, colour in (
        ("gaussian_nll", "Gaussian", _QUIET),
        (flow["metric"], _name(flow["model"]) + ("" if "nll" in found else " (bound)"), DATA),
        ("entropy", "entropy", REFERENCE),
    ) if name in finite]  # fmt: skip
    figure = _figure(8.0, 0.42 * len(lines) + 0.75)
    ax = figure.subplots()
    _style(ax)
    for place, (row, _, colour) in enumerate(lines):
        ax.errorbar(row["value"], place, xerr=row["error"] or 0, fmt="o", color=colour, markersize=8, capsize=4)
        ax.annotate(
            _plain(row["value"]), (row["value"], place), xytext=(0, 8), textcoords="offset points",
            ha="center", fontsize=8.5, color=_INK, bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.8},
        )  # fmt: skip
    if "entropy" in found:
        ax.axvline(found["entropy"]["value"], color=REFERENCE, linestyle=_DASHED, linewidth=1)
    ax.set_yticks(range(len(lines)), [label for _, label, _ in lines])
    ax.set_ylim(len(lines) - 0.5, -0.85)
    ax.margins(x=0.1)
    ax.set_xlabel("NLL (nats per event)")
    return figure


def tightness(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """The importance-weighted bound on the NLL against its number of draws k, from the rows of an evaluation.

    >>> from surflow.evaluation import Row
    >>> row = Row(case="", model="", seed=0, metric="nll_bound_k1", value=1.0, error=0.1, unit="")
    >>> tightness([row]).axes[0].get_xlabel()
    'draws k'
    """
    found = [(int(row["metric"].rsplit("k", 1)[1]), row) for row in rows if row["metric"].startswith("nll_bound_k")]
    found = [(k, row) for k, row in found if math.isfinite(row["value"])]
    figure = _figure(6.4, 3.1)
    ax = figure.subplots()
    _style(ax)
    k = [k for k, _ in found]
    values = [row["value"] for _, row in found]
    errors = [row["error"] or 0.0 for _, row in found]
    ax.errorbar(k, values, errors, fmt="-o", color=DATA, markersize=5, capsize=3, label="bound on the NLL")
    for i, value, error in zip(k, values, errors, strict=True):
        above = (i, value + error)
        ax.annotate(
            _plain(value), above, xytext=(0, 6), textcoords="offset points", ha="center", fontsize=8.5, color=_INK
        )
    entropy = next((row["value"] for row in rows if row["metric"] == "entropy"), None)
    if entropy is not None:
        label = f"entropy, the floor: {_plain(entropy)}"
        ax.axhline(entropy, color=REFERENCE, linestyle=_DASHED, linewidth=1.2, label=label)
    ax.set_xscale("log")
    ax.set_xticks(k, [str(v) for v in k])
    ax.minorticks_off()
    ax.set(xlabel="draws k", ylabel="nats per event")
    ax.margins(0.12, 0.3)
    figure.legend(loc="outside upper center", ncols=2, frameon=False, fontsize=8.5, labelcolor=_INK)
    return figure


# -- pieces -----------------------------------------------------------------------------------------------


def _figure(width: float, height: float) -> Figure:
    return Figure(figsize=(width, height), layout="constrained")


def _style(ax: Axes, grid: bool = True, small: bool = False) -> None:
    """One look for all axes, set on the axes, because matplotlib's settings belong to the user."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(_QUIET)
    ax.tick_params(labelsize=7.5 if small else 8.5, color=_QUIET, labelcolor=_INK, length=3)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(True, color=_FAINT, linewidth=0.7)
    ax.xaxis.label.set(size=8.5 if small else 9.5, color=_INK)
    ax.yaxis.label.set(size=8.5 if small else 9.5, color=_INK)
    ax.title.set(size=9 if small else 10.5, color=_INK)
    if small:
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_locator(MaxNLocator(3))


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().cpu().float().numpy()


def _name(text: str) -> str:
    """A column's name as text: no formulas, and not longer than an axis."""
    text = str(text).replace("$", r"\$")
    return text if len(text) <= 28 else text[:27] + "…"


def _subscript(i: int) -> str:
    return "".join(chr(ord("₀") + int(digit)) for digit in str(i))


def frame(points: np.ndarray | Tensor) -> list[tuple[float, float]]:
    """Limits of every column that hold 99.8 % of the rows, with a margin."""
    rows = _numpy(points) if isinstance(points, Tensor) else points
    low, high = np.quantile(rows, [0.001, 0.999], axis=0)
    margin = 0.06 * (high - low)
    margin = np.where(margin > 0, margin, 0.5)
    return [(float(a), float(b)) for a, b in zip(low - margin, high + margin, strict=True)]


def _same_scale(ax: Axes, limits: Sequence[tuple[float, float]]) -> None:
    """Equal scales where the two columns have about the same range, a square panel otherwise."""
    if 0.5 < (limits[1][1] - limits[1][0]) / (limits[0][1] - limits[0][0]) < 2:
        ax.set_aspect("equal", adjustable="box")
    else:
        ax.set_box_aspect(1)


def _marker(n: int) -> tuple[float, float]:
    """Area and opacity of a dot, so that few points are seen and many do not clot."""
    return (14.0, 0.75) if n <= 300 else (7.0, 0.55) if n <= 1500 else (3.5, 0.45)


def _top_of_mass(panel: np.ndarray) -> float:
    """The density that all but 2 % of the panel's mass do not surpass."""
    ascending = np.sort(panel.ravel())
    mass = np.cumsum(ascending)
    return float(ascending[min(len(mass) - 1, int(np.searchsorted(mass, 0.98 * mass[-1])))])


def _plain(value: float) -> str:
    """A number with the digits that a picture has room for."""
    return (f"{value:.3f}" if abs(value) < 10 else f"{value:.2f}" if abs(value) < 100 else f"{value:.1f}").replace(
        "-", "−"
    )


def _shape(limits: Sequence[tuple[float, float]]) -> float:
    """Height of a panel in units of its width, by the rule of :func:`_same_scale`."""
    (left, right), (low, high) = limits
    ratio = (high - low) / (right - left)
    return ratio if 0.5 < ratio < 2 else 1.0


def _share_outside(points: np.ndarray, limits: Sequence[tuple[float, float]]) -> float:
    inside = [(points[:, i] >= low) & (points[:, i] <= high) for i, (low, high) in enumerate(limits)]
    return float(1 - np.all(inside, axis=0).mean())


def _class_colours(count: int) -> list[Any]:
    if count <= len(_CLASSES):
        return list(_CLASSES[:count])
    import matplotlib

    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.95, count)))


def _scatter_classes(
    ax: Axes, points: np.ndarray, labels: np.ndarray, names: Sequence[str] | None, size: float, alpha: float
) -> None:
    known = range(len(names)) if names is not None else sorted(set(labels.tolist()))
    for colour, label in zip(_class_colours(len(known)), known, strict=True):
        own = labels == label
        name = _name(names[label]) if names is not None else str(label)
        ax.scatter(points[own, 0], points[own, 1], s=size, color=colour, alpha=alpha, linewidths=0, label=name)


def _legend(figure: Figure, ax: Axes, columns: int) -> None:
    handles, names = ax.get_legend_handles_labels()
    legend = figure.legend(
        handles, names, loc="outside upper center", ncols=min(columns, 8), frameon=False, fontsize=9, labelcolor=_INK
    )
    for handle in legend.legend_handles:
        if isinstance(handle, PathCollection):
            handle.set_sizes([26.0])
        if handle is not None:
            handle.set_alpha(1.0)


def _histograms(ax: Axes, real: np.ndarray, fake: np.ndarray, limits: tuple[float, float]) -> None:
    bins = np.linspace(*limits, max(12, min(48, round(len(real) ** 0.5))) + 1)
    width = bins[1] - bins[0]
    for values, colour, label, filled in ((real, DATA, "data", True), (fake, SAMPLES, "samples", False)):
        heights = np.histogram(values, bins)[0] / len(values) / width
        ax.stairs(heights, bins, fill=filled, color=colour, alpha=0.4 if filled else 1, linewidth=1.5, label=label)
    ax.set_ylim(bottom=0)


def _picture_rows(n: int, across: int, labels: np.ndarray | None) -> list[list[int]]:
    """Indices of the images of every row of the grid."""
    if labels is None:
        return [list(range(i, min(i + across, n))) for i in range(0, min(n, across * across), across)]
    found = [np.flatnonzero(labels == label)[:across].tolist() for label in sorted(set(labels.tolist()))]
    return found[:12]


def _running_median(values: np.ndarray) -> np.ndarray:
    width = max(3, len(values) // 60) | 1
    padded = np.pad(values, width // 2, mode="reflect")
    return np.median(np.lib.stride_tricks.sliding_window_view(padded, width), axis=1)


def _loss_range(
    values: np.ndarray, train: np.ndarray, validation: np.ndarray, entropy: float | None
) -> tuple[float, float]:
    """Limits of the NLL: the end of training fills the picture, its beginning may be cut."""
    late = [curve[len(curve) // 10 :, 1] for curve in (train, validation) if len(curve)] or [values]
    shown = np.concatenate(late)
    low, high = float(np.quantile(shown, 0.005)), float(np.quantile(shown, 0.97))
    if len(validation):
        # Overfitting is worth seeing: where validation ends belongs to the picture, unless that is very far up.
        low = min(low, float(validation[:, 1].min()))
        high = max(high, min(float(validation[-1, 1]), high + 2 * (high - low)))
    if entropy is not None and math.isfinite(entropy):
        low = min(low, entropy)
    span = max(high - low, 1e-3 * max(1.0, abs(high)))
    return low - 0.08 * span, min(high + 0.45 * span, max(float(values.max()) + 0.08 * span, high + 0.1 * span))


def signed(value: float, digits: int) -> str:
    return f"{value:+.{digits}f}".replace("-", "−")


def _gathered(terms: Sequence[Term]) -> list[Term]:
    sums: dict[tuple[str, bool], list[float]] = {}
    for term in terms:
        sums.setdefault((term.name, term.exact), []).append(term.nats)
    return [
        Term(f"{name} ×{len(nats)}" if len(nats) > 1 else name, sum(nats), exact)
        for (name, exact), nats in sums.items()
    ]
