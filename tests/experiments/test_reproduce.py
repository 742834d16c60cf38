"""Reproduced experiments: what was recorded cannot beat the truth, the runner keeps what is done, lines are folds."""

from __future__ import annotations

import html
import math
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from outcomes import killed, outcome
from typer.testing import CliRunner

import surflow as sf
from surflow.app.cli import app
from surflow.evaluation import log_probs, read_results
from surflow.evaluation.results import Row
from surflow_experiments.cells import Cell, run_cells, share_of
from surflow_experiments.circle.models import build as build_circle
from surflow_experiments.circle.trial import kuiper, merits
from surflow_experiments.reproduce import EXPERIMENTS
from surflow_experiments.reproduce import reproduce as reproduce_any
from surflow_experiments.synthetic.groups import GROUPS
from surflow_experiments.synthetic.reproduce import reproduce
from surflow_experiments.synthetic.trial import symmetry_lines

RECORDED = Path(__file__).parents[2] / "docs" / "results" / "synthetic.json"


def _check_likelihoods(rows: list[Row]) -> None:
    gaps = [row for row in rows if row["metric"] == "gap"]
    assert gaps
    for row in gaps:
        assert math.isfinite(row["value"]), row
        assert row["error"] is not None and row["value"] > -3 * row["error"], row
    for row in rows:
        assert math.isfinite(row["value"]), row
        if row["metric"].startswith("line_error"):
            assert row["value"] < 1e-6, row


# -- what is recorded ------------------------------------------------------------------------------------


def test_no_recorded_gap_is_below_zero_by_three_standard_errors() -> None:
    _check_likelihoods(read_results(RECORDED)["rows"])


def test_every_comparison_is_recorded_with_all_its_seeds() -> None:
    found = {(row["case"], row["model"], row["seed"]) for row in read_results(RECORDED)["rows"]}
    for comparisons in GROUPS.values():
        for comparison in comparisons:
            assert {(cell.case, cell.model, cell.seed) for cell in comparison.cells(quick=False)} <= found


def test_recorded_signs_are_those_of_the_skewed_data() -> None:
    signs = [row for row in read_results(RECORDED)["rows"] if row["case"].startswith("fig7/")]
    for metric, true in (("q", 0.75), ("q_y", 0.5)):
        values = [row["value"] for row in signs if row["metric"] == metric]
        assert len(values) == 12
        assert np.mean(values) == pytest.approx(true, abs=0.01)


# -- running ---------------------------------------------------------------------------------------------


@pytest.mark.e2e
@pytest.mark.usefixtures("in_this_process")
def test_a_quick_run_makes_everything_and_a_second_one_keeps_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page = reproduce("synthetic", tmp_path / "results", tmp_path / "cells", quick=True)
    rows = read_results(tmp_path / "results" / "synthetic.json")["rows"]
    _check_likelihoods(rows)
    first = {comparison.case for comparisons in GROUPS.values() for comparison in comparisons}
    assert {row["case"].split("/")[0] for row in rows} == first
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert all(comparison.title in text for comparisons in GROUPS.values() for comparison in comparisons)
    assert "no figure here means anything" in text
    gone = tmp_path / "cells" / "fig6" / "ngon" / "abs-0.json"
    gone.unlink()
    capsys.readouterr()
    reproduce("abs", tmp_path / "results", tmp_path / "cells", quick=True)
    output = capsys.readouterr().out
    assert "4 of 5 cells are kept" in output
    assert "fig6/ngon abs seed 0: gap" in output
    again = read_results(tmp_path / "results" / "synthetic.json")["rows"]
    assert {row["case"] for row in again} == {row["case"] for row in rows}  # the rows of other groups stay


@pytest.mark.usefixtures("in_this_process")
def test_shares_of_an_experiment_are_all_its_cells_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results, work = tmp_path / "results", tmp_path / "cells"
    cells = _cells(1, 2, 3, 4)

    def run(results: Path, work: Path, *, quick: bool) -> Path:
        outcomes, _ = run_cells(cells, outcome, work, str)
        assert len(outcomes) == 4
        return results / "page.html"

    monkeypatch.setitem(
        EXPERIMENTS, "circle", SimpleNamespace(run=lambda *of, data_dir, **how: run(*of, **how), package=sf)
    )
    kept = []
    for number in (2, 1):
        assert reproduce_any("circle", results, work, quick=True, shard=(number, 2)) == work
        kept.append(len(list(work.rglob("*.json"))))
    assert kept == [2, 4]
    capsys.readouterr()
    assert reproduce_any("circle", results, work, quick=True) == results / "page.html"
    assert "4 of 4 cells are kept" in capsys.readouterr().out
    with pytest.raises(sf.ConfigError, match="expected a share from 1/2 to 2/2, got 3/2"):
        reproduce_any("circle", results, work, shard=(3, 2))


@pytest.mark.parametrize("of", [1, 2, 3, 8])
def test_shares_are_a_partition_with_the_longest_cells_apart(of: int) -> None:
    cells = [Cell("case", "model", seed, {}, weight=weight) for seed, weight in enumerate([1.0, 5.0, 2.0, 5.0, 1.0])]
    shares = [share_of(cells, number, of) for number in range(1, of + 1)]
    assert sorted(cell.seed for share in shares for cell in share) == list(range(5))
    assert of == 1 or max(sum(cell.weight == 5.0 for cell in share) for share in shares) == 1


@pytest.mark.parametrize("said", ["0/8", "9/8", "2", "a/b", "2/0", "-1/8", "1/8/2"])
def test_a_share_that_there_is_not_is_refused(said: str) -> None:
    result = CliRunner().invoke(app, ["reproduce", "abs", "--quick", f"--shard={said}"], terminal_width=300)
    assert result.exit_code == 2 and "such as 2/8" in result.output


def test_an_unknown_group_is_named_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(sf.ConfigError, match="unknown group of experiments 'labeled'; did you mean 'labelled'"):
        reproduce("labeled", tmp_path, tmp_path)


def _cells(*numbers: float) -> list[Cell]:
    return [Cell("a/b", "model", seed, {"number": number}) for seed, number in enumerate(numbers)]


@pytest.mark.e2e
def test_a_cell_that_fails_is_named_and_the_others_are_done(tmp_path: Path) -> None:
    done, failed = run_cells(_cells(1, -1, 3), outcome, tmp_path, str)
    assert [outcome.value("m") for outcome in done] == [1, 3]
    assert failed == ["a/b model seed 1: ValueError: a negative number"]
    assert [path.name for path in sorted(tmp_path.rglob("*.json"))] == ["model-0.json", "model-2.json"]


@pytest.mark.e2e
def test_a_process_that_is_killed_fails_the_rest_and_says_so(tmp_path: Path) -> None:
    _, failed = run_cells(_cells(*[0] * 6), killed, tmp_path, str)
    assert len(failed) == 1 and "a process was killed, perhaps for memory: 6 cells were not run" in failed[0]


@pytest.mark.usefixtures("in_this_process")
def test_a_cell_with_another_specification_is_run_again(tmp_path: Path) -> None:
    run_cells(_cells(1, 2), outcome, tmp_path, str)
    again, _ = run_cells(_cells(1, 5), outcome, tmp_path, str)
    assert [outcome.value("m") for outcome in again] == [1, 5]
    assert [float(outcome.arrays["square"]) for outcome in again] == [1, 25]


@pytest.mark.parametrize("damage", ["arrays", "missing", "rows", "versions"])
@pytest.mark.usefixtures("in_this_process")
def test_a_damaged_or_outdated_cell_is_run_again(
    tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run_cells(_cells(1), outcome, tmp_path, str)
    rows, arrays = tmp_path / "a/b/model-0.json", tmp_path / "a/b/model-0.npz"
    if damage == "arrays":
        arrays.write_bytes(arrays.read_bytes()[:40])
    elif damage == "missing":
        arrays.unlink()
    elif damage == "rows":
        rows.write_text(rows.read_text()[:-5])
    else:
        rows.write_text(rows.read_text().replace('"torch": "', '"torch": "0.'))
    capsys.readouterr()
    again, failed = run_cells(_cells(1), outcome, tmp_path, str)
    assert "kept" not in capsys.readouterr().out
    assert not failed and float(again[0].arrays["square"]) == 1


def test_results_that_cannot_be_written_are_refused_before_any_trial(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(sf.FileError, match="cannot be written"):
        reproduce("skew", tmp_path / "file", tmp_path / "cells", quick=True)
    (tmp_path / "synthetic.json").write_text("{")
    with pytest.raises(sf.FileError, match="is not a JSON file"):
        reproduce("skew", tmp_path, tmp_path / "cells", quick=True)
    assert not (tmp_path / "cells").exists()


# -- symmetry lines --------------------------------------------------------------------------------------


def test_symmetry_lines_of_a_moved_and_turned_fold_are_the_moved_and_turned_axes() -> None:
    # z = R (x - m): the fold of |z| is the pair of lines through m along the columns of R.
    layer, turn = sf.Standardize(2), sf.Orthogonal(2)
    layer.shift.copy_(torch.tensor([1.0, 2.0]))
    turn.matrix.copy_(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]) / math.sqrt(2))
    flow = sf.Flow([layer, turn, sf.Abs(2)], base=sf.HalfNormal(2))
    lines, error = symmetry_lines(flow, torch.randn(100, 2))
    assert error < 1e-12
    x, y = (lines - torch.tensor([1.0, 2.0])).unbind(2)
    slopes = sorted((y / x).median(1).values.tolist())
    assert slopes == pytest.approx([-1, 1])
    torch.testing.assert_close(x.abs(), y.abs(), rtol=0, atol=1e-12)


# -- posteriors and the circle -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "gap"), [("sir", "nll_gap"), ("circle", "entropy_gap"), ("sbibm", "nll_gap")])
def test_recorded_posteriors_are_not_better_than_exact_ones(name: str, gap: str) -> None:
    rows = read_results(RECORDED.parent / f"{name}.json")["rows"]
    gaps = [row for row in rows if row["metric"] == gap]
    assert gaps
    for row in gaps:
        assert math.isfinite(row["value"]) and row["error"] is not None and row["value"] > -3 * row["error"], row
    for row in rows:
        if row["metric"].startswith("c2st"):
            assert 0.47 < row["value"] <= 1, row
        assert math.isfinite(row["value"]), row


@pytest.mark.parametrize("name", ["sir", "circle", "sbibm"])
@pytest.mark.e2e
@pytest.mark.usefixtures("in_this_process")
def test_quick_runs_of_posteriors_and_the_circle(tmp_path: Path, name: str) -> None:
    page = reproduce_any(name, tmp_path / "results", tmp_path / "cells", quick=True)
    assert read_results(tmp_path / "results" / f"{name}.json")["command"] == f"surflow reproduce {name} --quick"
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "no figure here means anything" in text and "data:image/png" in text
    assert list((page.parent / "pictures").glob("*.png"))


@pytest.mark.e2e
@pytest.mark.usefixtures("in_this_process")
@pytest.mark.skipif(find_spec("sbi") is None, reason="the extra sbi is not installed")
def test_quick_runs_of_the_two_defaults(tmp_path: Path) -> None:
    page = reproduce_any("sbibm-auto", tmp_path / "results", tmp_path / "cells", quick=True)
    rows = read_results(tmp_path / "results" / "sbibm_auto.json")["rows"]
    assert {row["model"] for row in rows} == {"auto", "nsf"}
    assert "no figure here means anything" in page.read_text(encoding="utf-8")


def test_experiments_are_named_and_take_data_only_where_they_need_it(tmp_path: Path) -> None:
    with pytest.raises(sf.ConfigError, match="unknown experiment 'circel'; did you mean 'circle'"):
        reproduce_any("circel", tmp_path, tmp_path)
    with pytest.raises(
        sf.ConfigError, match="data-dir is for the experiments images, point-clouds, sbibm, sbibm-auto and tables"
    ):
        reproduce_any("circle", tmp_path, tmp_path, data_dir=tmp_path)
    with pytest.raises(sf.FileError, match="holds no folder num_observation_1"):
        reproduce_any("sbibm", tmp_path, tmp_path, data_dir=tmp_path)


def test_merits_of_the_circle_see_what_is_wrong() -> None:
    torch.manual_seed(0)
    angle = 2 * math.pi * torch.rand(10_000)
    good = 4 * torch.stack([angle.cos(), angle.sin()], 1)
    found = {name: value for name, (value, _) in merits(good).items()}
    assert found["radial_sd"] < 1e-6 and found["off_share"] == 0 and found["kuiper"] < 2
    # A tenth of the points on a chord: off the circle, and too many in its direction.
    chord = torch.stack([torch.linspace(-4, 4, 1000), torch.full((1000,), 0.5)], 1)
    found = {name: value for name, (value, _) in merits(torch.cat([good[:9000], chord])).items()}
    assert found["off_share"] == pytest.approx(0.087, abs=0.01) and found["kuiper"] > 4
    # Kuiper's statistic does not depend on where the circle is cut.
    assert kuiper(angle) == pytest.approx(kuiper(angle.double() + 1.3), rel=1e-6)
    exact = [kuiper(2 * math.pi * torch.rand(1000)) for _ in range(300)]
    assert np.mean(exact) == pytest.approx(math.sqrt(math.pi / 2), abs=0.08)


@pytest.mark.parametrize("model", ["abs-sort-slice", "polar"])
@pytest.mark.slow
def test_flows_of_the_circle_have_mass_one(model: str) -> None:
    torch.manual_seed(1)
    flow = build_circle(model)
    flow.initialize(sf.data.noisy_circle(0.5).sample(1000, seed=0))
    for p in flow.parameters():
        torch.nn.init.normal_(p, std=0.05)
    flow = flow.double()
    # In logarithms of both coordinates, quadrant by quadrant; the diagonal, where they are tied, between points.
    axis = torch.linspace(-25, 20, 751, dtype=torch.float64)
    u = torch.cartesian_prod(axis, axis + 0.03)
    log_masses = [log_probs(flow, u.exp() * torch.tensor(signs)) + u.sum(1) for signs in product((-1, 1), (-1, 1))]
    mass = torch.cat(log_masses).logsumexp(0).exp().item() * (45 / 750) ** 2
    assert mass == pytest.approx(1, abs=0.005)
