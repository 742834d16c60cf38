"""Presets for rows of numbers: tables, points of the plane, small images as vectors."""

from __future__ import annotations

from collections.abc import Sequence

from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.bijections.autoregressive import Autoregressive
from surflow.bijections.coupling import Coupling
from surflow.bijections.elementwise import Softplus
from surflow.bijections.linear import LULinear, Orthogonal
from surflow.bijections.normalize import Jitter, Standardize
from surflow.bijections.ordered import LogGaps
from surflow.bijections.shape import Reverse
from surflow.bijections.splines import PositiveSplineMap, SplineMap
from surflow.bijections.univariate import AffineMap, Elementwise, UnivariateMap
from surflow.distribution import Distribution
from surflow.distributions.discrete import Bernoulli, Categorical, JointBernoulli
from surflow.distributions.gaussian_mixture import GaussianMixture
from surflow.distributions.normal import HalfNormal, Normal
from surflow.distributions.stacked import Stacked
from surflow.errors import ShapeError
from surflow.flow import ContextNet, Flow
from surflow.nets.mlp import MLP
from surflow.presets.start import MOST_PASSES, Start, on_vectors
from surflow.stochastic.vae import VAE
from surflow.supports import Support, positive, real
from surflow.surjections.absolute import Abs
from surflow.surjections.dimension import Augment
from surflow.surjections.maximum import Max
from surflow.surjections.sort import Sort
from surflow.transform import Inverse, Transform


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
) -> Flow:
    """For tables, the best general one: autoregressive rational-quadratic splines between linear layers.

    Standardize, (Autoregressive spline, LULinear) x layers, Normal; the linear layers stand between the splines only.
    With ``gaussians`` the layers behind Standardize, with their base, are one component of a :class:`~surflow.Stacked`,
    beside a :class:`~surflow.GaussianMixture`, behind which few rows leave any network.

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

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> spline(4, layers=2, seed=0).exact
    True
    """
    with seeded(seed):
        start = on_vectors("spline", event_shape, context_shape, context_net, support)
        size, given = start.size, start.context_shape
        first, *rest = _splines(size, given, layers, hidden, bins)
        if not gaussians:
            return start.flow([first, *rest], Normal(size))
        beside = GaussianMixture(size, given, components=gaussians)
        return start.flow([first], Stacked([Flow([Jitter(size), *rest], base=Normal(size)), beside]))


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
            chain.append(_spline(size, start.context_shape, SplineMap(bins), hidden))
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
        return start.flow(_plain(start, layers, hidden), Normal(start.size))


def abs_fair(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 10,
    hidden: Sequence[int] = (64,) * 5,
) -> Flow:
    """For data symmetric about zero in every coordinate: absolute value with fair signs, then the plain flow.

    Standardize without a centre, Abs, Inverse(Softplus), then the chain of :func:`nf`.

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

    >>> import torch
    >>> flow, x = abs_fair(2, layers=1, seed=0), torch.rand(4, 2)
    >>> torch.equal(flow.log_prob(x), flow.log_prob(-x))
    True
    """
    with seeded(seed):
        start = on_vectors("abs", event_shape, context_shape, context_net, support)
        fold: list[Transform] = [
            Standardize(start.size, center=False),
            Abs(start.size, signs=Bernoulli(start.size)),
            _positive_to_real(start.size),
        ]
        return start.flow([*fold, *_plain(start, layers, hidden)], Normal(start.size))


def abs_learned(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 10,
    hidden: Sequence[int] = (64,) * 5,
) -> Flow:
    """For data skewed to one side: absolute value with one learned probability per sign, then the plain flow.

    Standardize without a centre, Abs, Inverse(Softplus), then the chain of :func:`nf`.

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

    >>> abs_learned(2, layers=1).transforms[1].signs.probs.shape
    torch.Size([2])
    """
    with seeded(seed):
        start = on_vectors("abs-learned", event_shape, context_shape, context_net, support)
        signs = Bernoulli(start.size, learned=True)
        fold: list[Transform] = [
            Standardize(start.size, center=False),
            Abs(start.size, signs=signs),
            _positive_to_real(start.size),
        ]
        return start.flow([*fold, *_plain(start, layers, hidden)], Normal(start.size))


def abs_joint(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 10,
    hidden: Sequence[int] = (64,) * 5,
) -> Flow:
    """For checkerboards and labels: absolute value with all signs drawn together, given what is left and the context.

    Standardize without a centre, Abs, Inverse(Softplus), then the chain of :func:`nf`.

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
        ConfigError: for more than 12 numbers, whose signs have too many combinations.

    >>> abs_joint(2, 3, layers=1).transforms[1].signs.context_shape
    (5,)
    """
    with seeded(seed):
        start = on_vectors("abs-joint", event_shape, context_shape, context_net, support)
        fold: list[Transform] = [
            Standardize(start.size, center=False),
            Abs(start.size, signs=_joint_signs(start)),
            _positive_to_real(start.size),
        ]
        return start.flow([*fold, *_plain(start, layers, hidden)], Normal(start.size))


def abs_spline(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    hidden: Sequence[int] = (64, 64),
    bins: int = 16,
) -> Flow:
    """For the plane, the best one: absolute value with joint signs, then splines that stay positive.

    Standardize without a centre, Abs, three Autoregressive positive splines, HalfNormal.

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        hidden: sizes of the hidden layers of every network.
        bins: of a spline.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.
        ConfigError: for more than 12 numbers, whose signs have too many combinations.

    >>> abs_spline(2, hidden=(16, 16)).base.support
    positive
    """
    with seeded(seed):
        start = on_vectors("abs-spline", event_shape, context_shape, context_net, support)
        size = start.size
        chain = [Standardize(size, center=False), Abs(size, signs=_joint_signs(start))]
        return start.flow([*chain, *positive_splines(size, start.context_shape, hidden, bins)], HalfNormal(size))


def abs_middle(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 5,
    hidden: Sequence[int] = (64,) * 5,
    bins: int = 16,
) -> Flow:
    """For a symmetry that is found in training: couplings, absolute value with joint signs, positive splines.

    Standardize, (affine Coupling, Reverse) x layers, Abs, three Autoregressive positive splines, HalfNormal.

    Args:
        event_shape: shape of one event; its n numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        layers: how many couplings.
        hidden: sizes of the hidden layers of a coupling's network.
        bins: of a spline.

    Raises:
        ShapeError: for events without a number, or a context that is no vector.
        SupportError: for a support that has no map to the real line.
        ConfigError: for more than 12 numbers, whose signs have too many combinations.

    >>> abs_middle(2, layers=1).exact
    True
    """
    with seeded(seed):
        start = on_vectors("abs-middle", event_shape, context_shape, context_net, support)
        size = start.size
        chain: list[Transform] = [Standardize(size)]
        for _ in range(layers):
            # No rotations: the fold starts along the data's own axes, through their mean.
            chain += [_coupling(size, start.context_shape, hidden), Reverse(size)]
        # A logarithm behind the fold would give the layers before it gradients without a variance.
        chain.append(Abs(size, signs=_joint_signs(start)))
        return start.flow([*chain, *positive_splines(size, start.context_shape, (64, 64), bins)], HalfNormal(size))


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
            chain += [_coupling(whole, start.context_shape, hidden), LULinear(whole)]
        return start.flow(chain, Normal(whole))


def sort(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 3,
    hidden: Sequence[int] = (64, 64),
    bins: int = 16,
) -> Flow:
    """For coordinates in no particular order: sorted values and their log-gaps, then splines.

    Sort, LogGaps, then the chain of :func:`spline`.

    Args:
        event_shape: shape of one event; its n > 1 numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        layers: how many splines.
        hidden: sizes of the hidden layers of every network.
        bins: of a spline.

    Raises:
        ShapeError: for events of fewer than two numbers, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> import torch
    >>> flow, x = sort(3, hidden=(8,), seed=0), torch.randn(4, 3)
    >>> torch.equal(flow.log_prob(x), flow.log_prob(x.flip(1)))
    True
    """
    with seeded(seed):
        start = on_vectors("sort", event_shape, context_shape, context_net, support)
        size = _at_least_two("sort", start)
        chain = _splines(size, start.context_shape, layers, hidden, bins)
        return start.flow([Sort(size), LogGaps(size), *chain], Normal(size))


def max(
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    layers: int = 10,
    hidden: Sequence[int] = (64,) * 5,
) -> Flow:
    """For data near a curve: the plain flow and then the largest coordinate, the others drawn below it.

    The chain of :func:`nf`, Max, a spline, Normal(1).

    Args:
        event_shape: shape of one event; its n > 1 numbers are laid out as a vector.
        context_shape: shape of the context, a vector of any length; None for none.
        context_net: a network that contexts pass through first, whose own ``in_shape`` is then that of contexts.
        support: of events: real, positive, an interval, a product of these, or integers, which are dequantised.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        layers: how many couplings.
        hidden: sizes of the hidden layers of a coupling's network.

    Raises:
        ShapeError: for events of fewer than two numbers, or a context that is no vector.
        SupportError: for a support that has no map to the real line.

    >>> max(2, layers=1).base.event_shape
    (1,)
    """
    with seeded(seed):
        start = on_vectors("max", event_shape, context_shape, context_net, support)
        size, beside = _at_least_two("max", start), 1 + start.context
        index, differences = Categorical(1, levels=size, context_shape=beside), HalfNormal(size - 1, beside)
        largest = Max(size, index=index, differences=differences)
        rest = _splines(1, start.context_shape, 1, (64, 64), 16)
        return start.flow([*_plain(start, layers, hidden), largest, *rest], Normal(1))


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
        prior = _splines(inner, start.context_shape, layers, hidden, 8)[1:]
        return start.flow([Standardize(size), layer, *prior], Normal(inner))


# -- parts of chains ------------------------------------------------------------------------------------


def _at_least_two(name: str, start: Start) -> int:
    if start.size < 2:
        raise ShapeError(f"the preset {name!r} is for at least two coordinates, got one: use 'spline'")
    return start.size


def _spline(size: int, context_shape: int | None, map: UnivariateMap, hidden: Sequence[int]) -> Transform:
    return Autoregressive(size, context_shape, map=map, hidden=hidden, passes=min(size, MOST_PASSES))


def _splines(size: int, context_shape: int | None, layers: int, hidden: Sequence[int], bins: int) -> list[Transform]:
    """Standardised, then autoregressive splines with linear layers between."""
    chain: list[Transform] = [Standardize(size)]
    for i in range(layers):
        if i and size > 1:
            chain.append(LULinear(size))
        chain.append(_spline(size, context_shape, SplineMap(bins), hidden))
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
        chain.append(_spline(size, context_shape, PositiveSplineMap(bins), hidden))
    return chain


def _plain(start: Start, layers: int, hidden: Sequence[int]) -> list[Transform]:
    """Standardised, then pairs of an affine coupling and a fixed random rotation."""
    size = start.size
    pairs = [(_coupling(size, start.context_shape, hidden), Orthogonal(size)) for _ in range(layers)]
    return [Standardize(size), *(layer for pair in pairs for layer in pair)]


def _coupling(size: int, context_shape: int | None, hidden: Sequence[int]) -> Transform:
    if size == 1 and context_shape is None:
        return Elementwise(size)  # one coordinate has no other to couple with
    return Coupling(size, context_shape, hidden=hidden)


def _positive_to_real(size: int) -> Transform:
    # Softplus bends only near zero, so a latent beyond it keeps the form that the data had; a logarithm would not.
    return Inverse(Softplus(size))


def _joint_signs(start: Start) -> Distribution:
    size, beside = start.size, start.size + start.context
    JointBernoulli(size)  # refuses too many signs before a network for all their combinations is made
    # Where signs change from one region to the next, as on a checkerboard, two hidden layers blur the borders.
    net = MLP(beside, 2**size, hidden=(64, 64, 64), zero_init=True)
    return JointBernoulli(size, beside, net=net)
