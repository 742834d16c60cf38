"""Chains for parameters given observations, and for what is known of their structure: products, signs, circles."""

from __future__ import annotations

from collections.abc import Sequence

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
from surflow.flow import Flow
from surflow.presets.chains import MOST_PASSES, Chain, given, preset
from surflow.supports import Interval, circle, product, real, unit_interval
from surflow.surjections.absolute import Abs
from surflow.surjections.dimension import Slice
from surflow.transform import On, Transform


def _located(size: int, context: int, layers: int, hidden: Sequence[int], bins: int) -> list[Transform]:
    """Location, scale and correlations given the context alone, and splines for what is left, which is of unit size."""
    chain: list[Transform] = [ConditionalLinear(size, context, hidden=hidden)] if context else []
    for i in range(layers):
        if i and size > 1:
            chain.append(Reverse(size))
        passes = min(size, MOST_PASSES)
        chain.append(Autoregressive(size, given(context), map=SplineMap(bins), hidden=hidden, passes=passes))
    return chain


@preset("posterior")
def _posterior(size: int, context: int, *, layers: int = 2, hidden: Sequence[int] = (64, 64), bins: int = 8) -> Chain:
    """for parameters given observations: location and covariance given the context, then autoregressive splines"""
    return [Standardize(size), *_located(size, context, layers, hidden, bins)], Normal(size)


@preset("product")
def _product(
    size: int,
    context: int,
    *,
    pair: Sequence[int] = (0, 1),
    layers: int = 2,
    hidden: Sequence[int] = (64, 64),
    bins: int = 8,
) -> Chain:
    """as posterior, for two positive parameters that observations know by their product alone"""
    if size < 2:
        raise ShapeError("the preset 'product' needs at least two coordinates, got one: use 'posterior'")
    if len(pair) != 2 or not 0 <= min(pair) < max(pair) < size:
        raise ConfigError(f"pair expects two different coordinates from 0 to {size - 1}, got {list(pair)}")
    a, b = pair
    rows = [[float(j in (a, b)) if i == a else float(i == j) for j in range(size)] for i in range(size) if i != b]
    rows.append([float(j == a) - float(j == b) for j in range(size)])
    # In logarithms, where build begins: the product first in place of one, the ratio last. The ratio is drawn given
    # the others, and not given the context, of which it would be independent.
    ratio = Flow(_located(1, size - 1, 1, hidden, bins), base=Normal(1))
    chain: list[Transform] = [Linear(size, matrix=rows), Standardize(size), Slice(size, keep=size - 1, dropped=ratio)]
    return [*chain, *_located(size - 1, context, layers, hidden, bins)], Normal(size - 1)


@preset("box")
def _box(
    size: int,
    context: int,
    *,
    fold: Sequence[int] = (),
    layers: int = 1,
    hidden: Sequence[int] = (64, 64),
    bins: int = 8,
) -> Chain:
    """for parameters in a box, given observations: logistics cut off at its walls, then splines; symmetries folded"""
    fold, rest = list(fold), [i for i in range(size) if i not in fold]
    if len(rest) + len(fold) != size or not all(0 <= i < size for i in fold):
        raise ConfigError(f"fold expects different coordinates from 0 to {size - 1}, got {fold}")
    # Undoes the logit with which build begins on intervals, but for the scale: here the walls are kept.
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
    chain.append(Autoregressive(size, given(context), map=TruncatedMap(), hidden=(), passes=1))
    chain.append(Autoregressive(size, given(context), map=TruncatedMap(), hidden=hidden, passes=passes))
    for i in range(layers):
        if i and size > 1:
            chain.append(Reverse(size, support=unit_interval))
        chain.append(Autoregressive(size, given(context), map=IntervalSplineMap(bins), hidden=hidden, passes=passes))
    return chain, Uniform(size)


@preset("polar")
def _polar(size: int, context: int, *, hidden: Sequence[int] = (64, 64), bins: int = 8) -> Chain:
    """for points around the origin of the plane: the angle, by circular splines, and the radius given the angle"""
    if size != 2:
        raise ShapeError(f"the preset 'polar' is for two coordinates, got {size}")
    chain: list[Transform] = [Polar()]
    chain += [On(2, part=[0], layer=layer, rest=circle) for layer in (Log(1), Standardize(1))]
    # A ring may be thin: a scale that may be small comes before the spline, which refines what is of unit size.
    maps = (AffineMap(limit=10), SplineMap(bins))
    radius = Flow([Elementwise(1, 1 + context, map=map, hidden=hidden) for map in maps], base=Normal(1))
    chain += [
        Permute(2, order=[1, 0], support=product([real, circle])),
        Slice(2, keep=1, dropped=radius, support=circle),
    ]
    return [*chain, Elementwise(1, given(context), map=CircularSplineMap(bins), hidden=hidden)], UniformCircle(1)
