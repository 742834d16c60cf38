"""Pictures of posteriors: ranks, coverage, corners beside the exact posterior, resimulated bands."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.stats import binom
from torch import Tensor

from surflow.evaluation import calibration
from surflow.plots.style import (
    DATA,
    INK,
    MOST_POINTS,
    QUIET,
    REFERENCE,
    SAMPLES,
    frame,
    marker,
    new_figure,
    printable,
    style_axes,
    to_numpy,
)

_BAND = "#d5dae0"
_ACROSS = 4
# Lines of several parameters in one panel, told apart without colour.
_DASHES = ["-", "--", ":", "-."]
_LINES = [DATA, SAMPLES, "#3b8f6f", "#7a4fa0", INK]


def _panels(count: int, width: float = 2.7, height: float = 2.5) -> tuple[Figure, list[Axes]]:
    across = min(count, _ACROSS)
    down = math.ceil(count / across)
    figure = new_figure(width * across + 0.5, height * down + 0.3)
    axes = figure.subplots(down, across, squeeze=False).flatten()
    for ax in axes[count:]:
        ax.set_visible(False)
    for ax in axes[:count]:
        style_axes(ax)
    return figure, list(axes[:count])


def rank_histogram(ranks: Tensor, n_ranks: int, names: Sequence[str]) -> Figure:
    """Histograms of ranks, shape (n, d), in bins of equally many ranks; grey is where 95 % of calibrated bins lie.

    Args:
        ranks: shape (n, d), integers.
        n_ranks: how many ranks are possible.
        names: of the d columns.

    >>> import torch
    >>> len(rank_histogram(torch.randint(0, 100, (500, 2)), 100, ["a", "b"]).axes)
    2
    """
    counts = calibration.rank_histogram(ranks, n_ranks)
    n, bins = len(ranks), counts.shape[1]
    low, high = binom.ppf([0.025, 0.975], n, 1 / bins)
    edges = np.linspace(0, n_ranks, bins + 1)
    figure, axes = _panels(len(names))
    for ax, column, name in zip(axes, counts, names, strict=True):
        ax.axhspan(low, high, color=_BAND, linewidth=0)
        ax.axhline(n / bins, color=REFERENCE, linewidth=1)
        ax.stairs(column, edges, color=SAMPLES, fill=True, alpha=0.55)
        ax.stairs(column, edges, color=SAMPLES, linewidth=1)
        ax.set(title=printable(name), xlabel="rank of the truth", xlim=(0, n_ranks))
        ax.set_ylim(0, 1.15 * max(high, column.max()))
    axes[0].set_ylabel("data sets")
    return figure


def rank_ecdf(ranks: Tensor, n_ranks: int, names: Sequence[str], probability: float = 0.95) -> Figure:
    """ECDF of ranks minus the uniform one, with the band that holds all of a calibrated curve with the probability.

    Args:
        ranks: shape (n, d), integers.
        n_ranks: how many ranks are possible.
        names: of the d columns.
        probability: that the band holds all of a calibrated curve.

    >>> import torch
    >>> len(rank_ecdf(torch.randint(0, 100, (500, 2)), 100, ["a", "b"]).axes)
    2
    """
    points = calibration.rank_points(n_ranks)
    low, high = calibration.ecdf_band(len(ranks), tuple(points), probability)
    inside = calibration.inside_band(ranks, n_ranks, probability)
    found = calibration.rank_ecdf(ranks, n_ranks)
    figure, axes = _panels(len(names))
    reach = 1.25 * max(np.abs(high - points).max(), np.abs(found - points[:, None]).max())
    for ax, curve, name, good in zip(axes, found.T, names, inside, strict=True):
        ax.fill_between(points, low - points, high - points, color=_BAND, linewidth=0, step="mid")
        ax.axhline(0, color=REFERENCE, linewidth=1)
        ax.plot(points, curve - points, color=SAMPLES, linewidth=1.6)
        ax.set(xlim=(0, 1), ylim=(-reach, reach), xlabel="rank / number of ranks")
        ax.set_title(printable(name) + (", inside" if good else ", outside"))
    axes[0].set_ylabel("ECDF − uniform")
    return figure


def coverage(levels: Mapping[str, Tensor], probability: float = 0.95) -> Figure:
    """Credibility against how often the truth lies within, for named levels of n truths, shape (n,), uniform if right.

    Args:
        levels: by name, the credibility of the smallest region that holds each truth.
        probability: that the band holds all of a calibrated curve.

    >>> import torch
    >>> len(coverage({"highest density": torch.rand(300), "random points": torch.rand(300)}).axes)
    1
    """
    figure = new_figure(4.2, 4.0)
    ax = figure.subplots()
    style_axes(ax)
    points = np.linspace(0, 1, 101)[1:-1]
    n = min(len(level) for level in levels.values())
    low, high = calibration.ecdf_band(n, tuple(points), probability)
    ax.fill_between(points, low, high, color=_BAND, linewidth=0, label=f"{100 * probability:g} % of calibrated curves")
    ax.plot([0, 1], [0, 1], color=REFERENCE, linewidth=1)
    for i, (name, level) in enumerate(levels.items()):
        curve = (to_numpy(level)[None] <= points[:, None]).mean(1)
        ax.plot(points, curve, color=_LINES[i % 5], linestyle=_DASHES[i % 4], linewidth=1.6, label=printable(name))
    ax.set(xlim=(0, 1), ylim=(0, 1), xlabel="credibility", ylabel="share of truths within", aspect="equal")
    ax.legend(frameon=False, fontsize=8.5, loc="upper left", labelcolor=INK)
    return figure


def corner(
    draws: Tensor,
    names: Sequence[str],
    *,
    reference: Tensor | None = None,
    truth: Tensor | None = None,
    curves: Mapping[tuple[int, int], Callable[[np.ndarray], np.ndarray]] | None = None,
) -> Figure:
    """Every pair of parameters below the diagonal, every one by itself on it: draws over the exact posterior's.

    Args:
        draws: shape (n, d).
        names: of the parameters.
        reference: draws of the exact posterior, shape (m, d).
        truth: the parameters that the data come from, shape (d,).
        curves: for a pair (j, i) of columns with j < i, the height of a curve in column i over column j, such as
            that of equal products.

    >>> import torch
    >>> figure = corner(torch.rand(300, 2), ["a", "b"], truth=torch.rand(2), curves={(0, 1): lambda a: 0.3 / a})
    >>> sum(ax.get_visible() for ax in figure.axes)
    3
    """
    size = len(names)
    points = to_numpy(draws)[:MOST_POINTS]
    exact = None if reference is None else to_numpy(reference)[:MOST_POINTS]
    limits = frame(points if exact is None else np.concatenate([points, exact]))
    side = max(1.75, 5.6 / size)
    figure = new_figure(side * size + 0.6, side * size + 0.6)
    axes = figure.subplots(size, size, squeeze=False)
    dot, alpha = marker(len(points) * size)
    for i in range(size):
        for j in range(size):
            ax = axes[i, j]
            if j > i:
                ax.set_visible(False)
                continue
            style_axes(ax, small=True)
            ax.set_xlim(*limits[j])
            if i == j:
                bins = np.linspace(*limits[i], 41)
                if exact is not None:
                    ax.hist(exact[:, i], bins, density=True, color=DATA, alpha=0.45, label="exact")
                ax.hist(points[:, i], bins, density=True, histtype="step", color=SAMPLES, linewidth=1.5, label="flow")
                ax.set_yticks([])
            else:
                if exact is not None:
                    ax.scatter(exact[:, j], exact[:, i], s=2 * dot, c=DATA, alpha=0.35, linewidths=0)
                ax.scatter(points[:, j], points[:, i], s=dot, c=SAMPLES, alpha=alpha, linewidths=0)
                if curves is not None and (j, i) in curves:
                    line = np.linspace(*limits[j], 200)
                    ax.plot(line, curves[j, i](line), color=REFERENCE, linewidth=1, linestyle="--")
                ax.set_ylim(*limits[i])
            if truth is not None:
                ax.axvline(float(truth[j]), color=QUIET, linewidth=0.9)
                if i != j:
                    ax.axhline(float(truth[i]), color=QUIET, linewidth=0.9)
            ax.tick_params(labelbottom=i == size - 1, labelleft=j == 0 and i > 0)
            if i == size - 1:
                ax.set_xlabel(printable(names[j]))
            if j == 0 and i > 0:
                ax.set_ylabel(printable(names[i]))
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="upper right", frameon=False, fontsize=9, labelcolor=INK)
    return figure


def central_band(drawn: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the band that holds one more draw with the chance ``level``, for draws (R, size).

    The k-th smallest of R lies above another draw with the chance k / (R + 1), so that quantiles are at p (R + 1), not
    at 1 + p (R - 1) as numpy has them, between which lie (R - 1) / (R + 1) of the level.
    """
    low, high = np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0, method="weibull")
    return low, high


def bands(observed: Mapping[str, Tensor], resimulated: Mapping[str, Tensor], *, x: str, y: str) -> Figure:
    """What was observed, and where resimulations of posterior draws lie: central bands of 50 and of 90 %.

    Args:
        observed: named series, shape (size,).
        resimulated: of the same names, shape (R, size).
        x, y: what the axes show.

    >>> import torch
    >>> figure = bands({"cases": torch.rand(9)}, {"cases": torch.rand(50, 9)}, x="day", y="people")
    >>> len(figure.axes)
    1
    """
    figure, axes = _panels(len(observed), width=4.2, height=2.9)
    for ax, (name, series) in zip(axes, observed.items(), strict=True):
        drawn = to_numpy(resimulated[name])
        position = np.arange(drawn.shape[1])
        for level, shade in ((0.9, "#f6d3b0"), (0.5, "#eda660")):
            low, high = central_band(drawn, level)
            ax.fill_between(
                position, low, high, color=shade, linewidth=0, label=f"{100 * level:.0f} % of resimulations"
            )
        ax.plot(position, to_numpy(series), ".", color=DATA, markersize=3, label="observed")
        ax.set(title=printable(name), xlabel=x)
    axes[0].set_ylabel(y)
    axes[0].legend(frameon=False, fontsize=8.5, labelcolor=INK)
    return figure
