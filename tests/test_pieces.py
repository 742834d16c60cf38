"""A piece is one distribution, alone and inside of every layer, whatever a subclass of its family overrides."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from torch import Tensor

import surflow as sf
from registry import DISTRIBUTIONS, Case, context_of, events, moved
from surflow._internal.held_draws import hold_draws
from surflow.distributions.parametric import Parametric
from surflow.pieces import check_piece, shared_context


@dataclass(frozen=True)
class Place:
    """A family whose standard form is the piece of a layer."""

    name: str
    family: Callable[..., Parametric]
    options: dict[str, object]
    layer: Callable[[sf.Distribution], sf.Transform]


PLACES = [
    Place("signs", sf.Bernoulli, {"event_shape": 3}, lambda piece: sf.Abs(3, signs=piece)),
    Place("joint signs", sf.JointBernoulli, {"event_shape": 3}, lambda piece: sf.Abs(3, signs=piece)),
    Place("order", sf.PlackettLuce, {"event_shape": 3}, lambda piece: sf.Sort(3, order=piece)),
    Place("index", sf.Categorical, {"event_shape": 1, "levels": 3}, lambda piece: sf.Max(3, index=piece)),
    Place(
        "index of a pool",
        sf.Categorical,
        {"event_shape": (1, 1, 2), "levels": 4},
        lambda piece: sf.MaxPool((1, 2, 4), index=piece),
    ),
    Place("differences", sf.HalfNormal, {"event_shape": 2}, lambda piece: sf.Max(3, differences=piece)),
    Place("exponential differences", sf.Exponential, {"event_shape": 2}, lambda piece: sf.Max(3, differences=piece)),
    Place(
        "differences of a pool",
        sf.HalfNormal,
        {"event_shape": (3, 1, 2)},
        lambda piece: sf.MaxPool((1, 2, 4), differences=piece),
    ),
    Place(
        "differences of overlapping blocks",
        sf.HalfNormal,
        {"event_shape": (1, 5)},
        lambda piece: sf.OverlappingMaxPool((1, 3, 3), kernel_size=2, stride=1, differences=piece),
    ),
    Place("dropped part", sf.Normal, {"event_shape": 2}, lambda piece: sf.Slice(3, keep=1, dropped=piece)),
    Place("logistic dropped part", sf.Logistic, {"event_shape": 2}, lambda piece: sf.Slice(3, keep=1, dropped=piece)),
    Place("noise", sf.Normal, {"event_shape": 2}, lambda piece: sf.Augment(1, noise=piece)),
    Place(
        "dropped integers",
        sf.Categorical,
        {"event_shape": 1, "levels": 4},
        lambda piece: sf.Slice(2, keep=1, dropped=piece, support=sf.Integers(4)),
    ),
    Place("encoder", sf.Normal, {"event_shape": 2}, lambda piece: sf.VAE(piece, sf.Normal(1))),
    Place("decoder", sf.Bernoulli, {"event_shape": 2}, lambda piece: sf.VAE(sf.Normal(1), piece)),
    Place(
        "part",
        sf.HalfNormal,
        {"event_shape": 1},
        lambda piece: sf.VAE(sf.Joint([piece, sf.Mixture([sf.Normal(1)])]), sf.Normal(1)),
    ),
    Place("component", sf.HalfNormal, {"event_shape": 1}, lambda piece: sf.VAE(sf.Mixture([piece]), sf.Normal(1))),
]

WAYS = [
    ("_log_prob", "_draw"),
    ("_log_prob", "_sample"),
    ("_log_prob", "_draw_given"),
    ("_log_prob", "_draw", "_sample"),
    ("_log_prob_given", "_draw_given"),
    ("_log_prob_given", "_sample"),
    ("parameters_given",),
]


def _standard(place: Place, way: tuple[str, ...], other: Parametric) -> Parametric:
    """The standard form of a family, of which the methods ``way`` are overridden so that it is ``other``."""
    methods = {
        "_log_prob": lambda self, x, context: other._log_prob(x, context),
        "_draw": lambda self, n, context: other._draw(n, context),
        "_sample": lambda self, n, context: other._sample(n, context),
        "_log_prob_given": lambda self, x, raw: other._log_prob_given(x, other.parameters_given(None)),
        "_draw_given": lambda self, n, raw: other._draw_given(n, other.parameters_given(None)),
        "parameters_given": lambda self, context: other.parameters_given(context),
    }
    own = type(f"Own{place.family.__name__}", (place.family,), {method: methods[method] for method in way})
    return own(**place.options)


def _seeded(draw: Callable[[], tuple[Tensor, ...]]) -> list[Tensor]:
    """What is drawn, and again with held draws, and the log-densities of those."""
    torch.manual_seed(3)
    free = draw()
    torch.manual_seed(3)
    with hold_draws() as noted:
        held = draw()
    return [*free, *held, *noted]


@pytest.mark.parametrize("way", WAYS, ids=" ".join)
@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_what_a_subclass_overrides_counts_alone_and_inside_a_layer(place: Place, way: tuple[str, ...]) -> None:
    other = moved(place.family(**place.options, learned=True)).requires_grad_(False).double()
    piece = _standard(place, way, other).double()
    x = other.sample(9, seed=0)
    torch.testing.assert_close(piece.log_prob(x), other.log_prob(x))
    assert (piece.log_prob(x) - place.family(**place.options).double().log_prob(x)).abs().max() > 1e-3
    assert torch.equal(piece.sample(9, seed=0), x)
    pairs = [(_seeded(lambda: piece._draw_for(9, None)), _seeded(lambda: other._draw_for(9, None)))]
    layer, right = (place.layer(distribution).requires_grad_(False).double() for distribution in (piece, other))
    for inverse in (False, True):
        assert layer._path(inverse=inverse) == right._path(inverse=inverse)
        rows = events(right.codomain, right.out_shape, 9) if inverse else events(right.domain, right.in_shape, 9)
        run, right_run = (partial(one.inverse if inverse else one, rows) for one in (layer, right))
        pairs.append((_seeded(run), _seeded(right_run)))
    for found, wanted in pairs:
        torch.testing.assert_close(found, wanted, rtol=1e-6, atol=1e-6)


FAMILIES = [case for case in DISTRIBUTIONS if not isinstance(case.example, sf.Flow | sf.Joint | sf.Mixture)]


@pytest.mark.parametrize("case", FAMILIES, ids=lambda case: case.name)
def test_an_empty_subclass_is_the_family(case: Case) -> None:
    distribution = case.make()
    family = type(distribution)
    empty = type(f"Empty{family.__name__}", (family,), {})
    assert all(getattr(empty, method) is getattr(family, method) for method in family._shortcuts)
    same = empty(**distribution.arguments).double()
    same.load_state_dict(distribution.state_dict())
    assert (same._uniform_log_prob, same._iid) == (distribution._uniform_log_prob, distribution._iid)
    context = context_of(distribution, 4)
    x = distribution.sample((), context, seed=0) if context is not None else distribution.sample(4, seed=0)
    assert torch.equal(same.sample((), context, seed=0) if context is not None else same.sample(4, seed=0), x)
    assert torch.equal(same.log_prob(x, context), distribution.log_prob(x, context))


class _Empty(sf.Categorical):
    """A Categorical."""


class _Bent(sf.Categorical):
    """Parameters that are not the logarithms of odds."""

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        return super()._log_prob_given(x, 2 * raw)


def test_layers_that_need_odds_take_a_categorical_and_nothing_that_is_called_one() -> None:
    options = {"kernel_size": 2, "levels": 4}
    assert sf.IntegerMaxPool((1, 2, 2), pixels=_Empty((4, 1, 1), levels=4), **options).exact
    with pytest.raises(sf.ShapeError, match="expects pixels of which the largest"):
        sf.IntegerMaxPool((1, 2, 2), pixels=_Bent((4, 1, 1), levels=4), **options)
    assert sf.OverlappingMaxPool((1, 3, 3), kernel_size=2, stride=1, index=_Empty((1, 2, 2), levels=4)).exact
    with pytest.raises(sf.ShapeError, match="expects a Categorical"):
        sf.OverlappingMaxPool((1, 3, 3), kernel_size=2, stride=1, index=_Bent((1, 2, 2), levels=4))


class _Rising(sf.Uniform):
    """Density 2 u on the unit interval."""

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return (2 * x).log().sum(1)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return torch.rand(n, *self.event_shape, dtype=torch.float64).sqrt()


def test_noise_that_is_not_uniform_any_more_is_scored() -> None:
    layer = sf.Dequantize(1, levels=4, noise=_Rising(1))
    x = torch.full((20_000, 1), 2.0, dtype=torch.float64)
    z, V = layer(x)
    torch.testing.assert_close(V, -(2 * (z - x)).log()[:, 0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(layer.inverse(z)[1], V)
    assert (z - x).mean().item() == pytest.approx(2 / 3, abs=0.01)


def test_a_draw_may_be_made_of_the_parents() -> None:
    """Of Normal, with the events moved by one."""

    class Moved(sf.Normal):
        def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
            return super()._log_prob(x - 1, context)

        def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
            x, log_prob = super()._draw(n, context)
            return x + 1, log_prob

    x, log_prob = Moved(1).sample_and_log_prob(9, seed=0)
    assert torch.equal(x, Moved(1).sample(9, seed=0)) and torch.equal(x, sf.Normal(1).sample(9, seed=0) + 1)
    torch.testing.assert_close(log_prob, Moved(1).log_prob(x))


# -- densities and bounds ------------------------------------------------------------------------------


def _bound() -> sf.Flow:
    """A standard normal whose density is a bound of two draws."""
    return sf.Flow([sf.Augment(1, noise=sf.Normal(1, learned=True))], base=sf.Normal(2))


def test_importance_samples_tighten_the_bound_of_every_distribution() -> None:
    flow = moved(_bound())
    joint = sf.Joint([flow, sf.Normal(1)])
    x = torch.randn(50, 2)
    with torch.no_grad():
        bounds = [joint.log_prob(x, importance_samples=k).mean() for k in (1, 2000)]
        wanted = sf.Normal(2).log_prob(x)
    assert bounds[0] < wanted.mean() + 0.1
    assert bounds[1].item() == pytest.approx(wanted.mean().item(), abs=0.02)
    assert torch.equal(sf.Normal(2).log_prob(x, importance_samples=5), wanted)
    with pytest.raises(sf.BoundError, match="whole number from 1"):
        joint.log_prob(x, importance_samples=0)
    with pytest.raises(sf.BoundError, match="importance_samples=k"):
        joint.log_prob(x)


def test_no_bound_goes_by_the_name_of_a_density() -> None:
    for distribution in (_bound(), sf.Joint([_bound(), sf.Normal(1)])):
        with pytest.raises(sf.BoundError, match="bound"):
            distribution._log_prob(torch.zeros(1, *distribution.event_shape), None)


# -- what does not fit ---------------------------------------------------------------------------------


def test_pieces_that_do_not_fit_are_described() -> None:
    layer = sf.Abs(2)
    with pytest.raises(sf.ShapeError, match=r"Abs expects signs of shape \(2,\) on integers\(2\), got Normal of shape"):
        check_piece(layer, "signs", sf.Normal(2), (2,), sf.Integers(2), z_shape=(2,))
    with pytest.raises(sf.ShapeError, match=r"expects a part of shape \(3,\), such as Normal\(3\), got Normal"):
        check_piece(layer, "a part", sf.Normal(2), (3,), z_shape=(2,), such_as="Normal(3)")
    with pytest.raises(sf.ShapeError, match=r"conditioned on z, context_shape=\(2,\)"):
        check_piece(layer, "a part", sf.Normal(2, context_shape=1), (2,), z_shape=(2,))
    assert check_piece(layer, "a part", sf.Normal(2, context_shape=5), (2,), z_shape=(2,)) == (3,)


def test_two_pieces_of_one_class_with_different_contexts_are_refused() -> None:
    with pytest.raises(sf.ShapeError, match=r"share one context, but Normal takes \(1,\), Normal takes \(2,\)"):
        shared_context("the parts", [(sf.Normal(1, 1), (1,)), (sf.Normal(1, 2), (2,))])
    with pytest.raises(sf.ShapeError, match="the components of a mixture share one context"):
        sf.Mixture([sf.Normal(1, 1), sf.Normal(1, 2)])
    with pytest.raises(sf.ShapeError, match="the parts of a Joint share one context"):
        sf.Joint([sf.Normal(1, 1), sf.Normal(1, 2)])
    with pytest.raises(sf.ShapeError, match="encoder and decoder"):
        sf.VAE(sf.Normal(1, context_shape=3), sf.Normal(2, context_shape=3))
