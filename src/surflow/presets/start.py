"""What every preset begins with: what events and contexts are, checked, and the layers that lead to its own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from surflow._internal.shapes import Shape, as_shape
from surflow.bijections.elementwise import Log, Logit
from surflow.bijections.shape import Reshape
from surflow.bijections.splines import IntervalSplineMap
from surflow.bijections.univariate import Elementwise
from surflow.distribution import Distribution
from surflow.errors import ShapeError, SupportError
from surflow.flow import ContextNet, Flow
from surflow.nets.summary import Summary
from surflow.supports import Integers, Interval, Positive, Product, Real, Support, product, real
from surflow.surjections.quantize import Dequantize
from surflow.transform import On, Transform

# Past this many coordinates an autoregressive layer inverts in fewer passes than coordinates, in groups.
MOST_PASSES = 32


@dataclass(frozen=True)
class Start:
    """Where a preset's own chain begins.

    Attributes:
        shape: of the events that it is given, after ``layers``.
        context: how many numbers its layers are given as context; 0 for none.
        context_net: what contexts pass through first; where none is given, they are standardised.
        layers: from the data to these events.
    """

    shape: Shape
    context: int
    context_net: ContextNet | None
    layers: list[Transform] = field(default_factory=list)

    @property
    def size(self) -> int:
        """How many numbers an event has."""
        return math.prod(self.shape)

    @property
    def context_shape(self) -> int | None:
        """The context as layers take it: None for none."""
        return self.context or None

    def flow(self, chain: Sequence[Transform], base: Distribution) -> Flow:
        """The whole flow, from the data to the base."""
        return Flow([*self.layers, *chain], base=base, context_net=self.context_net)


def on_vectors(
    name: str,
    event_shape: int | Shape,
    context_shape: int | Shape | None,
    context_net: ContextNet | None,
    support: Support,
) -> Start:
    """For presets of real vectors: integers are dequantised, other supports mapped to the real line coordinate by
    coordinate, and events that are no vectors laid out as one.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> on_vectors("spline", (2, 3), 4, None, real).size
    6
    """
    shape = as_shape(event_shape)
    context, context_net = of_context(context_shape, context_net)
    size = math.prod(shape)
    if not size:
        raise ShapeError(f"the preset {name!r} is for events of one number or more, got event shape {shape}")
    if isinstance(support, Integers):
        layers = dequantized(shape, support.levels)
    elif _maps_to_real(support):
        layers = to_real(shape, support)
    else:
        raise SupportError(
            f"the preset {name!r} is for vectors of integers, or of numbers that are real, positive or in intervals, "
            f"got the support {support!r}"
        )
    if len(shape) != 1:
        layers.append(Reshape(shape, size))
    return Start((size,), context, context_net, layers)


def on_images(
    name: str,
    event_shape: int | Shape,
    context_shape: int | Shape | None,
    context_net: ContextNet | None,
    support: Support,
    scales: int,
) -> tuple[Start, int]:
    """For presets of images of integers, whose sides they halve ``scales`` times; also returns the levels.

    Raises:
        ShapeError: for what is no image, or one whose sides cannot be halved so often.
        SupportError: for another support than integers.

    >>> on_images("glow", (1, 8, 8), None, None, Integers(256), scales=2)[1]
    256
    """
    shape = as_shape(event_shape)
    if not isinstance(support, Integers):
        raise SupportError(
            f"the preset {name!r} is for images of integers, got the support {support!r}: "
            "pass support=surflow.Integers(levels)"
        )
    if len(shape) != 3 or shape[1] % 2**scales or shape[2] % 2**scales:
        raise ShapeError(
            f"the preset {name!r} halves images {scales} times and expects shapes (channels, height, width) with sides "
            f"that {2**scales} divides, got {shape}: pad the images, or choose another number of scales"
        )
    return Start(shape, *of_context(context_shape, context_net)), support.levels


def on_points(
    name: str,
    event_shape: int | Shape,
    context_shape: int | Shape | None,
    context_net: ContextNet | None,
    support: Support,
) -> Start:
    """For presets of sets of real points, which stay sets.

    Raises:
        ShapeError: for events that are not of shape (coordinates, points).
        SupportError: for another support than real.

    >>> on_points("sort-flow", (2, 50), None, None, real).shape
    (2, 50)
    """
    shape = as_shape(event_shape)
    expected = f"the preset {name!r} is for real points of shape (coordinates, points)"
    if len(shape) != 2 or not math.prod(shape):
        raise ShapeError(f"{expected}, got events of shape {shape}")
    if support != real:
        raise SupportError(f"{expected}, got the support {support!r}")
    return Start(shape, *of_context(context_shape, context_net))


def of_context(context_shape: int | Shape | None, context_net: ContextNet | None) -> tuple[int, ContextNet | None]:
    """How many numbers layers are given as context, and the network that contexts pass through first.

    Without a network of the caller's they are standardised, so that their units do not matter.

    >>> of_context(4, None)[0], of_context(None, None)
    (4, (0, None))
    """
    if context_net is not None:
        if not (hasattr(context_net, "in_shape") and hasattr(context_net, "out_shape")):
            raise ShapeError(
                f"a context_net states in_shape and out_shape, as surflow.MLP does, {type(context_net).__name__} "
                "does not"
            )
        taken = tuple(context_net.in_shape)
        if context_shape is not None and as_shape(context_shape) != taken:
            raise ShapeError(f"the context_net takes contexts of shape {taken}, got context_shape={context_shape}")
        context_shape = tuple(context_net.out_shape)
    if context_shape is None:
        return 0, None
    shape = as_shape(context_shape)
    if len(shape) != 1:
        raise ShapeError(f"presets take a context that is a vector, got shape {shape}: pass context_net=")
    return shape[0], Summary(shape) if context_net is None and shape[0] else context_net


def _maps_to_real(support: Support) -> bool:
    parts = [part for part, _ in support.parts] if isinstance(support, Product) else [support]
    return all(isinstance(part, Real | Positive | Interval) for part in parts)


def to_real(shape: Shape, support: Support) -> list[Transform]:
    """Layers that map the coordinates of a support to the real line: logarithms and logits.

    >>> from surflow.supports import positive, product
    >>> to_real((3,), product([positive, real, Interval(0, 2)]))[0].codomain
    real^2 x interval(0, 2)^1
    """
    left = support.coordinates(shape[0] if shape else 1)
    layers: list[Transform] = []
    for kind in [kind for kind in dict.fromkeys(left) if not isinstance(kind, Real)]:
        part = [i for i, coordinate in enumerate(left) if coordinate == kind]
        inner = (len(part), *shape[1:]) if shape else ()
        layer: Transform
        layer = Logit(inner, low=kind.low, high=kind.high) if isinstance(kind, Interval) else Log(inner)
        layers.append(layer if len(part) == len(left) else On(shape, part=part, layer=layer, rest=product(left)))
        left = [real if coordinate == kind else coordinate for coordinate in left]
    return layers


def dequantized(shape: Shape, levels: int, noise: Distribution | None = None) -> list[Transform]:
    """From integers to the real line, with a learned curve per coordinate that can flatten any histogram.

    >>> [type(layer).__name__ for layer in dequantized((4,), 16)]
    ['Dequantize', 'Elementwise', 'Logit']
    """
    curve = Elementwise(shape, map=IntervalSplineMap(bins=min(levels, 16), low=0, high=levels))
    return [Dequantize(shape, levels=levels, noise=noise), curve, Logit(shape, low=0, high=levels)]
