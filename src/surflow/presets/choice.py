"""Which preset "auto" stands for, and the network for contexts of numbers."""

from __future__ import annotations

import math
from typing import Any

from surflow._internal.shapes import Shape, as_shape
from surflow.nets.summary import Summary
from surflow.supports import Interval, Support

# With fewer rows a network of the usual size learns them by heart before it learns their distribution.
FEW_ROWS = 1000
# From this side on, images have a fine and a coarse structure.
_LARGE_IMAGE = 16
# Contexts of more numbers than this, such as time series, are summarised by so many principal components.
WIDE_CONTEXT, _COMPONENTS = 32, 8


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

    >>> from surflow.supports import real
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
