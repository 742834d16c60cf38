"""Presets for parameters given observations, and for what is known of their structure: products, signs, circles."""

from __future__ import annotations

from collections.abc import Sequence

from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.bijections.autoregressive import Autoregressive
from surflow.bijections.elementwise import Log, Sigmoid
from surflow.bijections.linear import ConditionalLinear, Linear
from surflow.bijections.normalize import Standardize
from surflow.bijections.polar import Polar
from surflow.bijections.shape import Permute, Reverse
from surflow.bijections.splines import CircularSplineMap, IntervalSplineMap, SplineMap
from surflow.bijections.truncated import TruncatedMap
from surflow.bijections.univariate import AffineMap, Elementwise
from surflow.distributions.normal import Normal
from surflow.distributions.uniform import Uniform, UniformCircle
from surflow.errors import ConfigError, ShapeError
from surflow.flow import ContextNet, Flow
from surflow.presets.start import MOST_PASSES, on_vectors
from surflow.supports import Interval, Support, circle, real, unit_interval
from surflow.supports import product as product_of
from surflow.surjections.absolute import Abs
from surflow.surjections.dimension import Slice
from surflow.transform import On, Transform


def posterior(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 2,
    hidden: Sequence[int] = (64, 64),
    bins: int = 8,
    conditional_splines: bool = True,
) -> Flow:
    """For parameters given observations: location and covariance given the context, then autoregressive splines.

    Standardize, ConditionalLinear, (Autoregressive spline, Reverse) x layers, Normal; reversals between only.

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        layers: how many splines.
        hidden: sizes of the hidden layers of every network.
        bins: of a spline.
        conditional_splines: whether splines are given the context; otherwise it tells location and scale alone.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> from surflow.supports import positive
    >>> posterior(2, 5, support=positive).support
    positive
    """
    with seeded(seed):
        start = on_vectors("posterior", event_shape, context_shape, context_net, support)
        size = start.size
        located = _located(size, start.context_shape, layers, hidden, bins, conditional_splines=conditional_splines)
        chain = [Standardize(size), *located]
        return start.flow(chain, Normal(size))


def product(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    pair: Sequence[int] = (0, 1),
    layers: int = 2,
    hidden: Sequence[int] = (64, 64),
    bins: int = 8,
) -> Flow:
    """As posterior, for two positive parameters that observations know by their product alone.

    Log, Linear to product and ratio of the pair, Standardize, Slice of the ratio, then as :func:`posterior`.

    Args:
        event_shape: shape of one event; its n > 1 numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        pair: the two coordinates.
        layers: how many splines.
        hidden: sizes of the hidden layers of every network.
        bins: of a spline.

    Raises:
        ConfigError: for a pair that is none.
        ShapeError: for events of fewer than two numbers, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> from surflow.supports import positive
    >>> product(3, 5, support=positive, pair=(0, 2)).base.event_shape
    (2,)
    """
    with seeded(seed):
        start = on_vectors("product", event_shape, context_shape, context_net, support)
        size = start.size
        if size < 2:
            raise ShapeError("the preset 'product' is for two parameters or more, got one: use 'posterior'")
        if len(pair) != 2 or not 0 <= min(pair) < max(pair) < size:
            raise ConfigError(f"pair expects two different coordinates from 0 to {size - 1}, got {list(pair)}")
        a, b = pair
        rows = [[float(j in (a, b)) if i == a else float(i == j) for j in range(size)] for i in range(size) if i != b]
        rows.append([float(j == a) - float(j == b) for j in range(size)])
        # In logarithms, where positive numbers begin: the product first in place of one, the ratio last. The ratio is
        # drawn given the others, and not given the context, of which it would be independent.
        ratio = Flow(_located(1, size - 1, 1, hidden, bins), base=Normal(1))
        chain = [Linear(size, matrix=rows), Standardize(size), Slice(size, keep=size - 1, dropped=ratio)]
        rest = _located(size - 1, start.context_shape, layers, hidden, bins)
        return start.flow([*chain, *rest], Normal(size - 1))


def box(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    fold: Sequence[int] = (),
    layers: int = 1,
    hidden: Sequence[int] = (64, 64),
    bins: int = 8,
    conditional_splines: bool = True,
) -> Flow:
    """For parameters in a box, given observations: densities cut off at its walls, then splines; symmetries are folded.

    Abs of the folded, two Autoregressive truncated normals, (Autoregressive spline, Reverse) x layers, Uniform.

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        fold: the coordinates that are symmetric about the middle of their interval.
        layers: how many splines.
        hidden: sizes of the hidden layers of every network.
        bins: of a spline.
        conditional_splines: whether splines are given the context; otherwise it tells location and scale alone.

    Raises:
        ConfigError: for coordinates to fold that there are not.
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> from surflow.supports import Interval
    >>> box(2, 5, support=Interval(-1, 1), fold=[0]).support
    interval(-1, 1)
    """
    with seeded(seed):
        start = on_vectors("box", event_shape, context_shape, context_net, support)
        size, context_shape = start.size, start.context_shape
        fold, rest = list(fold), [i for i in range(size) if i not in fold]
        if len(rest) + len(fold) != size or not all(0 <= i < size for i in fold):
            raise ConfigError(f"fold expects different coordinates from 0 to {size - 1}, got {fold}")
        # Undoes the logit with which intervals begin, but for the scale: here the walls are kept.
        chain: list[Transform] = []
        if fold:
            both = Interval(-1.0, 1.0)
            chain += [
                On(size, part=fold, layer=Sigmoid(len(fold), low=-1.0, high=1.0)),
                On(size, part=fold, layer=Abs(len(fold), support=both)),
            ]
        if rest:
            chain.append(On(size, part=rest, layer=Sigmoid(len(rest)), rest=unit_interval))
        passes = min(size, MOST_PASSES)
        # Locations and scales come first from the context alone, as linear functions, which are the most accurate ones.
        chain.append(Autoregressive(size, context_shape, map=TruncatedMap(), hidden=(), passes=1))
        chain.append(Autoregressive(size, context_shape, map=TruncatedMap(), hidden=hidden, passes=passes))
        given = context_shape if conditional_splines else None
        for i in range(layers):
            if i and size > 1:
                chain.append(Reverse(size, support=unit_interval))
            chain.append(Autoregressive(size, given, map=IntervalSplineMap(bins), hidden=hidden, passes=passes))
        return start.flow(chain, Uniform(size))


def polar(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    hidden: Sequence[int] = (64, 64),
    bins: int = 8,
) -> Flow:
    """For points around the origin of the plane: the angle, by circular splines, and the radius given the angle.

    Polar, Standardize of the log-radius, Slice (the radius), a circular spline, UniformCircle.

    Args:
        event_shape: shape of one event; its two numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        hidden: sizes of the hidden layers of every network.
        bins: of a spline.

    Raises:
        ShapeError: for events of another number than two, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> polar(2).base.support
    circle
    """
    with seeded(seed):
        start = on_vectors("polar", event_shape, context_shape, context_net, support)
        if start.size != 2:
            raise ShapeError(f"the preset 'polar' is for two coordinates, got {start.size}")
        chain: list[Transform] = [Polar()]
        chain += [On(2, part=[0], layer=layer, rest=circle) for layer in (Log(1), Standardize(1))]
        # A ring may be thin: a scale that may be small comes before the spline, which refines what is of unit size.
        maps = (AffineMap(limit=10), SplineMap(bins))
        radius = Flow([Elementwise(1, 1 + start.context, map=map, hidden=hidden) for map in maps], base=Normal(1))
        angle = Elementwise(1, start.context_shape, map=CircularSplineMap(bins), hidden=hidden)
        chain += [
            Permute(2, order=[1, 0], support=product_of([real, circle])),
            Slice(2, keep=1, dropped=radius, support=circle),
            angle,
        ]
        return start.flow(chain, UniformCircle(1))


def _located(
    size: int,
    context_shape: int | None,
    layers: int,
    hidden: Sequence[int],
    bins: int,
    *,
    conditional_splines: bool = True,
) -> list[Transform]:
    """Location, scale and correlations given the context alone, and splines for what is left, which is of unit size."""
    chain: list[Transform] = [] if context_shape is None else [ConditionalLinear(size, context_shape, hidden=hidden)]
    given = context_shape if conditional_splines else None
    for i in range(layers):
        if i and size > 1:
            chain.append(Reverse(size))
        passes = min(size, MOST_PASSES)
        chain.append(Autoregressive(size, given, map=SplineMap(bins), hidden=hidden, passes=passes))
    return chain
