"""Gradients of bounds and of draws: unbiased, by quadrature and enumeration, or refused."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import surflow as sf
from surflow.flow.gradients import Estimator, leave_one_out

DRAWS = 60_000
GROUPS = 30


def _spread(module: torch.nn.Module, seed: int = 0) -> None:
    generator = torch.Generator().manual_seed(seed)
    for p in module.parameters():
        with torch.no_grad():
            # Networks gentle enough for the grids of the integrals.
            size = 0.7 * p.shape[1] ** -0.5 if p.ndim == 2 else 0.3
            p.copy_(size * torch.randn(p.shape, generator=generator, dtype=p.dtype))


def _flat(flow: torch.nn.Module, value: Tensor, keep: bool = False) -> Tensor:
    grads = torch.autograd.grad(value, list(flow.parameters()), retain_graph=keep, allow_unused=True)
    pairs = zip(flow.parameters(), grads, strict=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in pairs])


def _line(low: float = -8.0, high: float = 8.0, points: int = 4000) -> tuple[Tensor, float]:
    """Midpoints, none of them zero, so that jumps at zero and at whole numbers fall between two."""
    edges = torch.linspace(low, high, points + 1, dtype=torch.float64)
    return ((edges[:-1] + edges[1:]) / 2)[:, None], (high - low) / points


def _augmented(layers: Callable[[], list[sf.Transform]], base: Callable[[], sf.Distribution], noise) -> tuple:
    """A chain behind added noise, and its bound as an integral over the noise."""
    flow = sf.Flow([sf.Augment(1, noise=noise), *layers()], base=base()).double()
    _spread(flow)
    x = torch.tensor([[0.7]]).double()
    u, width = _line()

    def bound() -> Tensor:
        log_q = noise.log_prob(u, x.expand(len(u), 1) if noise.context_shape else None)
        z = torch.cat([x.expand(len(u), 1), u], 1)
        rest = sf.Flow(list(flow.transforms)[1:], base=flow.base)
        return (log_q.exp() * (rest.elbo(z) - log_q)).sum() * width

    return flow, x, bound


def _dequantized() -> tuple:
    noise = sf.Flow([sf.Logit(1), sf.Elementwise(1, 1)], base=sf.Logistic(1))
    fold = sf.Abs(1, signs=sf.Bernoulli(1, learned=True), support=sf.Interval(-1.5, 1.5))
    spline = sf.Elementwise(1, map=sf.IntervalSplineMap(4, low=0.0, high=1.5))
    layers = [sf.Rescale(1, start=(0, 3), end=(-1.5, 1.5)), fold, spline]
    flow = sf.Flow([sf.Dequantize(1, levels=3, noise=noise), *layers], base=sf.Uniform(1, low=0, high=1.5)).double()
    _spread(flow)
    x = torch.tensor([[1.0]]).double()
    t, width = _line(-30.0, 30.0, 20_000)
    u, log_slope = t.sigmoid(), (F.logsigmoid(t) + F.logsigmoid(-t)).sum(1)
    rest = sf.Flow(layers, base=flow.base)

    def bound() -> Tensor:
        log_q = noise.log_prob(u, (2 * x / 2 - 1).expand(len(u), 1))
        return ((log_q + log_slope).exp() * (rest.elbo(x + u) - log_q)).sum() * width

    return flow, x, bound


def _signs_encoded() -> tuple:
    signs = sf.Bernoulli(2, context_shape=2)
    flow = sf.Flow([sf.Inverse(sf.Abs(2, signs=signs))], base=sf.Normal(2, learned=True)).double()
    _spread(flow)
    x = torch.tensor([[0.7, 1.2]]).double()
    b = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2))).double()

    def bound() -> Tensor:
        log_q = signs.log_prob(b, x.expand(4, 2))
        return (log_q.exp() * (flow.base.log_prob((2 * b - 1) * x) - log_q)).sum()

    return flow, x, bound


def _categories() -> tuple:
    encoder = sf.Categorical(1, levels=3, context_shape=2)
    decoder = sf.Bernoulli(2, context_shape=1)
    flow = sf.Flow([sf.VAE(encoder, decoder)], base=sf.Categorical(1, levels=3, learned=True)).double()
    _spread(flow)
    x = torch.tensor([[1.0, 0.0]]).double()
    k = torch.arange(3.0).double()[:, None]

    def bound() -> Tensor:
        log_q = encoder.log_prob(k, x.expand(3, 2))
        joint = decoder.log_prob(x.expand(3, 2), k) + flow.base.log_prob(k)
        return (log_q.exp() * (joint - log_q)).sum()

    return flow, x, bound


def _mixture_encoded() -> tuple:
    encoder = sf.Mixture([sf.Normal(1, 1), sf.Normal(1, 1)])
    decoder = sf.Normal(1, 1)
    flow = sf.Flow([sf.VAE(encoder, decoder)], base=sf.Normal(1, learned=True)).double()
    _spread(flow)
    x = torch.tensor([[0.4]]).double()
    z, width = _line()

    def bound() -> Tensor:
        log_q = encoder.log_prob(z, x.expand(len(z), 1))
        joint = decoder.log_prob(x.expand(len(z), 1), z) + flow.base.log_prob(z)
        return (log_q.exp() * (joint - log_q)).sum() * width

    return flow, x, bound


def _maximum_encoded() -> tuple:
    """An encoder that draws both an index and a difference."""
    layer = sf.Max(2, index=sf.Categorical(1, levels=2, learned=True), differences=sf.HalfNormal(1, context_shape=1))
    flow = sf.Flow([sf.Inverse(layer)], base=sf.Normal(2, learned=True)).double()
    _spread(flow)
    x = torch.tensor([[0.4]]).double()
    d, width = _line(0.0, 10.0)

    def bound() -> Tensor:
        total = torch.zeros(()).double()
        for k in range(2):
            z = torch.cat([x.expand(len(d), 1), x - d], 1).roll(k, 1)
            log_q = layer.index.log_prob(torch.tensor([[float(k)]]).double()) + layer.differences.log_prob(
                d, x.expand(len(d), 1)
            )
            total = total + (log_q.exp() * (flow.base.log_prob(z) - log_q)).sum() * width
        return total

    return flow, x, bound


def _nested() -> tuple:
    """A decoder that has a bound of its own, with draws that are held, given a latent that carries gradients."""
    noise, encoder = sf.Normal(1, context_shape=2), sf.Normal(1, context_shape=1)

    signs = sf.Bernoulli(2, learned=True)
    inner = sf.Flow([sf.Augment(1, noise=noise), sf.Abs(2, signs=signs)], base=sf.HalfNormal(2, learned=True))
    flow = sf.Flow([sf.VAE(encoder, inner)], base=sf.Normal(1)).double()
    _spread(flow)
    x = torch.tensor([[0.4]]).double()
    eps, width = _line(-6, 6, 300)
    u, step = _line(-8, 8, 400)

    def bound() -> Tensor:
        raw = encoder.parameters_given(x)
        z = raw[:, 0] + raw[:, 1].exp() * eps  # the latent is reparameterised: what it goes through is continuous
        x_z = torch.cat([x.expand(len(z), 1), z], 1)
        both = torch.cat([x_z.repeat_interleave(len(u), 0), u.repeat(len(z), 1)], 1)
        log_q = noise.log_prob(both[:, 2:], both[:, :2])
        rest = sf.Flow([inner.transforms[1]], base=inner.base)
        inside = (log_q.exp() * (rest.log_prob(both[:, [0, 2]]) - log_q)).reshape(len(z), -1).sum(1) * step
        log_z = flow.base.log_prob(z) - encoder.log_prob(z, x.expand(len(z), 1))
        return ((-eps[:, 0].square() / 2).exp() / math.sqrt(2 * math.pi) * (inside + log_z)).sum() * width

    return flow, x, bound


class _Beside(sf.Transform):
    """Puts a fixed second coordinate to two points; V is that of coordinates that are always the same, zero."""

    def __init__(self) -> None:
        super().__init__((1, 2), (2, 2))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return torch.cat([x, torch.tensor([[1.0, 0.0]]).to(x).expand_as(x)], 1), x.new_zeros(len(x))


HELD = {
    "signs that are not fair": lambda: _augmented(
        lambda: [sf.Abs(2, signs=sf.Bernoulli(2, learned=True))],
        lambda: sf.HalfNormal(2, learned=True),
        sf.Normal(1, context_shape=1),
    ),
    "index": lambda: _augmented(
        lambda: [sf.Max(2, index=sf.Categorical(1, levels=2, learned=True))],
        lambda: sf.Normal(1, learned=True),
        sf.Normal(1, learned=True),
    ),
    "order of points": lambda: _augmented(
        # The point (x, 1) and the point (u, 0), sorted: which of them comes first jumps where u passes x.
        lambda: [sf.Reshape(2, (1, 2)), _Beside(), sf.Sort((2, 2), by=0), sf.LogGaps((2, 2), by=0)],
        lambda: sf.Normal((2, 2), learned=True),
        sf.Normal(1, learned=True),
    ),
    "variational dequantisation": _dequantized,
    "discrete encoder": _signs_encoded,
    "categories": _categories,
    "mixture as encoder": _mixture_encoded,
    "index and difference as encoder": _maximum_encoded,
    "bound in a bound": _nested,
}


@pytest.mark.parametrize("name", HELD)
@pytest.mark.slow
def test_gradient_of_the_bound_is_that_of_its_integral(name: str) -> None:
    flow, x, bound = HELD[name]()
    exact = _flat(flow, bound())
    assert exact.abs().max() > 0.05
    torch.manual_seed(1)
    values = flow.elbo(x.expand(DRAWS, *x.shape[1:]))
    parts = values.reshape(GROUPS, -1).mean(1)
    grads = torch.stack([_flat(flow, part, keep=True) for part in parts])
    mean, error = grads.mean(0), grads.std(0) / math.sqrt(GROUPS)
    assert values.mean().item() == pytest.approx(bound().item(), abs=5 * values.std().item() / math.sqrt(DRAWS) + 1e-4)
    assert ((mean - exact).abs() < 4.5 * error + 1e-4).all(), (mean, exact, error)
    assert (error < 0.1).all()


@pytest.mark.parametrize("name", ["discrete encoder", "categories"])
@pytest.mark.slow
def test_gradient_of_the_k_sample_bound_is_that_of_its_sum(name: str) -> None:
    flow, x, _ = HELD[name]()
    if name == "categories":
        (vae,) = flow.transforms
        events = torch.arange(3.0).double()[:, None]
        log_q = vae.encoder.log_prob(events, x.expand(3, 2))
        log_w = vae.decoder.log_prob(x.expand(3, 2), events) + flow.base.log_prob(events) - log_q
    else:
        b = torch.tensor(list(itertools.product([0.0, 1.0], repeat=2))).double()
        log_q = flow.transforms[0].layer.signs.log_prob(b, x.expand(4, 2))
        log_w = flow.base.log_prob((2 * b - 1) * x) - log_q
    k, exact_bound = 3, torch.zeros(()).double()
    for which in itertools.product(range(len(log_q)), repeat=k):
        index = list(which)
        exact_bound = exact_bound + log_q[index].sum().exp() * (log_w[index].logsumexp(0) - math.log(k))
    exact = _flat(flow, exact_bound)
    torch.manual_seed(2)
    values = flow.log_prob(x.expand(DRAWS, *x.shape[1:]), importance_samples=k)
    grads = torch.stack([_flat(flow, part, keep=True) for part in values.reshape(GROUPS, -1).mean(1)])
    mean, error = grads.mean(0), grads.std(0) / math.sqrt(GROUPS)
    assert ((mean - exact).abs() < 4.5 * error + 1e-6).all(), (mean, exact, error)


def test_baselines_leave_their_own_draw_out() -> None:
    log_w = torch.randn(5, 7, dtype=torch.float64)
    log_w[2, 3] = -math.inf
    without = leave_one_out(log_w)
    for i in range(5):
        others = torch.cat([log_w[:i], log_w[i + 1 :]])
        expected = torch.cat([others, others.mean(0, keepdim=True)]).logsumexp(0) - math.log(5)
        torch.testing.assert_close(without[i], expected)


def test_draws_that_nothing_after_jumps_for_stay_reparameterised() -> None:
    """A score-function term has noise; where the gradient of the draw is right, there is none."""
    fine = [
        sf.Flow([sf.Augment(2, noise=sf.Normal(2, context_shape=2)), sf.Coupling(4)], base=sf.Normal(4)),
        sf.Flow([sf.Augment(1, noise=sf.Normal(1, learned=True)), sf.Abs(2)], base=sf.HalfNormal(2)),
        sf.Flow([sf.Augment(1, noise=sf.Normal(1, learned=True)), sf.Max(2)], base=sf.Normal(1)),
        sf.Flow([sf.Dequantize(2, levels=4), sf.Logit(2, low=0, high=4), sf.Coupling(2)], base=sf.Normal(2)),
        sf.Flow([sf.VAE(sf.Normal(1, 2), sf.Bernoulli(2, 1)), sf.Elementwise(1)], base=sf.Normal(1)),
        sf.Flow([sf.RandomPermutation(3), sf.Coupling(3), sf.Sort(3), sf.LogGaps(3)], base=sf.Normal(3)),
    ]
    for flow in fine:
        assert flow.estimator() == Estimator()


@pytest.mark.slow
def test_what_has_no_unbiased_gradient_is_refused_by_fit_and_by_backward() -> None:
    signs, one = sf.Bernoulli(2, learned=True), torch.randn(50, 1)
    refused = {
        "Abs jumps": sf.Flow([sf.Augment(1, noise=1), sf.Coupling(2), sf.Abs(2, signs=signs)], base=sf.HalfNormal(2)),
        "Log has a pole": sf.Flow([sf.Augment(1, noise=1), sf.Coupling(2), sf.Abs(2), sf.Log(2)], base=sf.Normal(2)),
        "the base Flow": sf.Flow(
            [sf.Augment(1, noise=1), sf.Coupling(2), sf.Abs(2)], base=sf.Flow([sf.Log(2)], base=sf.Normal(2))
        ),
        "Max jumps": sf.Flow([sf.Augment(1, noise=2), sf.Coupling(3), sf.Max(3)], base=sf.Normal(1)),
        "On(Abs) jumps": sf.Flow(
            [
                sf.Augment(1, noise=1),
                sf.LULinear(2),
                sf.On(2, part=[0], layer=sf.Abs(1, signs=sf.Bernoulli(1, learned=True))),
            ],
            base=sf.Joint([sf.HalfNormal(1), sf.Normal(1)]),
        ),
        "Inverse(Dequantize) rounds": sf.Flow(
            [sf.Elementwise(1), sf.Sigmoid(1, low=0, high=4), sf.Inverse(sf.Dequantize(1, levels=4))],
            base=sf.Categorical(1, levels=4),
        ),
    }
    for reason, flow in refused.items():
        value = flow.elbo(one)
        assert value.isfinite().all()
        with pytest.raises(sf.BoundError, match=reason.replace("(", r"\(").replace(")", r"\)")):
            sf.fit(flow, one, steps=1, progress=False)
        if not flow.exact:
            with pytest.raises(sf.BoundError, match="no unbiased gradient"):
                value.sum().backward()
        for p in flow.parameters():
            p.requires_grad_(False)
        assert flow.estimator().refusal is None, "without parameters nothing is wrong"


def test_layers_that_draw_by_themselves_are_refused_where_what_follows_jumps() -> None:
    class OwnNoise(sf.Transform):
        random_forward = True

        def __init__(self) -> None:
            super().__init__(1, 2)
            self.mean = torch.nn.Parameter(torch.zeros(()))

        def _forward(self, x, context):
            u = self.mean + torch.randn_like(x)
            return torch.cat([x, u], 1), 0.5 * (u - self.mean).square().sum(1) + 0.5 * math.log(2 * math.pi)

    smooth = sf.Flow([OwnNoise(), sf.Coupling(2)], base=sf.Normal(2))
    assert smooth.estimator().refusal is None
    jumps = sf.Flow([OwnNoise(), sf.Abs(2, signs=sf.Bernoulli(2, learned=True))], base=sf.HalfNormal(2))
    assert "Abs jumps" in str(jumps.estimator().refusal)


def test_rsample_refuses_what_jumps_and_accepts_what_does_not() -> None:
    learned = sf.Normal((2, 2), learned=True)
    moved = sf.Flow([sf.Inverse(sf.Sort((2, 2), by=0))], base=learned)
    with pytest.raises(sf.BoundError, match=r"Inverse\(Sort\) jumps"):
        moved.rsample(3)
    # A border that no parameter moves is none: the layer that learns comes after it.
    onto_cone = sf.Inverse(sf.LogGaps((2, 2), by=0))
    fixed = sf.Flow([sf.Coupling((2, 2)), onto_cone, sf.Inverse(sf.Sort((2, 2), by=0))], base=sf.Normal((2, 2)))
    assert fixed.rsample(3).requires_grad
    with pytest.raises(sf.BoundError, match="OverlappingMaxPool"):
        pool = sf.Inverse(sf.OverlappingMaxPool((1, 1, 3), kernel_size=(1, 2), stride=1))
        sf.Flow([pool], base=sf.Normal((1, 1, 3), learned=True)).rsample(2)
    encoder = sf.Mixture([sf.Normal(1, context_shape=2), sf.Normal(1, context_shape=2)])
    assert sf.Flow([sf.VAE(encoder, sf.Normal(2, context_shape=1))], base=sf.Normal(1)).rsample(3).requires_grad
    # V jumps, the draw does not.
    order = sf.PlackettLuce(3, learned=True)
    assert sf.Flow([sf.Inverse(sf.Sort(3, order=order))], base=sf.Normal(3, learned=True)).rsample(2).requires_grad


def test_gradient_of_draws_through_a_sort_of_a_vector() -> None:
    """The smallest of two normals of means m and 0 has the mean derivative P(x_1 < x_2)."""
    base = sf.Normal(2, learned=True).double()
    flow = sf.Flow([sf.Inverse(sf.Sort(2))], base=base).double()
    with torch.no_grad():
        base.raw[0, 0] = 0.5
    x = flow.rsample(200_000, seed=0)
    (grad,) = torch.autograd.grad(x[:, 0].mean(), [base.raw])
    exact = 0.5 * (1 + math.erf(-0.5 / math.sqrt(2) / math.sqrt(2)))
    assert grad[0, 0].item() == pytest.approx(exact, abs=0.005)


def test_a_bound_is_not_handed_out_with_draws() -> None:
    flow = sf.Flow([sf.VAE(sf.Normal(1, 1), sf.Normal(1, 1))], base=sf.Normal(1))
    with pytest.raises(sf.BoundError, match="importance_samples"):
        flow.sample_and_log_prob(5)
    with pytest.raises(sf.BoundError, match="bound"):
        sf.Joint([flow, sf.Normal(1)]).sample_and_log_prob(5)
    x, log_prob = sf.Flow([sf.Abs(1)], base=sf.HalfNormal(1)).sample_and_log_prob(5)
    assert x.shape == (5, 1) and log_prob.shape == (5,)


@pytest.mark.slow
def test_learned_discrete_encoders_train() -> None:
    """The posterior of a mixture's component is found by gradients of a bound that draws the component."""
    torch.manual_seed(0)
    which = torch.rand(4000, 1) < 0.3
    x = torch.where(which, -2.0, 2.0) + 0.5 * torch.randn(4000, 1)

    class Components(torch.nn.Module):
        """Means -2 and 2, deviation 1/2."""

        def forward(self, k: Tensor) -> Tensor:
            return torch.stack([2 - 4 * k, torch.full_like(k, math.log(0.5))], 1)

    decoder = sf.Normal(1, context_shape=1, net=Components())
    layer = sf.VAE(sf.Categorical(1, levels=2, context_shape=1), decoder)
    flow = sf.Flow([layer], base=sf.Categorical(1, levels=2, learned=True))
    sf.fit(flow, x, steps=400, lr=2e-2, progress=False)
    log_p = torch.logaddexp(
        torch.distributions.Normal(-2.0, 0.5).log_prob(x) + math.log(0.3),
        torch.distributions.Normal(2.0, 0.5).log_prob(x) + math.log(0.7),
    )
    gap = (log_p.mean() - flow.elbo(x).mean()).item()
    assert gap < 0.05


def test_draws_given_a_context_that_a_network_learns_are_held_where_what_follows_jumps() -> None:
    class About(sf.Distribution):
        """Normal about the last number of its context, without parameters of its own."""

        def __init__(self) -> None:
            super().__init__(1, context_shape=2)

        def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
            return torch.distributions.Normal(context[:, 1:], 1.0).log_prob(x)[:, 0]

        def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
            x = context[:, 1:] + torch.randn_like(context[:, 1:])
            return x, self._log_prob(x, context)

    signs = sf.Bernoulli(2, learned=True)
    net = sf.MLP(1, 1, hidden=(4,))
    flow = sf.Flow([sf.Augment(1, noise=About()), sf.Abs(2, signs=signs)], base=sf.HalfNormal(2), context_net=net)
    _spread(flow)
    assert flow.estimator().held == {0}
    u, width = _line()
    u, x, c = u.float(), torch.tensor([[0.7]]), torch.tensor([[0.4]])
    mean = net(c)
    log_q = torch.distributions.Normal(mean, 1.0).log_prob(u)[:, 0]
    rest = sf.Flow(list(flow.transforms)[1:], base=flow.base)
    exact = _flat(flow, (log_q.exp() * (rest.elbo(torch.cat([x.expand(len(u), 1), u], 1)) - log_q)).sum() * width)
    torch.manual_seed(0)
    parts = flow.elbo(x.expand(DRAWS, 1), c.expand(DRAWS, 1)).reshape(GROUPS, -1).mean(1)
    grads = torch.stack([_flat(flow, part, keep=True) for part in parts])
    error = grads.std(0) / math.sqrt(GROUPS)
    assert ((grads.mean(0) - exact).abs() < 4.5 * error + 1e-4).all()
