"""Chains for images of integers: from fine to coarse by surjections, with convolutions at every scale."""

from __future__ import annotations

from collections.abc import Callable

import torch

from surflow._internal.shapes import Shape
from surflow.bijections.coupling import Coupling
from surflow.bijections.elementwise import Logit
from surflow.bijections.linear import LULinear
from surflow.bijections.normalize import ActNorm
from surflow.bijections.shape import Permute, Squeeze
from surflow.bijections.splines import IntervalSplineMap
from surflow.bijections.univariate import Elementwise
from surflow.distribution import Distribution
from surflow.distributions.levels import (
    AutoregressiveDiscretizedLogistic,
    BlockwiseDiscretizedLogistic,
    DiscretizedLogisticMixture,
    raw_parameters,
)
from surflow.distributions.normal import Logistic, Normal
from surflow.errors import ShapeError
from surflow.flow import Flow
from surflow.nets.convolutional import ConvNet
from surflow.presets.chains import Chain, given
from surflow.supports import Integers
from surflow.surjections.dimension import Slice
from surflow.surjections.integers import IntegerMaxPool
from surflow.surjections.quantize import Dequantize
from surflow.transform import Transform

# Chains from images of integers, given their shape, their levels and the width of the context.
PYRAMIDS: dict[str, Callable[..., Chain]] = {}


def _pyramid(name: str) -> Callable[[Callable[..., Chain]], Callable[..., Chain]]:
    def register(make: Callable[..., Chain]) -> Callable[..., Chain]:
        PYRAMIDS[name] = make
        return make

    return register


def continuous(shape: Shape, levels: int, noise: Distribution | None = None) -> list[Transform]:
    """From integers to the real line, with a learned curve per coordinate that can flatten any histogram."""
    curve = Elementwise(shape, map=IntervalSplineMap(bins=min(levels, 16), low=0, high=levels))
    return [Dequantize(shape, levels=levels, noise=noise), curve, Logit(shape, low=0, high=levels)]


def _noise(shape: Shape, context: int, width: int, blocks: int) -> Flow:
    """Noise for the dequantisation of an image, given the image: uniform at first, for its base is logistic."""
    channels, height, width_ = shape
    even = (torch.arange(height)[:, None] + torch.arange(width_)) % 2 == 0
    couplings = []
    for mask in (even, ~even):
        net = ConvNet(2 * channels + context, 2 * channels, width, blocks)
        given_image = (channels + context, height, width_)
        couplings.append(Coupling(shape, given_image, mask=mask.expand(shape).tolist(), net=net))
    return Flow([Logit(shape), *couplings], base=Logistic(shape))


def _check(name: str, shape: Shape, scales: int) -> None:
    if len(shape) != 3 or shape[1] % 2**scales or shape[2] % 2**scales:
        raise ShapeError(
            f"the preset {name!r} halves images {scales} times and expects shapes (channels, height, width) with sides "
            f"that {2**scales} divides, got {shape}: pad the images, or choose another number of scales"
        )


def _rest(
    shape: Shape, levels: int, context: int, components: int, width: int, layers: int, dropout: float
) -> Distribution:
    """The distribution of what poolings or slices leave: patch by patch where patches tile it."""
    return AutoregressiveDiscretizedLogistic(
        shape,
        levels=levels,
        context_shape=given(context),
        patch=1 if shape[1] % 2 or shape[2] % 2 else 2,
        components=components,
        width=width,
        layers=layers,
        dropout=dropout,
    )


@_pyramid("max-pool")
def _max_pool(
    shape: Shape,
    levels: int,
    context: int,
    *,
    scales: int = 1,
    width: int = 48,
    blocks: int = 2,
    components: int = 4,
    attention: int = 128,
    layers: int = 3,
    dropout: float = 0.1,
) -> Chain:
    """for images: maxima of blocks, the pixels below them by convolutions, and the maxima patch by patch"""
    _check("max-pool", shape, scales)
    chain: list[Transform] = []
    for _ in range(scales):
        z_shape = (shape[0], shape[1] // 2, shape[2] // 2)
        pixels = BlockwiseDiscretizedLogistic(
            z_shape,
            levels=levels,
            positions=4,
            context_shape=given(context),
            components=components,
            width=width,
            blocks=blocks,
        )
        chain.append(IntegerMaxPool(shape, levels=levels, kernel_size=2, pixels=pixels))
        shape = z_shape
    return chain, _rest(shape, levels, context, components, attention, layers, dropout)


@_pyramid("slice")
def _slice(
    shape: Shape,
    levels: int,
    context: int,
    *,
    scales: int = 1,
    width: int = 48,
    blocks: int = 2,
    components: int = 4,
    attention: int = 128,
    layers: int = 3,
    dropout: float = 0.1,
) -> Chain:
    """as max-pool, but every second pixel of every second row is kept, and the others are sliced off"""
    _check("slice", shape, scales)
    chain: list[Transform] = []
    integers, n = Integers(levels), raw_parameters(components)
    for _ in range(scales):
        chain.append(Squeeze(shape, factor=2, support=integers))
        c, shape = shape[0], (shape[0], shape[1] // 2, shape[2] // 2)
        if c > 1:  # all channels of a position side by side, as they go together
            order = [4 * channel + place for place in range(4) for channel in range(c)]
            chain.append(Permute((4 * c, *shape[1:]), order=order, support=integers))
        for kept in (3 * c, 2 * c, c):
            inputs = kept + context
            net = ConvNet(inputs, n * c, width, blocks, levels, context=context)
            dropped = DiscretizedLogisticMixture(
                shape, levels=levels, context_shape=(inputs, *shape[1:]), components=components, net=net
            )
            chain.append(Slice((kept + c, *shape[1:]), keep=kept, dropped=dropped, support=integers))
    return chain, _rest(shape, levels, context, components, attention, layers, dropout)


@_pyramid("glow")
def _glow(
    shape: Shape,
    levels: int,
    context: int,
    *,
    scales: int = 2,
    steps: int = 6,
    width: int = 64,
    blocks: int = 1,
    variational: bool = False,
) -> Chain:
    """for images, dequantised: actnorm, 1x1 convolution and affine coupling by turns, with slices between scales"""
    _check("glow", shape, scales)
    layers = continuous(shape, levels, _noise(shape, context, width, blocks) if variational else None)
    for scale in range(scales):
        layers.append(Squeeze(shape))
        shape = layers[-1].out_shape
        half = shape[0] // 2
        rest, positions = shape[0] - half, shape[1:]
        for _ in range(steps):
            net = ConvNet(half + context, 2 * rest, width, blocks, context=context)
            layers += [ActNorm(shape), LULinear(shape), Coupling(shape, given(context), net=net)]
        if scale < scales - 1:
            net = ConvNet(half + context, 2 * rest, width, blocks, context=context)
            dropped = Normal((rest, *positions), (half + context, *positions), net=net)
            layers.append(Slice(shape, keep=half, dropped=dropped))
            shape = (half, *positions)
    return layers, Normal(shape)
