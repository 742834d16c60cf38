"""Pictures: every function returns a matplotlib Figure of its own, without pyplot and its global state.

Data are blue, samples orange, references black: told apart by colour-blind readers and in grey print.
"""

from surflow.plots.diagnostics import account, codes, losses, standing, tightness
from surflow.plots.events import clouds, density, images, pairs, samples_beside_data
from surflow.plots.style import frame, save, signed

__all__ = [
    "account",
    "clouds",
    "codes",
    "density",
    "frame",
    "images",
    "losses",
    "pairs",
    "samples_beside_data",
    "save",
    "signed",
    "standing",
    "tightness",
]
