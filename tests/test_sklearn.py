"""surflow as a density estimator of scikit-learn: its own checks, and what a density is."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import estimator_checks_generator

import surflow as sf
from surflow.sklearn import FlowDensity

X = np.random.default_rng(0).normal([3, -1], [2, 0.5], (200, 2))


@pytest.mark.parametrize(
    "estimator, check",
    list(estimator_checks_generator(FlowDensity(steps=2))),
    ids=lambda value: getattr(getattr(value, "func", value), "__name__", "flow"),
)
def test_scikit_learns_own_checks(estimator, check) -> None:
    check(estimator)


@pytest.fixture(scope="module")
def density() -> FlowDensity:
    return FlowDensity(steps=100, random_state=0).fit(X)


def test_the_density_integrates_to_one_and_is_near_the_true_one(density) -> None:
    sides = [np.linspace(m - 8 * s, m + 8 * s, 201) for m, s in ((3, 2), (-1, 0.5))]
    grid = np.stack(np.meshgrid(*sides), -1).reshape(-1, 2)
    cell = (sides[0][1] - sides[0][0]) * (sides[1][1] - sides[1][0])
    assert np.exp(density.score_samples(grid)).sum() * cell == pytest.approx(1, abs=0.01)
    entropy = np.log(2 * np.pi * np.e) + np.log(2 * 0.5)
    assert density.score(X) == pytest.approx(-entropy, abs=0.3)
    assert density.score(X) == density.score_samples(X).mean()


def test_samples_are_of_the_columns_and_of_the_seed(density) -> None:
    drawn = density.sample(2000, random_state=1)
    assert drawn.mean(0) == pytest.approx([3, -1], abs=0.4)
    assert (drawn == density.sample(2000, random_state=1)).all()
    assert (drawn != density.sample(2000, random_state=2)).any()
    with pytest.raises(sf.ConfigError, match="n_samples"):
        density.sample(0)


def test_copies_score_alike(density) -> None:
    assert (pickle.loads(pickle.dumps(density)).score_samples(X) == density.score_samples(X)).all()
    assert (clone(density).fit(X).score_samples(X) == density.score_samples(X)).all()


def test_in_a_pipeline_a_search_and_with_names() -> None:
    table = pd.DataFrame(X, columns=["a", "b"])
    steps = make_pipeline(StandardScaler(), FlowDensity(steps=2, random_state=0)).set_output(transform="pandas")
    choices = {"flowdensity__preset": ["nf", "spline"], "flowdensity__options": [{"layers": 1}]}
    search = GridSearchCV(steps, choices, cv=2, error_score="raise").fit(table)
    assert list(search.best_estimator_[-1].feature_names_in_) == ["a", "b"]
    assert search.best_score_ == max(search.cv_results_["mean_test_score"])


def test_minutes_alone_end_the_training() -> None:
    assert np.isfinite(FlowDensity(minutes=0.005, random_state=0).fit(X).score(X))


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"preset": "vae"}, sf.BoundError),
        ({"preset": "splin"}, sf.ConfigError),
        ({"options": {"x": 1}}, sf.ConfigError),
    ],
)
def test_refuses_what_has_no_density_and_what_it_does_not_know(arguments, error) -> None:
    with pytest.raises(error):
        FlowDensity(steps=2, **arguments).fit(X)
