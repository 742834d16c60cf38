"""Chains for sets of points, (coordinates, points): exchangeable, sorted, or as cells of a grid."""

from __future__ import annotations

from collections.abc import Callable

from surflow._internal.shapes import Shape
from surflow.bijections.coupling import Coupling
from surflow.bijections.elementwise import Rescale
from surflow.bijections.normalize import ActNorm, Standardize
from surflow.bijections.ordered import LogGaps
from surflow.bijections.shape import Permute, RavelMultiIndex, Reverse
from surflow.distributions.ascending import AscendingCategorical
from surflow.distributions.normal import Normal
from surflow.errors import ShapeError
from surflow.flow import Flow
from surflow.nets.set_transformer import SetEncoder, SetTransformer
from surflow.presets.chains import Chain, given
from surflow.stochastic.permutation import RandomPermutation
from surflow.stochastic.vae import VAE
from surflow.surjections.integers import SortIntegers
from surflow.surjections.quantize import Dequantize, RaggedCells
from surflow.surjections.sort import Sort
from surflow.transform import Inverse, Transform

# Chains from sets of points on the real line, given their shape and the width of the context.
CLOUDS: dict[str, Callable[..., Chain]] = {}


def _cloud(name: str) -> Callable[[Callable[..., Chain]], Callable[..., Chain]]:
    def register(make: Callable[..., Chain]) -> Callable[..., Chain]:
        CLOUDS[name] = make
        return make

    return register


def couplings(
    shape: Shape, context: int, steps: int, width: int, layers: int, dropout: float, *, exchangeable: bool
) -> list[Transform]:
    """Steps of a coupling over coordinates, one over points, and actnorm of every coordinate; points are shuffled
    between, at random if exchangeable, else in fixed ways that networks with positional embeddings can know."""
    coordinates, points = shape
    if coordinates < 2 or points < 2 or points % 2:
        raise ShapeError(
            f"the presets 'permute-flow' and 'sort-flow' couple coordinates with coordinates and half of the points "
            f"with the other half, and expect two coordinates or more and an even number of points, got {shape}"
        )

    def net(inputs: int, outputs: int, n: int) -> SetTransformer:
        places = None if exchangeable else n
        options = {"width": width, "layers": layers, "feedforward": 4 * width}
        return SetTransformer(inputs + context, 2 * outputs, places, dropout=dropout, **options)

    half = coordinates // 2
    chain: list[Transform] = []
    for _ in range(steps):
        chain += [
            Coupling(shape, given(context), net=net(half, coordinates - half, points)),
            Reverse(shape),
            Coupling(shape, given(context), axis=1, net=net(coordinates, coordinates, points // 2)),
            RandomPermutation(shape) if exchangeable else Permute(shape, axis=1),
            ActNorm(shape),
        ]
    return chain


@_cloud("permute-flow")
def _permute_flow(
    shape: Shape, context: int, *, steps: int = 4, width: int = 64, layers: int = 2, dropout: float = 0.0
) -> Chain:
    """for sets of points: couplings by set transformers, with random permutations between; 32 steps in the paper"""
    chain = [
        RandomPermutation(shape),
        ActNorm(shape),
        *couplings(shape, context, steps, width, layers, dropout, exchangeable=True),
    ]
    return chain, Normal(shape)


@_cloud("statistician")
def _statistician(
    shape: Shape,
    context: int,
    *,
    latent: int = 16,
    steps: int = 4,
    width: int = 64,
    layers: int = 2,
    dropout: float = 0.0,
) -> Chain:
    """for sets of points: a latent for the whole set, from a set encoder, and permute-flow given it"""
    seen = (shape[0] + context, *shape[1:])
    net = SetEncoder(seen[0], 2 * latent, width=width, layers=layers, feedforward=4 * width, dropout=dropout)
    points = Flow(
        couplings(shape, latent + context, steps, width, layers, dropout, exchangeable=True), base=Normal(shape)
    )
    vae = VAE(Normal(latent, seen, net=net), points)
    return [ActNorm(shape), vae], Normal(latent)


@_cloud("sort-flow")
def _sort_flow(
    shape: Shape, context: int, *, steps: int = 4, width: int = 64, layers: int = 2, dropout: float = 0.0
) -> Chain:
    """for sets of points: sorted by the first coordinate, whose gaps become real numbers, then couplings"""
    chain: list[Transform] = [Sort(shape, by=0), LogGaps(shape, by=0), Standardize(shape)]
    return [*chain, *couplings(shape, context, steps, width, layers, dropout, exchangeable=False)], Normal(shape)


@_cloud("point-grid")
def _point_grid(
    shape: Shape,
    context: int,
    *,
    cells: int = 28,
    low: float = -0.5,
    high: float = 27.5,
    mask: bool = False,
    width: int = 96,
    layers: int = 3,
    dropout: float = 0.0,
) -> Chain:
    """for sets of points in a box: the cells of a grid that they lie in, in ascending order, one after the other"""
    chain: list[Transform]
    if mask:  # the last row says which points there are
        chain = [RaggedCells(shape, cells=cells, low=low, high=high)]
    else:
        chain = [
            Rescale(shape, start=(low, high), end=(0.0, float(cells))),
            Inverse(Dequantize(shape, levels=cells)),
            RavelMultiIndex(shape, levels=cells),
        ]
    points, levels = shape[1], chain[-1].codomain.levels  # type: ignore[attr-defined]
    base = AscendingCategorical(
        points, levels=levels, context_shape=given(context), width=width, layers=layers, dropout=dropout
    )
    return [*chain, SortIntegers(points, levels=levels)], base
