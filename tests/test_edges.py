"""Edges at which a likelihood once went wrong: rounding, types, boundaries, hidden bounds, wrong kinds of objects."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch

import surflow as sf
from surflow.distributions.parametric import Parametric


def test_an_order_must_be_a_distribution_of_permutations() -> None:
    for order in (sf.Categorical(2, levels=2), sf.Bernoulli(2)):
        with pytest.raises(sf.ShapeError, match="PlackettLuce"):
            sf.Sort(2, order=order)


def _bound() -> sf.Flow:
    decoder = sf.Bernoulli(2, context_shape=1)
    return sf.Flow([sf.VAE(sf.Normal(1, context_shape=2), decoder)], base=sf.Normal(1))


def test_no_wrapping_hides_a_bound() -> None:
    assert not sf.On(3, part=[0, 1], layer=sf.Abs(2, signs=_bound())).exact
    with pytest.raises(sf.BoundError, match="encoder"):
        sf.Inverse(sf.On(3, part=[0, 1], layer=sf.Abs(2, signs=_bound())))
    decoder = sf.Flow([sf.Augment(2, noise=1), sf.Slice(3, keep=2)], base=sf.Normal(2, context_shape=1))
    with pytest.raises(sf.BoundError, match="encoder"):
        sf.Inverse(sf.VAE(sf.Normal(1, context_shape=2), decoder))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rounding_never_leaves_an_interval(dtype: torch.dtype) -> None:
    spline = sf.Flow([sf.Elementwise(500, map=sf.IntervalSplineMap())], base=sf.Uniform(500)).to(dtype)
    torch.nn.init.normal_(spline.transforms[0].raw, std=1.5)
    for x in (0.0, 1.0, 1 - torch.finfo(dtype).eps / 2):
        assert spline.log_prob(torch.full((1, 500), x, dtype=dtype)).isfinite().all()
    for low, high in torch.randn(100, 2).sort(1).values.tolist():
        sigmoid = sf.Flow([sf.Sigmoid(1, low=low, high=high)], base=sf.Uniform(1, low=low, high=high)).to(dtype)
        assert sigmoid.log_prob(torch.tensor([[40.0], [-40.0], [17.0]], dtype=dtype)).isfinite().all()


def test_integers_are_scored_as_numbers() -> None:
    byte = torch.full((1, 1), 200, dtype=torch.uint8)
    for distribution in (
        sf.Uniform(1, low=0, high=256),
        sf.Categorical(1, levels=256),
        sf.Normal(1),
        sf.Mixture([sf.Uniform(1, low=0, high=256)]),
    ):
        assert torch.equal(distribution.log_prob(byte), distribution.log_prob(byte.float()))
    flow = sf.Flow([sf.Dequantize(2, levels=4), sf.Logit(2, low=0, high=4), sf.Coupling(2)], base=sf.Normal(2)).double()
    x = torch.randint(4, (30, 2))
    assert flow.elbo(x).dtype == torch.float64
    flow.account(x), flow.initialize(x)


def test_other_floating_types_become_those_of_the_flow() -> None:
    flow = sf.Flow([sf.Coupling(2)], base=sf.Normal(2))
    x, context = torch.randn(1, 2).double(), torch.randn(1, 3).double()
    assert torch.equal(flow.log_prob(x), flow.log_prob(x.float()))
    conditional = sf.Flow([sf.Coupling(2, 3)], base=sf.Normal(2))
    assert torch.equal(conditional.sample(4, context, seed=0), conditional.sample(4, context.float(), seed=0))


def test_types_that_do_not_fit_are_named() -> None:
    flow = sf.Flow([sf.Coupling(2)], base=sf.Normal(2))
    with pytest.raises(sf.DataError, match=r"ndarray: pass torch\.as_tensor"):
        flow.log_prob(np.zeros((1, 2)))
    with pytest.raises(sf.ConfigError, match="cannot tell 256 levels"):
        sf.Dequantize(2, levels=256)(torch.full((1, 2), 100.0).bfloat16())


def test_initial_scales_have_no_hidden_limits() -> None:
    assert sf.HalfNormal(1, initial=1e-8).log_prob(torch.zeros(1, 1)).item() == pytest.approx(18.195, abs=1e-3)
    with pytest.raises(sf.ConfigError, match="positive"):
        sf.Exponential(1, initial=0)


def test_the_origin_of_the_plane_has_finite_gradients() -> None:
    x = torch.zeros(1, 2, requires_grad=True)
    z, V = sf.Polar()(x)
    (z.sum() + V.sum()).backward()
    assert x.grad.isfinite().all()


def test_what_carries_no_gradient_says_so() -> None:
    integers = sf.Flow([sf.Dequantize(2, levels=5), sf.Logit(2, low=0, high=5), sf.Elementwise(2)], base=sf.Normal(2))
    with pytest.raises(sf.BoundError, match="Dequantize rounds"):
        integers.rsample(3)
    folded = sf.Flow([sf.Inverse(sf.Abs(1, signs=sf.Bernoulli(1, learned=True)))], base=sf.Normal(1, learned=True))
    folded.rsample(3).sum().backward()


@pytest.mark.parametrize("layer", [sf.Coupling, sf.Autoregressive, sf.Elementwise], ids=lambda c: c.__name__)
def test_a_context_may_be_one_number(layer: type[sf.Transform]) -> None:
    z, _ = layer(2, ())(torch.zeros(3, 2), torch.zeros(3))
    assert z.shape == (3, 2)


def test_infinite_events_have_no_density_and_nan_stays_nan() -> None:
    flow = sf.Flow([sf.Orthogonal(2)], base=sf.Normal(2))
    assert flow.log_prob(torch.tensor([[math.inf, 0.0]])).item() == -math.inf
    positive = sf.Flow([sf.Log(1)], base=sf.Normal(1))
    assert positive.log_prob(torch.tensor([[math.nan]])).isnan().all()


def test_a_mixture_outside_its_support_keeps_finite_gradients() -> None:
    mixture = sf.Mixture([sf.HalfNormal(1, learned=True), sf.Exponential(1, learned=True)])
    log_prob = mixture.log_prob(torch.tensor([[1.0], [-1.0]]))
    log_prob[0].backward()
    assert log_prob[1] == -math.inf and mixture.logits.grad.isfinite().all()
    assert sf.Mixture([sf.Logistic(1), sf.Normal(1, 3)]).context_shape == (3,)


def test_a_flow_as_a_base_is_fitted_too() -> None:
    inner = sf.Flow([sf.Standardize(2)], base=sf.Normal(2))
    sf.Flow([sf.Reverse(2)], base=inner).initialize(torch.randn(100, 2) + 5)
    assert inner.transforms[0].shift.mean() > 4
    with pytest.raises(sf.DataError, match="finite data"):
        sf.Standardize(1).initialize(torch.tensor([[math.nan], [1.0]]))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: sf.Flow(sf.Abs(2), base=sf.HalfNormal(2)), "list of transforms"),
        (lambda: sf.Inverse(sf.Normal(1)), "turns a Transform round"),
        (lambda: sf.On(2, part=[0], layer=sf.Normal(1)), "puts a Transform on a part"),
        (lambda: sf.Squeeze((4, 4)), r"\(channels, height, width\)"),
        (lambda: sf.Max((3,)), "at least two coordinates"),
        (lambda: sf.Normal(-1), "expected a shape"),
        (lambda: sf.Coupling(2.5), "expected a shape"),
        (lambda: sf.Normal(2).sample(-1), "expected a shape"),
        (lambda: sf.Slice(3, keep=2, support=sf.product([sf.positive, sf.real, sf.real])), "3 coordinates"),
        (
            lambda: sf.Flow([sf.Coupling(2, 4)], sf.Normal(2), context_net=torch.nn.Linear(3, 4)),
            "in_shape and out_shape",
        ),
        (lambda: sf.Interval(0, math.inf), "finite"),
        (lambda: sf.AffineMap(limit=0), "positive and finite"),
    ],
)
def test_wrong_objects_are_refused_in_words(build, message: str) -> None:
    with pytest.raises(sf.SurflowError, match=message):
        build()


def test_a_context_that_nobody_takes_is_refused() -> None:
    flow = sf.Flow([sf.Coupling(2)], base=sf.Normal(2))
    with pytest.raises(sf.ShapeError, match="takes no context"):
        flow.log_prob(torch.zeros(3, 2), torch.zeros(3, 1))
    with pytest.raises(sf.ShapeError, match="takes no context"):
        flow.sample(3, torch.zeros(3, 1))


def test_numpy_integers_are_shapes() -> None:
    assert sf.Normal(np.int64(2)).event_shape == (2,)


def test_a_seed_does_not_reach_devices_that_are_not_in_use() -> None:
    from torch.cuda import _lazy_seed_tracker

    before = len(_lazy_seed_tracker.get_calls())
    sf.Normal(1).sample(1, seed=3)
    assert len(_lazy_seed_tracker.get_calls()) == before


def test_a_base_that_is_to_blame_is_named() -> None:
    flow = sf.Flow([sf.Reverse(2)], base=sf.Normal(2, learned=True))
    flow.base.raw.data.fill_(math.nan)
    with pytest.raises(sf.NonFiniteError, match="from the base Normal"):
        sf.fit(flow, torch.randn(50, 2), steps=2, progress=False)


SCALARS: dict[str, Callable[[], sf.Distribution]] = {
    "normal": lambda: sf.Normal((), 3),
    "logistic": lambda: sf.Logistic(()),
    "half-normal": lambda: sf.HalfNormal((), learned=True),
    "exponential": lambda: sf.Exponential(()),
    "uniform": lambda: sf.Uniform((), low=-1, high=3),
    "circle": lambda: sf.UniformCircle(()),
    "bernoulli": lambda: sf.Bernoulli((), 3),
    "joint bernoulli": lambda: sf.JointBernoulli((), learned=True),
    "categorical": lambda: sf.Categorical((), levels=4, learned=True),
    "levels": lambda: sf.DiscretizedLogisticMixture((), levels=7, learned=True),
    "autoregressive levels": lambda: sf.AutoregressiveDiscretizedLogistic((), levels=5, width=8),
    "mixture": lambda: sf.Mixture([sf.HalfNormal(()), sf.Exponential((), learned=True)]),
    "flow": lambda: sf.Flow([sf.Abs(()), sf.Log(()), sf.Elementwise((), 3, map=sf.SplineMap())], base=sf.Normal(())),
    "flow on an interval": lambda: sf.Flow([sf.Logit(()), sf.Standardize(()), sf.Reshape((), 1)], base=sf.Normal(1)),
    "flow of integers": lambda: sf.Flow(
        [sf.Dequantize((), levels=5), sf.Rescale((), start=(0, 5), end=(0, 1))], base=sf.Uniform(())
    ),
    "flow on a circle": lambda: sf.Flow([sf.Elementwise((), map=sf.CircularSplineMap())], base=sf.UniformCircle(())),
}


@pytest.mark.parametrize("name", SCALARS)
def test_events_may_be_single_numbers(name: str) -> None:
    distribution = SCALARS[name]().double()
    context = None if distribution.context_shape is None else torch.randn(7, 3).double()
    x, log_prob = distribution._draw_for(7, context)
    assert x.shape == log_prob.shape == (7,) and distribution.support.contains(x).all()
    torch.testing.assert_close(distribution.elbo(x, context), log_prob)
    assert distribution.elbo(x[:0], None if context is None else context[:0]).shape == (0,)
    if context is None:
        assert distribution.elbo(x[0]).shape == () and distribution.sample((2, 3)).shape == (2, 3)
    # The distribution of vectors of one number is the same.
    if isinstance(distribution, Parametric):
        vectors = type(distribution)(**{**distribution.arguments, "event_shape": 1}).double()
        torch.testing.assert_close(vectors.log_prob(x[:, None], context), log_prob)


@pytest.mark.parametrize(
    "build",
    [
        lambda: sf.Coupling(()),
        lambda: sf.Autoregressive(()),
        lambda: sf.Orthogonal(()),
        lambda: sf.LULinear(()),
        lambda: sf.Linear((), matrix=[[1.0]]),
        lambda: sf.ConditionalLinear((), 3),
        lambda: sf.ActNorm(()),
        lambda: sf.Permute(()),
        lambda: sf.Reverse(()),
        lambda: sf.Slice((), keep=1),
        lambda: sf.Augment((), noise=1),
        lambda: sf.On((), part=[0], layer=sf.Exp(1)),
        lambda: sf.RandomPermutation(()),
        lambda: sf.SortIntegers((), levels=3),
        lambda: sf.Joint([sf.Normal(())]),
        lambda: sf.AscendingCategorical((), levels=3),
    ],
)
def test_what_needs_an_axis_says_so(build: Callable[[], object]) -> None:
    with pytest.raises(sf.ShapeError, match=r"works along an axis of the event, and events of shape \(\) have none"):
        build()


OUTSIDE: dict[str, tuple[Callable[[], sf.Distribution], list[list[float]]]] = {
    "couplings": (lambda: sf.Flow([sf.Coupling(2), sf.LULinear(2)], sf.Normal(2, learned=True)), [[math.inf, 0.0]]),
    "splines": (lambda: sf.Flow([sf.Autoregressive(2, map=sf.SplineMap())], sf.Normal(2)), [[0.0, -math.inf]]),
    "logarithm": (lambda: sf.Flow([sf.Log(2), sf.Coupling(2)], sf.Normal(2)), [[math.inf, 1.0], [-1.0, 1.0]]),
    "log-odds": (lambda: sf.Flow([sf.Logit(2), sf.Coupling(2)], sf.Normal(2)), [[math.inf, 0.5], [-0.5, 0.5]]),
    "parts": (
        lambda: sf.Flow([sf.On(2, part=[1], layer=sf.Log(1)), sf.Coupling(2)], sf.Normal(2)),
        [[math.inf, 1.0], [0.0, -1.0]],
    ),
    "gaps": (lambda: sf.Flow([sf.LogGaps(2), sf.Coupling(2)], sf.Normal(2)), [[1.0, 0.0], [0.0, math.inf]]),
    "integers": (
        lambda: sf.Flow([sf.Dequantize(2, levels=3), sf.Logit(2, low=0, high=3), sf.Coupling(2)], sf.Normal(2)),
        [[3, 0]],
    ),
    "bound": (lambda: sf.Flow([sf.VAE(sf.Normal(1, 2), sf.Normal(2, 1))], sf.Normal(1)), [[math.inf, 0.0]]),
    "normal": (lambda: sf.Normal(2, learned=True), [[math.inf, 0.0], [0.0, -math.inf]]),
    "logistic": (lambda: sf.Logistic(2, learned=True), [[math.inf, 0.0]]),
    "half-normal": (lambda: sf.HalfNormal(2, learned=True), [[math.inf, 1.0], [-1.0, 1.0]]),
    "mixture": (lambda: sf.Mixture([sf.Normal(2, learned=True), sf.Logistic(2, learned=True)]), [[math.inf, 0.0]]),
    "independent": (lambda: sf.Joint([sf.Normal(1, learned=True), sf.Exponential(1, learned=True)]), [[0, -1]]),
    "categories": (lambda: sf.Categorical(2, levels=3, learned=True), [[3, 0], [math.inf, 0]]),
    "orders": (lambda: sf.PlackettLuce(2, learned=True), [[1, 1], [math.inf, 0]]),
    "ascending": (lambda: sf.AscendingCategorical(2, levels=3, width=8), [[2, 1], [math.inf, 0]]),
}


@pytest.mark.parametrize("name", OUTSIDE)
def test_rows_outside_have_no_density_and_leave_gradients_alone(name: str) -> None:
    """Gradients of the other rows are those that they have without them."""
    build, rows = OUTSIDE[name]
    distribution, outside = build(), torch.tensor(rows)
    inside = distribution.sample(3, seed=0)

    def gradients(x: torch.Tensor) -> list[torch.Tensor]:
        torch.manual_seed(0)
        log_prob = distribution.elbo(x)
        assert (log_prob[3:] == -math.inf).all() and log_prob[:3].isfinite().all()
        total = torch.where(log_prob.isfinite(), log_prob, 0.0).sum()
        return list(
            torch.autograd.grad(total, list(distribution.parameters()), materialize_grads=True, allow_unused=True)
        )

    if not distribution.exact:  # noise belongs to rows
        assert all(g.isfinite().all() for g in gradients(torch.cat([inside, outside])))
        return
    for g, e in zip(gradients(torch.cat([inside, outside])), gradients(inside), strict=True):
        torch.testing.assert_close(g, e)


def test_calls_that_do_not_fit_say_how_a_class_is_called() -> None:
    with pytest.raises(TypeError, match=r"Abs: too many positional arguments; it is called as Abs\(event_shape"):
        sf.Abs(2, sf.Bernoulli(2))
    with pytest.raises(TypeError, match=r"Categorical: .*\*, levels"):
        sf.Categorical(1, 3, context_shape=1)
