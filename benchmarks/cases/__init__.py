"""The cases: each states one piece of work once, and builds it in every library that has it."""

from __future__ import annotations

from benchmarks.cases import affine, autoregressive, context, image, layers, spline
from benchmarks.model import Case

#: what is compared
COMPARED: dict[str, Case] = {
    "affine": affine.CASE,
    "spline": spline.case(16),
    "spline64": spline.case(64),
    "autoregressive": autoregressive.CASE,
    "image": image.CASE,
    "context": context.CASE,
    **layers.CASES,
}
#: and the points of the scaling measurements
ALL: dict[str, Case] = COMPARED | affine.SCALING | layers.SCALING
