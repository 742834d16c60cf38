"""Pictures of events: data beside samples, and the density over the plane."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from torch import Tensor

from surflow.distribution import Distribution
from surflow.evaluation.likelihood import log_probs
from surflow.plots.style import (
    DATA,
    INK,
    MOST_POINTS,
    QUIET,
    SAMPLES,
    frame,
    marker,
    new_figure,
    printable,
    style_axes,
    to_numpy,
)

# Okabe and Ito's colours, in an order of alternating lightness; more classes than these are taken from viridis.
_CLASSES = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#4d4d4d", "#b8ac1a")
_MOST_COLUMNS = 6
# Log-density of a bound: draws for each grid point of a picture.
_PICTURE_SAMPLES = 16


def samples_beside_data(
    data: Tensor,
    samples: Tensor,
    columns: Sequence[str] = ("x₁", "x₂"),
    labels: Tensor | None = None,
    names: Sequence[str] | None = None,
) -> Figure:
    """Held-out data and as many samples in the plane, shapes (n, 2), in one frame; the frame is the data's.

    ``labels``, shape (n,), are the categories that row i of both sets was drawn for, with their names.

    Args:
        data, samples: points, shapes (n, 2).
        columns: names of the coordinates.
        labels: the category of each row, or None.
        names: of the categories.

    >>> import torch
    >>> samples_beside_data(torch.randn(100, 2), torch.randn(100, 2)).axes[0].get_title()
    'data'
    """
    n = min(len(data), len(samples), MOST_POINTS)
    real, fake = to_numpy(data)[:n], to_numpy(samples)[:n]
    limits = frame(real)
    figure = new_figure(8.6, 4.0 * _shape(limits) + 0.7)
    axes = figure.subplots(1, 2, sharex=True, sharey=True)
    for ax, points, title, colour in ((axes[0], real, "data", DATA), (axes[1], fake, "samples", SAMPLES)):
        style_axes(ax)
        size, alpha = marker(n)
        if labels is None:
            ax.scatter(points[:, 0], points[:, 1], s=size, c=colour, alpha=alpha, linewidths=0)
        else:
            _scatter_classes(ax, points, to_numpy(labels)[:n].astype(int), names, size, alpha)
        ax.set(xlim=limits[0], ylim=limits[1], xlabel=printable(columns[0]), title=title)
        _same_scale(ax, limits)
    axes[0].set_ylabel(printable(columns[1]))
    outside = _share_outside(fake, limits)
    if outside >= 0.0005:
        axes[1].set_xlabel(f"{printable(columns[0])}\n{100 * outside:.1f} % of the samples lie outside the frame")
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

    Args:
        model: a flow or any other distribution in the plane.
        bounds: ends of the rectangle in each coordinate.
        context: a row for each panel, or None.
        truth: the distribution that the model should be, or None.
        columns: names of the coordinates.
        titles: of the panels, or None.
        resolution: cells along a side; 240 by default, 128 of a bound.

    >>> import surflow as sf
    >>> density(sf.Normal(2), ((-3, 3), (-3, 3)), resolution=20).axes[0].get_title()
    'density of the flow'
    """
    resolution = resolution or (240 if model.exact else 128)
    (left, right), (low, high) = bounds
    x = torch.linspace(left, right, resolution + 1)
    y = torch.linspace(low, high, resolution + 1)
    grid = torch.cartesian_prod((x[1:] + x[:-1]) / 2, (y[1:] + y[:-1]) / 2)  # pixel centres

    def image(distribution: Distribution, given: Tensor | None) -> np.ndarray:
        rows = None if given is None else given.expand(len(grid), *given.shape)
        log_density = log_probs(distribution, grid, rows, importance_samples=_PICTURE_SAMPLES)
        return log_density.exp().nan_to_num(0, 0, 0).reshape(resolution, resolution).T.numpy()

    conditions = [None] if context is None or model.context_shape is None else list(context)
    what = "density of the flow" if model.exact else "lower bound of the density"
    heading = [what] if len(conditions) == 1 else [f"context {i}" for i in range(len(conditions))]
    heading = heading if titles is None else [printable(title) for title in titles]
    panels = [(heading[i], image(model, given)) for i, given in enumerate(conditions)]
    if truth is not None:
        panels.append(("true density", image(truth, None)))
    across = min(len(panels), 4)
    down = math.ceil(len(panels) / across)
    width = {1: 5.0, 2: 4.1}.get(across, 2.7)
    figure = new_figure(width * across + 1.1, (0.94 * width * _shape(bounds) + 0.4) * down + 0.3)
    axes = np.atleast_1d(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)).ravel()
    top = max(top_of_mass(panel) for _, panel in panels) or 1.0
    if truth is not None:
        top = min(top, 2 * float(panels[-1][1].max())) or top
    beyond = max(float(panel.max()) for _, panel in panels) > 1.001 * top
    for ax, (title, panel) in zip(axes, panels, strict=False):
        drawn = ax.imshow(
            panel, origin="lower", extent=(left, right, low, high), vmin=0, vmax=top, cmap="viridis", aspect="auto"
        )
        style_axes(ax, grid=False)
        ax.set_title(title)
        _same_scale(ax, bounds)
    for i, ax in enumerate(axes):
        ax.set_visible(i < len(panels))
        if i >= len(panels) - across:
            ax.set_xlabel(printable(columns[0]))
            ax.tick_params(labelbottom=True)
        if i % across == 0:
            ax.set_ylabel(printable(columns[1]))
    bar = figure.colorbar(
        drawn, ax=list(axes[: len(panels)]), extend="max" if beyond else "neither", pad=0.02, aspect=28
    )
    bar.set_label("density (per unit of area)", color=INK, fontsize=9)
    bar.ax.tick_params(labelsize=8, color=QUIET, labelcolor=INK)
    bar.outline.set_visible(False)  # type: ignore[operator]
    return figure


def pairs(data: Tensor, samples: Tensor, columns: Sequence[str]) -> Figure:
    """Every pair of the first six columns, shapes (n, D): data below the diagonal, samples above, both on it.

    Args:
        data, samples: rows, shapes (n, D).
        columns: names of the D columns.

    >>> import torch
    >>> len(pairs(torch.randn(50, 3), torch.randn(50, 3), ["a", "b", "c"]).axes)
    9
    """
    size = min(data.shape[1], _MOST_COLUMNS)
    n = min(len(data), len(samples), MOST_POINTS)
    real, fake = to_numpy(data)[:n, :size], to_numpy(samples)[:n, :size]
    limits = frame(real)
    side = max(1.75, 5.2 / size) if size > 1 else 4.4
    figure = new_figure(side * size + 0.5, side * size + 0.5 if size > 1 else 3.4)
    axes = figure.subplots(size, size, squeeze=False)
    dot, alpha = marker(n * size)
    for i in range(size):
        for j in range(size):
            ax = axes[i, j]
            style_axes(ax, small=size > 3)
            if i == j:
                _histograms(ax, real[:, i], fake[:, i], limits[i])
                ax.set_yticks([])
                ax.set_title(printable(columns[i]) if size > 1 else "")
            else:
                points, colour = (real, DATA) if i > j else (fake, SAMPLES)
                ax.scatter(points[:, j], points[:, i], s=dot, c=colour, alpha=alpha, linewidths=0)
                ax.set_ylim(*limits[i])
            ax.set_xlim(*limits[j])
            ax.tick_params(labelbottom=i == size - 1, labelleft=j == 0 and i > 0)
            if i == size - 1:
                ax.set_xlabel(printable(columns[j]))
            if j == 0 and i > 0:
                ax.set_ylabel(printable(columns[i]))
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

    Args:
        data, samples: the images.
        labels: the category of each row, or None.
        names: of the categories.
        levels: of integer pixels; None for a scale from the least to the greatest of the data.

    >>> import torch
    >>> len(images(torch.rand(9, 1, 4, 4), torch.rand(9, 1, 4, 4)).axes)
    2
    """
    across = 8
    pick = _picture_rows(len(data), across, None if labels is None else to_numpy(labels).astype(int))
    low, high = (0.0, levels - 1.0) if levels else (float(data.min()), float(data.max()))
    down = len(pick)
    figure = new_figure(9.2, 9.2 / 2 * down / across + 0.5)
    axes = figure.subplots(1, 2)
    figure.set_layout_engine("constrained", wspace=0.05)
    for ax, part, title in ((axes[0], data, "data"), (axes[1], samples, "samples")):
        tile = to_numpy(((part.float() - low) / max(high - low, 1e-12)).clamp(0, 1))
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
        style_axes(ax, grid=False)
        ax.spines[:].set_visible(False)
        ax.set_title(title)
        ax.set_xticks([])
        ax.set_yticks([])
        if labels is not None and names is not None and ax is axes[0]:
            order = [int(to_numpy(labels)[row[0]]) for row in pick]
            ax.set_yticks([r * (height + gap) + height / 2 for r in range(down)], [printable(names[i]) for i in order])
            ax.tick_params(length=0)
    return figure


def clouds(data: Tensor, samples: Tensor, *, downwards: bool = False) -> Figure:
    """Point clouds, shapes (n, 2, points): six held-out ones above, six samples below, in one frame.

    Points that are NaN are absent. ``downwards``: the second coordinate counts rows of an image, from above.

    Args:
        data, samples: the clouds, shapes (n, 2, points).
        downwards: whether the second coordinate counts rows from above.

    >>> import torch
    >>> len(clouds(torch.rand(9, 2, 20), torch.rand(9, 2, 20)).axes)
    12
    """
    n = min(6, len(data), len(samples))
    points = to_numpy(data).transpose(0, 2, 1).reshape(-1, 2)
    limits = frame(points[np.isfinite(points).all(1)])
    figure = new_figure(1.6 * n + 0.4, 3.6)
    axes = figure.subplots(2, n, sharex=True, sharey=True, squeeze=False)
    for row, part, title, colour in ((0, data, "data", DATA), (1, samples, "samples", SAMPLES)):
        for i in range(n):
            ax = axes[row, i]
            style_axes(ax, small=True)
            ax.scatter(part[i, 0].cpu(), part[i, 1].cpu(), s=7, c=colour, alpha=0.8, linewidths=0)
            ax.set(xlim=limits[0], ylim=limits[1])
            _same_scale(ax, limits)
        axes[row, 0].set_ylabel(title)
    if downwards:
        axes[0, 0].invert_yaxis()  # and with it all others, which share it
    return figure


def _same_scale(ax: Axes, limits: Sequence[tuple[float, float]]) -> None:
    """Equal scales where the two columns have about the same range, a square panel otherwise."""
    if 0.5 < (limits[1][1] - limits[1][0]) / (limits[0][1] - limits[0][0]) < 2:
        ax.set_aspect("equal", adjustable="box")
    else:
        ax.set_box_aspect(1)


def top_of_mass(panel: np.ndarray) -> float:
    """The density that all but 2 % of the panel's mass do not surpass."""
    ascending = np.sort(panel.ravel())
    mass = np.cumsum(ascending)
    return float(ascending[min(len(mass) - 1, int(np.searchsorted(mass, 0.98 * mass[-1])))])


def _shape(limits: Sequence[tuple[float, float]]) -> float:
    """Height of a panel in units of its width, by the rule of :func:`_same_scale`."""
    (left, right), (low, high) = limits
    ratio = (high - low) / (right - left)
    return ratio if 0.5 < ratio < 2 else 1.0


def _share_outside(points: np.ndarray, limits: Sequence[tuple[float, float]]) -> float:
    inside = [(points[:, i] >= low) & (points[:, i] <= high) for i, (low, high) in enumerate(limits)]
    return float(1 - np.all(inside, axis=0).mean())


def class_colours(count: int) -> list[Any]:
    """Colours of that many classes, told apart in print and by colour-blind readers up to eight."""
    if count <= len(_CLASSES):
        return list(_CLASSES[:count])
    import matplotlib

    return list(matplotlib.colormaps["viridis"](np.linspace(0, 0.95, count)))


def _scatter_classes(
    ax: Axes, points: np.ndarray, labels: np.ndarray, names: Sequence[str] | None, size: float, alpha: float
) -> None:
    known = range(len(names)) if names is not None else sorted(set(labels.tolist()))
    for colour, label in zip(class_colours(len(known)), known, strict=True):
        own = labels == label
        name = printable(names[label]) if names is not None else str(label)
        ax.scatter(points[own, 0], points[own, 1], s=size, color=colour, alpha=alpha, linewidths=0, label=name)


def _legend(figure: Figure, ax: Axes, columns: int) -> None:
    handles, names = ax.get_legend_handles_labels()
    legend = figure.legend(
        handles, names, loc="outside upper center", ncols=min(columns, 8), frameon=False, fontsize=9, labelcolor=INK
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
