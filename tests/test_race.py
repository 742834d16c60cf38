"""The race to a held-out likelihood: one clock, the same nats for every library, and a page that says what was run."""

from __future__ import annotations

import importlib.util
import io
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from benchmarks.protocol import ONE_THREAD
from benchmarks.race import sets
from benchmarks.race.page import reached
from benchmarks.race.track import Rows, Scale, TimeUp, Track

from surflow.evaluation.results import read_results

ROOT = Path(__file__).parent.parent
JAX = ROOT / ".venv-jax/bin/python"


@pytest.fixture(scope="module")
def normal(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("race") / "normal.npz"
    sets.write(sets.SETS["normal"](), path)
    return path


@pytest.mark.e2e
@pytest.mark.parametrize("model", ["surflow", "zuko", "nflows", "normflows", "flowjax"])
def test_every_library_counts_the_same_nats(model: str, normal: Path) -> None:
    """No model of a normal distribution is better than its entropy, and after a few steps none is far from it."""
    python = JAX if model == "flowjax" else Path(sys.executable)
    if not python.exists() if model == "flowjax" else importlib.util.find_spec(model) is None:
        pytest.skip(f"{model} is not installed")
    command = [str(python), "-m", "benchmarks.race.worker", str(normal), "normal", model, "0.1"]
    done = subprocess.run(command, cwd=ROOT, env=ONE_THREAD, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    *curve, about = map(json.loads, done.stdout.splitlines())
    assert about["ended"] == "time"
    nll, error = curve[-1]["nll"], curve[-1]["error"]
    # In other units than the original ones it would be off by log(0.01), log(1000) or their sum. flowjax starts from
    # random layers, a nat or two from the distribution of standardised rows.
    assert sets.entropy_of_normal() - 4 * error < nll < sets.entropy_of_normal() + 3.5


@pytest.mark.e2e
def test_a_race_leaves_results_a_page_and_pictures(tmp_path: Path) -> None:
    output = tmp_path / "race.json"
    command = [sys.executable, "-m", "benchmarks.race.run", "breast_cancer", "--models", "surflow", "--seconds", "1"]
    done = subprocess.run([*command, "-o", str(output)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    content = read_results(output)
    assert content["command"] == "python -m benchmarks.race.run breast_cancer --seconds 1 --models surflow"
    assert {row["unit"] for row in content["rows"] if row["metric"].startswith("nll")} == {"nats"}
    assert "| surflow |" in (tmp_path / "race.md").read_text()
    assert (tmp_path / "race" / "breast_cancer.png").stat().st_size > 1000


@pytest.mark.e2e
def test_an_unknown_set_and_a_library_that_is_missing_are_named() -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "benchmarks.race.run", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)

    assert "expected some of checkerboard" in run("chess").stderr
    missing = run("normal", "--models", "flowjax", "--jax", "/nonexistent/python")
    assert missing.returncode != 0 and "make race" in missing.stderr


def test_scoring_is_not_on_the_clock_and_the_best_by_validation_counts() -> None:
    x = np.zeros((10, 1))
    answers = io.StringIO()
    track = Track(1000.0, Rows({"train": x, "validation": x, "test": x + 1}), answers)
    # The log-density of validation (0) and test (1) rows; test rows are only scored where validation has improved.
    levels = iter([-3.0, -2.0, -9.0, -9.0]), iter([-5.0, -4.0])

    def score(rows: np.ndarray, _: np.ndarray | None) -> np.ndarray:
        end = time.process_time() + 0.05
        while time.process_time() < end:
            pass
        return np.full(len(rows), next(levels[int(rows[0, 0])]))

    before = track.now
    for _ in range(3):
        track.mark(score)
    assert track.now - before < 0.1  # of 0.25 seconds of scoring
    assert [json.loads(line)["nll"] for line in answers.getvalue().splitlines()] == [5.0, 4.0, 4.0]
    track.seconds = 0.0
    with pytest.raises(TimeUp):
        track.step(score)


def test_a_scale_has_the_density_of_its_map() -> None:
    x = np.random.default_rng(0).normal(5.0, [0.1, 30.0], (1000, 2))
    scale = Scale.of(x)
    np.testing.assert_allclose(scale(x).std(0), 1, rtol=1e-5)
    # Of a normal distribution: log N(x; m, s) = log N(z; 0, 1) - log s.
    np.testing.assert_allclose(scale.log_det, -np.log(x.std(0)).sum())


def test_a_target_is_reached_at_the_first_checkpoint_that_is_as_good() -> None:
    curve = [(1.0, 3.0), (2.0, 2.0), (4.0, 1.0)]
    assert (reached(curve, 2.5), reached(curve, 1.0), reached(curve, 0.5)) == (2.0, 4.0, None)


def test_integers_are_scored_in_bits_and_peers_get_noise_on_them(tmp_path: Path) -> None:
    splits = sets.SETS["digits"]()
    nats, unit = sets.unit(splits)
    assert (nats, unit) == (64 * np.log(2), "bits per dimension")
    sets.write(splits, tmp_path / "digits.npz")
    rows = Rows.read(tmp_path / "digits.npz")
    for part in ("train", "validation", "test"):
        noisy, integers = rows.of(part)[0], rows.of(part, integers=True)[0]
        np.testing.assert_array_equal(np.floor(noisy), integers)
        assert rows.dim == 64 and 0.49 < (noisy - integers).mean() < 0.51
