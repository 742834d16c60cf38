"""The models of the images: pyramids of integers, and what the study built, with right likelihoods."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import surflow as sf
from surflow_experiments.digits import DIGITS

SHAPE, LEVELS = (1, 28, 28), 256
# What hidden layers the study's couplings had.
_HIDDEN = (200, 200)


def _pairs(size: int, n: int = 5, hidden: Sequence[int] = _HIDDEN) -> list[sf.Transform]:
    pairs = ((sf.Coupling(size, DIGITS, hidden=hidden), sf.Orthogonal(size)) for _ in range(n))
    return [layer for pair in pairs for layer in pair]


def study(pairs: int = 5, hidden: Sequence[int] = _HIDDEN) -> sf.Flow:
    """Dequantised, then couplings over all pixels and maxima in turn, from 28 x 28 to 14, 7 and, overlapping, 3.

    The study worked on the raw numbers from 0 to 256; here a logit and a standardisation come first, without which
    its couplings, whose scales end at e, could not even leave that range.
    """
    layers: list[sf.Transform] = [
        sf.Dequantize(SHAPE, levels=LEVELS),
        sf.Logit(SHAPE, low=0, high=LEVELS),
        sf.Standardize(SHAPE),
    ]
    pools = [
        sf.MaxPool((1, 28, 28), kernel_size=2),
        sf.MaxPool((1, 14, 14), kernel_size=2),
        sf.OverlappingMaxPool((1, 7, 7), kernel_size=3, stride=2),
    ]
    for pool in pools:
        size = math.prod(pool.in_shape)
        layers += [sf.Reshape(pool.in_shape, size), *_pairs(size, pairs, hidden), sf.Reshape(size, pool.in_shape), pool]
    size = math.prod(pools[-1].out_shape)
    layers += [sf.Reshape(pools[-1].out_shape, size), *_pairs(size, pairs, hidden)]
    return sf.Flow(layers, base=sf.Normal(size), context_net=sf.ContextColumns([DIGITS]))


def _pyramid(name: str) -> Callable[..., sf.Flow]:
    net, support = sf.ContextColumns([DIGITS]), sf.Integers(LEVELS)
    return lambda **options: sf.presets.build(name, SHAPE, context_net=net, support=support, **options)


MODELS: dict[str, Callable[..., sf.Flow]] = {
    "best": _pyramid("max-pool"),
    "max-pool": _pyramid("max-pool"),
    "slice": _pyramid("slice"),
    "study": study,
}
