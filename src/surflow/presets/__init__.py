"""Named architectures, each made for an event shape, a support, a context and, for integers, their levels."""

from __future__ import annotations

import inspect
import math
from typing import Any

from surflow._internal.shapes import Shape, as_shape
from surflow.bijections.elementwise import Log, Logit
from surflow.bijections.shape import Reshape
from surflow.errors import ConfigError, ShapeError, SupportError, unknown_name
from surflow.flow import ContextNet, Flow
from surflow.nets.summary import Summary
from surflow.presets import posterior  # registers its presets
from surflow.presets.chains import PRESETS, positive_splines
from surflow.presets.clouds import CLOUDS
from surflow.presets.images import PYRAMIDS, continuous
from surflow.supports import Interval, Positive, Real, Support, product, real
from surflow.transform import On, Transform

__all__ = ["FEW_ROWS", "build", "choose", "choose_conditional", "names", "positive_splines", "posterior", "summary"]

# With fewer rows a network of the usual size learns them by heart before it learns their distribution.
FEW_ROWS = 1000
# From this side on, images have a fine and a coarse structure.
_LARGE_IMAGE = 16
# Contexts of more numbers than this, such as time series, are summarised by so many principal components.
WIDE_CONTEXT, _COMPONENTS = 32, 8


def names() -> dict[str, str]:
    """The presets, each with what it is.

    >>> "abs-joint" in names()
    True
    """
    return {name: (inspect.getdoc(make) or "").split("\n")[0] for name, make in (PRESETS | PYRAMIDS | CLOUDS).items()}


def build(
    name: str,
    event_shape: int | Shape,
    *,
    context_shape: int | Shape | None = None,
    context_net: ContextNet | None = None,
    levels: int | None = None,
    support: Support = real,
    **options: Any,
) -> Flow:
    """A flow of a named architecture; :meth:`Flow.initialize`, which ``fit`` calls, standardises it to the data.

    Presets for images keep integers (``levels``) as they are, and presets for sets of points (coordinates, points) keep
    them as sets. For all others integers are dequantised and mapped to the real line coordinate by coordinate, and so
    are vectors on another ``support``, so that no sample leaves it; events that are no vectors are laid out as one.

    Args:
        name: one of :func:`names`, or ``"auto"``: ``image`` for events of integers or, from 16 x 16 pixels on and if 4
            divides their sides, ``max-pool``; else ``spline``.
        event_shape: shape of one event.
        context_shape: shape of the context, a vector; not needed with a ``context_net``.
        context_net: the network that contexts pass through first.
        levels: for data of integers 0, ..., levels - 1.
        support: of continuous vectors: real, positive, an interval, or a product of these.
        options: the preset's own, such as ``layers``, ``hidden`` and ``bins``.

    Raises:
        ConfigError: for an unknown preset or option; the message names the nearest right one.
        ShapeError: if the preset cannot have this event shape.
        SupportError: for a support that has no map to the real line.

    >>> import torch
    >>> flow = build("abs-joint", 2, context_shape=3, hidden=(16, 16))
    >>> flow.exact, flow.log_prob(torch.ones(4, 2), torch.ones(4, 3)).shape
    (True, torch.Size([4]))
    """
    shape = as_shape(event_shape)
    if name == "auto":
        name, _ = choose(levels, None, shape)
    makers = PRESETS | PYRAMIDS | CLOUDS
    if name not in makers:
        raise ConfigError(unknown_name("preset", name, [*makers, "auto"]))
    make = makers[name]
    known = list(inspect.signature(make).parameters)[3 if name in PYRAMIDS else 2 :]
    for option in options:
        if option not in known:
            raise ConfigError(unknown_name(f"option of the preset {name!r}", option, known))
    if context_net is not None:
        context_shape = tuple(context_net.out_shape)
    width = 0 if context_shape is None else math.prod(as_shape(context_shape))
    if context_shape is not None and len(as_shape(context_shape)) != 1:
        raise ShapeError(
            f"presets take a context that is a vector, got shape {as_shape(context_shape)}: pass context_net="
        )
    if name in PYRAMIDS and levels is None:
        raise ConfigError(f"the preset {name!r} is for images of integers: pass levels=")
    if name in CLOUDS and (levels is not None or len(shape) != 2 or support != real):
        what = f"events of shape {shape} on {support!r}" + ("" if levels is None else f", integers below {levels}")
        raise ShapeError(f"the preset {name!r} is for real points of shape (coordinates, points), got {what}")
    start: list[Transform] = []
    if name in PRESETS:
        start = to_real(shape, support) if levels is None else continuous(shape, levels)
        if len(shape) != 1:
            start.append(Reshape(shape, math.prod(shape)))
    try:
        if name in PRESETS:
            layers, base = make(math.prod(shape), width, **options)
        elif name in CLOUDS:
            layers, base = make(shape, width, **options)
        else:
            layers, base = make(shape, levels, width, **options)
    except TypeError as error:
        raise ConfigError(f"the options {options} of the preset {name!r} have wrong types: {error}") from error
    return Flow([*start, *layers], base=base, context_net=context_net)


def choose(levels: int | None, rows: int | None, event_shape: Shape) -> tuple[str, dict[str, Any]]:
    """The preset that ``"auto"`` stands for, and options for so many training rows; None means ever fresh ones.

    >>> choose(256, 50_000, (1, 28, 28)), choose(17, 1000, (1, 8, 8)), choose(None, None, (4,))
    (('max-pool', {}), ('image', {}), ('spline', {}))
    >>> choose(None, 1000, (2, 50))
    ('sort-flow', {})
    """
    if levels is not None:
        large = len(event_shape) == 3 and min(event_shape[1:]) >= _LARGE_IMAGE
        return ("max-pool" if large and not any(side % 4 for side in event_shape[1:]) else "image"), {}
    if len(event_shape) == 2 and event_shape[0] > 1 and event_shape[1] > 1 and event_shape[1] % 2 == 0:
        return "sort-flow", {}
    if rows is not None and rows < FEW_ROWS:
        return "spline", {"layers": 2, "hidden": [16], "bins": 4}
    return "spline", {}


def choose_conditional(event_shape: int | Shape, support: Support) -> str:
    """The preset for events given contexts of numbers, such as parameters given observations, that "auto" stands for.

    >>> choose_conditional(2, Interval(-1, 1)), choose_conditional(2, real)
    ('box', 'posterior')
    """
    boxed = all(isinstance(part, Interval) for part in support.coordinates(as_shape(event_shape)[0]))
    return "box" if boxed else "posterior"


def summary(context_shape: int | Shape) -> Summary:
    """A network for contexts of numbers: standardised; of more than 32 a perceptron of their principal components."""
    size = math.prod(as_shape(context_shape))
    if size <= WIDE_CONTEXT:
        return Summary(context_shape)
    return Summary(context_shape, 2 * _COMPONENTS, components=_COMPONENTS)


def to_real(shape: Shape, support: Support) -> list[Transform]:
    """Layers that map the coordinates of a support to the real line: logarithms and logits.

    >>> from surflow.supports import positive, product
    >>> to_real((3,), product([positive, real, Interval(0, 2)]))[0].codomain
    real^2 x interval(0, 2)^1
    """
    left = support.coordinates(shape[0])
    layers: list[Transform] = []
    for kind in [kind for kind in dict.fromkeys(left) if not isinstance(kind, Real)]:
        part = [i for i, coordinate in enumerate(left) if coordinate == kind]
        inner = (len(part), *shape[1:])
        if isinstance(kind, Positive):
            layer: Transform = Log(inner)
        elif isinstance(kind, Interval):
            layer = Logit(inner, low=kind.low, high=kind.high)
        else:
            raise SupportError(f"presets start from supports that map to the real line, not from {support!r}")
        layers.append(layer if len(part) == shape[0] else On(shape, part=part, layer=layer, rest=product(left)))
        left = [real if coordinate == kind else coordinate for coordinate in left]
    return layers
