"""Diagnostics of calibration, on models whose posterior is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.stats import kstest, norm

from surflow import plots
from surflow.errors import ConfigError, ShapeError
from surflow.evaluation import (
    band_coverage,
    classifier_test,
    contraction,
    ecdf_band,
    expected_coverage,
    inside_band,
    rank_histogram,
    ranks,
    tarp,
)
from surflow.evaluation.calibration import rank_points

NAMES = ["a", "b"]


def _conjugate(n: int = 500, draws: int = 199, widen: float = 1.0, shift: float = 0.0):
    """theta ~ N(0, I), x ~ N(theta, .5^2 I): the posterior is N(.8 x, .2 I); and one that is too wide, or shifted."""
    generator = torch.Generator().manual_seed(0)
    theta = torch.randn(n, 2, generator=generator)
    x = theta + 0.5 * torch.randn(n, 2, generator=generator)
    mean, sd = 0.8 * x + shift, widen * math.sqrt(0.2)
    drawn = mean + sd * torch.randn(draws, n, 2, generator=generator)

    def log_prob(t):
        return torch.distributions.Normal(mean, sd).log_prob(t).sum(-1)

    return theta, x, drawn, log_prob


@pytest.mark.parametrize(
    ("wrong", "right"), [({}, True), ({"widen": 0.7}, False), ({"widen": 1.5}, False), ({"shift": 0.2}, False)]
)
def test_only_the_right_posterior_passes(wrong, right):
    theta, _, drawn, log_prob = _conjugate(**wrong)
    assert inside_band(ranks(theta, drawn), 200).tolist() == [right, right]
    if "shift" not in wrong:  # which random points hardly see
        assert (kstest(tarp(theta, drawn), "uniform").pvalue > 0.01) == right
    levels = expected_coverage(log_prob(theta), log_prob(drawn))
    assert (kstest(levels, "uniform").pvalue > 0.01) == right


@pytest.mark.parametrize(("n", "n_ranks"), [(100, 1000), (500, 200), (37, 20)])
def test_the_band_holds_whole_curves(n, n_ranks):
    found = inside_band(torch.randint(n_ranks, (n, 4000), generator=torch.Generator().manual_seed(1)), n_ranks)
    # Whole counts make it a little too wide, by more with fewer rows; standard error .0034.
    assert 0.94 < found.mean() < 0.965


def test_a_pointwise_band_would_not():
    # The reason for simultaneous bands: intervals of 95 % at every point lose far more curves than 5 %.
    points = tuple(rank_points(200))
    low, _ = ecdf_band(500, points)
    pointwise = norm.ppf(0.025) * np.sqrt(np.asarray(points) * (1 - np.asarray(points)) / 500)
    assert ((np.asarray(points) - low) > 1.2 * -pointwise)[20:80].all()


def test_band_at_one_point_is_the_binomial_interval():
    low, high = ecdf_band(50, (0.3,), 0.9)
    inside = sum(
        math.comb(50, k) * 0.3**k * 0.7 ** (50 - k) for k in range(round(50 * low[0]), round(50 * high[0]) + 1)
    )
    assert 0.9 <= inside < 0.96


def test_ranks_with_ties_are_uniform():
    truth, drawn = torch.zeros(20_000, 1), torch.zeros(3, 20_000, 1)
    counts = torch.bincount(ranks(truth, drawn)[:, 0], minlength=4)
    assert ((counts - 5000).abs() < 4 * math.sqrt(20_000 * 3 / 16)).all()


def test_histograms_have_equal_bins():
    every = torch.arange(200)[:, None]
    assert set(rank_histogram(every, 200)[0].tolist()) == {10}
    with pytest.raises(ConfigError, match="draw 99"):
        rank_histogram(every[:100], 211)
    with pytest.raises(ConfigError, match="n_ranks is L"):
        rank_histogram(every, 199)


def test_random_points_are_random_whatever_drew_the_truths():
    torch.manual_seed(0)
    truth, drawn = torch.rand(2000, 1), torch.rand(99, 2000, 1)
    assert kstest(tarp(truth, drawn, seed=0), "uniform").pvalue > 0.01


def test_contraction_and_coverage_of_bands():
    theta, x, drawn, _ = _conjugate()
    assert contraction(drawn.std(0), torch.ones(2)).tolist() == pytest.approx([0.8, 0.8], abs=0.01)
    again = drawn + 0.5 * torch.randn(drawn.shape, generator=torch.Generator().manual_seed(3))
    # Of x given a draw given x itself: N(.8 x, .45), against which x lies .2 x from the centre.
    z = 1.6449 * math.sqrt(0.45) / (0.2 * math.sqrt(1.25))
    assert band_coverage(x, again) == pytest.approx(2 * norm.cdf(z) - 1, abs=0.01)
    other = theta + 0.5 * torch.randn(theta.shape, generator=torch.Generator().manual_seed(4))
    narrow = 2 * norm.cdf(1.6449 * math.sqrt(0.45) / math.sqrt(0.2 + 0.25)) - 1
    assert band_coverage(other, again) == pytest.approx(narrow, abs=0.03)
    with pytest.raises(ShapeError, match="one row a data set"):
        ranks(theta, drawn[:, :3])


@pytest.mark.parametrize("classifier", ["forest", "mlp"])
@pytest.mark.slow
def test_classifiers_reach_what_bayes_does_and_no_more(classifier):
    x, y = torch.randn(2, 1500, 2, generator=torch.Generator().manual_seed(5))
    same, error = classifier_test(x, y, classifier=classifier)
    assert abs(same - 0.5) < 4 * error
    apart, _ = classifier_test(x, y + torch.tensor([1.0, 0.0]), classifier=classifier)
    assert norm.cdf(0.5) - 0.05 < apart < norm.cdf(0.5) + 0.03
    with pytest.raises(ConfigError, match="forest"):
        classifier_test(x, y, classifier="forrest")


def test_pictures():
    theta, x, drawn, log_prob = _conjugate(n=200)
    r = ranks(theta, drawn)
    levels = {"highest density": expected_coverage(log_prob(theta), log_prob(drawn)), "random": tarp(theta, drawn)}
    figures = [
        plots.rank_histogram(r, 200, NAMES),
        plots.rank_ecdf(r, 200, NAMES),
        plots.coverage(levels),
        plots.corner(drawn[:, 0], NAMES, reference=drawn[:, 1], truth=theta[0], curves={(0, 1): lambda a: 1 - a}),
        plots.bands({"x": x[0]}, {"x": drawn[:, 0]}, x="place", y="value"),
    ]
    for figure in figures:
        shown = [ax for ax in figure.axes if ax.get_visible()]
        assert any(ax.get_xlabel() for ax in shown)
        assert all(np.isfinite([*ax.get_xlim(), *ax.get_ylim()]).all() for ax in shown)
