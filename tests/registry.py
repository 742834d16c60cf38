"""Constructors of every exported layer and distribution: the property tests run over all of them.

To have a new layer tested, add a line here; test_registry fails until there is one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import torch
from torch import Tensor

import surflow as sf
from surflow.data import Column, ColumnKind, Schema
from surflow.data.tables.support import support_of
from surflow.supports import Circle, Integers, Interval, Ordered, Permutations, Positive, Product, Ragged, Support

Module = TypeVar("Module", bound=torch.nn.Module)


@dataclass(frozen=True)
class Case:
    """One way to build a layer or a distribution.

    ``reach`` and ``latent_reach`` are the sizes of x and of z up to which floats hold the map's values: exp(1e3)
    overflows, and sigmoid(1e3) is 1 in any precision.
    """

    name: str
    build: Callable[[], sf.Transform | sf.Distribution]
    reach: float = 1e3
    latent_reach: float = 1e3

    def make(self, dtype: torch.dtype = torch.float64, seed: int = 0) -> sf.Transform | sf.Distribution:
        """Built from a seed, with parameters away from their starting values."""
        with sf.seeded(seed):
            built = moved(self.build())
        return built.to(dtype)

    @cached_property
    def example(self) -> sf.Transform | sf.Distribution:
        """One that is built once, to ask what it is; tests make their own."""
        return self.make()


def moved(built: Module) -> Module:
    """The same layer or distribution, its parameters away from their starting values, which are often zero."""
    with torch.no_grad():
        for p in built.parameters():
            # Networks half as steep as they start: no grid would resolve the densities of wilder ones.
            p.mul_(0.5).add_(torch.randn_like(p) * (0.5 * p.shape[1] ** -0.5 if p.ndim == 2 else 0.2))
    return built


def _decoder() -> sf.Flow:
    return sf.Flow([sf.Coupling(2, context_shape=1, hidden=(8,))], base=sf.Normal(2, context_shape=1))


def _positive_flow(context: int | None = None) -> sf.Flow:
    layers = [sf.Log(1), sf.Elementwise(1, context_shape=context)]
    return sf.Flow(layers, base=sf.Normal(1))


def _dequantizer(shape: int) -> sf.Flow:
    layers = [sf.Logit(shape), sf.Elementwise(shape, context_shape=shape)]
    return sf.Flow(layers, base=sf.Normal(shape))


class Echo(sf.AutoregressiveNet):
    """Parameters that are multiples of the coordinate before: a network that does not say how it is inverted."""

    def __init__(self, size: int, n_parameters: int) -> None:
        super().__init__(range(size), n_parameters)
        self.weight = torch.nn.Parameter(torch.ones(n_parameters, 1))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        before = torch.nn.functional.pad(x[:, :-1], (1, 0))
        return (self.weight * before.unsqueeze(1) / 5).to(self.weight.dtype)


SMALL = (16, 16)
CONTEXT = 3

TRANSFORMS = [
    # bijections
    Case("affine coupling", lambda: sf.Coupling(2, hidden=SMALL)),
    Case("affine coupling, context", lambda: sf.Coupling(2, CONTEXT, hidden=SMALL)),
    Case("coupling of one coordinate, context", lambda: sf.Coupling(1, CONTEXT, hidden=SMALL)),
    Case("affine coupling, mask", lambda: sf.MaskedCoupling(3, hidden=SMALL, mask=[True, False, True])),
    Case("affine coupling, image", lambda: sf.Coupling((2, 2, 2), CONTEXT, hidden=SMALL, axis=1)),
    Case(
        "affine coupling, convolution",
        lambda: sf.Coupling((2, 3, 3), CONTEXT, net=torch.nn.Conv2d(1 + CONTEXT, 2, 3, padding=1)),
    ),
    Case(
        "affine coupling of points",
        lambda: sf.Coupling((2, 3), CONTEXT, net=sf.SetTransformer(1 + CONTEXT, 2, width=8, heads=2, feedforward=8)),
    ),
    Case(
        "masked coupling of an image, ready-made net",
        lambda: sf.MaskedCoupling(
            (2, 1, 2),
            CONTEXT,
            mask=[[[True, False]], [[False, True]]],
            net=sf.ConvNet(2 + CONTEXT, 4, 8, context_shape=CONTEXT),
        ),
    ),
    Case("spline coupling", lambda: sf.Coupling(2, hidden=SMALL, map=sf.SplineMap(bins=5, bound=4.0))),
    Case("spline coupling, one bin", lambda: sf.Coupling(2, CONTEXT, hidden=SMALL, map=sf.SplineMap(bins=1))),
    Case("circular coupling", lambda: sf.Coupling(2, CONTEXT, hidden=SMALL, map=sf.CircularSplineMap(bins=5))),
    Case("positive coupling", lambda: sf.Coupling(2, hidden=SMALL, map=sf.PositiveSplineMap(5, bound=2.0))),
    Case("interval coupling", lambda: sf.Coupling(2, hidden=SMALL, map=sf.IntervalSplineMap(5, low=-1.0, high=3.0))),
    Case("truncated coupling", lambda: sf.Coupling(2, hidden=SMALL, map=sf.TruncatedMap(-1.0, 3.0))),
    Case("autoregressive", lambda: sf.Autoregressive(3, hidden=SMALL)),
    Case("autoregressive spline, context", lambda: sf.Autoregressive(2, CONTEXT, hidden=SMALL, map=sf.SplineMap(4))),
    Case("autoregressive, two passes", lambda: sf.Autoregressive((2, 2), hidden=SMALL, passes=2)),
    Case("autoregressive, one pass", lambda: sf.Autoregressive(2, CONTEXT, hidden=SMALL, passes=1)),
    Case(
        "autoregressive spline, ready-made net",
        lambda: sf.Autoregressive(
            2, CONTEXT, map=sf.SplineMap(4), net=sf.MaskedMLP([0, 1], 11, CONTEXT, SMALL, batch_last=True)
        ),
    ),
    Case("autoregressive, a net of one's own", lambda: sf.Autoregressive((3, 1), net=Echo(3, 2))),
    Case("elementwise affine", lambda: sf.Elementwise(2)),
    Case("elementwise spline, context", lambda: sf.Elementwise(2, CONTEXT, map=sf.SplineMap(), hidden=SMALL)),
    Case("elementwise affine, ready-made net", lambda: sf.Elementwise(2, CONTEXT, net=sf.MLP(CONTEXT, 4, SMALL))),
    Case("orthonormal", lambda: sf.Orthogonal(2)),
    Case("orthonormal, learned", lambda: sf.Orthogonal((3, 2, 2), learned=True)),
    Case("linear", lambda: sf.Linear(2, matrix=[[1.0, 1.0], [1.0, -1.0]])),
    Case("linear, image", lambda: sf.Linear((2, 2, 2), matrix=[[2.0, 1.0], [0.5, -1.0]])),
    Case("conditional linear", lambda: sf.ConditionalLinear(2, CONTEXT, hidden=SMALL)),
    Case("conditional linear, ready-made net", lambda: sf.ConditionalLinear(2, CONTEXT, net=sf.MLP(CONTEXT, 5, SMALL))),
    Case("LU", lambda: sf.LULinear(2)),
    Case("LU, image", lambda: sf.LULinear((3, 2, 2))),
    Case("actnorm", lambda: sf.ActNorm(2)),
    Case("actnorm, image", lambda: sf.ActNorm((3, 2, 2))),
    Case("standardize", lambda: sf.Standardize(2)),
    Case("jitter", lambda: sf.Jitter(2)),
    Case("standardize, about zero", lambda: sf.Standardize(2, center=False)),
    Case("exp", lambda: sf.Exp(2), reach=20),
    Case("log", lambda: sf.Log(2), latent_reach=20),
    Case("softplus", lambda: sf.Softplus(2), reach=20),
    Case("sigmoid", lambda: sf.Sigmoid(2, low=-1.0, high=4.0), reach=5),
    Case("logit", lambda: sf.Logit(2, low=-1.0, high=4.0), latent_reach=5),
    Case("rescale", lambda: sf.Rescale(2, start=(-0.5, 3.5), end=(2.0, 12.0))),
    Case("tanh", lambda: sf.Tanh(2), reach=2),
    Case("inverse tanh", lambda: sf.Inverse(sf.Tanh(2)), latent_reach=2),
    Case("log gaps", lambda: sf.LogGaps(2), latent_reach=10),
    Case("log gaps of points", lambda: sf.LogGaps((2, 3), by=0), latent_reach=10),
    Case("polar", lambda: sf.Polar()),
    Case("permute", lambda: sf.Permute(3)),
    Case("permute, points", lambda: sf.Permute((2, 3), axis=1)),
    Case("permute, permutations", lambda: sf.Permute(2, support=sf.Permutations(2))),
    Case("reverse", lambda: sf.Reverse(3)),
    Case("reverse, product", lambda: sf.Reverse(2, support=sf.product([sf.real, sf.positive]))),
    Case("permute, ordered points", lambda: sf.Permute((2, 3), order=[1, 0], support=sf.Ordered(by=0))),
    Case("permute axes", lambda: sf.PermuteAxes((2, 3, 1), axes=(1, 2, 0))),
    Case("reshape", lambda: sf.Reshape((2, 3), 6)),
    Case("ravel", lambda: sf.RavelMultiIndex((2, 1), levels=4)),
    Case("ravel, points", lambda: sf.RavelMultiIndex((3, 2), levels=4)),
    Case("squeeze", lambda: sf.Squeeze((1, 4, 2))),
    Case("squeeze, product", lambda: sf.Squeeze((2, 2, 2), support=sf.product([sf.positive, sf.real]))),
    Case("on", lambda: sf.On(3, part=[2, 0], layer=sf.Coupling(2, CONTEXT, hidden=SMALL))),
    Case("on, support", lambda: sf.On(2, part=[1], layer=sf.Exp(1)), reach=20),
    # surjections
    Case("abs", lambda: sf.Abs(2)),
    Case("abs, learned", lambda: sf.Abs(2, signs=sf.Bernoulli(2, learned=True))),
    Case("abs, conditional", lambda: sf.Abs(2, signs=sf.Bernoulli(2, context_shape=2 + CONTEXT))),
    Case("abs, joint", lambda: sf.Abs(2, signs=sf.JointBernoulli(2, context_shape=2))),
    Case("abs, interval", lambda: sf.Abs(2, support=sf.Interval(-3.0, 3.0))),
    Case("max", lambda: sf.Max(2)),
    Case("max, exponential", lambda: sf.Max(2, differences=sf.Exponential(1, context_shape=1)), latent_reach=10),
    Case(
        "max, learned and conditional",
        lambda: sf.Max(
            2, index=sf.Categorical(1, levels=2, context_shape=1 + CONTEXT), differences=_positive_flow(1 + CONTEXT)
        ),
        latent_reach=10,
    ),
    Case("max pool", lambda: sf.MaxPool((1, 1, 2), kernel_size=(1, 2))),
    Case("max pool, image", lambda: sf.MaxPool((2, 4, 4), kernel_size=2)),
    Case(
        "integer max pool",
        lambda: sf.IntegerMaxPool(
            (1, 1, 2),
            levels=4,
            kernel_size=(1, 2),
            pixels=sf.BlockwiseDiscretizedLogistic((1, 1, 1), levels=4, positions=2, width=8),
        ),
    ),
    Case(
        "integer max pool, context",
        lambda: sf.IntegerMaxPool(
            (2, 4, 2),
            levels=9,
            kernel_size=2,
            pixels=sf.BlockwiseDiscretizedLogistic((2, 2, 1), levels=9, positions=4, context_shape=CONTEXT, width=8),
        ),
    ),
    Case(
        "integer max pool, ready-made nets",
        lambda: sf.IntegerMaxPool(
            (1, 1, 2),
            levels=4,
            kernel_size=(1, 2),
            pixels=sf.BlockwiseDiscretizedLogistic(
                (1, 1, 1), levels=4, positions=2, components=1, nets=[sf.ConvNet(2 + j, 5, 8) for j in range(2)]
            ),
        ),
    ),
    Case(
        "integer max pool, categorical",
        lambda: sf.IntegerMaxPool(
            (1, 1, 2), levels=4, kernel_size=(1, 2), pixels=sf.Categorical((2, 1, 1), levels=4, learned=True)
        ),
    ),
    Case(
        "integer max pool, categorical with context",
        lambda: sf.IntegerMaxPool(
            (2, 2, 4),
            levels=3,
            kernel_size=2,
            pixels=sf.Categorical((8, 1, 2), levels=3, context_shape=(2 + CONTEXT, 1, 2)),
        ),
    ),
    Case("overlapping max pool", lambda: sf.OverlappingMaxPool((1, 3, 3), kernel_size=2, stride=1)),
    Case("sort", lambda: sf.Sort(2)),
    Case("sort, learned", lambda: sf.Sort(2, order=sf.PlackettLuce(2, context_shape=2))),
    Case("sort of points", lambda: sf.Sort((2, 3), by=1)),
    Case("sort of integers", lambda: sf.SortIntegers(2, levels=5)),
    Case("sort of more integers", lambda: sf.SortIntegers(6, levels=3)),
    Case("slice", lambda: sf.Slice(2, keep=1)),
    Case("slice, conditional", lambda: sf.Slice(2, keep=1, dropped=sf.Normal(1, context_shape=1 + CONTEXT))),
    Case(
        "slice of integers",
        lambda: sf.Slice(
            (2, 1, 1),
            keep=1,
            dropped=sf.DiscretizedLogisticMixture(
                (1, 1, 1), levels=6, context_shape=(1, 1, 1), net=sf.ConvNet(1, 14, 8)
            ),
            support=sf.Integers(6),
        ),
    ),
    Case("slice, another support", lambda: sf.Slice(2, keep=1, dropped=sf.HalfNormal(1, context_shape=1))),
    Case(
        "slice, dropped bound",
        lambda: sf.Slice(2, keep=1, dropped=sf.Flow([sf.Augment(1, noise=1)], base=sf.Normal(2))),
    ),
    Case("augment", lambda: sf.Augment(1, noise=1)),
    Case("augment, conditional", lambda: sf.Augment(2, noise=sf.Normal(1, context_shape=2 + CONTEXT))),
    Case("dequantize", lambda: sf.Dequantize(2, levels=5)),
    Case("dequantize, variational", lambda: sf.Dequantize(2, levels=5, noise=_dequantizer(2))),
    Case("ragged cells", lambda: sf.RaggedCells((3, 2), cells=3, low=-1.0, high=3.0)),
    Case("ragged cells, few", lambda: sf.RaggedCells((2, 1), cells=3, low=0.0, high=2.0)),
    # stochastic
    Case("random permutation", lambda: sf.RandomPermutation(2)),
    Case("random permutation of points", lambda: sf.RandomPermutation((2, 3))),
    Case("random permutation, ragged", lambda: sf.RandomPermutation((3, 2), support=sf.Ragged(-1.0, 3.0))),
    Case("VAE", lambda: sf.VAE(sf.Normal(1, context_shape=2), sf.Normal(2, context_shape=1))),
    Case("VAE, flow decoder", lambda: sf.VAE(sf.Normal(1, context_shape=2), _decoder())),
    Case(
        "VAE, set encoder",
        lambda: sf.VAE(
            sf.Normal(1, context_shape=(2, 1), net=sf.SetEncoder(2, 2, width=8, heads=2, feedforward=8)),
            sf.Normal((2, 1), context_shape=1),
        ),
    ),
    Case("VAE, discrete", lambda: sf.VAE(sf.Normal(1, context_shape=2), sf.Categorical(2, levels=5, context_shape=1))),
    # combinators
    Case("inverse", lambda: sf.Inverse(sf.Coupling(2, CONTEXT, hidden=SMALL))),
    Case("inverse abs", lambda: sf.Inverse(sf.Abs(2, signs=sf.Bernoulli(2, context_shape=2)))),
]


def _table_model() -> sf.TableModel:
    """Of a table of names and counts."""
    columns = [
        Column("pet", ColumnKind.CATEGORY, categories=["cat", "dog"]),
        Column("legs", ColumnKind.BOOLEAN, categories=["false", "true"]),
    ]
    flow = sf.Flow([], base=sf.AnyOrder(2, support=support_of(columns), width=8, layers=1, dropout=0.0))
    return sf.TableModel(flow, Schema(columns))


def _fitted(mixture: sf.GaussianMixture) -> sf.GaussianMixture:
    """Fitted to two clouds that depend on the context."""
    with sf.seeded(0):
        context = None if mixture.context_shape is None else torch.randn(60, *mixture.context_shape)
        x = torch.randn(60, *mixture.event_shape) * 0.3 + torch.randint(2, (60, 1)) * 2 - 1
        mixture.initialize(x if context is None else x + 0.2 * context.sum(1, keepdim=True), context)
    return mixture


DISTRIBUTIONS = [
    Case("normal", lambda: sf.Normal(2)),
    Case("normal, learned", lambda: sf.Normal(2, learned=True)),
    Case("normal, conditional", lambda: sf.Normal(2, CONTEXT)),
    Case("logistic", lambda: sf.Logistic(2)),
    Case("logistic, conditional", lambda: sf.Logistic(1, CONTEXT)),
    Case("half-normal", lambda: sf.HalfNormal(2, initial=0.3)),
    Case("half-normal, conditional", lambda: sf.HalfNormal(1, CONTEXT)),
    Case("exponential", lambda: sf.Exponential(2, learned=True)),
    Case("uniform", lambda: sf.Uniform(2, low=-1.0, high=3.0)),
    Case("uniform on the circle", lambda: sf.UniformCircle(2)),
    Case("bernoulli", lambda: sf.Bernoulli(2)),
    Case("bernoulli, conditional", lambda: sf.Bernoulli(2, CONTEXT)),
    Case("joint bernoulli", lambda: sf.JointBernoulli(2, learned=True)),
    Case("joint bernoulli, conditional", lambda: sf.JointBernoulli(2, CONTEXT)),
    Case("categorical", lambda: sf.Categorical(2, levels=5, learned=True)),
    Case("categorical, conditional", lambda: sf.Categorical(2, levels=3, context_shape=CONTEXT)),
    Case("levels", lambda: sf.DiscretizedLogisticMixture(2, levels=7, learned=True)),
    Case("levels, autoregressive", lambda: sf.AutoregressiveDiscretizedLogistic((1, 2, 1), levels=6, width=8)),
    Case(
        "levels, autoregressive, patches",
        lambda: sf.AutoregressiveDiscretizedLogistic((1, 2, 2), levels=4, context_shape=CONTEXT, patch=2, width=8),
    ),
    Case("levels, autoregressive, grid", lambda: sf.AutoregressiveDiscretizedLogistic((2, 2, 2), levels=2, width=8)),
    Case(
        "levels, autoregressive, context",
        lambda: sf.AutoregressiveDiscretizedLogistic(2, levels=5, context_shape=CONTEXT, width=8),
    ),
    Case(
        "levels, conditional", lambda: sf.DiscretizedLogisticMixture(2, levels=9, context_shape=CONTEXT, components=2)
    ),
    Case(
        "levels, autoregressive, ready-made net",
        lambda: sf.AutoregressiveDiscretizedLogistic(
            2, CONTEXT, levels=5, components=1, net=sf.MaskedMLP([0, 1], 5, CONTEXT, SMALL)
        ),
    ),
    Case(
        "levels, autoregressive, a net of one's own",
        lambda: sf.AutoregressiveDiscretizedLogistic(2, levels=5, components=1, net=Echo(2, 5)),
    ),
    Case("ascending, ready-made net", lambda: sf.AscendingCategorical(2, levels=5, net=sf.MaskedMLP([0, 1], 5))),
    Case("ascending", lambda: sf.AscendingCategorical(2, levels=5, width=8)),
    Case("ascending, context", lambda: sf.AscendingCategorical(3, levels=3, context_shape=CONTEXT, width=8)),
    Case("any order", lambda: sf.AnyOrder(2, support=sf.Integers(3), width=8, layers=1, dropout=0.0)),
    Case(
        "any order, numbers",
        lambda: sf.AnyOrder(
            2, support=sf.product([sf.positive, sf.Interval(-1.0, 3.0)]), width=8, layers=1, components=3, dropout=0.0
        ),
    ),
    Case(
        "any order, context",
        lambda: sf.AnyOrder(2, CONTEXT, support=sf.product([sf.circle, sf.real]), width=8, components=3, dropout=0.0),
    ),
    Case("column tree", lambda: sf.ColumnTree(2, support=sf.product([sf.positive, sf.Interval(-1.0, 3.0)]), bins=4)),
    Case(
        "column mixture",
        lambda: sf.ColumnMixture(
            [
                sf.AnyOrder(2, support=sf.Integers(3), width=8, layers=1, dropout=0.0),
                sf.ColumnTree(2, support=sf.Integers(3), bins=2),
            ]
        ),
    ),
    Case("table model", lambda: sf.Flow([], base=_table_model())),  # whose own `sample` gives tables
    Case("Plackett-Luce", lambda: sf.PlackettLuce(3, learned=True)),
    Case("Plackett-Luce, conditional", lambda: sf.PlackettLuce(2, CONTEXT)),
    Case("mixture", lambda: sf.Mixture([sf.Normal(2, learned=True) for _ in range(3)])),
    Case("mixture, conditional", lambda: sf.Mixture([sf.Normal(1, CONTEXT), sf.Logistic(1)])),
    Case("stacked", lambda: sf.Stacked([sf.Normal(2, learned=True), sf.GaussianMixture(2)])),
    Case("stacked, conditional", lambda: sf.Stacked([sf.Normal(1, CONTEXT), sf.GaussianMixture(1)])),
    Case("gaussian mixture", lambda: _fitted(sf.GaussianMixture(2, components=3))),
    Case("gaussian mixture, conditional", lambda: _fitted(sf.GaussianMixture(2, CONTEXT, components=2))),
    Case("independent", lambda: sf.Joint([sf.HalfNormal(1, CONTEXT), sf.UniformCircle(1)])),
    Case("flow", lambda: sf.Flow([sf.Coupling(2, hidden=SMALL), sf.Orthogonal(2)], base=sf.Normal(2))),
    Case("flow, conditional", lambda: sf.Flow([sf.Coupling(2, CONTEXT, hidden=SMALL)], base=sf.Normal(2, CONTEXT))),
    Case("flow, abs", lambda: sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2))),
    Case("flow, without layers", lambda: sf.Flow([], base=sf.Normal(2))),
]


def base_for(support: Support, shape: tuple[int, ...]) -> sf.Distribution:
    """Some distribution on a support."""
    if isinstance(support, Positive):
        return sf.Flow([sf.Log(shape)], base=sf.Normal(shape))
    if isinstance(support, Interval):
        return sf.Uniform(shape, low=support.low, high=support.high)
    if isinstance(support, Circle):
        return sf.UniformCircle(shape)
    if isinstance(support, Integers):
        return sf.Categorical(shape, levels=support.levels)
    if isinstance(support, Ordered) and support.levels:
        return sf.AscendingCategorical(shape[0], levels=support.levels, width=8)
    if isinstance(support, Ordered):
        return sf.Flow([sf.LogGaps(shape, by=support.by)], base=sf.Normal(shape))
    if isinstance(support, Permutations):
        return sf.PlackettLuce(support.size, learned=True)
    if isinstance(support, Ragged):
        layer = sf.RaggedCells(shape, cells=3, low=support.low, high=support.high)
        return sf.Flow([layer], base=base_for(layer.codomain, layer.out_shape))
    if isinstance(support, Product):
        return sf.Joint([base_for(part, (n, *shape[1:])) for part, n in support.parts])
    return sf.Normal(shape)


def events(
    support: Support, shape: tuple[int, ...], n: int, size: float = 1.0, dtype: torch.dtype = torch.float64
) -> Tensor:
    """``n`` typical events in a support, of about the given size where the support has no scale of its own."""
    if isinstance(support, Product):
        return torch.cat([events(part, (k, *shape[1:]), n, size, dtype) for part, k in support.parts], 1)
    if isinstance(support, Ragged):
        there = torch.randint(2, (n, 1, *shape[1:])).to(dtype)
        points = events(Interval(support.low, support.high), (shape[0] - 1, *shape[1:]), n, size, dtype)
        return torch.cat([points * there, there], 1)
    if isinstance(support, Permutations):
        return torch.rand(n, *shape).argsort(1).to(dtype)
    noise = torch.randn(n, *shape, dtype=dtype)
    noise = noise.sign() * (0.5 + noise.abs())
    if isinstance(support, Positive):
        return noise.abs() * size
    if isinstance(support, Interval):
        return support.low + (support.high - support.low) * (0.02 + 0.96 * torch.rand(n, *shape, dtype=dtype))
    if isinstance(support, Circle):
        return (torch.rand(n, *shape, dtype=dtype) * 2 - 1) * 3.1
    if isinstance(support, Integers):
        return torch.randint(support.levels, (n, *shape)).to(dtype)
    if isinstance(support, Ordered):
        if support.levels:
            return torch.randint(support.levels, (n, *shape)).to(dtype).sort(-1).values
        if support.by is None:
            return noise.sort(-1).values * size
        noise[:, support.by] = noise[:, support.by].sort(-1).values
        return noise * size
    return noise * size


def context_of(thing: sf.Transform | sf.Distribution, n: int, dtype: torch.dtype = torch.float64) -> Tensor | None:
    """Contexts for a layer or a distribution, or None."""
    return None if thing.context_shape is None else torch.randn(n, *thing.context_shape, dtype=dtype)
