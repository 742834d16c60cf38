"""Presets for images of integers: from fine to coarse by surjections, with convolutions at every scale."""

from __future__ import annotations

import torch

from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.bijections.coupling import Coupling, MaskedCoupling
from surflow.bijections.elementwise import Logit
from surflow.bijections.linear import LULinear
from surflow.bijections.normalize import ActNorm
from surflow.bijections.shape import Permute, Squeeze
from surflow.distribution import Distribution
from surflow.distributions.blocks import BlockwiseDiscretizedLogistic
from surflow.distributions.levels import AutoregressiveDiscretizedLogistic, DiscretizedLogisticMixture, raw_parameters
from surflow.distributions.normal import Logistic, Normal
from surflow.flow import ContextNet, Flow
from surflow.nets.convolutional import ConvNet
from surflow.presets.start import dequantized, on_images
from surflow.supports import Support, real
from surflow.surjections.dimension import Slice
from surflow.surjections.integers import IntegerMaxPool
from surflow.transform import Transform


def max_pool(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    scales: int = 1,
    width: int = 48,
    blocks: int = 2,
    components: int = 4,
    attention: int = 128,
    layers: int = 3,
    dropout: float = 0.1,
) -> Flow:
    """For images: maxima of blocks, the pixels below them by convolutions, and the maxima patch by patch.

    IntegerMaxPool x scales, AutoregressiveDiscretizedLogistic; integers throughout, and exact.

    Args:
        event_shape: (channels, height, width); 2 to the power of ``scales`` divides height and width.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events, ``Integers(levels)``.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        scales: how often sides are halved.
        width: channels of the hidden layers of the convolutions.
        blocks: residual blocks of a convolutional network.
        components: of the mixtures of discretised logistics.
        attention: width of the transformer over the coarse image.
        layers: of this transformer.
        dropout: in it, in training.

    Raises:
        ShapeError: for what is no image, sides that cannot be halved so often, or a context that is no vector.
        SupportError: for another support than integers.

    >>> from surflow.supports import Integers
    >>> flow = max_pool((1, 8, 8), support=Integers(16), width=8, attention=8)
    >>> flow.exact, flow.base.event_shape
    (True, (1, 4, 4))
    """
    with seeded(seed):
        start, levels = on_images("max-pool", event_shape, context_shape, context_net, support, scales)
        chain: list[Transform] = []
        shape = start.shape
        for _ in range(scales):
            z_shape = (shape[0], shape[1] // 2, shape[2] // 2)
            pixels = BlockwiseDiscretizedLogistic(
                z_shape,
                levels=levels,
                positions=4,
                context_shape=start.context_shape,
                components=components,
                width=width,
                blocks=blocks,
            )
            chain.append(IntegerMaxPool(shape, levels=levels, kernel_size=2, pixels=pixels))
            shape = z_shape
        base = _rest(shape, levels, start.context_shape, components, attention, layers, dropout)
        return start.flow(chain, base)


def slice(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    scales: int = 1,
    width: int = 48,
    blocks: int = 2,
    components: int = 4,
    attention: int = 128,
    layers: int = 3,
    dropout: float = 0.1,
) -> Flow:
    """As max-pool, but every second pixel of every second row is kept, and the others are sliced off.

    (Squeeze, Slice, Slice, Slice) x scales, AutoregressiveDiscretizedLogistic; integers throughout, and exact.

    Args:
        event_shape: (channels, height, width); 2 to the power of ``scales`` divides height and width.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events, ``Integers(levels)``.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        scales: how often sides are halved.
        width: channels of the hidden layers of the convolutions.
        blocks: residual blocks of a convolutional network.
        components: of the mixtures of discretised logistics.
        attention: width of the transformer over the coarse image.
        layers: of this transformer.
        dropout: in it, in training.

    Raises:
        ShapeError: for what is no image, sides that cannot be halved so often, or a context that is no vector.
        SupportError: for another support than integers.

    >>> from surflow.supports import Integers
    >>> flow = slice((1, 8, 8), support=Integers(16), width=8, attention=8)
    >>> flow.exact, flow.base.event_shape
    (True, (1, 4, 4))
    """
    with seeded(seed):
        start, levels = on_images("slice", event_shape, context_shape, context_net, support, scales)
        chain: list[Transform] = []
        n, context, shape = raw_parameters(components), start.context, start.shape
        for _ in range(scales):
            chain.append(Squeeze(shape, factor=2, support=support))
            c, shape = shape[0], (shape[0], shape[1] // 2, shape[2] // 2)
            if c > 1:  # all channels of a pixel side by side, as they go together
                order = [4 * channel + pixel for pixel in range(4) for channel in range(c)]
                chain.append(Permute((4 * c, *shape[1:]), order=order, support=support))
            for kept in (3 * c, 2 * c, c):
                inputs = kept + context
                net = ConvNet(inputs, n * c, width, blocks, levels, context_shape=start.context_shape)
                dropped = DiscretizedLogisticMixture(
                    shape, levels=levels, context_shape=(inputs, *shape[1:]), components=components, net=net
                )
                chain.append(Slice((kept + c, *shape[1:]), keep=kept, dropped=dropped, support=support))
        base = _rest(shape, levels, start.context_shape, components, attention, layers, dropout)
        return start.flow(chain, base)


def glow(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    scales: int = 2,
    steps: int = 6,
    width: int = 64,
    blocks: int = 1,
    variational: bool = False,
) -> Flow:
    """For images, dequantised: actnorm, 1x1 convolution and affine coupling by turns, with slices between scales.

    Dequantize, (Squeeze, (ActNorm, LULinear, Coupling) x steps, Slice) x scales, Normal; a bound.

    Args:
        event_shape: (channels, height, width); 2 to the power of ``scales`` divides height and width.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events, ``Integers(levels)``.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        scales: how often sides are halved.
        steps: couplings at every scale.
        width: channels of the hidden layers of the convolutions.
        blocks: residual blocks of a convolutional network.
        variational: learn the noise of the dequantisation, given the image; else it is uniform.

    Raises:
        ShapeError: for what is no image, sides that cannot be halved so often, or a context that is no vector.
        SupportError: for another support than integers.

    >>> from surflow.supports import Integers
    >>> flow = glow((1, 8, 8), support=Integers(16), width=8, steps=1)
    >>> flow.exact, flow.base.event_shape
    (False, (8, 2, 2))
    """
    with seeded(seed):
        start, levels = on_images("glow", event_shape, context_shape, context_net, support, scales)
        context, shape = start.context, start.shape
        chain = dequantized(shape, levels, _noise(shape, context, width, blocks) if variational else None)
        for scale in range(scales):
            chain.append(Squeeze(shape))
            shape = chain[-1].out_shape
            half = shape[0] // 2
            rest, positions = shape[0] - half, shape[1:]
            for _ in range(steps):
                net = ConvNet(half + context, 2 * rest, width, blocks, context_shape=start.context_shape)
                chain += [ActNorm(shape), LULinear(shape), Coupling(shape, start.context_shape, net=net)]
            if scale < scales - 1:
                net = ConvNet(half + context, 2 * rest, width, blocks, context_shape=start.context_shape)
                dropped = Normal((rest, *positions), (half + context, *positions), net=net)
                chain.append(Slice(shape, keep=half, dropped=dropped))
                shape = (half, *positions)
        return start.flow(chain, Normal(shape))


def _noise(shape: Shape, context: int, width: int, blocks: int) -> Flow:
    """Noise for the dequantisation of an image, given the image: uniform at first, for its base is logistic."""
    channels, height, width_ = shape
    even = (torch.arange(height)[:, None] + torch.arange(width_)) % 2 == 0
    couplings = []
    for mask in (even, ~even):
        net = ConvNet(2 * channels + context, 2 * channels, width, blocks)
        given_image = (channels + context, height, width_)
        couplings.append(MaskedCoupling(shape, given_image, mask=mask.expand(shape).tolist(), net=net))
    return Flow([Logit(shape), *couplings], base=Logistic(shape))


def _rest(
    shape: Shape, levels: int, context_shape: int | None, components: int, width: int, layers: int, dropout: float
) -> Distribution:
    """The distribution of what poolings or slices leave: patch by patch where patches tile it."""
    return AutoregressiveDiscretizedLogistic(
        shape,
        levels=levels,
        context_shape=context_shape,
        patch=1 if shape[1] % 2 or shape[2] % 2 else 2,
        components=components,
        width=width,
        layers=layers,
        dropout=dropout,
    )
