"""What rearrangements do to supports: each pair is refused, for a reason, or keeps all mass where it should be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import pytest
import torch

import surflow as sf
from registry import base_for, events
from surflow.supports import Ordered, Product, Support

Shape = tuple[int, ...]
Build = Callable[[Support], sf.Transform]

INTEGERS = sf.product([sf.Integers(2), sf.Integers(3)])
MIXED = sf.product([sf.positive, sf.real, sf.positive])
SUPPORTS: list[tuple[Support, Shape]] = [
    *[(support, shape) for shape in [(3,), (2, 3), (1, 2, 2)] for support in (sf.real, sf.Interval(1, 2))],
    *[(sf.Integers(3), shape) for shape in [(3,), (2, 3), (2, 2, 2)]],
    (sf.Permutations(3), (3,)),
    (sf.Permutations(1), (1,)),
    (sf.Ordered(), (3,)),
    (sf.Ordered(), (1,)),
    (sf.Ordered(levels=3), (3,)),
    *[(sf.Ordered(by), shape) for by in (0, 1) for shape in [(2, 3), (3, 2)]],
    *[(sf.Ragged(1, 4), shape) for shape in [(2, 2), (2, 3), (3, 2), (4, 1)]],
    *[(INTEGERS, shape) for shape in [(2,), (2, 2), (2, 3), (2, 1, 2), (2, 2, 2)]],
    *[(MIXED, shape) for shape in [(3,), (3, 2), (3, 1, 1), (3, 2, 2)]],
]


def rearrangements(shape: Shape) -> Iterator[tuple[str, Build]]:
    """Every layer that rearranges events of a shape; of reshapes, to all shapes of up to three axes."""
    for axis, size in enumerate(shape):
        yield f"Permute(axis={axis})", lambda s, axis=axis: sf.Permute(shape, axis=axis, support=s)
        for order in itertools.permutations(range(size)):
            yield (
                f"Permute({order}, axis={axis})",
                lambda s, order=order, axis=axis: sf.Permute(shape, order=order, axis=axis, support=s),
            )
    yield "Reverse", lambda s: sf.Reverse(shape, support=s)
    for axes in itertools.permutations(range(len(shape))):
        yield f"PermuteAxes({axes})", lambda s, axes=axes: sf.PermuteAxes(shape, axes=axes, support=s)
    size = math.prod(shape)
    for n in (1, 2, 3):
        for out in itertools.product(range(1, size + 1), repeat=n):
            if math.prod(out) == size:
                yield f"Reshape({out})", lambda s, out=out: sf.Reshape(shape, out, support=s)
    if len(shape) == 3 and shape[1] == shape[2] == 2:
        yield "Squeeze", lambda s: sf.Squeeze(shape, support=s)
    yield "RandomPermutation", lambda s: sf.RandomPermutation(shape, support=s)


PAIRS = [
    pytest.param(support, shape, build, id=f"{support!r} {shape} {name}")
    for support, shape in SUPPORTS
    for name, build in rearrangements(shape)
]


def _candidates(support: Support, shape: Shape) -> list[Support]:
    """What a rearrangement could lead to: supports like the one that it started from, for events of a shape."""
    if isinstance(support, Product) and len(shape):
        kinds = [part for part, _ in support.parts]
        return [sf.product(each) for each in itertools.product(kinds, repeat=shape[0])]
    if isinstance(support, Ordered) and support.by is not None:
        return [sf.Ordered(by) for by in range(shape[0])] if len(shape) == 2 else []
    try:
        support.check_shape(shape)
    except sf.ShapeError:
        return []
    return [support]


@pytest.mark.parametrize(("support", "shape", "build"), PAIRS)
def test_rearrangements_keep_supports_or_are_refused(support: Support, shape: Shape, build: Build) -> None:
    torch.manual_seed(0)
    x = events(support, shape, 200)
    free = build(sf.real)
    try:
        layer = build(support)
    except sf.SupportError:
        if isinstance(free, sf.Permute | sf.RandomPermutation):  # those that draw an order must keep it for every order
            z = torch.cat([build(sf.real)(x)[0] for _ in range(20)])
        else:
            z = free(x)[0]
        held = [candidate for candidate in _candidates(support, free.out_shape) if candidate.contains(z).all()]
        for candidate in held:  # one that holds z, and more: what is more would leak on the way back
            more = free.inverse(events(candidate, free.out_shape, 200))[0]
            assert not support.contains(more).all(), f"refused, though it leads to {candidate!r}"
        return
    z, V = layer(x)
    assert (V == 0).all() and layer.codomain.contains(z).all()
    assert support.contains(layer.inverse(events(layer.codomain, layer.out_shape, 200))[0]).all()
    flow = sf.Flow([layer], base=base_for(layer.codomain, layer.out_shape)).double()
    drawn = flow.sample(200)
    assert flow.support == support and support.contains(drawn).all() and flow.elbo(drawn).isfinite().all()
    if "integers" in repr(support) or "levels" in repr(support) or isinstance(support, sf.Permutations):
        states = torch.cartesian_prod(*[torch.arange(3.0)] * math.prod(shape)).reshape(-1, *shape).double()
        states = states[support.contains(states)]
        draws = torch.stack([flow.elbo(states) for _ in range(1 if flow.exact else 50)])
        mass = draws.exp().mean(0).sum().item()
        assert mass == pytest.approx(1, abs=1e-9) if flow.exact else abs(mass - 1) < 0.1


def test_which_rearrangements_keep_a_support() -> None:
    """What is known by hand, so that the test above cannot pass by refusing everything."""
    points, ragged = sf.product([sf.positive, sf.real]), sf.Ragged(0, 4)
    assert sf.Reverse(3, support=sf.Permutations(3)).codomain == sf.Permutations(3)
    assert sf.RandomPermutation(3, support=sf.Permutations(3)).codomain == sf.Permutations(3)
    assert sf.Permute((2, 5), axis=1, support=points).codomain == points
    assert sf.RandomPermutation((2, 5), support=points).codomain == points
    assert sf.Permute((3, 5), axis=1, support=ragged).codomain == ragged
    assert sf.Permute((3, 5), order=[1, 0, 2], support=ragged).codomain == ragged
    assert sf.Permute((3, 5), order=[2, 0, 1], support=sf.Ordered(by=0)).codomain == sf.Ordered(by=1)
    assert sf.Reverse((2, 5), support=sf.Ordered(by=0)).codomain == sf.Ordered(by=1)
    assert sf.PermuteAxes((2, 5), axes=(0, 1), support=sf.Ordered(by=1)).codomain == sf.Ordered(by=1)
    assert sf.PermuteAxes((2, 3, 4), axes=(0, 2, 1), support=points).codomain == points
    assert sf.Reshape((2, 3), (2, 3), support=ragged).codomain == ragged
    assert sf.Squeeze((2, 4, 4), support=points).codomain == sf.product([sf.positive] * 4 + [sf.real] * 4)
    for build in (
        lambda: sf.Permute((3, 5), order=[0, 2, 1], support=ragged),
        lambda: sf.Permute(3, order=[1, 0, 2], support=sf.Ordered()),
        lambda: sf.Permute(2, support=points),
        lambda: sf.Permute((2, 5), support=sf.Ordered(by=0)),
        lambda: sf.PermuteAxes((2, 2), axes=(1, 0), support=points),
        lambda: sf.RandomPermutation(2, support=points),
        lambda: sf.RandomPermutation((2, 5), support=sf.Ordered(by=0)),
    ):
        with pytest.raises(sf.SupportError, match=r"out of their support .* kept by"):
            build()


@pytest.mark.parametrize("support", [sf.Permutations(2), sf.Ordered(), sf.Ordered(levels=2), sf.Ordered(by=0)], ids=str)
def test_what_ties_coordinates_together_is_not_taken_apart(support: Support) -> None:
    distribution = base_for(support, (2, 2) if support == sf.Ordered(by=0) else (2,))
    for build in (
        lambda: sf.Slice((4, *distribution.event_shape[1:]), keep=2, dropped=distribution),
        lambda: sf.Slice((4, *distribution.event_shape[1:]), keep=2, support=support),
        lambda: sf.Augment(distribution.event_shape, noise=2, support=support),
        lambda: sf.On(
            (3, *distribution.event_shape[1:]),
            part=[0, 1],
            layer=sf.Permute(distribution.event_shape, order=[0, 1], support=support),
        ),
        lambda: sf.On(
            (3, *distribution.event_shape[1:]), part=[0, 1], layer=sf.Abs(distribution.event_shape), rest=support
        ),
        lambda: sf.Joint([distribution, sf.Normal(distribution.event_shape)]),
        lambda: sf.product([support, support]),
        lambda: sf.product([support, sf.real]),
    ):
        with pytest.raises(sf.SupportError, match=r"together|ties"):
            build()


@pytest.mark.parametrize(
    ("support", "shape"),
    [
        (sf.Permutations(3), (2,)),
        (sf.Permutations(3), (2, 3)),
        (sf.Ordered(), (2, 3)),
        (sf.Ordered(by=2), (2, 3)),
        (sf.Ordered(by=0), (3,)),
        (sf.Ragged(), (3,)),
        (sf.Ragged(), (1, 3)),
        (INTEGERS, (3,)),
        (INTEGERS, ()),
    ],
    ids=str,
)
def test_a_support_of_other_events_is_refused(support: Support, shape: Shape) -> None:
    for build in (
        lambda: sf.Transform(shape, domain=support),
        lambda: sf.Transform(shape, codomain=support),
        lambda: sf.Distribution(shape, support=support),
    ):
        with pytest.raises(sf.ShapeError, match="is one of"):
            build()


def test_vectors_of_integers_are_sorted_whole() -> None:
    """Sorted along one axis and in order along another, a matrix of integers lost mass."""
    for build in (
        lambda: sf.SortIntegers((2, 2), levels=3),
        lambda: sf.AscendingCategorical((2, 2), levels=3, width=8),
    ):
        with pytest.raises(sf.ShapeError, match="vectors"):
            build()


def test_equal_sets_are_equal_supports() -> None:
    for parts in (((sf.real, 2),), ((sf.real, 1), (sf.real, 1)), ((sf.real, 0), (sf.positive, 1)), ()):
        with pytest.raises(sf.SupportError, match="simplest form"):
            Product(parts)
    for build in (lambda: sf.Ordered(by=-1), lambda: sf.Ordered(levels=0), lambda: sf.Ragged(1, 1)):
        with pytest.raises(sf.SupportError):
            build()
