"""Named architectures: ``presets.spline(4)`` is a flow for a table of four columns.

All begin alike: ``(event_shape, context_shape=None, *, context_net=None, support=real, seed=None, ...)``, and return a
:class:`~surflow.Flow`; :meth:`Flow.initialize`, which ``fit`` calls, standardises it to the data, and contexts where no
``context_net`` is given. The presets of ``vectors``, ``surjective`` and ``posteriors`` are for rows of numbers:
integers are dequantised and other supports mapped to the real line coordinate by coordinate, so that no sample leaves
them, and events that are no vectors are laid out as one. That of ``tables`` has columns of all kinds. Those of
``images`` keep integers as they are, those of ``point_sets`` keep (coordinates, points) as sets.
"""

from __future__ import annotations

from surflow.presets.choice import (
    WIDE_CONTEXT,
    choose,
    choose_conditional,
    choose_numbers,
    summary,
    training_of_numbers,
)
from surflow.presets.images import glow, max_pool, slice
from surflow.presets.point_sets import permute_flow, point_grid, sort_flow, statistician
from surflow.presets.posteriors import box, polar, posterior, product
from surflow.presets.registry import HEAD, build, names, options
from surflow.presets.surjective import abs_fair, abs_joint, abs_learned, abs_middle, abs_spline, max, sort
from surflow.presets.tables import table
from surflow.presets.vectors import augment, autoregressive, image, nf, spline, vae

__all__ = [
    "HEAD", "WIDE_CONTEXT", "abs_fair", "abs_joint", "abs_learned", "abs_middle", "abs_spline", "augment",
    "autoregressive", "box", "build", "choose", "choose_conditional", "choose_numbers", "glow", "image", "max",
    "max_pool", "names", "nf", "options", "permute_flow", "point_grid", "polar", "posterior", "product", "slice",
    "sort", "sort_flow", "spline", "statistician", "summary", "table", "training_of_numbers", "vae",
]  # fmt: skip
