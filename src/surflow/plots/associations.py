"""How strongly pairs of columns go together: data beside samples beside their difference."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap
from matplotlib.figure import Figure
from torch import Tensor

from surflow.plots.style import DATA, INK, SAMPLES, new_figure, printable, to_numpy

# Up to so many columns, three panels stand side by side; of more, two stand one below the other.
_BESIDE = 14
_WHITE = "#ffffff"


def associations(data: Tensor, samples: Tensor, names: Sequence[str]) -> Figure:
    """Associations of all pairs of columns, from 0 to 1, in data and in samples, and samples minus data.

    With more than 14 columns, data and samples share a panel: data below the diagonal, samples above it.

    Args:
        data, samples: what :func:`surflow.evaluation.associations` returned, (D, D).
        names: of the columns.

    >>> import torch
    >>> len(associations(torch.eye(3), torch.eye(3), ["a", "b", "c"]).axes)
    5
    """
    size = len(names)
    real, fake = to_numpy(data), to_numpy(samples)
    strength = LinearSegmentedColormap.from_list("strength", [_WHITE, "#8fb4d6", "#1b1f24"])
    change = LinearSegmentedColormap.from_list("change", [DATA, _WHITE, SAMPLES])
    labels = [_short(printable(name)) for name in names]
    difference = fake - real
    reach = max(0.2, float(np.abs(difference).max()))
    if size <= _BESIDE:
        figure = new_figure(9.9, 4.7)
        axes = figure.subplots(1, 3)
        _panel(axes[0], real, "data", labels, strength, 0, 1)
        strong = _panel(axes[1], fake, "samples", labels, strength, 0, 1)
        _panel(axes[2], difference, "samples − data", labels, change, -reach, reach)
        for ax in axes[1:]:
            ax.set_yticks([])
        bars = (axes[:2], axes[2])
    else:
        figure = new_figure(9.6, 2 * (1.4 + 0.19 * size))
        axes = figure.subplots(2, 1)
        both = np.tril(real, -1) + np.triu(fake, 1) + np.eye(size)
        strong = _panel(axes[0], both, "below the diagonal data, above it samples", labels, strength, 0, 1)
        _panel(axes[1], difference, "samples − data", labels, change, -reach, reach)
        bars = (axes[0], axes[1])
    for image, where, title in (
        (strong, bars[0], "association"),
        (axes[-1].get_images()[0], bars[1], "stronger in data ←  → stronger in samples"),
    ):
        bar = figure.colorbar(image, ax=where, location="bottom" if size <= _BESIDE else "right", shrink=0.6, aspect=25)
        bar.set_label(title, size=7.5, color=INK)
        bar.ax.tick_params(labelsize=7)
        bar.outline.set_visible(False)
    return figure


def _panel(ax: Axes, values: np.ndarray, title: str, labels: list[str], colours: Colormap, low: float, high: float):  # type: ignore[no-untyped-def]
    image = ax.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="equal", interpolation="nearest")
    at = range(len(labels))
    size = 7.5 if len(labels) <= 25 else 6.5
    ax.set_xticks(at, labels, fontsize=size, rotation=90)
    ax.set_yticks(at, labels, fontsize=size)
    ax.tick_params(length=0, labelcolor=INK)
    ax.spines[:].set_visible(False)
    ax.set_title(title, fontsize=9, color=INK)
    return image


def _short(name: str) -> str:
    return name if len(name) <= 20 else name[:19] + "…"
