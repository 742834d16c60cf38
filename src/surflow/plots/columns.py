"""The columns of a table one by one: held-out rows beside samples."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from surflow.data.tables.columns import decode
from surflow.data.tables.schema import OTHER, Column, ColumnKind
from surflow.plots.style import DATA, QUIET, SAMPLES, new_figure, style_axes

_MOST_COLUMNS = 30
_MOST_NAMES = 10
_FEWEST_BINS, _MOST_BINS = 8, 40
# Samples beyond the axes, in per cent, from which they are worth a word.
_SAID = 0.5
_LONGEST = 14


def columns(data: Tensor, samples: Tensor, schema: Sequence[Column]) -> Figure:
    """A panel for each of the first 30 columns: shares of names as bars, numbers as histograms.

    Args:
        data, samples: rows as numbers, shapes (n, D); NaN where a value is missing.
        schema: what the D columns are.

    >>> import torch
    >>> pet = Column("pet", ColumnKind.CATEGORY, categories=["cat", "dog"])
    >>> len(columns(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [1.0]]), [pet]).axes)
    1
    """
    size = min(len(schema), _MOST_COLUMNS)
    across = min(size, 4)
    down = math.ceil(size / across)
    figure = new_figure(2.9 * across + 0.4, 2.1 * down + 0.6)
    axes = figure.subplots(down, across, squeeze=False).reshape(-1)
    for ax in axes[size:]:
        ax.remove()
    for i in range(size):
        column, ax = schema[i], axes[i]
        style_axes(ax, small=True)
        real, fake = data[:, i].double().cpu().numpy(), samples[:, i].double().cpu().numpy()
        if column.kind.named:
            _names(ax, column, real, fake)
        else:
            _numbers(ax, column, real, fake)
        missing = [f"{100 * np.isnan(part).mean():.0f}" for part in (real, fake)]
        holes = f"\nmissing {missing[0]} %, samples {missing[1]} %" if column.missing else ""
        ax.set_title(_short(column.name, 30) + holes, fontsize=7.5)
    _legend(figure)
    return figure


def _names(ax: Axes, column: Column, real: np.ndarray, fake: np.ndarray) -> None:
    names = [*column.categories, OTHER]
    counts = [np.bincount(part[~np.isnan(part)].astype(int), minlength=len(names)) for part in (real, fake)]
    shares = [count / max(count.sum(), 1) for count in counts]
    shown = np.flatnonzero(shares[0] + shares[1])
    if len(shown) > _MOST_NAMES:
        shown = np.sort(np.argsort(-(shares[0] + shares[1]))[:_MOST_NAMES])
    at = np.arange(len(shown))
    for k, (share, colour) in enumerate(zip(shares, (DATA, SAMPLES), strict=True)):
        ax.barh(at + 0.4 * k - 0.2, share[shown], height=0.4, color=colour)
    ax.set_yticks(at, [_short(names[j], _LONGEST) for j in shown], fontsize=7)
    ax.set_ylim(len(shown) - 0.4, -0.6)
    hidden = 1 - shares[0][shown].sum()
    if hidden > 0.001:
        ax.set_xlabel(f"share of rows; {100 * hidden:.0f} % under other names", fontsize=7, color=QUIET)


def _numbers(ax: Axes, column: Column, real: np.ndarray, fake: np.ndarray) -> None:
    """Histograms over the data, and over samples a quarter beyond them; how many lie further out is said."""
    parts = [part[np.isfinite(part)] for part in (real, fake)]
    if not len(parts[0]):
        return
    ends = np.quantile(parts[0], [0.0, 1.0])
    middle = np.quantile(parts[0], [0.005, 0.995])
    if ends[1] - ends[0] > 4 * (middle[1] - middle[0]) > 0:  # a few values far out would hide the others
        ends = middle
    slack = (ends[1] - ends[0]) / 4
    among = parts[1][(parts[1] >= ends[0] - slack) & (parts[1] <= ends[1] + slack)]
    low, high = (min(ends[0], *among), max(ends[1], *among)) if len(among) else ends
    most = min(_MOST_BINS, max(_FEWEST_BINS, round(2.5 * len(parts[0]) ** (1 / 3))))
    if column.step is not None:
        width = column.step * max(1, math.ceil(((high - low) / column.step + 1) / most))
        bins = np.arange(low - column.step / 2, high + width, width)
    else:
        bins = np.linspace(low, high if high > low else low + 1, most + 1)
    for part, colour in zip(parts, (DATA, SAMPLES), strict=True):
        inside = part[(part >= bins[0]) & (part <= bins[-1])]
        share = np.histogram(inside, bins)[0] / max(len(part), 1)
        ax.stairs(share, bins, color=colour, fill=colour == DATA, alpha=0.35 if colour == DATA else 1.0, linewidth=1.3)
    for beyond, at, side in ((parts[1] < bins[0], 0.02, "left"), (parts[1] > bins[-1], 0.98, "right")):
        if (share := 100 * beyond.mean()) >= _SAID:
            text = f"← {share:.2g} %" if side == "left" else f"{share:.2g} % →"
            ax.annotate(
                text, (at, 0.97), xycoords="axes fraction", ha=side, va="top", fontsize=6.5, color=SAMPLES,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
            )  # fmt: skip
    if column.kind is ColumnKind.DATE:
        ticks = np.linspace(bins[0], bins[-1], 3)
        ax.set_xticks(ticks, [str(text) for text in decode(column, ticks)], fontsize=6.5)


def _short(text: str, most: int) -> str:
    text = text if len(text) <= most else text[: most - 1] + "…"
    return text.replace("$", r"\$")  # no formulas


def _legend(figure: Figure) -> None:
    from matplotlib.patches import Patch

    handles = [Patch(color=DATA, label="held-out rows"), Patch(color=SAMPLES, label="samples")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, frameon=False, fontsize=8.5)
