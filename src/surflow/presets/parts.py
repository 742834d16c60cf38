"""Parts of chains that presets of vectors share: splines, couplings, signs."""

from __future__ import annotations

from collections.abc import Sequence

from surflow.bijections.autoregressive import Autoregressive
from surflow.bijections.coupling import Coupling
from surflow.bijections.elementwise import Softplus
from surflow.bijections.linear import LULinear, Orthogonal
from surflow.bijections.normalize import Standardize
from surflow.bijections.shape import Reverse
from surflow.bijections.splines import PositiveSplineMap, SplineMap
from surflow.bijections.univariate import Elementwise, UnivariateMap
from surflow.distribution import Distribution
from surflow.distributions.discrete import JointBernoulli
from surflow.nets.mlp import MLP
from surflow.presets.start import MOST_PASSES, Start
from surflow.supports import positive
from surflow.transform import Inverse, Transform


def spline_layer(size: int, context_shape: int | None, map: UnivariateMap, hidden: Sequence[int]) -> Transform:
    """An autoregressive spline, inverted in groups of many coordinates.

    >>> type(spline_layer(2, None, SplineMap(4), (8,))).__name__
    'Autoregressive'
    """
    return Autoregressive(size, context_shape, map=map, hidden=hidden, passes=min(size, MOST_PASSES))


def splines(size: int, context_shape: int | None, layers: int, hidden: Sequence[int], bins: int) -> list[Transform]:
    """Standardised, then autoregressive splines with linear layers between.

    >>> [type(layer).__name__ for layer in splines(2, None, 2, (8,), 4)]
    ['Standardize', 'Autoregressive', 'LULinear', 'Autoregressive']
    """
    chain: list[Transform] = [Standardize(size)]
    for i in range(layers):
        if i and size > 1:
            chain.append(LULinear(size))
        chain.append(spline_layer(size, context_shape, SplineMap(bins), hidden))
    return chain


def positive_splines(size: int, context_shape: int | None, hidden: Sequence[int], bins: int) -> list[Transform]:
    """Three autoregressive splines of positive numbers, forth and back and forth.

    >>> [type(layer).__name__ for layer in positive_splines(2, None, (8,), 4)]
    ['Autoregressive', 'Reverse', 'Autoregressive', 'Reverse', 'Autoregressive']
    """
    chain: list[Transform] = []
    for i in range(3):
        if i and size > 1:
            chain.append(Reverse(size, support=positive))
        chain.append(spline_layer(size, context_shape, PositiveSplineMap(bins), hidden))
    return chain


def plain(start: Start, layers: int, hidden: Sequence[int]) -> list[Transform]:
    """Standardised, then pairs of an affine coupling and a fixed random rotation.

    >>> [type(layer).__name__ for layer in plain(Start((2,), 0, None), 1, (8,))]
    ['Standardize', 'Coupling', 'Orthogonal']
    """
    size = start.size
    pairs = [(coupling(size, start.context_shape, hidden), Orthogonal(size)) for _ in range(layers)]
    return [Standardize(size), *(layer for pair in pairs for layer in pair)]


def coupling(size: int, context_shape: int | None, hidden: Sequence[int]) -> Transform:
    """An affine coupling; of one coordinate without a context an affine map.

    >>> type(coupling(1, None, (8,))).__name__
    'Elementwise'
    """
    if size == 1 and context_shape is None:
        return Elementwise(size)  # one coordinate has no other to couple with
    return Coupling(size, context_shape, hidden=hidden)


def positive_to_real(size: int) -> Transform:
    """From behind a fold to the real line.

    >>> positive_to_real(2).domain
    positive
    """
    # Softplus bends only near zero, so a latent beyond it keeps the form that the data had; a logarithm would not.
    return Inverse(Softplus(size))


def joint_signs(start: Start) -> Distribution:
    """Signs of all coordinates, drawn together given what is left and the context.

    >>> joint_signs(Start((2,), 3, None)).context_shape
    (5,)
    """
    size, beside = start.size, start.size + start.context
    JointBernoulli(size)  # refuses too many signs before a network for all their combinations is made
    # Where signs change from one region to the next, as on a checkerboard, two hidden layers blur the borders.
    net = MLP(beside, 2**size, hidden=(64, 64, 64), zero_init=True)
    return JointBernoulli(size, beside, net=net)
