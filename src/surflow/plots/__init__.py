"""Pictures: every function returns a matplotlib Figure of its own, without pyplot and its global state.

Data are blue, samples orange, references black: told apart by colour-blind readers and in grey print.
"""

from surflow.plots.associations import associations
from surflow.plots.calibration import bands, corner, coverage, rank_ecdf, rank_histogram
from surflow.plots.columns import columns
from surflow.plots.diagnostics import account, latents, losses, standing, tightness
from surflow.plots.events import clouds, density, images, pairs, samples_beside_data
from surflow.plots.style import frame, save, signed

__all__ = [
    "account",
    "associations",
    "bands",
    "clouds",
    "columns",
    "corner",
    "coverage",
    "density",
    "frame",
    "images",
    "latents",
    "losses",
    "pairs",
    "rank_ecdf",
    "rank_histogram",
    "samples_beside_data",
    "save",
    "signed",
    "standing",
    "tightness",
]
