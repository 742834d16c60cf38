"""What all pictures share: colours, frames, figures that no global state knows of."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image
from torch import Tensor

from surflow._internal.files import make_folder, written_whole

DATA, SAMPLES, REFERENCE = "#1f5a99", "#d9730d", "#1b1f24"
QUIET, _FAINT, INK = "#8a929c", "#e6e9ed", "#30363d"
_DPI = 170
MOST_POINTS = 4000


def save(figure: Figure, path: str | Path, dpi: int | None = None) -> Path:
    """Write the picture; the ending of the path says the format (png, svg, pdf).

    With ``dpi``, for pictures that are kept in a repository, a PNG has a palette of 256 colours: a third of the bytes.

    Args:
        figure: of matplotlib.
        path: of the file.
        dpi: pixels per inch, or None for the style's.
    """
    path = Path(path)
    make_folder(path.parent)
    with written_whole(path) as scratch, warnings.catch_warnings():
        # A column's name in a script that the font lacks is drawn as boxes: no reason to trouble the user.
        warnings.filterwarnings("ignore", message="Glyph")
        figure.savefig(scratch, dpi=dpi or _DPI, facecolor="white", bbox_inches="tight", pad_inches=0.08)
        if dpi is not None and path.suffix == ".png":
            with Image.open(scratch) as image:
                # Of Pillow's palettes the one whose worst colour is nearest; a dither would show in smooth densities.
                small = image.convert("RGB").quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
            small.save(scratch, optimize=True, dpi=(dpi, dpi))
    return path


def new_figure(width: float, height: float) -> Figure:
    """A figure of so many inches, beside pyplot and its global state."""
    return Figure(figsize=(width, height), layout="constrained")


def style_axes(ax: Axes, *, grid: bool = True, small: bool = False) -> None:
    """One look for all axes, set on the axes, because matplotlib's settings belong to the user."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(QUIET)
    ax.tick_params(labelsize=7.5 if small else 8.5, color=QUIET, labelcolor=INK, length=3)
    ax.set_axisbelow(True)
    if grid:
        ax.grid(True, color=_FAINT, linewidth=0.7)
    ax.xaxis.label.set(size=8.5 if small else 9.5, color=INK)
    ax.yaxis.label.set(size=8.5 if small else 9.5, color=INK)
    ax.title.set(size=9 if small else 10.5, color=INK)
    if small:
        ax.xaxis.set_major_locator(MaxNLocator(3))
        ax.yaxis.set_major_locator(MaxNLocator(3))


def to_numpy(x: Tensor) -> np.ndarray:
    """What matplotlib draws, in single precision."""
    return x.detach().cpu().float().numpy()


def printable(text: str) -> str:
    """A column's name as text: no formulas, and not longer than an axis."""
    text = str(text).replace("$", r"\$")
    return text if len(text) <= 28 else text[:27] + "…"


def frame(points: np.ndarray | Tensor) -> list[tuple[float, float]]:
    """Limits of every column that hold 99.8 % of the rows, with a margin.

    Args:
        points: shape (n, columns).
    """
    rows = to_numpy(points) if isinstance(points, Tensor) else points
    low, high = np.quantile(rows, [0.001, 0.999], axis=0)
    margin = 0.06 * (high - low)
    margin = np.where(margin > 0, margin, 0.5)
    return [(float(a), float(b)) for a, b in zip(low - margin, high + margin, strict=True)]


def marker(n: int) -> tuple[float, float]:
    """Area and opacity of a dot, so that few points are seen and many do not clot."""
    return (14.0, 0.75) if n <= 300 else (7.0, 0.55) if n <= 1500 else (3.5, 0.45)


def signed(value: float, digits: int) -> str:
    """A number with its sign, the typographer's minus.

    Args:
        value: the number.
        digits: after the point.
    """
    return f"{value:+.{digits}f}".replace("-", "−")
