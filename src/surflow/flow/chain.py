"""What must hold of the layers of a flow and its base: each ends where the next begins, in shape and in support."""

from __future__ import annotations

from surflow._internal.bridges import bridge
from surflow._internal.shapes import Shape
from surflow.distribution import Distribution
from surflow.errors import ShapeError, SupportError
from surflow.supports import Support
from surflow.transform import Transform, layer_name


def check_chain(transforms: list[Transform], base: Distribution) -> None:
    """Raise ShapeError or SupportError for the first place where the chain does not hold; say what would fit."""
    seen = set()
    for i, layer in enumerate(transforms):
        if not isinstance(layer, Transform):
            raise ShapeError(f"position {i} of the chain holds a {type(layer).__name__}, not a Transform")
        if id(layer) in seen:
            raise ShapeError(
                f"the layer {type(layer).__name__} at position {i} stands in the chain twice: "
                "[layer] * n repeats one object; build n with [Layer(...) for _ in range(n)]"
            )
        seen.add(id(layer))
    if not isinstance(base, Distribution):
        raise ShapeError(f"the base must be a Distribution, got {type(base).__name__}")
    ends: list[tuple[str, Shape, Support]] = [
        (f"{layer_name(layer)} (position {i})", layer.in_shape, layer.domain) for i, layer in enumerate(transforms)
    ]
    ends.append((f"the base {type(base).__name__}", base.event_shape, base.support))
    for i, (layer, (name, shape, support)) in enumerate(zip(transforms, ends[1:], strict=True)):
        left = ends[i][0]
        if layer.out_shape != shape:
            raise ShapeError(f"{left} ends in shape {layer.out_shape}, but {name} expects {shape}")
        if layer.codomain != support:
            raise SupportError(
                f"{left} lands on the support {layer.codomain!r}, but {name} lives on {support!r}: mass would leak. "
                f"Put between them {bridge(layer.codomain, support)}"
            )
