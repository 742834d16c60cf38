"""Figures of merit under the truth, in few repeats: what is right passes, and what was wrong would be found out."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier

import surflow as sf
from surflow.data import ContextColumn, ContextEncoding
from surflow.errors import DataError, ShapeError
from surflow.evaluation import (
    band_coverage,
    classifier_test,
    energy_test,
    expected_coverage,
    merit,
    ranks,
    read_results,
    tarp,
)
from surflow.evaluation.samples import CLASSIFIERS
from surflow.plots.calibration import central_band
from surflow_experiments import figures
from surflow_experiments.figures import SIMULATIONS
from surflow_experiments.under_truth import posteriors, samples
from surflow_experiments.under_truth.claims import Claim, Simulation, verdicts
from surflow_experiments.under_truth.known import Known, collected

# The others take minutes; figures of classifiers are below.
REPEATS = {name: 150 for name in SIMULATIONS} | {
    "product": 20,
    "experiments": 50,
    "same": 60,
    "shifted": 40,
    "two samples": 60,
    "two samples, labels": 60,
    "two samples, numbers": 60,
}
del REPEATS["perceptron"]


@pytest.mark.parametrize("name", REPEATS)
def test_figures_are_right_under_the_truth(name, monkeypatch):
    monkeypatch.setattr(merit, "classifier_test", lambda *a, **k: (0.5, 0.1))
    wrong = [v for v in verdicts(SIMULATIONS[name], REPEATS[name]) if not v.right and "classifier" not in v.what]
    assert not wrong


def _free(x, y, permutations=199, seed=0, groups=None):
    return energy_test(x, y, permutations, seed)


def _numpys(drawn, level):
    return np.quantile(drawn, [(1 - level) / 2, (1 + level) / 2], axis=0)


def _quantiles(observed, resimulated, level, seed):
    low, high = _numpys(resimulated.numpy(), level)
    return ((observed.numpy() >= low) & (observed.numpy() <= high)).mean()


def _shares(truth, draws, seed=0):
    return (draws > truth).double().mean(0)


def _box_of_truths(truth, draws, seed=0):
    low, high = truth.amin(0), truth.amax(0)
    points = low + (high - low) * torch.as_tensor(np.random.default_rng(seed).random(truth.shape))
    return ((draws - points).square().sum(2) < (truth - points).square().sum(1)).double().mean(0)


@pytest.mark.parametrize(
    ("simulation", "key", "function", "former"),
    [
        ("same", "labels", "energy_test", _free),
        ("bands", "numbers", "band_coverage", _quantiles),
        ("bands", "counts", "band_coverage", _quantiles),
        ("bands", "drawn", "central_band", _numpys),
        ("ties", "coverage", "expected_coverage", _shares),
        ("calibration of few", "coverage", "expected_coverage", _shares),
        ("calibration of few", "tarp", "tarp", _box_of_truths),
    ],
)
def test_what_was_wrong_is_found_out(simulation, key, function, former, monkeypatch):
    monkeypatch.setattr(samples if simulation == "same" else posteriors, function, former)
    given = SIMULATIONS[simulation]
    only = Simulation(given.run, given.simulated, given.n, {key: given.claims[key]})
    assert not verdicts(only, REPEATS[simulation])[0].right


def test_verdicts_of_shares_means_and_p_values():
    def run(seed):
        u = np.random.default_rng(seed).random()
        return {"p": u, "square": u**2, "share": float(u < 0.94)}

    claims = {
        "p": Claim("p", 0.05, 0.05, uniform=True),
        "square": Claim("square", 0.05, 0.05, uniform=True),
        "share": Claim("share", 0.93, 0.97),
        "mean": Claim("mean", 0.5, 0.5),
    }
    made = verdicts(Simulation(lambda seed: run(seed) | {"mean": run(seed)["p"]}, "", 1, claims), 500)
    assert [v.right for v in made] == [True, False, True, True]
    assert made[2].error == pytest.approx(math.sqrt(0.94 * 0.06 / 500), rel=0.2)


def test_the_table_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(figures, "SIMULATIONS", {"bands": Simulation(*_small("bands")), "gain": SIMULATIONS["gain"]})
    assert figures.main(tmp_path) == 0
    rows = read_results(tmp_path / "figures_of_merit.json")["rows"]
    got = {row["model"]: row["value"] for row in rows if row["metric"] == "right"}
    assert set(got.values()) == {1.0} and len(got) == 4
    assert (tmp_path / "figures_of_merit.md").read_text().count("| yes |") == 4


def _small(name):
    given = SIMULATIONS[name]
    return given.run, given.simulated, given.n, given.claims, 50


# -- calibration ------------------------------------------------------------------------------------------------


def test_coverage_of_plateaus_is_uniform():
    post = sf.Uniform(1, low=0.0, high=1.0)
    truth, draws = post.sample(500, seed=1), post.sample((199, 500), seed=2)
    level = expected_coverage(post.log_prob(truth), post.log_prob(draws.flatten(0, 1)).reshape(199, 500))
    assert kstest(level, "uniform").pvalue > 0.01
    # Where nothing ties, it is still the share of denser draws, but for one step.
    sharp = expected_coverage(torch.tensor([0.5]), torch.linspace(0, 1, 100)[:, None])
    assert abs(sharp.item() - 0.5) < 0.02


@pytest.mark.parametrize("dtype", [torch.int64, torch.bfloat16])
def test_ranks_tie_at_random_whatever_the_truths_are(dtype):
    truth, drawn = torch.zeros(20_000, 1, dtype=dtype), torch.zeros(3, 20_000, 1, dtype=dtype)
    counts = torch.bincount(ranks(truth, drawn)[:, 0])
    assert len(counts) == 4 and ((counts - 5000).abs() < 4 * math.sqrt(20_000 * 3 / 16)).all()


def test_random_points_know_no_units_and_no_constants():
    generator = torch.Generator().manual_seed(0)
    truth, drawn = torch.randn(50, 2, generator=generator).double(), torch.randn(9, 50, 2, generator=generator).double()
    stretched = tarp(truth * torch.tensor([1e6, 1.0]) + 3, drawn * torch.tensor([1e6, 1.0]) + 3)
    torch.testing.assert_close(tarp(truth, drawn), stretched)
    constant = tarp(torch.cat([truth, torch.ones(50, 1)], 1), torch.cat([drawn, torch.ones(9, 50, 1)], 2))
    assert constant.isfinite().all()


def test_bands_of_few_resimulations_hold_their_level():
    observed, again = torch.rand(20_000, 1), torch.rand(4, 20_000, 1)
    for level in (0.5, 0.9):
        assert band_coverage(observed, again, level) == pytest.approx(level, abs=4 * math.sqrt(0.25 / 20_000))
    low, high = central_band(np.arange(1.0, 20.0)[:, None], 0.9)
    assert (low.item(), high.item()) == (1.0, 19.0)  # of nineteen, a twentieth of other draws lies below the first


# -- two samples ------------------------------------------------------------------------------------------------


def test_groups_keep_what_they_share():
    label = torch.randint(10, (500,))
    one_hot = torch.nn.functional.one_hot(label, 10).float()
    x, y = (torch.cat([torch.randn(500, 1) + shift, one_hot], 1) for shift in (0.0, 0.3))
    # Free permutations deal out labels that both sides had alike, and everything is nearer than that.
    assert energy_test(x, y, groups=(label, label))[1] < 0.02 < 0.05 < energy_test(x, y)[1]
    assert energy_test(x, x, groups=(label, label))[1] == 1
    alone = torch.arange(500)
    assert energy_test(x, y, groups=(alone, alone + 500))[1] == 1  # in groups of one row nothing can change sides


@pytest.mark.parametrize("classifier", CLASSIFIERS)
@pytest.mark.slow
def test_the_error_of_a_classifier_covers(classifier, monkeypatch):
    # Which side of x = 0 is whose: of five folds that vote on each other's sides the accuracy varies 1.4 times as much
    # as of independent rows, (1 + 4 (2 / pi) / sqrt(7))^(1/2), and intervals of those would cover 84 %. Of halves, one
    # of which votes on the other, it does not.
    class Sides(ClassifierMixin, BaseEstimator):
        def fit(self, x, y):
            self.classes_, self.sign_ = np.unique(y), np.sign(((2 * y - 1) * np.sign(x[:, 0])).sum() + 0.5)
            return self

        def predict(self, x):
            return (self.sign_ * x[:, 0] > 0).astype(int)

    monkeypatch.setattr("sklearn.ensemble.RandomForestClassifier", lambda *a, **k: Sides())
    monkeypatch.setattr("sklearn.neural_network.MLPClassifier", lambda *a, **k: Sides())
    x, y = torch.randn(2, 400, 50, 1)
    found = [classifier_test(*rows, seed, classifier) for seed, rows in enumerate(zip(x, y, strict=True))]
    covered = np.mean([abs(accuracy - 0.5) <= 1.96 * error for accuracy, error in found])
    assert 0.9 < covered < 0.98  # accuracies are whole shares: of 50 scored rows, the interval holds .935


def test_pairs_do_not_mislead_the_classifier(monkeypatch):
    # The nearest context is that of the row's partner, which is of the other side.
    monkeypatch.setattr("sklearn.ensemble.RandomForestClassifier", lambda *a, **k: KNeighborsClassifier(1))
    monkeypatch.setattr("sklearn.neural_network.MLPClassifier", lambda *a, **k: KNeighborsClassifier(1))
    c = torch.randn(400, 1)
    for classifier in CLASSIFIERS:
        assert classifier_test(c, c, classifier=classifier)[0] < 0.4
        assert classifier_test(c, c, classifier=classifier, paired=True)[0] == 0.5
    with pytest.raises(DataError, match="two rows"):
        classifier_test(torch.zeros(1, 1), torch.zeros(6, 1))
    with pytest.raises(ShapeError, match="5 and 6"):
        classifier_test(torch.zeros(5, 1), torch.zeros(6, 1), paired=True)


def test_samples_given_labels_are_told_from_data_that_are_shifted(monkeypatch):
    monkeypatch.setattr(merit, "classifier_test", lambda *a, **k: (0.5, 0.1))
    columns = ContextColumn("c", [str(i) for i in range(10)])
    splits = SimpleNamespace(context=ContextEncoding([columns]), schema=None)
    x, c = torch.randn(1000, 1) + 0.25, torch.randint(10, (1000, 1)).float()
    found = collected(samples._two, Known(1, 1), splits, x, c, seed=0)
    assert found["energy_p"][0] < 0.01


def test_data_may_be_sorted(monkeypatch):
    monkeypatch.setattr(merit, "classifier_test", lambda *a, **k: (0.5, 0.1))
    x = torch.randn(4000, 1).sort(0).values
    found = collected(samples._two, Known(1), SimpleNamespace(context=None, schema=None), x, None, seed=0)
    assert found["energy_p"][0] > 0.01
