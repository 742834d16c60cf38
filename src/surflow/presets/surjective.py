"""Presets for rows of numbers in which signs, an order, or an index are forgotten and drawn again."""

from __future__ import annotations

from collections.abc import Sequence

from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.bijections.normalize import Standardize
from surflow.bijections.ordered import LogGaps
from surflow.bijections.shape import Reverse
from surflow.distributions.discrete import Bernoulli, Categorical
from surflow.distributions.normal import HalfNormal, Normal
from surflow.errors import ShapeError
from surflow.flow import ContextNet, Flow
from surflow.presets.parts import coupling, joint_signs, plain, positive_splines, positive_to_real, splines
from surflow.presets.start import Start, on_vectors
from surflow.supports import Support, real
from surflow.surjections.absolute import Abs
from surflow.surjections.maximum import Max
from surflow.surjections.sort import Sort
from surflow.transform import Transform


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
            positive_to_real(start.size),
        ]
        return start.flow([*fold, *plain(start, layers, hidden)], Normal(start.size))


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
            positive_to_real(start.size),
        ]
        return start.flow([*fold, *plain(start, layers, hidden)], Normal(start.size))


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
            Abs(start.size, signs=joint_signs(start)),
            positive_to_real(start.size),
        ]
        return start.flow([*fold, *plain(start, layers, hidden)], Normal(start.size))


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
        chain = [Standardize(size, center=False), Abs(size, signs=joint_signs(start))]
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
            chain += [coupling(size, start.context_shape, hidden), Reverse(size)]
        # A logarithm behind the fold would give the layers before it gradients without a variance.
        chain.append(Abs(size, signs=joint_signs(start)))
        return start.flow([*chain, *positive_splines(size, start.context_shape, (64, 64), bins)], HalfNormal(size))


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
        chain = splines(size, start.context_shape, layers, hidden, bins)
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
        rest = splines(1, start.context_shape, 1, (64, 64), 16)
        return start.flow([*plain(start, layers, hidden), largest, *rest], Normal(1))


def _at_least_two(name: str, start: Start) -> int:
    if start.size < 2:
        raise ShapeError(f"the preset {name!r} is for at least two coordinates, got one: use 'spline'")
    return start.size
