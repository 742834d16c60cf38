"""Gradients written by hand and compiled kernels: the same numbers as the formulas, and no less accurate."""

from __future__ import annotations

import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

import surflow as sf
from registry import TRANSFORMS, Case, context_of, events
from surflow._internal.kernels import automatic_gradients
from surflow.bijections.rational_quadratic import Grid, _formula, rational_quadratic
from surflow.nets.mlp import perceptron

WITH_NETS = [c for c in TRANSFORMS if any(isinstance(m, torch.nn.Linear) for m in c.example.modules())]
GRIDS = {
    "line": Grid(5, -3.0, 3.0, fixed=(1, 1), tails=True),
    "one bin": Grid(1, -3.0, 3.0, fixed=(1, 1), tails=True),
    "positive": Grid(4, 0.0, 3.0, fixed=(0, 1), tails=True),
    "interval": Grid(5, -3.0, 3.0),
    "circle": Grid(5, -3.0, 3.0, periodic=True),
}
every_grid = pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
both_ways = pytest.mark.parametrize("inverse", [False, True], ids=["forward", "inverse"])
# Few coordinates and many, which lie differently in memory; and numbers that one row shares.
LAYOUTS = {"few": ((6, 3), 6), "many": ((3, 70), 3), "image": ((2, 3, 6, 6), 2), "shared": ((6, 3), 1)}


def _drawn(grid: Grid, shape: tuple[int, ...], rows: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    beyond = 0.5 * grid.high if grid.tails else 0.0
    low, high = grid.low - beyond * (grid.low < 0), grid.high + beyond
    x = low + (high - low) * torch.rand(shape, dtype=dtype)
    raw = torch.randn(rows, grid.n_parameters, *shape[1:], dtype=dtype)
    return x.requires_grad_(), raw.requires_grad_()


@every_grid
@both_ways
@pytest.mark.parametrize(("shape", "rows"), LAYOUTS.values(), ids=LAYOUTS)
def test_gradients_of_splines_by_hand_are_the_automatic_ones(
    grid: Grid, inverse: bool, shape: tuple[int, ...], rows: int
) -> None:
    x, raw = _drawn(grid, shape, rows)
    cotangents = torch.randn(2, *shape, dtype=torch.float64).unbind()
    by_hand = rational_quadratic(x, raw, grid, inverse=inverse)
    with automatic_gradients():
        formula = rational_quadratic(x, raw, grid, inverse=inverse)
    assert all(torch.equal(a, b) for a, b in zip(by_hand, formula, strict=True))
    assert "_RationalQuadratic" in str(by_hand[0].grad_fn.next_functions) + str(by_hand[0].grad_fn)
    expected = torch.autograd.grad(formula, (x, raw), cotangents)
    for g, e in zip(torch.autograd.grad(by_hand, (x, raw), cotangents), expected, strict=True):
        assert torch.allclose(g, e, rtol=1e-9, atol=1e-11)


@every_grid
@both_ways
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_half_precision_loses_the_digits_of_the_result_alone(grid: Grid, inverse: bool, dtype: torch.dtype) -> None:
    x, raw = (t.detach().to(dtype).requires_grad_() for t in _drawn(grid, (200, 2), 200))
    found = rational_quadratic(x, raw, grid, inverse=inverse)
    exact = rational_quadratic(x.double(), raw.double(), grid, inverse=inverse)
    for f, e in zip(found, exact, strict=True):
        assert f.dtype == dtype
        # What single precision loses in inverses of steep bins is allowed as well.
        assert torch.allclose(f.double(), e, rtol=torch.finfo(dtype).eps, atol=1e-4)
    assert all(g.isfinite().all() for g in torch.autograd.grad(sum(f.sum() for f in found), (x, raw)))


def _rounding(dtype: torch.dtype, size: float, *log_slopes: Tensor) -> Tensor:
    """The error of x that rounding explains where numbers have a size: that of x itself, and what that of z becomes."""
    slope = torch.stack([t.double() for t in log_slopes]).amin(0).exp()
    return torch.finfo(dtype).eps * size * (1 + 1 / slope)


def _steep(grid: Grid, dtype: torch.dtype, rows: int = 20_000) -> tuple[Tensor, Tensor]:
    torch.manual_seed(0)
    x = grid.low + (grid.high - grid.low) * torch.rand(rows, 1, dtype=dtype)
    return x, 10 * torch.randn(rows, grid.n_parameters, 1, dtype=dtype)


both_types = pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)


@every_grid
@both_types
@pytest.mark.parametrize("way", ["formula", "by hand", pytest.param("compiled", marks=pytest.mark.compile)])
def test_inverses_of_steep_splines_lose_the_digits_of_rounding_alone(
    request: pytest.FixtureRequest, grid: Grid, dtype: torch.dtype, way: str
) -> None:
    if way == "compiled":
        request.getfixturevalue("kernels")
        if grid != GRIDS["line"] or dtype == torch.float64:
            pytest.skip("one kernel shows it")
    x, raw = _steep(grid, dtype)
    with torch.set_grad_enabled(way == "by hand"), sf.compiled(wanted=way == "compiled"):
        z, log_slope = (t.detach() for t in rational_quadratic(x, raw.requires_grad_(), grid, inverse=False))
        again, log_slope_again = (t.detach() for t in rational_quadratic(z, raw, grid, inverse=True))
    explained = _rounding(dtype, max(-grid.low, grid.high), log_slope, log_slope_again)
    assert ((again - x).abs() <= 10 * explained).all()
    if dtype == torch.float32:  # against float64; a softmax of raw numbers of size 30 rounds as much itself
        exact, exact_slope = rational_quadratic(z.double(), raw.detach().double(), grid, inverse=True)
        explained = _rounding(dtype, max(-grid.low, grid.high), log_slope_again, exact_slope)
        assert ((again - exact).abs() <= 30 * explained).all()


MAPS = {
    "line": (sf.SplineMap(), -7.0, 7.0),
    "positive": (sf.PositiveSplineMap(), 0.0, 7.0),
    "interval": (sf.IntervalSplineMap(8, low=-1.0, high=3.0), -1.0, 3.0),
    "circle": (sf.CircularSplineMap(), -math.pi, math.pi),
    "truncated": (sf.TruncatedMap(-1.0, 3.0), -1.0, 3.0),
}


@both_types
@pytest.mark.parametrize("name", MAPS)
@pytest.mark.parametrize("steepness", [1.0, 10.0])
def test_inverses_of_maps_lose_the_digits_of_rounding_alone(name: str, steepness: float, dtype: torch.dtype) -> None:
    univariate, low, high = MAPS[name]
    x = low + (high - low) * torch.rand(20_000, 1, dtype=dtype)
    raw = steepness * torch.randn(20_000, univariate.n_parameters, 1, dtype=dtype)
    z, log_slope = univariate.forward(x, raw)
    again, log_slope_again = univariate.inverse(z, raw)
    error = (again - x).abs()
    if name == "circle":
        error = torch.minimum(error, 2 * math.pi - error)
    assert (error <= 10 * _rounding(dtype, max(-low, high), log_slope, log_slope_again)).all()


@every_grid
def test_double_precision_against_thirty_digits(grid: Grid) -> None:
    """The definition, in arithmetic of thirty digits: z of x, and of the x that the inverse finds."""
    mp = pytest.importorskip("mpmath").mp.clone()
    mp.dps = 30
    x, raw = _steep(grid, torch.float64, 40)
    z, log_slope = rational_quadratic(x, raw, grid, inverse=False)
    again, _ = rational_quadratic(z, raw, grid, inverse=True)

    def spline(x: float, raw: list[float]) -> tuple[object, object]:
        """z and dz/dx."""
        bins, first = grid.bins, grid.fixed[0]
        whole, least = mp.mpf(grid.high) - grid.low, mp.mpf(1e-3)

        def knots(raw: list[float]) -> list[object]:
            weights = [mp.exp(r) for r in raw]
            shares = [least + (1 - least * bins) * w / mp.fsum(weights) for w in weights]
            return [grid.low + whole * mp.fsum(shares[:k]) for k in range(bins + 1)]

        xs, zs = knots(raw[:bins]), knots(raw[bins : 2 * bins])
        d = [least + mp.log1p(mp.exp(r + mp.log(mp.expm1(1 - least)))) for r in raw[2 * bins :]]
        d = [mp.mpf(1)] * first + d + [mp.mpf(1)] * grid.fixed[1] + (d[:1] if grid.periodic else [])
        k = next(k for k in range(bins) if x <= xs[k + 1] or k == bins - 1)
        w, h = xs[k + 1] - xs[k], zs[k + 1] - zs[k]
        s, t = h / w, (mp.mpf(x) - xs[k]) / w
        q = s + (d[k] + d[k + 1] - 2 * s) * t * (1 - t)
        slope = (s / q) ** 2 * (d[k + 1] * t**2 + 2 * s * t * (1 - t) + d[k] * (1 - t) ** 2)
        return zs[k] + h / q * (s * t**2 + d[k] * t * (1 - t)), slope

    size = max(-grid.low, grid.high)
    unit = torch.finfo(torch.float64).eps * size
    for i in range(len(x)):
        numbers = raw[i, :, 0].tolist()
        exact, slope = spline(x[i].item(), numbers)
        assert abs(z[i].item() - exact) <= 10 * unit * (1 + slope)
        assert abs(log_slope[i].item() - mp.log(slope)) < 1e-6
        found, slope_there = spline(again[i].item(), numbers)
        assert abs(z[i].item() - found) <= 10 * unit * (1 + max(slope, slope_there))


@every_grid
@both_ways
@pytest.mark.slow
def test_splines_can_be_differentiated_twice(grid: Grid, inverse: bool) -> None:
    x, raw = _drawn(grid, (3, 2), 3)

    def spline(x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic(x, raw, grid, inverse=inverse)

    assert torch.autograd.gradcheck(spline, (x, raw))
    assert torch.autograd.gradgradcheck(spline, (x, raw))


@pytest.mark.parametrize(
    "build",
    [
        lambda: sf.Autoregressive(2, map=sf.SplineMap(4), hidden=(8,)),
        lambda: sf.Autoregressive(2, map=sf.PositiveSplineMap(4), hidden=(8,)),
        lambda: sf.MaskedCoupling(2, map=sf.SplineMap(4), hidden=(8,), mask=[True, False]),
        lambda: sf.Coupling(2, map=sf.SplineMap(4), hidden=(8,)),
        lambda: sf.Flow([sf.Autoregressive(2, map=sf.SplineMap(4)), sf.Autoregressive(2)], base=sf.Normal(2)),
    ],
)
def test_gradients_of_which_gradients_are_taken_are_the_same(build: Callable[[], torch.nn.Module]) -> None:
    """Where raw numbers are made from x, and one layer's input from another's weights, each path counts once."""
    torch.manual_seed(0)
    layer = build().double()
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.4)
    x = torch.rand(4, 2, dtype=torch.float64, requires_grad=True)
    out = layer.log_prob(x) if isinstance(layer, sf.Flow) else torch.cat([layer(x)[0].flatten(), layer(x)[1]])
    wanted = [x, *layer.parameters()]
    once = torch.autograd.grad(out.square().sum(), wanted, retain_graph=True)
    twice = torch.autograd.grad(out.square().sum(), wanted, create_graph=True)
    assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(once, twice, strict=True))
    mixed = torch.autograd.grad(twice[0].sin().sum(), wanted)
    with automatic_gradients():
        out = layer.log_prob(x) if isinstance(layer, sf.Flow) else torch.cat([layer(x)[0].flatten(), layer(x)[1]])
        plain = torch.autograd.grad(out.square().sum(), x, create_graph=True)[0]
        expected = torch.autograd.grad(plain.sin().sum(), wanted)
    assert all(torch.allclose(a, b, rtol=1e-8, atol=1e-11) for a, b in zip(mixed, expected, strict=True))


def test_a_network_applied_to_its_own_output_has_the_same_gradients_twice() -> None:
    torch.manual_seed(0)
    net = sf.MLP(2, 2, hidden=(8,)).double()
    out = net(net(torch.randn(5, 2, dtype=torch.float64))).square().sum()
    once = torch.autograd.grad(out, list(net.parameters()), retain_graph=True)
    twice = torch.autograd.grad(out, list(net.parameters()), create_graph=True)
    assert all(torch.allclose(a, b) for a, b in zip(once, twice, strict=True))


@pytest.mark.parametrize("shape", [3, 140], ids=["few", "many"])
def test_results_may_be_changed_in_place(shape: int) -> None:
    x = torch.randn(4, shape)
    net = sf.MLP(shape, shape, batch_last=True)
    for module in (sf.Autoregressive(shape, map=sf.SplineMap()), sf.Elementwise(shape, map=sf.SplineMap()), net):
        out = module(x)
        z = out[0] if isinstance(out, tuple) else out
        expected = z.detach() + 1
        z += 1
        z.square().sum().backward()
        assert torch.equal(z.detach(), expected)


@pytest.mark.parametrize("shape", [3, 140], ids=["few", "many"])
def test_an_empty_batch_has_gradients(shape: int) -> None:
    for layer in (sf.Coupling(shape, map=sf.SplineMap()), sf.Autoregressive(shape, map=sf.SplineMap())):
        z, V = layer(torch.zeros(0, shape, requires_grad=True))
        (z.sum() + V.sum()).backward()
        assert all((p.grad == 0).all() for p in layer.parameters())


def test_what_a_user_puts_into_a_network_is_run() -> None:
    net = sf.MLP(3, 2, hidden=(8,))
    x = torch.randn(5, 3)
    net.layers[1] = torch.nn.Tanh()
    assert torch.equal(net(x), net.layers(x))
    calls = []
    net = sf.MLP(3, 2, hidden=(8,))
    net.layers[0].register_forward_hook(lambda *_: calls.append(1))
    assert torch.allclose(net(x), net.layers(x)) and len(calls) == 2
    net.layers[2] = torch.nn.Linear(8, 2, bias=False)
    net(x).sum().backward()
    masked = sf.MaskedMLP(range(3), 2)
    masked.layers[1] = torch.nn.Tanh()
    with pytest.raises(sf.ConfigError, match="as they were built"):
        masked(x)


@pytest.mark.parametrize("batch_last", [False, True])
@pytest.mark.parametrize("widths", [(3, 4), (3, 5, 4), (3, 5, 6, 4)], ids=str)
def test_gradients_of_perceptrons(batch_last: bool, widths: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    x = torch.randn(7, 3, dtype=torch.float64, requires_grad=True)
    pairs = list(pairwise(widths))
    weights = [torch.randn(b, a, dtype=torch.float64, requires_grad=True) for a, b in pairs]
    biases = [torch.randn(b, dtype=torch.float64, requires_grad=True) for _, b in pairs]

    def net(x: Tensor, *tensors: Tensor) -> Tensor:
        return perceptron(x, tensors[: len(pairs)], tensors[len(pairs) :], batch_last=batch_last)

    h = x
    for i, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        h = h @ weight.T + bias
        h = h.relu() if i < len(pairs) - 1 else h
    assert torch.allclose(net(x, *weights, *biases), h)
    assert torch.autograd.gradcheck(net, (x, *weights, *biases))
    assert torch.autograd.gradgradcheck(net, (x, *weights, *biases))


@pytest.mark.parametrize("case", WITH_NETS, ids=lambda case: case.name)
def test_layers_have_the_same_gradients_by_hand_and_automatically(case: Case) -> None:
    layer = case.make()
    x, context = events(layer.domain, layer.in_shape, 5), context_of(layer, 5)

    def gradients() -> list[Tensor]:
        torch.manual_seed(0)
        z, V = layer(x, context)
        loss = V.sum() + (z * torch.randn_like(z)).sum()
        back, V = layer.inverse(z.detach(), context)
        loss = loss + V.sum() + back.square().sum()
        return [g for g in torch.autograd.grad(loss, list(layer.parameters()), allow_unused=True) if g is not None]

    by_hand = gradients()
    with automatic_gradients():
        automatic = gradients()
    assert by_hand
    for g, e in zip(by_hand, automatic, strict=True):
        assert torch.allclose(g, e, rtol=1e-8, atol=1e-10)


@pytest.mark.filterwarnings("ignore:.*torch.jit.script.*:DeprecationWarning")  # forward mode's own affair
def test_function_transforms_and_mixed_precision_see_the_formula() -> None:
    torch.manual_seed(0)
    layer = sf.Coupling(2, map=sf.SplineMap(bins=4), hidden=(8,)).double()
    for p in layer.parameters():
        torch.nn.init.normal_(p, std=0.3)
    x = torch.randn(5, 2, dtype=torch.float64)

    def row(x: Tensor) -> Tensor:
        return layer(x.unsqueeze(0))[0].squeeze(0)

    jacobians = torch.func.vmap(torch.func.jacrev(row))(x)
    assert torch.allclose(torch.linalg.slogdet(jacobians)[1], layer(x)[1])
    assert torch.allclose(torch.func.vmap(torch.func.jacfwd(row))(x), jacobians)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        z, V = layer.float()(x.float())
    (z.float().sum() + V.float().sum()).backward()
    assert torch.allclose(z.double(), layer.double()(x)[0], atol=0.05)


@pytest.fixture
def kernels() -> None:
    """Skips where there is no C++ compiler; one that does not work is a failure, as warnings are errors."""
    if shutil.which(os.environ.get("CXX", "g++")) is None:
        pytest.skip("no C++ compiler")


@both_ways
@pytest.mark.compile
def test_compiled_splines_have_the_same_numbers(kernels: None, inverse: bool) -> None:
    grid = GRIDS["line"]
    for shape in ((64, 3), (32, 3), (2, 70)):  # one kernel serves all
        x, raw = _drawn(grid, shape, shape[0])
        cotangents = torch.randn(2, *shape, dtype=torch.float64).unbind()
        expected = rational_quadratic(x, raw, grid, inverse=inverse)
        expected += torch.autograd.grad(expected, (x, raw), cotangents)
        with sf.compiled():
            found = rational_quadratic(x, raw, grid, inverse=inverse)
            found += torch.autograd.grad(found, (x, raw), cotangents)
        for f, e in zip(found, expected, strict=True):
            assert torch.allclose(f, e, rtol=1e-9, atol=1e-10)


def _extremes(grid: Grid) -> tuple[Tensor, Tensor]:
    """Raw numbers of size 50, points at the edges of bins, and 1e4 beyond the ends."""
    torch.manual_seed(0)
    rows = 4000
    raw = torch.randn(rows, grid.n_parameters, 1, dtype=torch.float64) * torch.tensor([1.0, 10.0, 50.0]).repeat(
        math.ceil(rows / 3)
    )[:rows].reshape(-1, 1, 1)
    raw = raw.float().double()
    shares = raw[:, : grid.bins, 0].softmax(1) * (1 - 1e-3 * grid.bins) + 1e-3
    edges = grid.low + (grid.high - grid.low) * shares.cumsum(1)
    x = grid.low + (grid.high - grid.low) * torch.rand(rows, 1, dtype=torch.float64)
    x[::4] = edges[::4, 2:3]
    x[1::40] = torch.tensor([-1e4, 1e4], dtype=torch.float64).repeat(50).unsqueeze(1)
    return x.float().double(), raw


@both_ways
@pytest.mark.compile
def test_fast_splines_are_no_less_accurate_than_the_formula_on_extreme_inputs(kernels: None, inverse: bool) -> None:
    """Against float64: errors of the compiled float32 kernel and its gradients, beside those of the formula."""
    grid = GRIDS["line"]
    x, raw = _extremes(grid)

    def run(dtype: torch.dtype) -> list[Tensor]:
        points, numbers = x.to(dtype).requires_grad_(), raw.to(dtype).requires_grad_()
        out = rational_quadratic(points, numbers, grid, inverse=inverse)
        return [t.detach().double() for t in (*out, *torch.autograd.grad(sum(o.sum() for o in out), (points, numbers)))]

    exact = run(torch.float64)
    with automatic_gradients():
        plain = run(torch.float32)
    by_hand = run(torch.float32)
    with sf.compiled():
        kernel = run(torch.float32)
    for name, e, p, *fast in zip(("value", "log-slope", "x", "raw"), exact, plain, by_hand, kernel, strict=True):

        def error(found: Tensor, level: float, e: Tensor = e) -> Tensor:
            return ((found - e).abs() / (e.abs() + 1e-3)).flatten().quantile(level)

        assert all(f.isfinite().all() for f in fast), name
        # By quantiles: at the edge of a bin one rounding decides which bin's slope changes count.
        for level in (0.5, 0.9, 0.99):
            for f in fast:
                assert error(f, level) <= 2 * error(p, level) + 1e-8, (name, level)


@pytest.mark.compile
def test_without_a_compiler_everything_works_and_a_warning_says_so() -> None:
    program = """
import warnings, torch, surflow as sf
flow = sf.Flow([sf.Coupling(2, map=sf.SplineMap(bins=3), hidden=(4,))], base=sf.Normal(2))
x = torch.randn(10, 2)
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    with sf.compiled(), torch.no_grad():
        first, second = flow.log_prob(x), flow.log_prob(x)
said = [str(w.message) for w in caught if "could not compile" in str(w.message)]
assert len(said) == 1, [str(w.message) for w in caught]
assert torch.equal(first, flow.log_prob(x)) and torch.equal(first, second)
"""
    environment = {"CXX": "/nonexistent/c++", "PATH": "/nonexistent", "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.compile
def test_formula_is_what_a_compiler_sees() -> None:
    x, raw = _drawn(GRIDS["line"], (4, 2), 4)
    whole = torch.compile(rational_quadratic, fullgraph=True, backend="eager")
    assert torch.allclose(
        whole(x, raw, GRIDS["line"], inverse=False)[0], _formula(x, raw, GRIDS["line"], inverse=False)[0]
    )
