"""Which preset "auto" stands for, how rows of numbers are trained, and the network for contexts of numbers."""

from __future__ import annotations

import math
from typing import Any

from surflow._internal.fit_options import FitOptions
from surflow._internal.shapes import Shape, as_shape
from surflow.nets.summary import Summary
from surflow.supports import Integers, Interval, Support, real

# With fewer rows a network of the usual size learns them by heart before it learns their distribution.
_FEW_ROWS = 1000
_SMALL: dict[str, Any] = {"layers": 2, "hidden": [16], "bins": 4}
# By validation one layer is better than two on iris, wine and diabetes, with up to 13 columns, and two are better than
# one on breast_cancer, with 30.
_ONE_LAYER_COLUMNS = 16
# Components at most of the Gaussian mixture beside the splines, which is ahead of them on few rows.
_GAUSSIANS = 8
# With so many it is not, but a single one may be far from all others.
_MANY_ROWS = 5000
# From this side on, images have a fine and a coarse structure.
_LARGE_IMAGE = 16
# Contexts of more numbers than this, such as time series, are summarised by so many principal components.
WIDE_CONTEXT, _COMPONENTS = 32, 8


def choose(event_shape: int | Shape, support: Support = real, *, rows: int | None = None) -> tuple[str, dict[str, Any]]:
    """The preset that ``"auto"`` stands for, and its options.

    Args:
        event_shape: shape of one event.
        support: of the events.
        rows: how many there are to train on; None for ever fresh ones.

    >>> from surflow.supports import Integers
    >>> choose((1, 28, 28), Integers(256)), choose((1, 8, 8), Integers(17)), choose(4)
    (('max-pool', {}), ('image', {}), ('spline', {}))
    >>> choose((2, 50), rows=1000)
    ('sort-flow', {})
    """
    shape = as_shape(event_shape)
    if isinstance(support, Integers):
        large = len(shape) == 3 and min(shape[1:]) >= _LARGE_IMAGE
        return ("max-pool" if large and not any(side % 4 for side in shape[1:]) else "image"), {}
    if len(shape) == 2 and shape[0] > 1 and shape[1] > 1 and shape[1] % 2 == 0:
        return "sort-flow", {}
    if rows is not None and rows < _FEW_ROWS:
        return "spline", dict(_SMALL)
    return "spline", {}


def choose_numbers(event_shape: int | Shape, rows: int) -> tuple[str, dict[str, Any]]:
    """The preset that ``"auto"`` stands for, and its options, for a table of numbers with so many training rows.

    Args:
        event_shape: shape of one event.
        rows: how many there are to train on.

    >>> choose_numbers(4, 5000), choose_numbers(4, 100)[1]["layers"], choose_numbers(30, 100)[1]["layers"]
    (('spline', {'tails': True}), 1, 2)
    """
    if rows >= _MANY_ROWS:
        return "spline", {"tails": True}
    if rows >= _FEW_ROWS:
        return "spline", {"gaussians": _GAUSSIANS}
    small = math.prod(as_shape(event_shape)) <= _ONE_LAYER_COLUMNS
    return "spline", _SMALL | {"gaussians": _GAUSSIANS} | ({"layers": 1} if small else {})


def training_of_numbers(rows: int) -> FitOptions:
    """Options of :func:`surflow.fit` that are right for most tables of numbers with so many training rows.

    Args:
        rows: how many there are to train on.

    >>> training_of_numbers(100)["steps"], training_of_numbers(5000)["steps"]
    (1000, 3000)
    """
    if rows < _FEW_ROWS:
        # Learnt by heart within a few hundred steps: validation is frequent, and what comes after the best is in vain.
        return FitOptions(steps=1000, batch_size=256, lr=5e-3, clip=5.0, validate_every=10, patience=20)
    return FitOptions(steps=3000, batch_size=256, lr=1e-2, schedule="root", clip=5.0)


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
