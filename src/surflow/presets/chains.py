"""The chains behind the presets, from vectors on the real line to the base."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from surflow.bijections.autoregressive import Autoregressive
from surflow.bijections.coupling import Coupling
from surflow.bijections.elementwise import Softplus
from surflow.bijections.linear import LULinear, Orthogonal
from surflow.bijections.normalize import Standardize
from surflow.bijections.ordered import LogGaps
from surflow.bijections.shape import Reverse
from surflow.bijections.splines import PositiveSplineMap, SplineMap
from surflow.bijections.univariate import AffineMap, Elementwise, UnivariateMap
from surflow.distribution import Distribution
from surflow.distributions.discrete import Bernoulli, Categorical, JointBernoulli
from surflow.distributions.normal import HalfNormal, Normal
from surflow.errors import ShapeError
from surflow.nets.mlp import MLP
from surflow.stochastic.vae import VAE
from surflow.supports import positive
from surflow.surjections.absolute import Abs
from surflow.surjections.dimension import Augment
from surflow.surjections.maximum import Max
from surflow.surjections.sort import Sort
from surflow.transform import Inverse, Transform

# A chain from vectors on the real line to the base, given the number of coordinates and the width of the context.
Chain = tuple[list[Transform], Distribution]
PRESETS: dict[str, Callable[..., Chain]] = {}

# Past this many coordinates an autoregressive layer inverts in fewer passes than coordinates, in groups.
MOST_PASSES = 32


def preset(name: str) -> Callable[[Callable[..., Chain]], Callable[..., Chain]]:
    """Register the function below as the preset ``name``."""

    def register(make: Callable[..., Chain]) -> Callable[..., Chain]:
        PRESETS[name] = make
        return make

    return register


def given(context: int) -> int | None:
    """A number of context columns as layers take it: None for none."""
    return context or None


# -- the chains -----------------------------------------------------------------------------------------


def _splines(size: int, context: int, layers: int, hidden: Sequence[int], bins: int) -> list[Transform]:
    """Standardised, then autoregressive splines with linear layers between."""
    chain: list[Transform] = [Standardize(size)]
    for i in range(layers):
        if i and size > 1:
            chain.append(LULinear(size))
        passes = min(size, MOST_PASSES)
        chain.append(Autoregressive(size, given(context), map=SplineMap(bins), hidden=hidden, passes=passes))
    return chain


def _couplings(size: int, context: int, layers: int, hidden: Sequence[int]) -> list[Transform]:
    """Pairs of an affine coupling and a fixed random rotation."""
    pairs = [(_coupling(size, context, hidden), Orthogonal(size)) for _ in range(layers)]
    return [layer for pair in pairs for layer in pair]


def _coupling(size: int, context: int, hidden: Sequence[int], map: UnivariateMap | None = None) -> Transform:
    if size == 1 and not context:
        return Elementwise(size, map=map)  # one coordinate has no other to couple with
    return Coupling(size, given(context), map=map, hidden=hidden)


def _positive_to_real(size: int) -> Transform:
    # Softplus bends only near zero, so a latent beyond it keeps the form that the data had; a logarithm would not.
    return Inverse(Softplus(size))


@preset("spline")
def _spline(size: int, context: int, *, layers: int = 3, hidden: Sequence[int] = (64, 64), bins: int = 16) -> Chain:
    """the best general one for tables: autoregressive rational-quadratic splines between linear layers"""
    return _splines(size, context, layers, hidden, bins), Normal(size)


@preset("image")
def _image(size: int, context: int, *, layers: int = 2, hidden: Sequence[int] = (128,), bins: int = 8) -> Chain:
    """the best general one for small images: autoregressive splines over the pixels, forth and back"""
    chain: list[Transform] = [Standardize(size)]
    for i in range(layers):
        if i:
            chain.append(Reverse(size))
        passes = min(size, MOST_PASSES)
        chain.append(Autoregressive(size, given(context), map=SplineMap(bins), hidden=hidden, passes=passes))
    return chain, Normal(size)


@preset("nf")
def _nf(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> Chain:
    """the plain flow: standardised, then (affine coupling, random rotation) x 10"""
    return [Standardize(size), *_couplings(size, context, layers, hidden)], Normal(size)


def _abs(size: int, context: int, signs: Distribution, layers: int, hidden: Sequence[int]) -> Chain:
    rest, base = _nf(size, context, layers=layers, hidden=hidden)
    return [Abs(size, signs=signs), _positive_to_real(size), *rest], base


def _joint_signs(size: int, context: int) -> Distribution:
    JointBernoulli(size)  # refuses too many signs before a network for all their combinations is made
    # Where signs change from one region to the next, as on a checkerboard, two hidden layers blur the borders.
    net = MLP(size + context, 2**size, hidden=(64, 64, 64), zero_init=True)
    return JointBernoulli(size, size + context, net=net)


@preset("abs")
def _abs_fair(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> Chain:
    """absolute value with fair signs, then the plain flow: for data symmetric about zero in every coordinate"""
    return _abs(size, context, Bernoulli(size), layers, hidden)


@preset("abs-learned")
def _abs_learned(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> Chain:
    """absolute value with one learned probability per sign: for data skewed to one side"""
    return _abs(size, context, Bernoulli(size, learned=True), layers, hidden)


@preset("abs-joint")
def _abs_joint(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> Chain:
    """absolute value with all signs drawn together, given the absolute values and the context: checkerboard, labels"""
    return _abs(size, context, _joint_signs(size, context), layers, hidden)


def positive_splines(size: int, context: int, hidden: Sequence[int], bins: int) -> list[Transform]:
    """Three autoregressive splines of positive numbers, forth and back and forth."""
    chain: list[Transform] = []
    for i in range(3):
        if i and size > 1:
            chain.append(Reverse(size, support=positive))
        passes, spline = min(size, MOST_PASSES), PositiveSplineMap(bins)
        chain.append(Autoregressive(size, given(context), map=spline, hidden=hidden, passes=passes))
    return chain


@preset("abs-spline")
def _abs_spline(size: int, context: int, *, hidden: Sequence[int] = (64, 64), bins: int = 16) -> Chain:
    """absolute value with joint signs, then splines that stay positive: the best one for the plane"""
    chain = [Standardize(size, center=False), Abs(size, signs=_joint_signs(size, context))]
    return [*chain, *positive_splines(size, context, hidden, bins)], HalfNormal(size)


@preset("abs-middle")
def _abs_middle(
    size: int, context: int, *, layers: int = 5, hidden: Sequence[int] = (64,) * 5, bins: int = 16
) -> Chain:
    """affine couplings, absolute value with joint signs, positive splines: the symmetry is found in training"""
    chain: list[Transform] = [Standardize(size)]
    for _ in range(layers):
        # No rotations: the fold starts along the data's own axes, through their mean.
        chain += [_coupling(size, context, hidden), Reverse(size)]
    # A logarithm behind the fold would give the layers before it gradients without a variance.
    chain.append(Abs(size, signs=_joint_signs(size, context)))
    return [*chain, *positive_splines(size, context, (64, 64), bins)], HalfNormal(size)


@preset("autoregressive")
def _autoregressive(size: int, context: int, *, layers: int = 5, hidden: Sequence[int] = (64, 64)) -> Chain:
    """masked autoregressive flow: affine maps, each of all coordinates before, with linear layers between"""
    chain: list[Transform] = [Standardize(size)]
    for i in range(layers):
        if i and size > 1:
            chain.append(LULinear(size))
        chain.append(Autoregressive(size, given(context), map=AffineMap(limit=3.0), hidden=hidden))
    return chain, Normal(size)


@preset("augment")
def _augment(
    size: int, context: int, *, extra: int | None = None, layers: int = 10, hidden: Sequence[int] = (64, 64, 64)
) -> Chain:
    """as many noise coordinates again beside the data, then couplings in the larger space; a bound"""
    whole = size + (size if extra is None else extra)
    chain: list[Transform] = [Standardize(size), Augment(size, noise=whole - size)]
    for _ in range(layers):
        # Learned maps between the couplings: how well fixed rotations mix data and noise is a matter of luck.
        chain += [_coupling(whole, context, hidden), LULinear(whole)]
    return chain, Normal(whole)


@preset("sort")
def _sort(size: int, context: int, *, layers: int = 3, hidden: Sequence[int] = (64, 64), bins: int = 16) -> Chain:
    """sorted values and their log-gaps, then splines: for coordinates in no particular order"""
    if size < 2:
        raise ShapeError("the preset 'sort' needs at least two coordinates, got one: use 'spline'")
    return [Sort(size), LogGaps(size), *_splines(size, context, layers, hidden, bins)], Normal(size)


@preset("max")
def _max(size: int, context: int, *, layers: int = 10, hidden: Sequence[int] = (64,) * 5) -> Chain:
    """the plain flow and then the largest coordinate, the others drawn below it: for data near a curve"""
    if size < 2:
        raise ShapeError("the preset 'max' needs at least two coordinates, got one: use 'spline'")
    beside = 1 + context
    largest = Max(
        size, index=Categorical(1, levels=size, context_shape=beside), differences=HalfNormal(size - 1, beside)
    )
    rest = _splines(1, context, 1, (64, 64), 16)
    return [Standardize(size), *_couplings(size, context, layers, hidden), largest, *rest], Normal(1)


@preset("vae")
def _vae(
    size: int, context: int, *, latent: int | None = None, layers: int = 2, hidden: Sequence[int] = (64, 64)
) -> Chain:
    """a variational autoencoder with normal encoder and decoder and splines as its prior; a bound"""
    inner = max(1, size // 2) if latent is None else latent
    # Both ends at zero would be a saddle: a decoder that ignores z, and no gradient for the encoder.
    decoder = Normal(size, inner + context, net=MLP(inner + context, (2, size)))
    layer = VAE(encoder=Normal(inner, size + context), decoder=decoder)
    prior = _splines(inner, context, layers, hidden, 8)[1:]
    return [Standardize(size), layer, *prior], Normal(inner)
