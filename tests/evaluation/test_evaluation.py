"""Figures of merit against closed forms: baselines, gaps, bits per dimension, two-sample tests, recorded results."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

import surflow as sf
from surflow import data
from surflow.errors import DataError, FileError, ShapeError
from surflow.evaluation import (
    Row,
    account,
    classifier_test,
    draws,
    energy_distance,
    energy_test,
    evaluate,
    fit_gaussian,
    gaussian_scores,
    latents,
    log_probs,
    mean_and_error,
    read_results,
    write_results,
)


def part(x, context=None):
    return SimpleNamespace(x=x, context=context)


def splits_of(train, validation, test, **others):
    shape = tuple(train.x.shape[1:])
    fields = {
        "name": "case",
        "columns": [],
        "support": sf.real,
        "truth": None,
        "context": None,
        "event_shape": shape,
        "description": "made for a test",
    }
    known = {"simulator": None, "schema": None}
    return SimpleNamespace(train=train, validation=validation, test=test, **(known | fields | others))


def by_metric(rows):
    return {row["metric"]: row for row in rows}


def exact_flow(size=2):
    torch.manual_seed(0)
    return sf.Flow([sf.Coupling(size, hidden=(8,)), sf.Reverse(size)], base=sf.Normal(size))


def bound_flow():
    torch.manual_seed(0)
    return sf.Flow([sf.Augment(2, noise=1), sf.Coupling(3, hidden=(8,))], base=sf.Normal(3))


# -- the Gaussian baseline --------------------------------------------------------------------------------


def test_gaussian_baseline_is_scipys_multivariate_normal():
    rng = np.random.default_rng(0)
    mix = rng.normal(size=(3, 3))
    x = rng.normal(size=(400, 3)) @ mix + 1000.0  # a large offset must cost no digits
    train, held_out = x[:300], x[300:]
    distribution = stats.multivariate_normal(train.mean(0), np.cov(train.T, bias=True))
    splits = splits_of(*(part(torch.tensor(rows)) for rows in (train, held_out, held_out)))
    got = gaussian_scores(splits, torch.tensor(held_out), None, conditional=False)
    assert np.allclose(got.numpy(), distribution.logpdf(held_out), atol=1e-4)


def test_gaussian_with_a_linear_mean_is_least_squares():
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(500, 2, generator=generator)
    noise = torch.randn(500, 1, generator=generator)
    x = c @ torch.tensor([[2.0], [-1.0]]) + 3 + 0.1 * noise
    fit = fit_gaussian(x, c)
    design = np.column_stack([np.ones(500), c.numpy()])
    expected, residual, *_ = np.linalg.lstsq(design, x.numpy().astype(np.float64), rcond=None)
    assert np.allclose(fit.coefficients.numpy(), expected, atol=1e-5)
    assert math.isclose(fit.cholesky.item() ** 2, residual[0] / 500, rel_tol=1e-3)


def test_conditional_baseline_takes_the_stronger_candidate():
    generator = torch.Generator().manual_seed(0)

    def draw(n):
        # Two classes that differ in scale only, which no linear mean can see.
        label = torch.randint(2, (n, 1), generator=generator).float()
        return part(torch.randn(n, 1, generator=generator) * (1 + 9 * label), label)

    splits = splits_of(draw(2000), draw(1000), draw(4000))
    got = -gaussian_scores(splits, splits.test.x, splits.test.context, conditional=True).mean().item()
    entropy = 0.5 * math.log(2 * math.pi * math.e) + 0.5 * math.log(10)
    assert abs(got - entropy) < 0.05
    unconditional = -gaussian_scores(splits, splits.test.x, None, conditional=False).mean().item()
    assert unconditional > got + 0.3


def test_gaussian_of_integers_bounds_the_entropy_of_uniform_integers():
    generator = torch.Generator().manual_seed(0)
    rows = [part(torch.randint(16, (n, 2), generator=generator).float()) for n in (4000, 500, 2000)]
    splits = splits_of(*rows, support=sf.Integers(16))
    got = -gaussian_scores(splits, splits.test.x, None, conditional=False).mean().item()
    # x + u is uniform on [0, 16): the closest Gaussian has variance 16^2 / 12.
    assert abs(got - 2 * 0.5 * math.log(2 * math.pi * math.e * 256 / 12)) < 0.03
    assert got > 2 * math.log(16)


def test_dependent_columns_have_a_baseline():
    x = torch.randn(50, 1, generator=torch.Generator().manual_seed(0)).repeat(1, 2)
    splits = splits_of(part(x), part(x), part(x))
    assert gaussian_scores(splits, x, None, conditional=False).isfinite().all()


# -- evaluate ---------------------------------------------------------------------------------------------


def test_the_truth_has_no_gap_and_its_samples_are_not_told_from_data():
    truth = data.moons
    splits = data.load("moons", rows=200)
    found = by_metric(evaluate(truth, splits, model="truth"))
    assert found["entropy_gap"]["value"] == 0
    nll, entropy = found["nll"], found["entropy"]
    assert abs(nll["value"] - entropy["value"]) < 4 * math.hypot(nll["error"], entropy["error"])
    assert found["energy_p"]["value"] > 0.01
    accuracy = found["classifier_accuracy"]
    assert abs(accuracy["value"] - 0.5) < 4 * accuracy["error"]


def test_the_gap_of_a_wrong_distribution_is_its_divergence():
    # KL(N(0, 1) || N(m, 1)) = m^2 / 2 in every coordinate.
    class Truth(sf.Normal):
        has_density = True

        def entropy(self):
            return math.log(2 * math.pi * math.e), 0.0

    truth = Truth(2)
    shift = sf.Normal(2, learned=True)
    with torch.no_grad():
        shift.raw[0] = 0.5
    x = truth.sample(20000, seed=0)
    splits = splits_of(part(x[:500]), part(x[:500]), part(x), truth=truth)
    gap = by_metric(evaluate(shift, splits))["entropy_gap"]
    assert abs(gap["value"] - 0.25) < 4 * gap["error"] < 0.05


def test_a_uniform_model_costs_log2_levels_bits():
    x = torch.randint(256, (300, 2, 3), generator=torch.Generator().manual_seed(0)).float()
    flow = sf.Flow([sf.Dequantize((2, 3), levels=256)], base=sf.Uniform((2, 3), low=0, high=256))
    splits = splits_of(part(x), part(x), part(x), support=sf.Integers(256))
    found = by_metric(evaluate(flow, splits))
    assert found["bits_per_dim"]["value"] == pytest.approx(8, abs=1e-6)
    for k in (1, 10, 100):
        assert found[f"nll_bound_k{k}"]["value"] == pytest.approx(6 * math.log(256), rel=1e-6)
    assert found["gain_over_gaussian"]["value"] > 0


def test_bounds_tighten_and_no_bound_passes_for_an_nll():
    flow = bound_flow()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(1)))
    x = torch.randn(1500, 2, generator=torch.Generator().manual_seed(0))
    found = by_metric(evaluate(flow, splits_of(part(x), part(x), part(x))))
    assert "nll" not in found
    bounds = [found[f"nll_bound_k{k}"]["value"] for k in (1, 10, 100)]
    assert bounds[0] > bounds[1] > bounds[2]


def test_code_of_a_perfect_flow_is_standard_normal():
    flow = sf.Flow([sf.Reverse(3)], base=sf.Normal(3))
    x = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0))
    found = by_metric(evaluate(flow, splits_of(part(x), part(x), part(x))))
    assert abs(found["latent_mean"]["value"]) < 4 * found["latent_mean"]["error"]
    assert abs(found["latent_sd"]["value"] - 1) < 4 * found["latent_sd"]["error"]
    assert found["latent_sd"]["error"] == pytest.approx(1 / math.sqrt(2 * x.numel()), rel=0.1)
    assert found["latent_ks_p"]["value"] > 0.01
    expected = stats.kstest(x[:, 2].numpy(), "norm").statistic  # reversed: the code's first coordinate
    assert found["latent_ks_0"]["value"] == pytest.approx(expected, abs=1e-6)
    wide = by_metric(evaluate(flow, splits_of(part(x), part(x), part(2 * x))))
    assert wide["latent_sd"]["value"] == pytest.approx(2, rel=0.05) and wide["latent_ks_p"]["value"] < 1e-6


def test_conditional_flow_with_labels_of_a_synthetic_set():
    splits = data.load("ngon", context="label", rows=500)
    net = splits.context.network()
    flow = sf.Flow([sf.Coupling(2, net.out_shape, hidden=(8,))], base=sf.Normal(2), context_net=net)
    found = by_metric(evaluate(flow, splits, model="conditional", seed=3))
    # The distribution given the label is a Gaussian with standard deviation 0.1, and so is the baseline.
    entropy = math.log(2 * math.pi * math.e * 0.01)
    assert found["entropy"]["value"] == pytest.approx(entropy, abs=1e-3)
    assert found["gaussian_nll"]["value"] == pytest.approx(entropy, abs=0.1)
    gap = found["nll"]["value"] - found["entropy"]["value"]
    assert found["entropy_gap"]["value"] == pytest.approx(gap, abs=0.05)
    assert {row["seed"] for row in found.values()} == {3} and {row["model"] for row in found.values()} == {
        "conditional"
    }


def test_a_density_of_zero_is_said():
    x = torch.tensor([[0.5], [0.25], [1.5], [0.75]]).repeat(10, 1)
    found = by_metric(evaluate(sf.Uniform(1), splits_of(part(x), part(x), part(x))))
    assert found["nll"]["value"] == math.inf and found["nll"]["error"] is None
    assert found["zero_density"]["value"] == 0.25


def test_evaluation_is_seeded_and_leaves_no_trace():
    flow = bound_flow()
    flow.transforms[1].eval()
    modes = [module.training for module in flow.modules()]
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    splits = splits_of(part(x), part(x), part(x))
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, second = (evaluate(flow, splits, seed=1) for _ in range(2))
    assert torch.equal(before, torch.random.get_rng_state())
    assert [module.training for module in flow.modules()] == modes
    assert all(p.grad is None for p in flow.parameters())
    timed = "seconds_per_1000_samples"
    assert [r for r in first if r["metric"] != timed] == [r for r in second if r["metric"] != timed]


def test_what_cannot_be_evaluated_is_refused():
    x = torch.randn(20, 2)
    with pytest.raises(DataError, match="held-out"):
        evaluate(exact_flow(), splits_of(part(x), part(x), part(x[:0])))
    conditional = sf.Flow([sf.Coupling(2, 1, hidden=(8,))], base=sf.Normal(2))
    with pytest.raises(DataError, match="context"):
        evaluate(conditional, splits_of(part(x), part(x), part(x)))


# -- scoring in chunks --------------------------------------------------------------------------------------


def test_chunks_do_not_change_scores_codes_and_accounts(monkeypatch):
    flow = exact_flow().double()
    x = torch.randn(101, 2, generator=torch.Generator().manual_seed(0))
    whole, code, terms = log_probs(flow, x), latents(flow, x), account(flow, x)
    monkeypatch.setattr("surflow.evaluation.likelihood._CHUNK_ROWS", 7)
    assert torch.allclose(log_probs(flow, x), whole) and torch.allclose(latents(flow, x), code)
    for a, b in zip(account(flow, x), terms, strict=True):
        assert (a.name, a.exact) == (b.name, b.exact) and a.nats == pytest.approx(b.nats)
    assert sum(term.nats for term in terms) == pytest.approx(whole.mean().item())
    assert draws(flow, 23).shape == (23, 2)


def test_draws_of_a_conditional_flow_follow_its_context():
    sampler = sf.Normal(1, 1)
    with torch.no_grad():
        for parameter in sampler.parameters():
            parameter.zero_()
    flow = sf.Flow([], base=sampler)
    assert draws(flow, 5, torch.zeros(9, 1)).shape == (5, 1)


def test_mean_and_error_of_few_values():
    assert mean_and_error(torch.tensor([2.0])) == (2.0, None)
    assert mean_and_error(torch.tensor([1.0, math.inf])) == (math.inf, None)


# -- two-sample tests ----------------------------------------------------------------------------------------


def test_energy_distance_of_equal_sets_is_zero_and_of_two_points_is_twice_their_distance():
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0))
    assert energy_distance(x, x[torch.randperm(300)]) == pytest.approx(0, abs=1e-12)
    assert energy_distance(torch.zeros(4, 2), torch.tensor([[3.0, 4.0]])) == pytest.approx(10)


def test_energy_distance_of_two_normals():
    # For N(0, 1) and N(m, 1): 2 E|N(m, 2)| - 2 E|N(0, 2)|, folded normals.
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(4000, 1, generator=generator), torch.randn(4000, 1, generator=generator) + 1
    sd, m = math.sqrt(2), 1.0
    folded = sd * math.sqrt(2 / math.pi) * math.exp(-(m**2) / (2 * sd**2)) + m * math.erf(m / (sd * math.sqrt(2)))
    assert energy_distance(x, y) == pytest.approx(2 * folded - 2 * sd * math.sqrt(2 / math.pi), abs=0.05)


def test_energy_distance_in_chunks(monkeypatch):
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(50, 3, generator=generator), torch.rand(40, 3, generator=generator)
    whole = energy_distance(x, y)
    monkeypatch.setattr("surflow.evaluation.samples._CHUNK_ELEMENTS", 100)
    assert energy_distance(x, y) == pytest.approx(whole, abs=1e-12)


def test_p_values_are_uniform_under_the_null_and_small_under_an_alternative():
    generator = torch.Generator().manual_seed(0)
    p = []
    for seed in range(200):
        x, y = torch.randn(2, 40, 2, generator=generator)
        p.append(energy_test(x, y, permutations=99, seed=seed)[1])
    assert stats.kstest(p, "uniform").pvalue > 0.01
    x, y = torch.randn(2, 100, 2, generator=generator)
    assert energy_test(x, y + 1)[1] == 1 / 200
    assert energy_test(x, x)[1] == 1


def test_classifier_finds_what_differs_and_only_that():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 300, 2, generator=generator)
    accuracy, error = classifier_test(x, y)
    assert abs(accuracy - 0.5) < 4 * error
    # Equal means and variances, other dependence.
    same = torch.stack([y[:, 0], y[:, 0]], 1)
    assert classifier_test(x, same)[0] > 0.8


def test_two_sets_that_cannot_be_compared():
    with pytest.raises(ShapeError, match="lengths 2 and 3"):
        energy_distance(torch.zeros(3, 2), torch.zeros(3, 3))
    with pytest.raises(DataError, match="0 and 3"):
        energy_test(torch.zeros(0, 2), torch.zeros(3, 2))


# -- recorded results ----------------------------------------------------------------------------------------


def row(value, error=None):
    return Row(case="c", model="m", seed=0, metric="nll", value=value, error=error, unit="nats per event")


def test_results_are_read_as_written(tmp_path):
    path = write_results(tmp_path / "deep" / "r.json", "surflow evaluate", [row(1.5, 0.25), row(math.inf)])
    content = read_results(path)
    assert set(content) == {"command", "versions", "machine", "rows"}
    assert content["command"] == "surflow evaluate" and content["rows"][0] == row(1.5, 0.25)
    assert math.isnan(content["rows"][1]["value"])
    assert set(content["versions"]) == {"surflow", "torch", "python", "lightning"}
    assert set(content["machine"]) == {"platform", "processors"}
    assert json.loads(path.read_text())["rows"][1]["value"] is None
    assert read_results(write_results(path, "none", []))["rows"] == []


@pytest.mark.parametrize("text", ["{", "[]", '{"rows": [{"case": 1}]}', '{"rows": 3}'])
def test_foreign_results_are_refused(tmp_path, text):
    path = tmp_path / "r.json"
    path.write_text(text)
    with pytest.raises(FileError):
        read_results(path)
    with pytest.raises(FileError, match=r"missing.json cannot be read: No such file"):
        read_results(tmp_path / "missing.json")


def test_gaussian_baseline_of_few_rows_is_shrunk_in_units_of_the_columns():
    rng = np.random.default_rng(0)
    scale = np.logspace(-3, 3, 30)
    rows = [part(torch.tensor(rng.normal(size=(n, 30)) * scale)) for n in (31, 20, 500)]
    splits = splits_of(*rows)
    truth = stats.norm(0, scale).logpdf(splits.test.x.numpy()).sum(1).mean()
    got = gaussian_scores(splits, splits.test.x, None, conditional=False).mean().item()
    # A plain covariance of 31 rows loses hundreds of nats; two moments of 30 columns, about 30 / 31 nats.
    assert truth - 5 < got < truth


def test_without_training_rows_there_is_no_baseline():
    none = part(torch.empty(0, 2))
    rows = by_metric(evaluate(exact_flow(), splits_of(none, none, part(torch.randn(50, 2)))))
    assert "nll" in rows and "gaussian_nll" not in rows
