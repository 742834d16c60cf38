"""Presets for sets of points, (coordinates, points): exchangeable, sorted, or as cells of a grid."""

from __future__ import annotations

from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.bijections.coupling import Coupling
from surflow.bijections.elementwise import Rescale
from surflow.bijections.normalize import ActNorm, Standardize
from surflow.bijections.ordered import LogGaps
from surflow.bijections.shape import Permute, RavelMultiIndex, Reverse
from surflow.distributions.ascending import AscendingCategorical
from surflow.distributions.normal import Normal
from surflow.errors import ShapeError
from surflow.flow import ContextNet, Flow
from surflow.nets.set_transformer import SetEncoder, SetTransformer
from surflow.presets.start import on_points
from surflow.stochastic.permutation import RandomPermutation
from surflow.stochastic.vae import VAE
from surflow.supports import Interval, Ragged, Support, real
from surflow.surjections.integers import SortIntegers
from surflow.surjections.quantize import Dequantize, RaggedCells
from surflow.surjections.sort import Sort
from surflow.transform import Inverse, Transform


def permute_flow(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    steps: int = 4,
    width: int = 64,
    layers: int = 2,
    dropout: float = 0.0,
) -> Flow:
    """For sets of points: couplings by set transformers, with random permutations between; 32 steps in the paper.

    RandomPermutation, ActNorm, (Coupling, Reverse, Coupling, RandomPermutation, ActNorm) x steps, Normal; a bound.

    Args:
        event_shape: (coordinates, points), two coordinates or more and an even number of points.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events, real: points anywhere.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        steps: how many pairs of couplings.
        width: of the transformers.
        layers: of a transformer.
        dropout: in the transformers, in training.

    Raises:
        ShapeError: for another shape, or a context that is no vector.
        SupportError: for another support than real.

    >>> permute_flow((2, 6), steps=1, width=8).exact
    False
    """
    with seeded(seed):
        start = on_points("permute-flow", event_shape, context_shape, context_net, support)
        shape = start.shape
        chain = couplings(shape, start.context, steps, width, layers, dropout, exchangeable=True)
        return start.flow([RandomPermutation(shape), ActNorm(shape), *chain], Normal(shape))


def statistician(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    latent: int = 16,
    steps: int = 4,
    width: int = 64,
    layers: int = 2,
    dropout: float = 0.0,
) -> Flow:
    """For sets of points: a latent for the whole set, from a set encoder, and permute-flow given it.

    ActNorm, VAE whose decoder is the couplings of :func:`permute_flow`, Normal(latent); a bound.

    Args:
        event_shape: (coordinates, points), two coordinates or more and an even number of points.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events, real: points anywhere.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        latent: how many latent numbers a set has.
        steps: how many pairs of couplings.
        width: of the transformers.
        layers: of a transformer.
        dropout: in the transformers, in training.

    Raises:
        ShapeError: for another shape, or a context that is no vector.
        SupportError: for another support than real.

    >>> statistician((2, 6), latent=3, steps=1, width=8).base.event_shape
    (3,)
    """
    with seeded(seed):
        start = on_points("statistician", event_shape, context_shape, context_net, support)
        shape, context = start.shape, start.context
        seen = (shape[0] + context, *shape[1:])
        net = SetEncoder(seen[0], 2 * latent, width=width, layers=layers, feedforward=4 * width, dropout=dropout)
        chain = couplings(shape, latent + context, steps, width, layers, dropout, exchangeable=True)
        vae = VAE(Normal(latent, seen, net=net), Flow(chain, base=Normal(shape)))
        return start.flow([ActNorm(shape), vae], Normal(latent))


def sort_flow(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    steps: int = 4,
    width: int = 64,
    layers: int = 2,
    dropout: float = 0.0,
) -> Flow:
    """For sets of points: sorted by the first coordinate, whose gaps become real numbers, then couplings.

    Sort, LogGaps, Standardize, (Coupling, Reverse, Coupling, Permute, ActNorm) x steps, Normal.

    Args:
        event_shape: (coordinates, points), two coordinates or more and an even number of points.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events, real: points anywhere.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        steps: how many pairs of couplings.
        width: of the transformers.
        layers: of a transformer.
        dropout: in the transformers, in training.

    Raises:
        ShapeError: for another shape, or a context that is no vector.
        SupportError: for another support than real.

    >>> sort_flow((2, 6), steps=1, width=8).exact
    True
    """
    with seeded(seed):
        start = on_points("sort-flow", event_shape, context_shape, context_net, support)
        shape = start.shape
        chain: list[Transform] = [Sort(shape, by=0), LogGaps(shape, by=0), Standardize(shape)]
        chain += couplings(shape, start.context, steps, width, layers, dropout, exchangeable=False)
        return start.flow(chain, Normal(shape))


def point_grid(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    cells: int = 28,
    low: float = -0.5,
    high: float = 27.5,
    mask: bool = False,
    width: int = 96,
    layers: int = 3,
    dropout: float = 0.0,
) -> Flow:
    """For sets of points in a box: the cells of a grid that they lie in, in ascending order, one after the other.

    Rescale, Inverse(Dequantize), RavelMultiIndex, SortIntegers, AscendingCategorical.

    Args:
        event_shape: (coordinates, points); with ``mask`` a last row of ones and zeros says which points there are.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events, real, or the flow's own: ``Interval(low, high)``, with ``mask`` ``Ragged(low, high)``.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        cells: of the grid, along every coordinate.
        low, high: the sides of the box, the same in every coordinate.
        mask: sets are of different sizes.
        width: of the transformer.
        layers: of the transformer.
        dropout: in the transformer, in training.

    Raises:
        ShapeError: for another shape, or a context that is no vector.
        SupportError: for another support.

    >>> point_grid((2, 6), cells=4, low=0.0, high=4.0, width=8).support
    interval(0, 4)
    """
    with seeded(seed):
        box = Ragged(low, high) if mask else Interval(low, high)
        start = on_points("point-grid", event_shape, context_shape, context_net, real if support == box else support)
        shape = start.shape
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
            points, levels=levels, context_shape=start.context_shape, width=width, layers=layers, dropout=dropout
        )
        return start.flow([*chain, SortIntegers(points, levels=levels)], base)


def couplings(
    shape: Shape, context: int, steps: int, width: int, layers: int, dropout: float, *, exchangeable: bool
) -> list[Transform]:
    """Steps of a coupling over coordinates, one over points, and actnorm of every coordinate; points are shuffled
    between, at random if they are exchangeable, else in fixed ways that networks with learned embeddings can know.

    >>> len(couplings((2, 4), 0, 1, 8, 1, 0.0, exchangeable=False))
    5
    """
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
            Coupling(shape, context or None, net=net(half, coordinates - half, points)),
            Reverse(shape),
            Coupling(shape, context or None, axis=1, net=net(coordinates, coordinates, points // 2)),
            RandomPermutation(shape) if exchangeable else Permute(shape, axis=1),
            ActNorm(shape),
        ]
    return chain
