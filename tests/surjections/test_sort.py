"""Sort and LogGaps: total mass, the distribution of the draws, definitions by hand, ties, shapes."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

import surflow as sf


def perturb(module: torch.nn.Module) -> torch.nn.Module:
    """In double precision, with parameters away from zero."""
    module = module.double()
    with torch.no_grad():
        for p in module.parameters():
            p.add_(0.3 * torch.randn_like(p))
    return module


@pytest.mark.parametrize("order", ["uniform", "learned", "conditional"])
def test_mass_of_a_sorted_pair(order: str) -> None:
    """The density of (a, a + g) and (a + g, a) over a and log g integrates to one, and the draws follow it."""
    piece = {"learned": {"learned": True}, "conditional": {"context_shape": 2}}.get(order, {})
    layers = [sf.Sort(2, order=sf.PlackettLuce(2, **piece)), sf.LogGaps(2)]
    flow = perturb(sf.Flow(layers, base=sf.Normal(2)))
    assert flow.exact
    t = torch.linspace(-9, 9, 301, dtype=torch.float64)
    a, log_g = torch.cartesian_prod(t, t).unbind(1)
    low_first = torch.stack([a, a + log_g.exp()], 1)
    with torch.no_grad():
        masses = [(flow.log_prob(x) + log_g).exp() * (t[1] - t[0]) ** 2 for x in (low_first, low_first.flip(1))]
    p = masses[0].sum().item()
    assert p + masses[1].sum().item() == pytest.approx(1, abs=1e-6)
    draws = flow.sample(20_000, seed=1)
    frequency = (draws[:, 0] < draws[:, 1]).double().mean().item()
    assert abs(frequency - p) < 4 * math.sqrt(p * (1 - p) / 20_000)


def test_a_bare_normal_after_sort_is_refused() -> None:
    with pytest.raises(sf.SupportError, match="LogGaps"):
        sf.Flow([sf.Sort(2)], base=sf.Normal(2))
    points = sf.Flow([sf.Sort((2, 5), by=1), sf.LogGaps((2, 5), by=1)], base=sf.Normal((2, 5)))
    assert points.log_prob(points.sample(4, seed=0)).isfinite().all()


@pytest.mark.parametrize("n", [1, 2, 5, 50])
def test_a_uniform_order_contributes_minus_log_factorial(n: int) -> None:
    z, V = sf.Sort(n).double()(torch.randn(3, n).double())
    assert torch.allclose(V, torch.full((3,), -math.lgamma(n + 1), dtype=torch.float64), rtol=1e-12)
    assert (z.diff(dim=1) >= 0).all()


def test_the_event_is_the_place_of_the_jth_smallest() -> None:
    layer = perturb(sf.Sort(3, order=sf.PlackettLuce(3, learned=True)))
    _, V = layer(torch.tensor([[5.0, -1.0, 2.0]], dtype=torch.float64))
    assert torch.equal(V, layer.order.log_prob(torch.tensor([[1.0, 2.0, 0.0]], dtype=torch.float64)))
    values = torch.tensor([-1.0, 2.0, 5.0], dtype=torch.float64)
    every = torch.stack([values[list(p)] for p in itertools.permutations(range(3))])
    assert layer(every)[1].exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_places_with_high_scores_draw_small_values() -> None:
    layer = sf.Sort(3, order=sf.PlackettLuce(3, learned=True))
    with torch.no_grad():
        layer.order.raw.copy_(torch.tensor([[0.0, 30.0, -30.0]]))
    x, V = layer.inverse(torch.tensor([[1.0, 2.0, 3.0]]))
    assert torch.equal(x, torch.tensor([[2.0, 1.0, 3.0]])) and V.item() == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("by", [0, 1])
def test_points_move_as_columns(by: int) -> None:
    layer = perturb(sf.Sort((2, 6), by=by, order=sf.PlackettLuce(6, context_shape=(2, 6))))
    x = torch.randn(4, 2, 6).double()
    z, V = layer(x)
    assert layer.codomain == sf.Ordered(by) and layer.codomain.contains(z).all()
    for row, sorted_row in zip(x, z, strict=True):
        columns = sorted(row.T.tolist(), key=lambda point: point[by])
        assert sorted_row.T.tolist() == columns
    drawn, V = layer.inverse(z)
    again, V_again = layer(drawn)
    assert torch.equal(again, z) and torch.allclose(V, V_again, atol=1e-12)


def test_the_order_takes_the_context_of_the_flow() -> None:
    for shape, given in (((4,), (6,)), ((2, 4), (4, 4))):
        by = None if len(shape) == 1 else 0
        layer = perturb(sf.Sort(shape, by=by, order=sf.PlackettLuce(4, context_shape=given)))
        assert layer.context_shape == (2,)
        x, context = torch.randn(3, *shape).double(), torch.randn(3, 2).double()
        assert (layer(x, context)[1] != layer(x, context + 1)[1]).all()


def test_ties_neither_crash_nor_leave_the_finite_numbers() -> None:
    flow = sf.Flow([sf.Sort(4), sf.LogGaps(4)], base=sf.Normal(4))
    assert flow.log_prob(torch.tensor([[1.0, 1.0, 0.0, 1.0]])).isfinite().all()
    x = torch.zeros(2, 4, requires_grad=True)
    z, V = sf.LogGaps(4)(x)
    (z.sum() + V.sum()).backward()
    assert V.isfinite().all() and x.grad is not None and x.grad.isfinite().all()


def test_log_gaps_by_hand() -> None:
    e = math.e
    x = torch.tensor([[2.0, 2.0 + e, 2.0 + e + e**-2]], dtype=torch.float64)
    z, V = sf.LogGaps(3)(x)
    assert torch.allclose(z, torch.tensor([[2.0, 1.0, -2.0]], dtype=torch.float64), atol=1e-12)
    assert V.item() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize(("shape", "by"), [((5,), None), ((1,), None), ((3, 5), 1)])
def test_log_gaps_there_and_back(shape: tuple[int, ...], by: int | None) -> None:
    layer = sf.LogGaps(shape, by=by)
    z = torch.randn(20, *shape).double()
    before = z.clone()
    x, V = layer.inverse(z)
    again, V_again = layer(x)
    assert torch.equal(z, before) and layer.domain.contains(x).all()
    assert torch.allclose(again, z, rtol=1e-10, atol=1e-10) and torch.allclose(V, V_again, atol=1e-10)
    back, _ = layer.inverse(again)
    assert torch.allclose(back, x, rtol=1e-10, atol=0)
    rest = [row for row in range(shape[0]) if by is not None and row != by]
    assert torch.equal(x[:, rest], z[:, rest])


@pytest.mark.parametrize(
    "layer",
    [sf.Sort(3), sf.Sort((2, 4), by=0), sf.LogGaps(3), sf.LogGaps((2, 4), by=0)],
    ids=lambda layer: f"{type(layer).__name__}{layer.in_shape}",
)
@pytest.mark.compile
def test_compiles_in_both_directions(layer: sf.Transform) -> None:
    torch.compiler.reset()
    x: Tensor = torch.randn(3, *layer.in_shape).sort(-1).values
    z, V = torch.compile(layer, fullgraph=True, backend="aot_eager")(x)
    assert torch.allclose(V, layer(x)[1])
    back, V = torch.compile(layer.inverse, fullgraph=True, backend="aot_eager")(z)
    assert torch.allclose(layer(back)[1], V, atol=1e-5)


def test_errors_say_what_to_do() -> None:
    with pytest.raises(sf.ShapeError, match="by=0"):
        sf.Sort((2, 5))
    with pytest.raises(sf.ShapeError, match="by from 0"):
        sf.Sort(5, by=0)
    with pytest.raises(sf.ShapeError, match="by from 0"):
        sf.LogGaps((2, 5), by=2)
    with pytest.raises(sf.ShapeError, match=r"PlackettLuce\(5\)"):
        sf.Sort(5, order=sf.PlackettLuce(4))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_floats_that_differ_keep_their_gaps_and_ties_have_half_of_the_least(dtype: torch.dtype) -> None:
    x = torch.tensor([-20.0, -1.0, 1.0, 8.0, 27.0], dtype=dtype)
    above = torch.nextafter(x, torch.full_like(x, math.inf))
    z, _ = sf.LogGaps(2)(torch.stack([x, above], 1))
    torch.testing.assert_close(z[:, 1].exp(), above - x, rtol=1e-5, atol=0)
    ties, _ = sf.LogGaps(2)(torch.stack([x, x], 1))
    assert ((ties[:, 1] <= z[:, 1]) & (ties[:, 1] > z[:, 1] - 1.5)).all()


def test_equal_floats_leave_no_trace_of_the_order() -> None:
    x = torch.randn(50, 3, 6)
    x[:, 1] = x[:, 1].round()
    layer = sf.Sort((3, 6), by=1)
    for _ in range(3):
        assert torch.equal(layer(x[:, :, torch.randperm(6)])[0], layer(x)[0])
