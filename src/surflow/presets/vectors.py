"""Presets for rows of numbers, bijective or with noise added: tables, points of the plane, small images as vectors."""

from __future__ import annotations

from collections.abc import Sequence

from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.bijections.autoregressive import Autoregressive
from surflow.bijections.linear import LULinear
from surflow.bijections.normalize import Jitter, Standardize
from surflow.bijections.shape import Reverse
from surflow.bijections.splines import SplineMap
from surflow.bijections.univariate import AffineMap
from surflow.distribution import Distribution
from surflow.distributions.gaussian_mixture import GaussianMixture
from surflow.distributions.normal import Logistic, Normal
from surflow.distributions.stacked import Stacked
from surflow.flow import ContextNet, Flow
from surflow.nets.mlp import MLP
from surflow.presets.parts import coupling, plain, spline_layer, splines
from surflow.presets.start import on_vectors
from surflow.stochastic.vae import VAE
from surflow.supports import Support, real
from surflow.surjections.dimension import Augment
from surflow.transform import Transform

# Weight of each distribution beside the splines until all are weighed. Equal weights would cost the splines log 2.
_BESIDE = 0.001


def spline(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 3,
    hidden: Sequence[int] = (64, 64),
    bins: int = 16,
    gaussians: int = 0,
    tails: bool = False,
) -> Flow:
    """For tables, the best general one: autoregressive rational-quadratic splines between linear layers.

    Standardize, (Autoregressive spline, LULinear) x layers, Normal; the linear layers stand between the splines only.
    With ``gaussians`` or ``tails`` the layers behind Standardize, with their base, are one component of a
    :class:`~surflow.Stacked`, beside a :class:`~surflow.GaussianMixture`, behind which few rows leave any network, or a
    :class:`~surflow.Logistic`, which knows of rows far from all others.

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        layers: how many splines.
        hidden: sizes of the hidden layers of every network.
        bins: of a spline.
        gaussians: most components of the Gaussian mixture beside the splines; 0 for none.
        tails: whether a logistic distribution is beside them.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> spline(4, layers=2, seed=0).exact
    True
    """
    with seeded(seed):
        start = on_vectors("spline", event_shape, context_shape, context_net, support)
        size, given = start.size, start.context_shape
        first, *rest = splines(size, given, layers, hidden, bins)
        beside: list[Distribution] = []
        if gaussians:
            beside.append(GaussianMixture(size, given, components=gaussians))
        if tails:
            beside.append(Logistic(size))
        if not beside:
            return start.flow([first, *rest], Normal(size))
        weights = [1 - _BESIDE * len(beside), *[_BESIDE] * len(beside)]
        learned = Flow([Jitter(size), *rest], base=Normal(size))
        return start.flow([first], Stacked([learned, *beside], start=weights))


def image(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 2,
    hidden: Sequence[int] = (128,),
    bins: int = 8,
) -> Flow:
    """For small images, the best general one: autoregressive splines over the pixels, forth and back.

    Standardize, (Autoregressive spline, Reverse) x layers, Normal; the reversals stand between the splines only.

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        layers: how many splines.
        hidden: sizes of the hidden layers of every network.
        bins: of a spline.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> from surflow.supports import Integers
    >>> image((1, 8, 8), support=Integers(17), hidden=(16,)).support
    integers(17)
    """
    with seeded(seed):
        start = on_vectors("image", event_shape, context_shape, context_net, support)
        size = start.size
        chain: list[Transform] = [Standardize(size)]
        for i in range(layers):
            if i:
                chain.append(Reverse(size))
            chain.append(spline_layer(size, start.context_shape, SplineMap(bins), hidden))
        return start.flow(chain, Normal(size))


def nf(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 10,
    hidden: Sequence[int] = (64,) * 5,
) -> Flow:
    """The plain normalizing flow, for comparison: affine couplings and fixed random rotations.

    Standardize, (affine Coupling, Orthogonal) x layers, Normal.

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        layers: how many couplings.
        hidden: sizes of the hidden layers of a coupling's network.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> nf(2, 3, layers=2).context_shape
    (3,)
    """
    with seeded(seed):
        start = on_vectors("nf", event_shape, context_shape, context_net, support)
        return start.flow(plain(start, layers, hidden), Normal(start.size))


def autoregressive(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 5,
    hidden: Sequence[int] = (64, 64),
) -> Flow:
    """Masked autoregressive flow: affine maps, each of all coordinates before, with linear layers between.

    Standardize, (affine Autoregressive, LULinear) x layers, Normal; the linear layers stand between the others only.

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        layers: how many affine layers.
        hidden: sizes of the hidden layers of every network.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> autoregressive(3, layers=2).exact
    True
    """
    with seeded(seed):
        start = on_vectors("autoregressive", event_shape, context_shape, context_net, support)
        size = start.size
        chain: list[Transform] = [Standardize(size)]
        for i in range(layers):
            if i and size > 1:
                chain.append(LULinear(size))
            chain.append(Autoregressive(size, start.context_shape, map=AffineMap(limit=3.0), hidden=hidden))
        return start.flow(chain, Normal(size))


def augment(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    extra: int | None = None,
    layers: int = 10,
    hidden: Sequence[int] = (64, 64, 64),
) -> Flow:
    """As many noise coordinates again beside the data, then couplings in the larger space; a bound.

    Standardize, Augment, (affine Coupling, LULinear) x layers, Normal.

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        extra: how many noise coordinates; None for as many as the data have.
        layers: how many couplings.
        hidden: sizes of the hidden layers of a coupling's network.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> flow = augment(2, extra=1, layers=1)
    >>> flow.base.event_shape, flow.exact
    ((3,), False)
    """
    with seeded(seed):
        start = on_vectors("augment", event_shape, context_shape, context_net, support)
        size = start.size
        whole = size + (size if extra is None else extra)
        chain: list[Transform] = [Standardize(size), Augment(size, noise=whole - size)]
        for _ in range(layers):
            # Learned maps between the couplings: how well fixed rotations mix data and noise is a matter of luck.
            chain += [coupling(whole, start.context_shape, hidden), LULinear(whole)]
        return start.flow(chain, Normal(whole))


def vae(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    latent: int | None = None,
    layers: int = 2,
    hidden: Sequence[int] = (64, 64),
) -> Flow:
    """A variational autoencoder with normal encoder and decoder and splines as its prior; a bound.

    Standardize, VAE, (Autoregressive spline, LULinear) x layers, Normal(latent).

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        latent: how many latent numbers; None for half as many as the data have.
        layers: how many splines the prior has.
        hidden: sizes of the hidden layers of the prior's networks.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> vae(6, layers=1).base.event_shape
    (3,)
    """
    with seeded(seed):
        start = on_vectors("vae", event_shape, context_shape, context_net, support)
        size, context = start.size, start.context
        inner = (size // 2 or 1) if latent is None else latent
        # Both ends at zero would be a saddle: a decoder that ignores z, and no gradient for the encoder.
        decoder = Normal(size, inner + context, net=MLP(inner + context, (2, size)))
        layer = VAE(encoder=Normal(inner, size + context), decoder=decoder)
        prior = splines(inner, start.context_shape, layers, hidden, 8)[1:]
        return start.flow([Standardize(size), layer, *prior], Normal(inner))
