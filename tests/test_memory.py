"""Bounded memory: chunks give what the whole gives, and no layer sees more rows at once than the bound allows."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

import surflow as sf
from registry import DISTRIBUTIONS, TRANSFORMS, Case, context_of, events

ROWS = 16


class Watch(sf.Transform):
    """Changes nothing, and keeps how many rows came at once."""

    def __init__(self, shape: int, context_shape: int | None = None) -> None:
        super().__init__(shape, context_shape=context_shape)
        self.seen: list[int] = []

    def _pass(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        self.seen.append(x.shape[0])
        return x, x.new_zeros(x.shape[0])

    _forward = _inverse = _pass


class Shift(sf.Transform):
    """z = x - c, so that every draw says whose context it was given."""

    def __init__(self) -> None:
        super().__init__(1, context_shape=1)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return x - context, x.new_zeros(x.shape[0])

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return z + context, z.new_zeros(z.shape[0])


@pytest.fixture
def few_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surflow._internal.chunks._ROWS_AT_ONCE", ROWS)


def _exact() -> sf.Flow:
    """Couplings away from the identity they start at."""
    flow = sf.Flow([Watch(2), sf.Coupling(2, hidden=(8,)), sf.Reverse(2), sf.Coupling(2, hidden=(8,))], sf.Normal(2))
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.3)
    return flow.double()


def _bound() -> sf.Flow:
    """z = (x, u) rotated: x is standard normal, and the encoder of u is not the posterior."""
    return sf.Flow([Watch(2), sf.Augment(2, noise=sf.Logistic(1)), sf.Orthogonal(3)], base=sf.Normal(3)).double()


# -- scoring -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3 * ROWS,), (3 * ROWS + 5,), (5, ROWS), (0,), ()], ids=str)
def test_the_density_of_many_rows_is_that_of_each(few_rows: None, shape: tuple[int, ...]) -> None:
    flow = _exact()
    x = torch.randn(*shape, 2).double()
    with torch.no_grad():
        chunked = flow.log_prob(x)
    assert max(flow.transforms[0].seen) <= ROWS
    torch.testing.assert_close(chunked, flow.log_prob(x).detach(), rtol=1e-12, atol=1e-12)


def test_wide_events_come_in_smaller_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("surflow._internal.chunks._ELEMENTS_AT_ONCE", 30)
    flow = sf.Flow([Watch(7)], base=sf.Normal(7))
    with torch.no_grad():
        flow.log_prob(torch.randn(20, 7))
    flow.sample(20)
    assert max(flow.transforms[0].seen) == 4


def test_each_row_is_scored_with_its_own_context(few_rows: None) -> None:
    flow = sf.Flow([Shift()], base=sf.Normal(1))
    context = torch.arange(50.0)[:, None]
    with torch.no_grad():
        assert torch.equal(flow.log_prob(context, context), sf.Normal(1).log_prob(torch.zeros(50, 1)))
        many = flow.log_prob(context.expand(3, 50, 1), context)
    assert torch.equal(many, sf.Normal(1).log_prob(torch.zeros(3, 50, 1)))


@pytest.mark.parametrize("grad", [False, True])
@pytest.mark.slow
def test_importance_samples_of_many_rows_rise_to_the_density(few_rows: None, grad: bool) -> None:
    """The gap of every row to its closed form closes, whether a chunk holds many rows or many draws of a few."""
    flow = _bound()
    for rows in (3, 40):
        x = torch.randn(rows, 2).double()
        with torch.set_grad_enabled(grad):
            bound = flow.log_prob(x, importance_samples=3000)
        torch.testing.assert_close(bound.detach(), sf.Normal(2).log_prob(x), rtol=0, atol=0.1)
    assert max(flow.transforms[0].seen) <= ROWS


# -- drawing -----------------------------------------------------------------------------------------


def test_many_draws_come_in_chunks_and_follow_the_seed(few_rows: None) -> None:
    flow = _exact()
    x = flow.sample((7, 9), seed=3)
    assert max(flow.transforms[0].seen) <= ROWS and x.shape == (7, 9, 2)
    assert torch.equal(x, flow.sample((7, 9), seed=3)) and not torch.equal(x, flow.sample((7, 9), seed=4))
    assert len(x.reshape(-1, 2).unique(dim=0)) == 63  # no chunk repeats another
    assert torch.equal(x, flow.rsample((7, 9), seed=3))
    both, log_prob = flow.sample_and_log_prob((7, 9), seed=3)
    assert torch.equal(x, both)
    torch.testing.assert_close(log_prob, flow.log_prob(x), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("case", TRANSFORMS, ids=lambda case: case.name)
def test_a_layer_generates_what_its_inverse_gives(case: Case) -> None:
    layer = case.make()
    z, context = events(layer.codomain, layer.out_shape, 9), context_of(layer, 9)
    torch.manual_seed(0)
    x, _ = layer.inverse(z, context)
    torch.manual_seed(0)
    assert torch.equal(layer.generate(z, context), x)


@pytest.mark.parametrize("case", DISTRIBUTIONS, ids=lambda case: case.name)
def test_samples_are_the_same_with_and_without_their_density(case: Case, few_rows: None) -> None:
    distribution = case.make()
    context = context_of(distribution, 10)
    assert torch.equal(distribution.sample(5, context, seed=1), distribution.sample_and_log_prob(5, context, seed=1)[0])


def test_draws_of_many_contexts(few_rows: None) -> None:
    flow = sf.Flow([Shift()], base=sf.Normal(1))
    context = 100 * torch.arange(25.0)[:, None]
    for shape in ((), (1,), (3,), (2, 4)):
        x = flow.sample(shape, context)
        assert x.shape == (*shape, 25, 1)
        assert ((x - context).abs() < 50).all()
    assert flow.sample(3, context[:0]).shape == (3, 0, 1) and flow.sample(0, context).shape == (0, 25, 1)


def test_gradients_reach_draws_of_all_chunks(few_rows: None) -> None:
    base = sf.Normal(1, learned=True)
    base.rsample(5 * ROWS).sum().backward()
    assert base.raw.grad[0].item() == pytest.approx(5 * ROWS)


# -- recomputation -----------------------------------------------------------------------------------


def _deep() -> sf.Flow:
    """Layers that draw in either direction, networks with dropout, one of everything that could be drawn anew."""
    net = torch.nn.Sequential(torch.nn.Linear(1, 16), torch.nn.Dropout(0.5), torch.nn.Linear(16, 4))
    layers: list[sf.Transform] = [sf.Augment(2, noise=sf.Normal(1, context_shape=2)), sf.LULinear(3), sf.Coupling(3)]
    layers += [sf.RandomPermutation(3), sf.Coupling(3, map=sf.SplineMap()), sf.Slice(3, keep=2)]
    layers += [sf.Coupling(2, net=torch.nn.Sequential(net, torch.nn.Flatten(), torch.nn.Linear(4, 2))), sf.Abs(2)]
    torch.manual_seed(0)
    flow = sf.Flow(layers, base=sf.HalfNormal(2, learned=True)).double()
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.2)
    return flow


def _gradients(flow: sf.Flow, loss) -> list[Tensor]:
    torch.manual_seed(1)
    flow.zero_grad()
    loss(flow).backward()
    return [torch.zeros_like(p) if p.grad is None else p.grad for p in flow.parameters()]


@pytest.mark.parametrize(
    "loss",
    [
        lambda flow: flow.elbo(torch.linspace(-1, 2, 60).reshape(30, 2).double()).mean(),
        lambda flow: flow.log_prob(torch.ones(5, 2).double(), importance_samples=4).mean(),
        lambda flow: flow.rsample(30).square().mean(),
        lambda flow: flow._draw_for(30, None)[1].mean(),
    ],
    ids=["elbo", "importance-weighted", "rsample", "joint density of draws"],
)
def test_recomputed_gradients_are_the_same(loss) -> None:
    """With dropout, an encoder, shuffles and signs: the second time draws the numbers of the first."""
    flow = _deep()
    kept = _gradients(flow, loss)
    flow.recompute = True
    recomputed = _gradients(flow, loss)
    assert any(g.abs().max() > 0 for g in kept)
    for a, b in zip(kept, recomputed, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    "build",
    [
        lambda: sf.Coupling(
            2, net=torch.nn.Sequential(torch.nn.Linear(1, 99), torch.nn.ReLU(), torch.nn.Linear(99, 2))
        ),
        lambda: sf.Coupling(2),
        lambda: sf.Coupling(2, map=sf.SplineMap()),
    ],
    ids=["a network of torch", "affine", "spline"],
)
def test_recomputation_keeps_only_the_inputs_of_layers(build) -> None:
    """The memory that a forward pass leaves taken is that of the events between layers, not of hidden layers."""
    flow = sf.Flow([layer for _ in range(8) for layer in (build(), sf.Reverse(2))], base=sf.Normal(2))
    flow.recompute = True
    x = torch.randn(1000, 2)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        loss = flow.elbo(x).mean()
    assert loss.requires_grad
    assert sum(event.self_cpu_memory_usage for event in profile.events()) < 4 * 16 * x.nbytes


def test_fit_learns_the_same_with_recomputation() -> None:
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    losses = []
    for recompute in (False, True):
        torch.manual_seed(0)
        flow = sf.Flow([sf.Augment(2, noise=1), sf.Coupling(3, hidden=(8,)), sf.Reverse(3)], base=sf.Normal(3))
        flow.recompute = recompute
        losses.append(sf.fit(flow, x, steps=20, batch_size=50, progress=False).losses())
    torch.testing.assert_close(*map(torch.tensor, losses))
    assert math.isfinite(losses[0][-1][1])
