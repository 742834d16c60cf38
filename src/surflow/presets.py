"""Named architectures, each made for an event shape, a context and, for integers, their levels."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from surflow.bijections.autoregressive import Autoregressive
from surflow.bijections.coupling import Coupling
from surflow.bijections.elementwise import Logit, Softplus
from surflow.bijections.linear import LULinear, Orthonormal
from surflow.bijections.normalize import Standardize
from surflow.bijections.ordered import LogGaps
from surflow.bijections.shape import Reshape, Reverse
from surflow.bijections.splines import IntervalSplineMap, PositiveSplineMap, SplineMap
from surflow.bijections.univariate import AffineMap, Elementwise, UnivariateMap
from surflow.distribution import Distribution, Shape, as_shape
from surflow.distributions.discrete import Bernoulli, Categorical, JointBernoulli
from surflow.distributions.normal import HalfNormal, Normal
from surflow.errors import ConfigError, ShapeError, unknown_name
from surflow.flow import ContextNet, Flow
from surflow.nets.mlp import MLP
from surflow.stochastic.vae import VAE
from surflow.support import positive
from surflow.surjections.absolute import Abs
from surflow.surjections.dimension import Augment
from surflow.surjections.maximum import Max
from surflow.surjections.quantize import Dequantize
from surflow.surjections.sort import Sort
from surflow.transform import Inverse, Transform

# A chain from vectors on the real line to the base, given the number of coordinates and the width of the context.
_Chain = tuple[list[Transform], Distribution]
_PRESETS: dict[str, Callable[..., _Chain]] = {}

# Past this many coordinates an autoregressive layer inverts in fewer passes than coordinates, in groups.
_MOST_PASSES = 32
# With fewer rows a network of the usual size learns them by heart before it learns their law.
FEW_ROWS = 1000


def names() -> dict[str, str]:
    """The presets, each with what it is.

    >>> "abs-joint" in names()
    True
    """
    return {name: (inspect.getdoc(make) or "").split("\n")[0] for name, make in _PRESETS.items()}


def build(
    name: str,
    event_shape: int | Shape,
    *,
    context_shape: int | Shape | None = None,
    context_net: ContextNet | None = None,
    levels: int | None = None,
    **options: Any,
) -> Flow:
    """A flow of a named architecture; :meth:`Flow.initialize`, which ``fit`` calls, standardises it to the data.

    Events of integers (``levels``) are dequantised first and mapped to the real line coordinate by coordinate; events
    that are no vectors are laid out as one.

    Args:
        name: one of :func:`names`, or ``"auto"``: ``image`` for events of integers, else ``spline``.
        event_shape: shape of one event.
        context_shape: shape of the context, a vector; not needed with a ``context_net``.
        context_net: the network that contexts pass through first.
        levels: for data of integers 0, ..., levels - 1.
        options: the preset's own, such as ``layers``, ``hidden`` and ``bins``.

    Raises:
        ConfigError: for an unknown preset or option; the message names the nearest right one.
        ShapeError: if the preset cannot have this event shape.

    >>> import torch
    >>> flow = build("abs-joint", 2, context_shape=3, hidden=(16, 16))
    >>> flow.exact, flow.log_prob(torch.ones(4, 2), torch.ones(4, 3)).shape
    (True, torch.Size([4]))
    """
    shape = as_shape(event_shape)
    if name == "auto":
        name, _ = choose(levels, None)
    if name not in _PRESETS:
        raise ConfigError(unknown_name("preset", name, [*_PRESETS, "auto"]))
    make = _PRESETS[name]
    known = list(inspect.signature(make).parameters)[2:]
    for option in options:
        if option not in known:
            raise ConfigError(unknown_name(f"option of the preset {name!r}", option, known))
    if context_net is not None:
        context_shape = tuple(context_net.out_shape)
    width = 0 if context_shape is None else math.prod(as_shape(context_shape))
    if context_shape is not None and len(as_shape(context_shape)) != 1:
        raise ShapeError(
            f"presets take a context that is a vector, got shape {as_shape(context_shape)}: pass context_net="
        )
    size = math.prod(shape)
    start = [] if levels is None else _continuous(shape, levels)
    if len(shape) != 1:
        start.append(Reshape(shape, size))
    try:
        layers, base = make(size, width, **options)
    except TypeError as error:
        raise ConfigError(f"the options {options} of the preset {name!r} have wrong types: {error}") from error
    return Flow([*start, *layers], base=base, context_net=context_net)


def choose(levels: int | None, rows: int | None) -> tuple[str, dict[str, Any]]:
    """The preset that ``"auto"`` stands for, and options for so many training rows; None means ever fresh ones."""
    if levels is not None:
        return "image", {}
    if rows is not None and rows < FEW_ROWS:
        return "spline", {"layers": 2, "hidden": [16], "bins": 4}
    return "spline", {}


def _continuous(shape: Shape, levels: int) -> list[Transform]:
    """From integers to the real line, with a learned curve per coordinate that can flatten any histogram."""
    curve = Elementwise(shape, map=IntervalSplineMap(bins=min(levels, 16), low=0, high=levels))
    return [Dequantize(shape, levels), curve, Logit(shape, 0, levels)]


def _preset(name: str) -> Callable[[Callable[..., _Chain]], Callable[..., _Chain]]:
    def register(make: Callable[..., _Chain]) -> Callable[..., _Chain]:
        _PRESETS[name] = make
        return make

    return register


def _given(context: int) -> int | None:
    return context or None


# -- the chains -----------------------------------------------------------------------------------------


def _splines(size: int, context: int, layers: int, hidden: Sequence[int], bins: int) -> list[Transform]:
    """Standardised, then autoregressive splines with linear layers between."""
    chain: list[Transform] = [Standardize(size)]
    for i in range(layers):
        if i and size > 1:
            chain.append(LULinear(size))
        passes = min(size, _MOST_PASSES)
        chain.append(Autoregressive(size, _given(context), map=SplineMap(bins), hidden=hidden, passes=passes))
    return chain


def _couplings(size: int, context: int, layers: int, hidden: Sequence[int]) -> list[Transform]:
    """Pairs of an affine coupling and a fixed random rotation."""
    pairs = [(_coupling(size, context, hidden), Orthonormal(size)) for _ in range(layers)]
    return [layer for pair in pairs for layer in pair]


def _coupling(size: int, context: int, hidden: Sequence[int], map: UnivariateMap | None = None) -> Transform:
    if size == 1 and not context:
        return Elementwise(size, map=map)  # one coordinate has no other to couple with
    return Coupling(size, _given(context), map=map, hidden=hidden)


def _positive_to_real(size: int) -> Transform:
    # Softplus bends only near zero, so a latent beyond it keeps the form that the data had; a logarithm would not.
    return Inverse(Softplus(size))


@_preset("spline")
def _spline(size: int, context: int, *, layers: int = 3, hidden: Sequence[int] = (64, 64), bins: int = 16) -> _Chain:
    """the best general one for tables: autoregressive rational-quadratic splines between linear layers"""
    return _splines(size, context, layers, hidden, bins), Normal(size)


@_preset("image")
def _image(size: int, context: int, *, layers: int = 2, hidden: Sequence[int] = (128,), bins: int = 8) -> _Chain:
    """the best general one for small images: autoregressive splines over the pixels, forth and back"""
    chain: list[Transform] = [Standardize(size)]
    for i in range(layers):
        if i:
            chain.append(Reverse(size))
        passes = min(size, _MOST_PASSES)
        chain.append(Autoregressive(size, _given(context), map=SplineMap(bins), hidden=hidden, passes=passes))
    return chain, Normal(size)


@_preset("nf")
def _nf(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> _Chain:
    """the plain flow: standardised, then (affine coupling, random rotation) x 10"""
    return [Standardize(size), *_couplings(size, context, layers, hidden)], Normal(size)


def _abs(size: int, context: int, signs: Distribution, layers: int, hidden: Sequence[int]) -> _Chain:
    rest, base = _nf(size, context, layers=layers, hidden=hidden)
    return [Abs(size, signs), _positive_to_real(size), *rest], base


def _joint_signs(size: int, context: int) -> Distribution:
    JointBernoulli(size)  # refuses too many signs before a network for all their combinations is made
    # Where signs change from one region to the next, as on a checkerboard, two hidden layers blur the borders.
    net = MLP(size + context, 2**size, hidden=(64, 64, 64), zero_init=True)
    return JointBernoulli(size, size + context, net=net)


@_preset("abs")
def _abs_fair(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> _Chain:
    """absolute value with fair signs, then the plain flow: for data symmetric about zero in every coordinate"""
    return _abs(size, context, Bernoulli(size), layers, hidden)


@_preset("abs-learned")
def _abs_learned(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> _Chain:
    """absolute value with one learned probability per sign: for data skewed to one side"""
    return _abs(size, context, Bernoulli(size, learned=True), layers, hidden)


@_preset("abs-joint")
def _abs_joint(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> _Chain:
    """absolute value with all signs drawn together, given the absolute values and the context: checkerboard, labels"""
    return _abs(size, context, _joint_signs(size, context), layers, hidden)


def positive_splines(size: int, context: int, hidden: Sequence[int], bins: int) -> list[Transform]:
    """Three autoregressive splines of positive numbers, forth and back and forth."""
    chain: list[Transform] = []
    for i in range(3):
        if i and size > 1:
            chain.append(Reverse(size, support=positive))
        passes, spline = min(size, _MOST_PASSES), PositiveSplineMap(bins)
        chain.append(Autoregressive(size, _given(context), map=spline, hidden=hidden, passes=passes))
    return chain


@_preset("abs-spline")
def _abs_spline(size: int, context: int, *, hidden: Sequence[int] = (64, 64), bins: int = 16) -> _Chain:
    """absolute value with joint signs, then splines that stay positive: the best one for the plane"""
    chain = [Standardize(size, center=False), Abs(size, _joint_signs(size, context))]
    return [*chain, *positive_splines(size, context, hidden, bins)], HalfNormal(size)


@_preset("abs-middle")
def _abs_middle(
    size: int, context: int, *, layers: int = 5, hidden: Sequence[int] = (64,) * 5, bins: int = 16
) -> _Chain:
    """affine couplings, absolute value with joint signs, positive splines: the symmetry is found in training"""
    chain: list[Transform] = [Standardize(size)]
    for _ in range(layers):
        # No rotations: the fold starts along the data's own axes, through their mean.
        chain += [_coupling(size, context, hidden), Reverse(size)]
    # A logarithm behind the fold would give the layers before it gradients without a variance.
    chain.append(Abs(size, _joint_signs(size, context)))
    return [*chain, *positive_splines(size, context, (64, 64), bins)], HalfNormal(size)


@_preset("autoregressive")
def _autoregressive(size: int, context: int, *, layers: int = 5, hidden: Sequence[int] = (64, 64)) -> _Chain:
    """masked autoregressive flow: affine maps, each of all coordinates before, with linear layers between"""
    chain: list[Transform] = [Standardize(size)]
    for i in range(layers):
        if i and size > 1:
            chain.append(LULinear(size))
        chain.append(Autoregressive(size, _given(context), map=AffineMap(limit=3.0), hidden=hidden))
    return chain, Normal(size)


@_preset("augment")
def _augment(
    size: int, context: int, *, extra: int | None = None, layers: int = 10, hidden: Sequence[int] = (64, 64, 64)
) -> _Chain:
    """as many noise coordinates again beside the data, then couplings in the larger space; a bound"""
    whole = size + (size if extra is None else extra)
    chain: list[Transform] = [Standardize(size), Augment(size, whole - size)]
    for _ in range(layers):
        # Learned maps between the couplings: how well fixed rotations mix data and noise is a matter of luck.
        chain += [_coupling(whole, context, hidden), LULinear(whole)]
    return chain, Normal(whole)


@_preset("sort")
def _sort(size: int, context: int, *, layers: int = 3, hidden: Sequence[int] = (64, 64), bins: int = 16) -> _Chain:
    """sorted values and their log-gaps, then splines: for coordinates in no particular order"""
    if size < 2:
        raise ShapeError("the preset 'sort' needs at least two coordinates, got one: use 'spline'")
    return [Sort(size), LogGaps(size), *_splines(size, context, layers, hidden, bins)], Normal(size)


@_preset("max")
def _max(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> _Chain:
    """the plain flow and then the largest coordinate, the others drawn below it: for data near a curve"""
    if size < 2:
        raise ShapeError("the preset 'max' needs at least two coordinates, got one: use 'spline'")
    beside = 1 + context
    largest = Max(size, index=Categorical(1, size, beside), differences=HalfNormal(size - 1, beside))
    rest = _splines(1, context, 1, (64, 64), 16)
    return [Standardize(size), *_couplings(size, context, layers, hidden), largest, *rest], Normal(1)


@_preset("vae")
def _vae(
    size: int, context: int, *, latent: int | None = None, layers: int = 2, hidden: Sequence[int] = (64, 64)
) -> _Chain:
    """a variational autoencoder with normal encoder and decoder and splines as its prior; a bound"""
    inner = max(1, size // 2) if latent is None else latent
    # Both ends at zero would be a saddle: a decoder that ignores z, and no gradient for the encoder.
    decoder = Normal(size, inner + context, net=MLP(inner + context, (2, size)))
    layer = VAE(encoder=Normal(inner, size + context), decoder=decoder)
    prior = _splines(inner, context, layers, hidden, 8)[1:]
    return [Standardize(size), layer, *prior], Normal(inner)
