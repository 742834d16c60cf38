"""What must hold for every distribution: mass one, draws that follow the density, -inf outside, shapes, gradients."""

from __future__ import annotations

import math

import pytest
import torch

import surflow as sf
from quadrature import edges, grid
from registry import CONTEXT, DISTRIBUTIONS, Case, context_of
from surflow.supports import Integers, Ordered, Permutations, Product, Real

every = pytest.mark.parametrize("case", DISTRIBUTIONS, ids=lambda case: case.name)


def _discrete(thing: sf.Distribution) -> bool:
    support = thing.support
    return isinstance(support, Integers | Permutations) or (isinstance(support, Ordered) and support.levels is not None)


@every
def test_mass_is_one_and_draws_follow_the_density(case: Case) -> None:
    """The share of draws in each box of a partition agrees with the integral of the density over it (chi-square)."""
    distribution = case.make()
    points = 400 if not _discrete(distribution) else 1
    x, log_weight = grid(distribution.support, distribution.event_shape, points)
    given = None if distribution.context_shape is None else torch.randn(1, *distribution.context_shape).double()
    with torch.no_grad():
        mass = (distribution.log_prob(x, None if given is None else given.expand(len(x), -1)) + log_weight).exp()
        assert mass.sum().item() == pytest.approx(1, abs=1e-3)
        draws = distribution.sample(40_000, given).reshape(-1, *distribution.event_shape)
    assert distribution.support.contains(draws).all()

    def cell(events: torch.Tensor) -> torch.Tensor:
        """Which of some 25 boxes of comparable mass an event lies in."""
        flat = events.flatten(1)
        if _discrete(distribution):
            base = int(x.max()) + 1
            return (flat.long() * base ** torch.arange(flat.shape[1])).sum(1)
        codes = [torch.bucketize(flat[:, i].contiguous(), borders[i]) for i in range(flat.shape[1])]
        return (torch.stack(codes, 1) * 5 ** torch.arange(flat.shape[1])).sum(1)

    if not _discrete(distribution):
        # Borders at ends of the quadrature's cells, near the quintiles of the draws.
        supports = distribution.support.coordinates(math.prod(distribution.event_shape))
        ends = [edges(support, points) for support in supports]
        quintiles = torch.quantile(draws[:5000].flatten(1), torch.tensor([0.2, 0.4, 0.6, 0.8]).double(), dim=0)
        borders = [e[torch.searchsorted(e, quintiles[:, i].contiguous())] for i, e in enumerate(ends)]
    cells = int(max(cell(x).max(), cell(draws).max())) + 1
    expected = torch.zeros(cells).double().index_add(0, cell(x), mass) * 40_000
    observed = torch.bincount(cell(draws), minlength=cells).double()
    used = expected > 5
    chi_square = ((observed - expected).square() / expected)[used].sum().item()
    freedom = int(used.sum())
    assert observed[~used].sum() <= 5 * (~used).sum() + 5
    assert chi_square < freedom + 4 * math.sqrt(2 * freedom)


@every
def test_draws_come_with_their_density(case: Case) -> None:
    distribution = case.make()
    x, log_prob = distribution.sample_and_log_prob((3,), context_of(distribution, 5), seed=3)
    batch = (3,) if distribution.context_shape is None else (3, 5)
    assert x.shape == (*batch, *distribution.event_shape) and log_prob.shape == batch
    assert x.dtype == log_prob.dtype == torch.float64
    torch.manual_seed(0)
    context = context_of(distribution, 5)
    x, log_prob = distribution.sample_and_log_prob((3,), context)
    assert torch.allclose(distribution.log_prob(x, context), log_prob, atol=1e-10)


@every
def test_a_seed_fixes_the_draws_and_leaves_the_global_generator_alone(case: Case) -> None:
    distribution = case.make()
    context = context_of(distribution, 2)
    state = torch.get_rng_state()
    first, second, other = (
        distribution.sample(9, context, seed=1),
        distribution.sample(9, context, seed=1),
        distribution.sample(9, context, seed=2),
    )
    assert torch.equal(first, second) and not torch.equal(first, other)
    assert torch.equal(state, torch.get_rng_state())


BOUNDED = [c for c in DISTRIBUTIONS if not isinstance(c.example.support, Real)]


@pytest.mark.parametrize("case", BOUNDED, ids=lambda case: case.name)
def test_density_is_zero_outside_the_support(case: Case) -> None:
    distribution = case.make()
    outside = torch.full((3, *distribution.event_shape), -7.5).double()
    assert (distribution.log_prob(outside, context_of(distribution, 3)) == -math.inf).all()


@every
def test_an_empty_batch(case: Case) -> None:
    distribution = case.make()
    x = torch.zeros(0, *distribution.event_shape).double()
    assert distribution.log_prob(x, context_of(distribution, 0)).shape == (0,)
    assert (
        distribution.sample(0, None if distribution.context_shape is None else context_of(distribution, 2)).numel() == 0
    )


@every
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_gradients_and_dtypes(case: Case, dtype: torch.dtype) -> None:
    distribution = case.make(dtype)
    context = context_of(distribution, 6, dtype)
    x, log_prob = (
        distribution.sample_and_log_prob((), context) if context is not None else distribution.sample_and_log_prob(6)
    )
    assert x.dtype == log_prob.dtype == dtype
    total = distribution.log_prob(x.detach(), context).sum()
    assert total.isfinite()
    if total.requires_grad:
        total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in distribution.parameters())
    if distribution.reparameterized and any(True for _ in distribution.parameters()):
        distribution.zero_grad()
        distribution.rsample((4,), context).sum().backward()
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in distribution.parameters())
    elif not distribution.reparameterized:
        with pytest.raises(sf.BoundError, match="discrete"):
            distribution.rsample((4,), context)


@every
@pytest.mark.compile
def test_compiles_without_graph_breaks(case: Case) -> None:
    distribution = case.make()
    context = context_of(distribution, 4)
    x = distribution._draw_for(4, context)[0].detach()
    torch.compiler.reset()
    compiled = torch.compile(distribution.log_prob, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x, context), distribution.log_prob(x, context))
    torch.compile(distribution._draw_for, fullgraph=True, backend="eager")(4, context)


def test_contexts_are_checked() -> None:
    distribution = sf.Normal(2, context_shape=CONTEXT)
    with pytest.raises(sf.ShapeError, match=r"context of shape \(batch, 3\), got none"):
        distribution.log_prob(torch.zeros(4, 2))
    with pytest.raises(sf.ShapeError, match=r"expects context of shape \(batch, 3\), got \(4, 5\)"):
        distribution.log_prob(torch.zeros(4, 2), torch.zeros(4, 5))
    with pytest.raises(sf.ShapeError, match="4 rows but 3 rows of context"):
        distribution.log_prob(torch.zeros(4, 2), torch.zeros(3, CONTEXT))


def test_fixed_families_in_closed_form() -> None:
    x = torch.linspace(0.1, 3, 20).double()[:, None]
    reference = {
        sf.Normal(1): torch.distributions.Normal(0.0, 1.0),
        sf.HalfNormal(1, initial=2.0): torch.distributions.HalfNormal(2.0),
        sf.Exponential(1, initial=0.5): torch.distributions.Exponential(2.0),
    }
    for ours, theirs in reference.items():
        assert torch.allclose(ours.double().log_prob(x), theirs.log_prob(x)[:, 0], atol=1e-7)
    assert torch.allclose(sf.Logistic(1).double().log_prob(x), -x[:, 0] - 2 * torch.log1p(torch.exp(-x[:, 0])))


def test_supports_of_independent_parts() -> None:
    both = sf.Joint([sf.HalfNormal(1), sf.HalfNormal(2), sf.Normal(1)])
    assert isinstance(both.support, Product) and both.event_shape == (4,)
    assert both.support == sf.product([sf.positive] * 3 + [sf.real])


class _Loaded(sf.Categorical):
    """A subclass with a distribution of its own: 0 nine times out of ten."""

    def _log_prob(self, x: torch.Tensor, context: torch.Tensor | None) -> torch.Tensor:
        return torch.tensor([0.9, 0.1]).log()[x.long()].sum(1)

    def _draw(self, n: int, context: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        x = (torch.rand(n, *self.event_shape) < 0.1).float()
        return x, self._log_prob(x, context)


def test_a_subclass_of_a_family_is_taken_at_its_word() -> None:
    index = _Loaded(1, levels=2)
    _, V = sf.Max(2, index=index, differences=sf.Exponential(1))(torch.tensor([[3.0, 1.0]]))
    assert abs(V.item() - (math.log(0.9) - 2)) < 1e-6
    assert abs(index.sample(10_000, seed=0).mean().item() - 0.1) < 0.02


def test_infinite_and_overflowing_differences_have_no_density() -> None:
    layer = sf.Max(3, differences=sf.Exponential(2))
    assert layer(torch.tensor([[0.0, -math.inf, 5.0]]))[1].item() == -math.inf
    flow = sf.Flow([sf.Max(3)], base=sf.Normal(1))
    x = torch.tensor([[0.0, -3e38, 3e38], [1.0, 2e38, -2e38]])
    assert (flow.log_prob(x) == -math.inf).all()
