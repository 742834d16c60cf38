"""What must hold for every transform: one V for both directions, Jacobians, mass, dtypes, gradients, compilation."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterator
from contextlib import nullcontext

import pytest
import torch

import surflow as sf
from quadrature import grid
from registry import DISTRIBUTIONS, TRANSFORMS, Case, base_for, context_of, events
from surflow._internal.kernels import automatic_gradients
from surflow.supports import Integers, Ordered, Positive

FLOATS = [torch.float64, torch.float32]
every = pytest.mark.parametrize("case", TRANSFORMS, ids=lambda case: case.name)
BIJECTIONS = [c for c in TRANSFORMS if c.example.kind == "bijection"]


def test_every_exported_class_is_in_the_registry() -> None:
    exported = {getattr(sf, name) for name in sf.__all__ if inspect.isclass(getattr(sf, name))}
    nouns = {sf.Transform, sf.Distribution}
    wanted = {c for c in exported if issubclass(c, sf.Transform | sf.Distribution)} - nouns
    covered = {type(module) for case in [*TRANSFORMS, *DISTRIBUTIONS] for module in case.example.modules()}
    maps = {type(m.map) for c in TRANSFORMS for m in c.example.modules() if hasattr(m, "map")}
    assert wanted <= covered
    assert {c for c in exported if issubclass(c, sf.UnivariateMap)} - {sf.UnivariateMap} <= maps


def _by_hand(case: Case) -> bool:
    """Whether some gradient of a layer is written by hand: of a perceptron, of a spline, of attention."""
    splines = sf.SplineMap | sf.CircularSplineMap | sf.PositiveSplineMap | sf.IntervalSplineMap
    return any(
        isinstance(module, torch.nn.Linear) or isinstance(getattr(module, "map", None), splines)
        for module in case.example.modules()
    )


@pytest.fixture
def gradients(request: pytest.FixtureRequest) -> Iterator[None]:
    with nullcontext() if request.param == "by hand" else automatic_gradients():
        yield


def both_ways(cases: list[Case]) -> pytest.MarkDecorator:
    """A property of these layers, with the gradients that are written by hand, and with automatic ones."""
    ways = [pytest.param(case, "by hand", id=case.name) for case in cases]
    ways += [pytest.param(case, "automatic", id=f"automatic-{case.name}") for case in cases if _by_hand(case)]
    return pytest.mark.parametrize(("case", "gradients"), ways, indirect=["gradients"])


def _functions(tensor: torch.Tensor) -> set[str]:
    """The functions written by hand through which a tensor was computed."""
    found, seen, todo = set(), set(), [tensor.grad_fn]
    while todo:
        node = todo.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        if isinstance(node, torch.autograd.function.BackwardCFunction):
            found.add(type(node).__name__)
        todo += [before for before, _ in node.next_functions]
    return found


@pytest.mark.parametrize("case", [c for c in TRANSFORMS if not _by_hand(c)], ids=lambda case: case.name)
def test_gradients_that_are_not_written_by_hand_are_automatic(case: Case) -> None:
    layer = case.make()
    x, context = events(layer.domain, layer.in_shape, 5), context_of(layer, 5)
    z, V = layer(x.requires_grad_(), context)
    back, V_back = layer.inverse(z.detach().requires_grad_(), context)
    assert not any(_functions(tensor) for tensor in (z, V, back, V_back))


def _tolerance(dtype: torch.dtype) -> dict[str, float]:
    return {"rtol": 1e-10, "atol": 1e-10} if dtype == torch.float64 else {"rtol": 1e-4, "atol": 1e-4}


@both_ways([c for c in TRANSFORMS if c.example.kind != "stochastic"])
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("size", [1e-6, 1.0, 1e3])
def test_round_trip_with_the_same_contribution(case: Case, gradients: None, dtype: torch.dtype, size: float) -> None:
    """From the side that determines the other: there and back gives the same event and the same V."""
    layer = case.make(dtype)
    if layer.random_inverse:
        start = events(layer.codomain, layer.out_shape, 7, min(size, case.latent_reach), dtype)
        there, back = layer.inverse, layer.forward
    else:
        start = events(layer.domain, layer.in_shape, 7, min(size, case.reach), dtype)
        there, back = layer.forward, layer.inverse
    context = context_of(layer, 7, dtype)
    other, V = there(start, context)
    again, V_again = back(other, context)
    scale = start.abs().amax().clamp(min=1)
    assert torch.allclose(again / scale, start / scale, **_tolerance(dtype))
    assert torch.allclose(V, V_again, **_tolerance(dtype))
    assert V.shape == (7,) and V.dtype == dtype and other.dtype == dtype and again.dtype == dtype


@both_ways([c for c in BIJECTIONS if not isinstance(c.example.domain, Integers)])
def test_contribution_of_a_bijection_is_the_log_determinant(case: Case, gradients: None) -> None:
    layer = case.make()
    x, context = events(layer.domain, layer.in_shape, 4), context_of(layer, 4)
    _, V = layer(x, context)
    for i in range(4):
        given = None if context is None else context[i : i + 1]

        def one(row: torch.Tensor, given: torch.Tensor | None = given) -> torch.Tensor:
            return layer(row.reshape(1, *layer.in_shape), given)[0].flatten()

        jacobian = torch.autograd.functional.jacobian(one, x[i].flatten())
        assert abs(torch.linalg.slogdet(jacobian)[1].item() - V[i].item()) < 1e-10


@pytest.mark.parametrize(
    "case", [c for c in TRANSFORMS if math.prod(c.example.in_shape) <= 2], ids=lambda case: case.name
)
def test_total_mass(case: Case) -> None:
    """exp(log p) integrates to one; for bounds the mean of exp(elbo) does, and exp(mean elbo) to at most one."""
    layer = case.make()
    flow = sf.Flow([layer], base=base_for(layer.codomain, layer.out_shape)).double()
    if isinstance(layer.domain, Ordered):
        points, draws = 1600, 1
    elif isinstance(layer.domain, Positive):
        points, draws = 1200, (1 if flow.exact else 4)  # the half-line's grid spans 34 decades of e, the line's 14
    else:
        points, draws = (600 if flow.exact else 300), (1 if flow.exact else 4)
    x, log_weight = grid(layer.domain, layer.in_shape, points)
    context = None if flow.context_shape is None else torch.randn(1, *flow.context_shape).double().expand(len(x), -1)
    with torch.no_grad():
        elbo = torch.stack([flow.elbo(x, context) for _ in range(draws)])
    if flow.exact:
        assert (elbo[0] + log_weight).logsumexp(0).exp().item() == pytest.approx(1, abs=1e-3)
        return
    if len(x) > 1000:
        # Points have independent noise, so the sum over the grid averages it; its standard error from the draws.
        masses = (elbo + log_weight).logsumexp(1).exp()
        error = masses.std().item() / math.sqrt(draws)
        assert abs(masses.mean().item() - 1) < max(1e-3, 5 * error)
    bound = (elbo.mean(0) + log_weight).logsumexp(0).exp().item()
    assert bound < 1 + 1e-3 + (0.05 if len(x) < 1000 else 0)


@both_ways(TRANSFORMS)
def test_rows_are_independent_of_their_batch(case: Case, gradients: None) -> None:
    layer = case.make()
    x, context = events(layer.domain, layer.in_shape, 5), context_of(layer, 5)
    if not layer.random_forward:
        z, V = layer(x, context)
        one_z, one_V = layer(x[2:3], None if context is None else context[2:3])
        assert torch.allclose(one_z, z[2:3], rtol=1e-12, atol=1e-12)
        assert torch.allclose(one_V, V[2:3], rtol=1e-12, atol=1e-12)
    empty = None if context is None else context[:0]
    z, V = layer(x[:0], empty)
    assert z.shape == (0, *layer.out_shape) and V.shape == (0,)
    back, V = layer.inverse(z, empty)
    assert back.shape == (0, *layer.in_shape) and V.shape == (0,)


@both_ways(TRANSFORMS)
def test_inputs_are_not_changed_and_supports_are_kept(case: Case, gradients: None) -> None:
    layer = case.make()
    x, context = events(layer.domain, layer.in_shape, 20), context_of(layer, 20)
    before = x.clone()
    z, _ = layer(x, context)
    assert torch.equal(x, before)
    assert z.shape == (20, *layer.out_shape) and layer.codomain.contains(z).all()
    before = z.clone()
    back, _ = layer.inverse(z, context)
    assert torch.equal(z, before)
    assert back.shape == x.shape and layer.domain.contains(back).all()


@both_ways(TRANSFORMS)
@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_gradients_are_finite(case: Case, gradients: None, dtype: torch.dtype) -> None:
    layer = case.make(dtype)
    for size in (1e-6, 1.0, 1e3):
        for forward in (True, False):
            there = layer.forward if forward else layer.inverse
            support, shape = (layer.domain, layer.in_shape) if forward else (layer.codomain, layer.out_shape)
            reach = case.reach if forward else case.latent_reach
            start = events(support, shape, 6, min(size, reach), dtype).requires_grad_()
            other, V = there(start, context_of(layer, 6, dtype))
            layer.zero_grad()
            total = V.sum() + other.sum()
            assert total.isfinite()
            if total.requires_grad:
                total.backward()
            for tensor in (start, *layer.parameters()):
                assert tensor.grad is None or tensor.grad.isfinite().all()


@every
@pytest.mark.compile
def test_compiles_without_graph_breaks(case: Case) -> None:
    layer = case.make()
    x, context = events(layer.domain, layer.in_shape, 4), context_of(layer, 4)
    torch.compiler.reset()
    compiled = torch.compile(layer, fullgraph=True, backend="eager")
    z, V = compiled(x, context)
    inverse = torch.compile(layer.inverse, fullgraph=True, backend="eager")
    inverse(z.detach(), context)
    if layer.exact:
        assert torch.equal(layer(x, context)[1], V)


@every
def test_shape_errors_say_what_was_expected(case: Case) -> None:
    layer = case.make()
    with pytest.raises(sf.ShapeError, match=r"expects x of shape \(batch"):
        layer(torch.zeros(2, *layer.in_shape, 3).double())
    if layer.context_shape is not None:
        with pytest.raises(sf.ShapeError, match="conditional"):
            layer(events(layer.domain, layer.in_shape, 2))


def test_standardisation_without_centring_leaves_zero_where_it_is() -> None:
    x = torch.randn(1000, 2) * torch.tensor([2.0, 0.5]) + 1
    layer = sf.Standardize(2, center=False)
    layer.initialize(x)
    z, V = layer(x)
    torch.testing.assert_close(z.square().mean(0), torch.ones(2))
    assert (layer(torch.zeros(1, 2))[0] == 0).all()
    assert V[0].item() == pytest.approx(-0.5 * x.square().mean(0).log().sum().item(), abs=1e-5)


def test_a_positive_spline_maps_zero_to_zero_and_the_rest_above() -> None:
    spline = sf.PositiveSplineMap(bins=6, bound=3.0)
    raw = 3 * torch.randn(1000, spline.n_parameters, 1)
    x = torch.cat([torch.zeros(500, 1), torch.rand(500, 1) * 4])
    z, log_slope = spline.forward(x, raw)
    assert (z[:500] == 0).all() and (z[500:] > 0).all() and log_slope.isfinite().all()
