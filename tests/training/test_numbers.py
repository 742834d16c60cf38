"""Training on numbers of any size: units, weights, double precision through a flow, validation that is not finite."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

import surflow as sf
from surflow import presets
from surflow.errors import DataError, NonFiniteError, ShapeError
from surflow.evaluation import log_probs

CENTRED = ["autoregressive", "spline", "nf", "max", "augment", "vae", "posterior", "abs-middle"]
ABOUT_ZERO = ["abs", "abs-joint", "abs-learned", "abs-spline"]


def _pairs(n: int = 400) -> Tensor:
    g = torch.Generator().manual_seed(0)
    mix = torch.tensor([[1.0, 0.4], [0.0, 0.8]], dtype=torch.float64)
    return torch.randn(n, 2, generator=g, dtype=torch.float64) @ mix


def _trained(name: str, x: Tensor) -> float:
    flow = presets.build(name, 2, seed=0, hidden=(8, 8))
    sf.fit(flow, x[:300], steps=5, batch_size=100, progress=False)
    torch.manual_seed(1)
    return -log_probs(flow, x[300:]).mean().item()


@pytest.mark.parametrize("name", [*CENTRED, *ABOUT_ZERO])
def test_units_shift_the_likelihood_of_presets_by_their_logarithm(name: str) -> None:
    x = _pairs()
    plain = _trained(name, x)
    for scale in (1e-30, 1e-20, 1e20, 1e30):
        assert _trained(name, x * scale) == pytest.approx(plain + 2 * math.log(scale), abs=1e-3)
    if name in CENTRED:
        assert _trained(name, x + 1e9) == pytest.approx(plain, abs=1e-3)


def _of_preset(name: str, scale: float, offset: float) -> float:
    """NLL of a preset for data of its own kind, trained a little, in other units."""
    x, noise = _pairs(), torch.randn(400, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    context = x.sum(1, keepdim=True).exp() + 0.1 * noise if name in ("product", "box") else None
    x = x.exp() if name == "product" else x.sigmoid() if name == "box" else x
    support = {"box": sf.Interval(offset, offset + scale), "product": sf.positive}.get(name, sf.real)
    flow = presets.build(name, 2, None if context is None else 1, support=support, seed=0, hidden=(8, 8))
    x = x * scale + offset
    sf.fit(flow, x[:300] if context is None else (x[:300], context[:300]), steps=5, batch_size=100, progress=False)
    return -log_probs(flow, x[300:], None if context is None else context[300:]).mean().item()


@pytest.mark.parametrize("name", ["sort", "polar", "product", "box"])
def test_units_shift_the_likelihood_of_presets_of_other_kinds(name: str) -> None:
    plain = _of_preset(name, 1.0, 0.0)
    for scale in (1e-30, 1e-20, 1e20, 1e30):
        assert _of_preset(name, scale, 0.0) == pytest.approx(plain + 2 * math.log(scale), abs=1e-3)
    if name == "box":
        assert _of_preset(name, 1.0, 1e9) == pytest.approx(plain, abs=1e-3)


@pytest.mark.parametrize("spread", [1e-3, 1.0, 1e3])
def test_digits_that_a_flow_would_lose_are_refused(spread: float) -> None:
    flow = sf.Flow([sf.Coupling(2, hidden=(4,))], base=sf.Normal(2))
    x = _pairs() * torch.tensor([1.0, spread], dtype=torch.float64) + torch.tensor([0.0, 1.7e9 * spread])
    with pytest.raises(DataError, match=r"columns \[1\] of x lose digits .* flow's torch.float32.*Standardize"):
        sf.fit(flow, x, steps=1, progress=False)
    with pytest.raises(DataError, match=r"columns \[0, 1\] of x lose digits"):
        sf.fit(presets.build("sort", 2, hidden=(4,)), _pairs() + 1e9, steps=1, progress=False)
    sf.fit(flow.double(), x - x.mean(0), steps=1, progress=False)
    sf.fit(presets.build("spline", 2, layers=1, hidden=(4,), bins=4), x, steps=1, progress=False)


def test_tables_of_other_libraries_are_refused_with_what_makes_tensors_of_them() -> None:
    pd, pl = pytest.importorskip("pandas"), pytest.importorskip("polars")
    flow = sf.Flow([sf.Coupling(2, 1, hidden=(4,))], base=sf.Normal(2))
    x, c = _pairs(5), torch.zeros(5, 1)
    for library in (pd, pl):
        table = library.DataFrame({"a": x[:, 0].numpy(), "b": x[:, 1].numpy()})
        with pytest.raises(DataError, match=r"got DataFrame: pass torch\.tensor\(x\.to_numpy\(\)\)"):
            flow.log_prob(table, c)
        with pytest.raises(ShapeError, match=r"got DataFrame: pass torch\.tensor\(x\.to_numpy\(\)\)"):
            flow.log_prob(x, table)
        assert torch.equal(flow.log_prob(torch.tensor(table.to_numpy()), c), flow.log_prob(x, c))


def test_doubles_enter_flows_of_single_precision_and_come_out() -> None:
    x = 1.7e9 + _pairs()
    flow = presets.build("spline", 2, layers=1, hidden=[8], bins=4, seed=0)
    sf.fit(flow, x, steps=2, progress=False)
    assert next(flow.parameters()).dtype == torch.float32
    draws, log_prob = flow.sample_and_log_prob(2000, seed=0)
    assert draws.dtype == torch.float64 and log_prob.dtype == flow.log_prob(x).dtype == torch.float32
    torch.testing.assert_close(flow.log_prob(draws), log_prob, rtol=0, atol=1e-3)
    assert draws.std(0).log().allclose(x.std(0).log(), atol=0.5)
    single = presets.build("spline", 2, layers=1, hidden=[8], bins=4, seed=0)
    single.initialize(_pairs().float())
    assert single.sample(2).dtype == torch.float32


def test_a_flow_without_standardisation_casts_at_its_door() -> None:
    flow = sf.Flow([sf.Coupling(2, 1, hidden=(8,))], base=sf.Normal(2))
    x, context = _pairs(10), torch.ones(10, 1, dtype=torch.float64)
    torch.testing.assert_close(flow.log_prob(x, context), flow.log_prob(x.float(), context.float()))


def test_saved_flows_keep_double_precision(tmp_path: object) -> None:
    x = 1.7e9 + _pairs()
    flow = presets.build("spline", 2, layers=1, hidden=[8], bins=4, seed=0)
    flow.initialize(x)
    flow.eval().save(f"{tmp_path}/flow.safetensors")
    again = sf.load(f"{tmp_path}/flow.safetensors")
    assert torch.equal(again.log_prob(x), flow.log_prob(x))
    draws = again.sample(5, seed=0)
    assert draws.dtype == torch.float64 and torch.equal(draws, flow.sample(5, seed=0))


def test_weights_count_rows_before_training() -> None:
    x, count = _pairs(60), torch.arange(60) % 3
    weighted, repeated = (presets.build("spline", 2, layers=1, hidden=[8], bins=4, seed=0) for _ in range(2))
    sf.fit(weighted, (x, None, count.float()), steps=1, lr=1e-9, progress=False)
    sf.fit(repeated, x.repeat_interleave(count, 0), steps=1, lr=1e-9, progress=False)
    for name in ("shift", "log_scale"):
        a, b = getattr(weighted.transforms[0], name), getattr(repeated.transforms[0], name)
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_second_fit_on_other_data_says_what_it_keeps() -> None:
    flow = presets.build("spline", 2, layers=1, hidden=[8], bins=4, seed=0)
    sf.fit(flow, _pairs(), steps=1, progress=False)
    sf.fit(flow, _pairs(), steps=1, seed=5, progress=False)  # warnings are errors
    with pytest.warns(UserWarning, match=r"keeps their shift and scale in Standardize \(position 0\)"):
        sf.fit(flow, _pairs() * 100, steps=1, progress=False)


@pytest.mark.parametrize("batch", [0, 1, 2])
def test_validation_batches_that_are_not_finite_are_named(batch: int) -> None:
    v = _pairs(30).float()
    v[10 * batch + 7, 1] = math.nan
    flow = presets.build("spline", 2, layers=1, hidden=[8], bins=4, seed=0)
    loader = DataLoader(TensorDataset(v), batch_size=10)
    with pytest.raises(DataError, match="row 7" if batch == 0 else f"batch {batch}: 1 of 10 rows .* at row 7"):
        sf.fit(flow, _pairs().float(), validation=loader, steps=2, progress=False)


def test_validation_rows_of_density_zero_are_named() -> None:
    class Bump(sf.Distribution):
        def __init__(self) -> None:
            super().__init__(1)
            self.weight = torch.nn.Parameter(torch.zeros(()))

        def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
            return torch.where(x[:, 0].abs() < 10, -math.log(20) + 0 * self.weight, -math.inf)

    v = torch.tensor([[1.0], [20.0], [2.0], [-30.0]])
    with pytest.raises(NonFiniteError, match=r"2 of 4 rows is not finite \(rows 1, 3"):
        sf.fit(Bump(), torch.rand(50, 1), validation=v, steps=2, progress=False)


def test_flows_fitted_to_doubles_draw_after_their_parameters_became_single() -> None:
    flow = sf.Flow([sf.Coupling(2, hidden=(8,)), sf.ActNorm(2), sf.Coupling(2, hidden=(8,))], base=sf.Normal(2))
    flow.double().initialize(_pairs() * 3 + 1)
    double, z = flow.sample(50, seed=0), flow.encode(_pairs())
    flow.float()
    assert double.dtype == torch.float64
    torch.testing.assert_close(flow.decode(z).double(), _pairs(), rtol=0, atol=1e-4)
    draws, log_prob = flow.sample_and_log_prob(50, seed=0)
    torch.testing.assert_close(flow.log_prob(draws), log_prob, rtol=0, atol=1e-4)


@pytest.mark.slow
def test_units_of_contexts_do_not_matter_to_presets_without_a_network_of_ones_own() -> None:
    theta, noise = _pairs(1500)[:, :1], torch.randn(1500, 1, generator=torch.Generator().manual_seed(1))
    nlls = []
    for scale, offset in ((1.0, 0.0), (1e-300, 0.0), (1e300, 0.0), (1.0, 1e9)):
        flow = presets.posterior(1, 1, hidden=(16,), layers=1, bins=4, seed=0)
        context = (theta + 0.1 * noise) * scale + offset
        sf.fit(flow, (theta[:1000].float(), context[:1000]), steps=150, lr=5e-3, progress=False)
        nlls.append(-flow.log_prob(theta[1000:].float(), context[1000:]).mean().item())
    # The normal posterior's, of variance 0.01 / 1.01; the prior's is 1.42.
    assert nlls[0] < 0.5 * math.log(2 * math.pi * math.e * 0.01 / 1.01) + 0.3
    assert nlls == pytest.approx([nlls[0]] * 4, abs=5e-3)


def test_columns_that_are_constant_in_the_rows_that_weigh_are_refused() -> None:
    x, weight = _pairs(20).float(), (torch.arange(20) < 10).float()
    x[:10, 0] = 0.1
    with pytest.raises(DataError, match=r"columns \[0\] hold one value in all 10 rows"):
        sf.fit(presets.nf(2, layers=1, hidden=(4,)), (x, None, weight), steps=1, progress=False)


def test_numbers_beyond_the_type_that_a_flow_takes_are_refused() -> None:
    flow = sf.Flow([sf.Coupling(2, hidden=(4,))], base=sf.Normal(2))
    with pytest.raises(DataError, match=r"values beyond the flow's torch.float32.*start it with Standardize"):
        sf.fit(flow, _pairs() * 1e300, steps=1, progress=False)
