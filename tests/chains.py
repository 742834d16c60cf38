"""Chains of three layers drawn at random, as adversaries of the types: what these accept must be a density, or a bound.

``python tests/chains.py --chains 300 --gradients`` checks many of them, prints what fails and records it all.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor

import surflow as sf
from agreement import agreement, bound_slope, sample_slope
from registry import TRANSFORMS, moved
from surflow._internal.shapes import Shape, joined_shape
from surflow.distribution import Distribution
from surflow.distributions.parametric import Parametric
from surflow.supports import (
    Circle,
    Integers,
    Interval,
    Ordered,
    Permutations,
    Positive,
    Product,
    Ragged,
    Real,
    Support,
    circle,
    positive,
    product,
    real,
    unit_interval,
)
from surflow.transform import Transform

T = TypeVar("T")

# What the types say no with. Anything else that a chain raises is a mistake of the library, or of this file.
REFUSALS = (sf.ShapeError, sf.SupportError, sf.BoundError, sf.ConfigError)

LAYERS = 3
# Numbers in an event anywhere in a chain, and tries for a layer and for a chain before the seed is given up.
_MOST = 5
_TRIES = 8
HIDDEN = (8,)

DATA_SIDES: list[tuple[Support, Shape]] = [
    *((real, shape) for shape in [(1,), (2,), (2,), (3,), (2, 2), (1, 1, 2), (2, 1), (1, 2), (1, 1, 1), (1, 1, 3)]),
    *((positive, shape) for shape in [(1,), (2,), (2, 1)]),
    *((Interval(*ends), shape) for ends in [(0.0, 1.0), (-2.0, 2.0), (0.0, 3.0)] for shape in [(1,), (2,)]),
    (Interval(-1.0, 1.0), (2,)),
    (Interval(0.0, 2.0), (1, 1, 2)),
    *((circle, shape) for shape in [(1,), (2,), (1, 2)]),
    *((Integers(levels), shape) for levels in (2, 3) for shape in [(1,), (2,), (1, 1, 2), (2, 2), (1, 2, 2), (3,)]),
    (Integers(4), (2, 1)),
    *((Permutations(n), (n,)) for n in (2, 3)),
    *((Ordered(), (n,)) for n in (2, 3)),
    *((Ordered(by), (2, 2)) for by in (0, 1)),
    *((Ordered(levels=3), (n,)) for n in (2, 3)),
    (Ragged(0.0, 2.0), (2, 1)),
    (Ragged(-1.0, 2.0), (2, 2)),
    (product([positive, circle]), (2,)),
    (product([real, positive]), (2,)),
    (product([unit_interval, real]), (2,)),
    (product([real, Integers(3)]), (2,)),
    (product([Integers(2), circle, circle]), (3,)),
    (product([positive, real]), (2, 1)),
]


class Maker:
    """Draws distributions, layers and chains; what it builds may be refused, by one of ``REFUSALS``.

    ``context`` is the shape of the context that layers and bases may take, or None. With ``exact`` it does not try
    layers that make a chain a bound.
    """

    def __init__(self, rng: random.Random, context: Shape | None, depth: int = 0, exact: bool = False) -> None:
        self.rng, self.context, self.depth, self.exact = rng, context, depth, exact
        self.refused: Counter[str] = Counter()

    def pick(self, options: Sequence[T]) -> T:
        return options[self.rng.randrange(len(options))]

    def maybe(self, probability: float) -> bool:
        return self.rng.random() < probability

    def beside(self, z: Shape) -> Shape | None:
        """What a piece of a layer is conditioned on: nothing, z, or z joined with the context."""
        return self.pick([None, z, z, joined_shape(z, self.context) if self.context else z])

    def own(self) -> Shape | None:
        return self.context if self.maybe(0.6) else None

    # -- distributions ---------------------------------------------------------------------------------------

    def distribution(
        self, support: Support, shape: Shape, given: Shape | None = None, exact: bool = False
    ) -> Distribution:
        """A distribution on a support, fixed, learned or conditional; one in four a flow, perhaps with a bound."""
        if self.depth < 2 and self.maybe(0.25):
            vector = given if given is not None and len(given) == 1 else None
            exact = exact or self.exact
            nested = Maker(self.rng, vector, self.depth + 1, exact)
            flow = nested.chain(support, shape, self.pick([0, 1, 1, 2]))
            if flow is not None and (flow.exact or not exact):
                return flow
        return _slim(self._family(support, shape, given))

    def _family(self, support: Support, shape: Shape, given: Shape | None) -> Distribution:
        learned = {"context_shape": given, "learned": given is None and self.maybe(0.7)}

        def parametric(*families: type[Parametric]) -> Distribution:
            return self.pick(families)(shape, **learned)

        def flow(layers: list[Transform], base: Distribution) -> Distribution:
            return sf.Flow(layers, base)

        if isinstance(support, Real):
            return self.pick([
                lambda: parametric(sf.Normal, sf.Normal, sf.Logistic),
                lambda: sf.Mixture([_slim(sf.Normal(shape, **learned)), sf.Normal(shape)]),
                lambda: flow([self.elementwise(sf.SplineMap(3, bound=3.0), shape, given)], sf.Normal(shape)),
            ])()  # fmt: skip
        if isinstance(support, Positive):
            return self.pick([
                lambda: parametric(sf.HalfNormal, sf.Exponential),
                lambda: sf.Mixture([_slim(sf.Exponential(shape, **learned)), sf.HalfNormal(shape)]),
                lambda: flow([sf.Log(shape), self.elementwise(sf.AffineMap(), shape, given)], sf.Normal(shape)),
            ])()  # fmt: skip
        if isinstance(support, Interval):
            ends = {"low": support.low, "high": support.high}
            maps = [sf.IntervalSplineMap(3, **ends), sf.TruncatedMap(**ends)]
            return self.pick([
                lambda: sf.Uniform(shape, **ends),
                lambda: flow([self.elementwise(self.pick(maps), shape, given)], sf.Uniform(shape, **ends)),
                lambda: flow(
                    [sf.Logit(shape, **ends), self.elementwise(sf.AffineMap(), shape, given)], sf.Normal(shape)
                ),
            ])()  # fmt: skip
        if isinstance(support, Circle):
            return self.pick([
                lambda: sf.UniformCircle(shape),
                lambda: flow([self.elementwise(sf.CircularSplineMap(3), shape, given)], sf.UniformCircle(shape)),
            ])()  # fmt: skip
        if isinstance(support, Integers):
            levels = support.levels
            distributions = [lambda: sf.Categorical(shape, levels=levels, **learned)]
            if levels == 2:
                distributions += [lambda: parametric(sf.Bernoulli, sf.JointBernoulli)] * 2
            elif levels > 2:
                distributions += [lambda: sf.DiscretizedLogisticMixture(shape, levels=levels, components=2, **learned)]
                distributions += [
                    lambda: sf.AutoregressiveDiscretizedLogistic(
                        shape, levels=levels, context_shape=given, width=8, layers=1, components=2
                    )
                ]
            return self.pick(distributions)()
        if isinstance(support, Permutations):
            return parametric(sf.PlackettLuce)
        if isinstance(support, Ordered) and support.levels:
            levels = support.levels
            return self.pick([
                lambda: sf.AscendingCategorical(shape[0], levels=levels, context_shape=given, width=8, layers=1),
                lambda: flow(
                    [sf.Inverse(sf.SortIntegers(shape[0], levels=levels))],
                    self.distribution(Integers(levels), shape, given),
                ),
            ])()  # fmt: skip
        if isinstance(support, Ordered):
            by = support.by
            return self.pick([
                lambda: flow([sf.LogGaps(shape, by=by)], self.distribution(real, shape, given)),
                lambda: flow([sf.Inverse(sf.Sort(shape, by=by))], self.distribution(real, shape, given)),
            ])()  # fmt: skip
        if isinstance(support, Product):
            return sf.Joint([self.distribution(part, (n, *shape[1:]), given) for part, n in support.parts])
        if isinstance(support, Ragged):
            cells = self.pick([1, 2])
            numbers = Integers(cells ** (shape[0] - 1) + 1)
            layer = sf.RaggedCells(shape, cells=cells, low=support.low, high=support.high)
            return flow([layer], self.distribution(numbers, shape[1:], given))
        raise AssertionError(f"no distribution on {support!r}")

    def elementwise(self, map: sf.UnivariateMap, shape: Shape, given: Shape | None) -> Transform:
        return sf.Elementwise(shape, given, map=map, hidden=HIDDEN)

    # -- layers -------------------------------------------------------------------------------------

    def layer(self, support: Support, shape: Shape) -> Transform:
        """A layer for events of a support and a shape, or one that the types should refuse there."""
        if self.maybe(0.15):
            return self.registered(shape)
        families = [
            *[self.bijections(support, shape)] * 2,
            *[self.surjections(support, shape)] * 2,
            self.rearrangements(support, shape),
        ]
        if not self.exact:
            families += [self.generative(support, shape)] * 2 + [[lambda: self.vae(support, shape)]]
        return self.pick(self.pick([family for family in families if family]))()

    def registered(self, shape: Shape) -> Transform:
        """Anything of the registry that takes the shape, whatever its support: the types are to decide."""
        fitting = [
            (build, inverted)
            for build, inverted, layer in _registry()
            if layer.in_shape == shape
            and layer.context_shape in (None, self.context)
            and (layer.exact or not self.exact)
        ]
        if not fitting:
            raise sf.ShapeError(f"nothing in the registry takes {shape}")
        build, inverted = self.pick(fitting)
        return sf.Inverse(build()) if inverted else build()

    def map(self, support: Support) -> sf.UnivariateMap | None:
        if isinstance(support, Real):
            return self.pick([sf.AffineMap(), sf.SplineMap(3, bound=3.0)])
        if isinstance(support, Positive):
            return sf.PositiveSplineMap(3, bound=2.0)
        if isinstance(support, Interval):
            ends = {"low": support.low, "high": support.high}
            return self.pick([sf.IntervalSplineMap(3, **ends), sf.TruncatedMap(**ends)])
        return sf.CircularSplineMap(3) if isinstance(support, Circle) else None

    def bijections(self, support: Support, shape: Shape) -> list[Callable[[], Transform]]:
        size, first = math.prod(shape), shape[0]
        found: list[Callable[[], Transform]] = []
        map_ = self.map(support)
        if map_ is not None:
            mask = torch.tensor([self.rng.randrange(2) for _ in range(size)]).reshape(shape).tolist()
            found += [
                lambda: self.elementwise(map_, shape, self.own()),
                lambda: sf.Coupling(
                    shape, self.own(), map=map_, hidden=HIDDEN, axis=self.rng.randrange(len(shape))
                ),
                lambda: sf.MaskedCoupling(shape, self.own(), map=map_, hidden=HIDDEN, mask=mask),
                lambda: sf.Autoregressive(shape, self.own(), map=map_, hidden=(8, 8)),
            ]  # fmt: skip
        if isinstance(support, Real):
            matrix = [[1.5 if i == j else 0.5 * (j - i) for j in range(first)] for i in range(first)]
            found += [
                lambda: sf.Orthogonal(shape, learned=self.maybe(0.7)),
                lambda: sf.Linear(shape, matrix=matrix),
                lambda: sf.LULinear(shape),
                lambda: sf.ActNorm(shape),
                lambda: self.standardize(shape),
                lambda: sf.Exp(shape),
                lambda: sf.Softplus(shape),
                lambda: sf.Sigmoid(shape, **self.pick([{}, {"low": -1.0}, {"high": 3.0}])),
                lambda: sf.Tanh(shape),
                lambda: sf.Inverse(sf.LogGaps(shape, by=None if len(shape) == 1 else self.rng.randrange(first))),
                lambda: sf.Polar(),
            ]
            if self.context is not None:
                found += [lambda: sf.ConditionalLinear(shape, self.context, hidden=HIDDEN)] * 2
        if isinstance(support, Positive):
            found += [lambda: sf.Log(shape), lambda: sf.Inverse(sf.Softplus(shape))]
        if isinstance(support, Interval):
            low, high = support.low, support.high
            found += [
                lambda: sf.Logit(shape, low=low, high=high),
                lambda: sf.Rescale(shape, start=(low, high), end=self.pick([(-1.0, 1.0), (0.0, 2.0)])),
                lambda: sf.Inverse(sf.Tanh(shape)),
            ]
        if isinstance(support, Ordered):
            found += [lambda: sf.LogGaps(shape, by=support.by)] * 2
        if isinstance(support, Product):
            found += [lambda: sf.Inverse(sf.Polar()), lambda: self.on(support, shape), lambda: self.on(support, shape)]
        if isinstance(support, Integers):
            points = shape[-1]
            root = round(support.levels**0.5)
            found += [
                lambda: sf.RavelMultiIndex(shape, levels=support.levels),
                lambda: sf.Inverse(sf.RavelMultiIndex((2, points), levels=root)),
            ]
        inverses = [self._turned(make) for make in found[:4] if map_ is not None]
        return [*found, *inverses]

    def _turned(self, make: Callable[[], Transform]) -> Callable[[], Transform]:
        return lambda: sf.Inverse(make())

    def standardize(self, shape: Shape) -> Transform:
        layer = sf.Standardize(shape, center=self.maybe(0.5))
        layer.initialize(torch.randn(50, *shape) * 1.5 + 0.5)
        return layer

    def on(self, support: Support, shape: Shape) -> Transform:
        """A layer on some coordinates that share a support, and the others as they are."""
        each = support.coordinates(shape[0])
        chosen = self.pick(each)
        part = [i for i, one in enumerate(each) if one == chosen and self.maybe(0.8)] or [each.index(chosen)]
        inner = self.layer(chosen, (len(part), *shape[1:]))
        rest = {one for i, one in enumerate(each) if i not in part}
        whole = support if len(rest) != 1 else rest.pop()
        return sf.On(shape, part=part, layer=inner, rest=whole)

    def surjections(self, support: Support, shape: Shape) -> list[Callable[[], Transform]]:
        first = shape[0]
        found: list[Callable[[], Transform]] = []
        by = None if len(shape) == 1 else self.rng.randrange(first)
        if isinstance(support, Real | Interval):
            found += [
                lambda: sf.Abs(
                    shape,
                    signs=self.pick([None, self.distribution(Integers(2), shape, self.beside(shape))]),
                    support=support,
                )
            ] * 2
        if isinstance(support, Real):
            image = len(shape) == 3
            found += [
                lambda: sf.Sort(
                    shape, by=by, order=self.distribution(Permutations(shape[-1]), shape[-1:], self.beside(shape))
                )
            ] * 2  # fmt: skip
            if len(shape) == 1 and first > 1:
                found += [
                    lambda: sf.Max(
                        first,
                        index=self.distribution(Integers(first), (1,), self.beside((1,))),
                        differences=self.distribution(positive, (first - 1,), self.beside((1,))),
                    )
                ] * 2
            if image:
                found += [lambda: self.max_pool(shape), lambda: self.overlapping(shape)] * 2
        if isinstance(support, Integers):
            found += [lambda: sf.SortIntegers(first, levels=support.levels)]
            if len(shape) == 3:
                found += [lambda: self.integer_pool(shape, support.levels)] * 3
        if isinstance(support, Ragged):
            found += [lambda: sf.RaggedCells(shape, cells=self.pick([1, 2, 3]), low=support.low, high=support.high)]
        if first > 1 and not isinstance(support, Ordered | Permutations | Ragged):
            found += [lambda: self.slice(support, shape)] * (2 if found else 1)
        return found

    def slice(self, support: Support, shape: Shape) -> Transform:
        each = support.coordinates(shape[0])
        keep = self.rng.randrange(1, shape[0])
        kept, gone = (keep, *shape[1:]), (shape[0] - keep, *shape[1:])
        dropped = self.distribution(product(each[keep:]), gone, self.beside(kept))
        return sf.Slice(shape, keep=keep, dropped=dropped, support=product(each[:keep]))

    def max_pool(self, shape: Shape) -> Transform:
        channels, height, width = shape
        block = (self.pick([side for side in (1, 2, 3) if height % side == 0]), width)
        b = math.prod(block)
        if b == 1:
            raise sf.ShapeError("a block of one pixel")
        z = (channels, height // block[0], 1)
        index = self.distribution(Integers(b), z, self.beside(z))
        return sf.MaxPool(
            shape,
            kernel_size=block,
            index=index,
            differences=self.distribution(positive, (channels * (b - 1), *z[1:]), self.beside(z)),
        )

    def overlapping(self, shape: Shape) -> Transform:
        channels, height, width = shape
        block = (1, self.pick([2, 2, 3]))
        hop = (1, self.rng.randrange(1, block[1] + 1))
        z = (channels, height, -(-(width - block[1]) // hop[1]) + 1)
        gone = (channels, height * width - z[1] * z[2])
        if block[1] > width or not math.prod(gone):
            raise sf.ShapeError("blocks that do not fit, or drop nothing")
        given = self.beside(z)
        index = _slim(sf.Categorical(z, levels=block[1], context_shape=given, learned=given is None))
        return sf.OverlappingMaxPool(
            shape,
            kernel_size=block,
            stride=hop,
            index=index,
            differences=self.distribution(positive, gone, self.beside(z)),
        )

    def integer_pool(self, shape: Shape, levels: int) -> Transform:
        channels, height, width = shape
        block = (self.pick([side for side in (1, 2) if height % side == 0]), width)
        z, b = (channels, height // block[0], 1), math.prod(block)
        pixels: Distribution = sf.BlockwiseDiscretizedLogistic(
            z, levels=levels, positions=b, context_shape=self.own(), components=2, width=8, blocks=1
        )
        if self.maybe(0.1):  # a distribution that has never heard of maxima
            pixels = self.distribution(Integers(levels), (b * channels, *z[1:]), self.beside(z))
        return sf.IntegerMaxPool(shape, levels=levels, kernel_size=block, pixels=pixels)

    def generative(self, support: Support, shape: Shape) -> list[Callable[[], Transform]]:
        """Layers whose forward direction draws and whose inverse does not."""
        found: list[Callable[[], Transform]] = []
        if not isinstance(support, Ordered | Permutations | Ragged) and math.prod(shape) < _MOST - 1:
            found += [lambda: self.augment(support, shape)]
        if isinstance(support, Positive) or (isinstance(support, Interval) and support.low == 0):
            whole = real if isinstance(support, Positive) else Interval(-support.high, support.high)
            found += [
                lambda: sf.Inverse(
                    sf.Abs(
                        shape,
                        signs=self.distribution(Integers(2), shape, self.beside(shape), exact=True),
                        support=whole,
                    )
                )
            ] * 2
        if isinstance(support, Interval):
            found += [lambda: sf.Inverse(self.dequantize(shape, round(support.high)))]
        if isinstance(support, Integers):
            levels = support.levels
            found += [lambda: self.dequantize(shape, levels)] * 2
            if len(shape) == 3:
                found += [lambda: self._inverse_integer_pool(shape, levels)]
            if len(shape) == 1:
                found += [lambda: sf.Inverse(sf.RaggedCells((2, *shape), cells=levels - 1, low=-1.0, high=2.0))]
        if isinstance(support, Ordered):
            if support.levels:
                found += [lambda: sf.Inverse(sf.SortIntegers(shape[0], levels=support.levels))] * 2
            else:
                order = lambda: self.distribution(Permutations(shape[-1]), shape[-1:], self.beside(shape), exact=True)  # noqa: E731
                found += [lambda: sf.Inverse(sf.Sort(shape, by=support.by, order=order()))] * 3
        if isinstance(support, Real):
            if shape == (1,):
                n = self.pick([2, 3])
                found += [
                    lambda: sf.Inverse(
                        sf.Max(
                            n,
                            index=self.distribution(Integers(n), (1,), self.beside((1,)), exact=True),
                            differences=self.distribution(positive, (n - 1,), self.beside((1,)), exact=True),
                        )
                    )
                ] * 2
            if len(shape) == 3 and shape[0] == 1 and math.prod(shape) <= 2:
                found += [lambda: self._inverse_pool(shape)] * 2
        return found

    def augment(self, support: Support, shape: Shape) -> Transform:
        noise_support = self.pick([real, real, positive, unit_interval, circle, Integers(2), support])
        more = self.rng.randrange(1, 3) if math.prod(shape) < 3 else 1
        noise = self.distribution(self.pick(noise_support.coordinates(shape[0])) if isinstance(noise_support, Product)
                         else noise_support, (more, *shape[1:]), self.beside(shape), exact=True)  # fmt: skip
        return sf.Augment(shape, noise=noise, support=support)

    def dequantize(self, shape: Shape, levels: int) -> Transform:
        return sf.Dequantize(
            shape, levels=levels, noise=self.distribution(unit_interval, shape, self.beside(shape), exact=True)
        )

    def _inverse_integer_pool(self, shape: Shape, levels: int) -> Transform:
        larger = (*shape[:2], 2 * shape[2])
        pixels = sf.BlockwiseDiscretizedLogistic(
            shape, levels=levels, positions=2, context_shape=self.own(), components=2, width=8, blocks=1
        )
        return sf.Inverse(sf.IntegerMaxPool(larger, levels=levels, kernel_size=(1, 2), pixels=pixels))

    def _inverse_pool(self, shape: Shape) -> Transform:
        """Overlapping blocks if there are several."""
        _, height, width = shape
        if width == 1 or self.maybe(0.3):
            larger, b = (1, height, 2 * width), 2
            index = self.distribution(Integers(b), shape, self.beside(shape), exact=True)
            return sf.Inverse(
                sf.MaxPool(
                    larger,
                    kernel_size=(1, 2),
                    index=index,
                    differences=self.distribution(positive, shape, self.beside(shape), exact=True),
                )
            )
        gone = (1, height * (width + 1) - height * width)
        index = _slim(sf.Categorical(shape, levels=2, learned=True))
        differences = self.distribution(positive, gone, self.beside(shape), exact=True)
        return sf.Inverse(
            sf.OverlappingMaxPool(
                (1, height, width + 1), kernel_size=(1, 2), stride=1, index=index, differences=differences
            )
        )

    def rearrangements(self, support: Support, shape: Shape) -> list[Callable[[], Transform]]:
        """Layers that move coordinates, over any support: which of them may, the types have to know."""
        axis = self.rng.randrange(len(shape))
        order = self.rng.sample(range(shape[axis]), shape[axis])
        found: list[Callable[[], Transform]] = [
            lambda: sf.Permute(shape, order=order, axis=axis, support=support),
            lambda: sf.Permute(shape, support=support),
            lambda: sf.Reverse(shape, support=support),
            lambda: sf.PermuteAxes(shape, axes=self.rng.sample(range(len(shape)), len(shape)), support=support),
            lambda: sf.Reshape(shape, self.pick(_shapes_of(math.prod(shape))), support=support),
            lambda: sf.Inverse(sf.Reshape(self.pick(_shapes_of(math.prod(shape))), shape, support=support)),
            lambda: sf.RandomPermutation(shape, support=support),
            lambda: sf.RandomPermutation(shape, support=support),
        ]
        if len(shape) == 3:
            found += [lambda: sf.Squeeze(shape, factor=2, support=support)]
        if isinstance(support, Real | Positive | Interval | Circle | Integers):
            found += [lambda: self.on(support, shape)] * 2
        return found

    def vae(self, support: Support, shape: Shape) -> Transform:
        latent = self.pick([(1,), (1,), (2,)])
        kinds = [real, real, real, positive, unit_interval, circle, Integers(2), Integers(3), product([real, positive])]
        target = self.pick([kind for kind in kinds if not isinstance(kind, Product) or latent == (2,)])
        encoder = self.distribution(target, latent, self.beside(shape), exact=True)
        return sf.VAE(encoder, self.distribution(support, shape, self.beside(latent)))

    # -- chains -------------------------------------------------------------------------------------

    def chain(self, support: Support, shape: Shape, layers: int) -> sf.Flow | None:
        """A flow over events of this support and shape, or None if the types refuse all that is tried."""
        for _ in range(_TRIES):
            try:
                found: list[Transform] = []
                at, size = support, shape
                while len(found) < layers:
                    layer = self._fitting(at, size)
                    found.append(layer)
                    at, size = layer.codomain, layer.out_shape
                flow = sf.Flow(found, self.distribution(at, size, self.own()))
            except REFUSALS as error:
                self.refused[type(error).__name__] += 1
                continue
            # The first layer is free to want another data side; a piece of a layer is not.
            if self.depth and (flow.support, flow.event_shape) != (support, shape):
                continue
            return flow
        return None

    def _fitting(self, support: Support, shape: Shape) -> Transform:
        for _ in range(_TRIES):
            try:
                layer = self.layer(support, shape)
            except REFUSALS as error:
                self.refused[type(error).__name__] += 1
                continue
            # Mostly what fits; now and then the chain itself has to say no.
            fits = (layer.domain, layer.in_shape) == (support, shape) or self.maybe(0.1)
            if fits and math.prod(layer.out_shape) <= _MOST and (layer.exact or not self.exact):
                return layer
        raise sf.ShapeError("no layer fits")


@cache
def _registry() -> list[tuple[Callable[[], Any], bool, Transform]]:
    """Every layer of the registry and its inverse, where it has one, as how to build it, whether inverted, and one."""
    found = []
    for case in TRANSFORMS:
        layer: Any = case.build()
        found.append((case.build, False, layer))
        with suppress(*REFUSALS):
            found.append((case.build, True, sf.Inverse(layer)))
    return found


def _slim(piece: Distribution) -> Distribution:
    """The distribution with a small network in place of its own: many rows pass through it."""
    if isinstance(piece, Parametric) and piece.context_shape is not None:
        piece.net = sf.MLP(piece.context_shape, piece.raw_shape, HIDDEN)
    return piece


def _shapes_of(size: int) -> list[Shape]:
    pairs = [(a, size // a) for a in range(1, size + 1) if size % a == 0]
    return [(size,), *pairs, *((1, a, b) for a, b in pairs)]


def random_chain(seed: int, refused: Counter[str] | None = None) -> sf.Flow | None:
    """The chain of a seed, in double precision and away from starting values, or None if the types accepted none."""
    rng = random.Random(seed)
    with torch.random.fork_rng():
        _registry()
        torch.manual_seed(seed)
        context = rng.choice([None, None, (3,), (3,), (2,)])
        maker = Maker(rng, context, exact=rng.random() < 0.4)
        flow = maker.chain(*rng.choice(DATA_SIDES), LAYERS)
        if refused is not None:
            refused.update(maker.refused)
        return None if flow is None else moved(flow).double()


def context_row(flow: sf.Flow, seed: int) -> Tensor | None:
    """One context, at which a conditional flow is looked at."""
    if flow.context_shape is None:
        return None
    return torch.randn(1, *flow.context_shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def told(flow: sf.Flow | Distribution | Transform) -> str:
    """A chain in one line, with its pieces."""
    if isinstance(flow, sf.Flow):
        return "[" + " > ".join(told(layer) for layer in [*flow.transforms, flow.base]) + "]"
    name = type(flow).__name__
    pieces = [told(child) for child in flow.children() if isinstance(child, Distribution | Transform)]
    if isinstance(flow, sf.Mixture | sf.Joint):
        pieces = [told(part) for part in (flow.components if isinstance(flow, sf.Mixture) else flow.parts)]
    shape = flow.in_shape if isinstance(flow, Transform) else flow.event_shape
    if name in ("Inverse", "Log", "Logit") and pieces:
        return f"Inverse({pieces[0]})" if name == "Inverse" else f"{name}{shape}"
    given = "" if flow.context_shape is None else f" | {flow.context_shape}"
    learned = "learned " if isinstance(flow, Parametric) and isinstance(flow.raw, torch.nn.Parameter) else ""
    extra = "".join(
        f", {key}={getattr(flow, key)}" for key in ("by", "part", "kernel_size", "stride", "axis") if hasattr(flow, key)
    )
    return f"{learned}{name}({', '.join([str(shape) + extra + given, *pieces])})"


# -- many of them -------------------------------------------------------------------------------------


def check(seed: int, draws: int, gradients: bool, refused: Counter[str] | None = None) -> dict[str, Any] | None:
    """What is found of the chain of a seed; None where the types accepted none."""
    flow = random_chain(seed, refused)
    if flow is None:
        return None
    context = context_row(flow, seed)
    found = agreement(flow, context, draws, seed)
    row: dict[str, Any] = {"seed": seed, "chain": told(flow), "data": f"{flow.event_shape} {flow.support!r}"}
    row |= {"exact": flow.exact, "z": found.worst_z, "mass": found.mass, "error": found.error}
    row |= {"integral": found.integral, "integral_error": found.integral_error, "wrong": found.wrong}
    if gradients and any(p.requires_grad for p in flow.parameters()):
        for slope in (bound_slope(flow, seed), sample_slope(flow, seed)):
            row[slope.what] = "refused" if slope.refused else "overflows" if slope.overflows else slope.z
            row["wrong"] = [*row["wrong"], *([slope.wrong] if slope.wrong else [])]
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--chains", type=int, default=300)
    parser.add_argument("--seed", type=int, default=0, help="of the first chain; the others follow")
    parser.add_argument("--draws", type=int, default=40_000)
    parser.add_argument("--gradients", action="store_true")
    parser.add_argument("--out", type=Path, help="a JSON file, such as docs/results/chains.json")
    options = parser.parse_args()
    torch.set_num_threads(1)
    started, rows, seed = time.perf_counter(), [], options.seed
    refused: Counter[str] = Counter()
    while len(rows) < options.chains:
        row = check(seed, options.draws, options.gradients, refused)
        seed += 1
        if row is None:
            continue
        rows.append(row)
        for wrong in row["wrong"]:
            print(f"{row['seed']}: {wrong}\n    {row['data']}: {row['chain']}", flush=True)
    result = summary(rows, refused)
    print(json.dumps(result, indent=1))
    print(f"{time.perf_counter() - started:.0f} s")
    if options.out is not None:
        command = f"python tests/chains.py --chains {options.chains} --seed {options.seed} --draws {options.draws}"
        versions = {"surflow": sf.__version__, "torch": torch.__version__}
        head = {"command": command + (" --gradients" if options.gradients else ""), "versions": versions}
        options.out.write_text(json.dumps(head | result, indent=1) + "\n")


def summary(rows: list[dict[str, Any]], refused: Counter[str]) -> dict[str, Any]:
    """Counts, and the largest deviations of all chains."""
    result: dict[str, Any] = {
        "accepted": len(rows),
        "exact": sum(row["exact"] for row in rows),
        "bounds": sum(not row["exact"] for row in rows),
        "refused_on_the_way": dict(sorted(refused.items())),
        "largest_z_of_draws_and_scores": max(row["z"] for row in rows),
        "largest_mass_minus_1_in_errors": max(abs(row["mass"] - 1) / max(row["error"], 1e-9) for row in rows),
        "integrals": sum(row["integral"] is not None for row in rows),
        "largest_integral_minus_1": max((abs(row["integral"] - 1) for row in rows if row["integral"]), default=0.0),
    }
    for what in ("elbo", "rsample"):
        of = [row[what] for row in rows if what in row]
        zs = [z for z in of if not isinstance(z, str)]
        result[f"{what}_gradients"] = {
            "checked": len(zs),
            "refused": of.count("refused"),
            "overflow": of.count("overflows"),
            "largest_difference_in_errors": max(zs, default=None),
        }
    result["wrong"] = [
        {"seed": row["seed"], "chain": row["chain"], "wrong": row["wrong"]} for row in rows if row["wrong"]
    ]
    return result


if __name__ == "__main__":
    main()
