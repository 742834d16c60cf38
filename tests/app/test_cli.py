"""The command line from end to end, and every bad input: exit status 2 and a message, never a traceback."""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import torch
from matplotlib.image import imread
from typer.testing import CliRunner, Result

import surflow as sf
from surflow._internal.sealed import seal
from surflow.app.cli import app

pytestmark = [pytest.mark.e2e, pytest.mark.usefixtures("small_pictures")]

TINY = ["--steps", "20", "--batch-size", "32"]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(a) for a in arguments])


def _good(*arguments: object) -> str:
    result = _run(*arguments)
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def _bad(*arguments: object) -> str:
    result = _run(*arguments)
    assert result.exit_code == 2, result.output + repr(result.exception)
    assert result.stderr.startswith("error: ") and "Traceback" not in result.output
    return " ".join(result.stderr.split())


def _flowers(path: Path, n: int = 90, **columns: Sequence[object]) -> Path:
    """A table like iris: two numbers, and a kind that shifts them."""
    generator = np.random.default_rng(0)
    kind = np.arange(n) % 3
    table: dict[str, Sequence[object]] = {
        "length": list(generator.normal(kind, 0.5)),
        "width": list(generator.normal(2, 1, n)),
        "kind": [("setosa", "versicolor", "virginica")[k] for k in kind],
    }
    table |= columns
    rows = [",".join(table), *(",".join(map(str, row)) for row in zip(*table.values(), strict=True))]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture(scope="module")
def workplace(small_pictures: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a data file and a conditional run on it; the working directory of all tests here."""
    folder = tmp_path_factory.mktemp("work")
    before = Path.cwd()
    os.chdir(folder)
    _flowers(folder / "flowers.csv")
    output = _good("train", "flowers.csv", "--context", "kind", "--seed", 3, *TINY)
    assert output.splitlines()[-1] == "report: runs/flowers-spline-1/report.html"
    yield folder
    os.chdir(before)


RUN = "runs/flowers-spline-1"


# -- what works ----------------------------------------------------------------------------------------------


def test_a_run_is_complete(workplace: Path) -> None:
    names = {path.name for path in (workplace / RUN).iterdir()}
    assert names >= {
        "config.toml",
        "data.json",
        "log.csv",
        "metrics.json",
        "model.safetensors",
        "pictures",
        "report.html",
    }
    metrics = json.loads((workplace / RUN / "metrics.json").read_text())
    assert {"nll", "gaussian_nll"} <= {row["metric"] for row in metrics["rows"]}
    assert {(row["case"], row["model"], row["seed"]) for row in metrics["rows"]} == {("flowers", "spline", 3)}
    flow = sf.load(workplace / RUN / "model.safetensors")
    assert flow.context_shape == (1,)


def test_the_same_command_gives_the_same_numbers(workplace: Path) -> None:
    _good("train", "flowers.csv", "--context", "kind", "--seed", 3, *TINY, "--out", "again")
    first, second = (sf.load(workplace / run / "model.safetensors").state_dict() for run in (RUN, "again"))
    assert all(torch.equal(first[name], second[name]) for name in first)
    metrics = [json.loads((workplace / run / "metrics.json").read_text())["rows"] for run in (RUN, "again")]
    timed = "seconds_per_1000_samples"
    assert [r for r in metrics[0] if r["metric"] != timed] == [r for r in metrics[1] if r["metric"] != timed]


def test_a_finished_run_is_kept_and_a_cut_off_one_is_resumed(workplace: Path) -> None:
    command = ("train", "flowers.csv", "--context", "kind", "--out", "kept", *TINY)
    _good(*command)
    before = {p.name: p.read_bytes() for p in (workplace / "kept").glob("*.*")}
    assert "it is finished" in _good(*command)  # the same command finishes what is missing: nothing
    assert "holds a finished run of another configuration" in _bad(*command, "--lr", 0.5)
    assert before == {p.name: p.read_bytes() for p in (workplace / "kept").glob("*.*")}
    _good(*command, "--overwrite")
    (workplace / "kept" / "metrics.json").unlink()
    weights = (workplace / "kept" / "model.safetensors").read_bytes()
    assert "unfinished run of another configuration" in _bad(*command, "--lr", 0.5)
    _good(*command)
    assert (workplace / "kept" / "model.safetensors").read_bytes() == weights
    # Cut off between the end of training and the saving of its result: trained again, to the same weights.
    for name in ("metrics.json", "model.safetensors"):
        (workplace / "kept" / name).unlink()
    _good(*command)
    assert (workplace / "kept" / "model.safetensors").read_bytes() == weights
    assert (workplace / "kept" / "metrics.json").exists()
    # Whatever is missing or torn, of what comes after the model, and of what says what the data are.
    for name in ("metrics.json", "report.html", "data.json"):
        for torn in (None, b"", before[name][:100]):
            (workplace / "kept" / name).unlink() if torn is None else (workplace / "kept" / name).write_bytes(torn)
            if name == "report.html" and torn is not None:
                continue  # surflow tears no file
            _good(*command)
            after = (workplace / "kept" / name).read_bytes()
            assert after == before[name] if name == "data.json" else len(after) > 1000
    log = workplace / "kept" / "log.csv"
    log.write_bytes(log.read_bytes() + b"21,train,3.1")  # a line that was cut off
    _good("report", "kept")


def test_what_makes_room_is_kept_until_the_new_model_is_there(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = ("train", "flowers.csv", "--context", "kind", "--out", "room", *TINY)
    _good(*command)
    (workplace / "room" / "notes.txt").write_text("mine")
    before = {p.name: p.read_bytes() for p in (workplace / "room").glob("*.*")}

    def fails(*_: object, **__: object) -> None:
        raise sf.errors.ConfigError("no")

    monkeypatch.setattr("surflow.training.fitting.fit", fails)
    _bad(*command, "--lr", 1e-4, "--overwrite")
    assert before == {p.name: p.read_bytes() for p in (workplace / "room").glob("*.*")}
    monkeypatch.undo()
    _good(*command, "--lr", 1e-4, "--overwrite")
    after = {p.name: p.read_bytes() for p in (workplace / "room").glob("*.*")}
    assert after.keys() == before.keys() and after["notes.txt"] == b"mine"
    assert after["model.safetensors"] != before["model.safetensors"]
    # What another program calls config.toml is not surflow's to replace.
    (workplace / "other").mkdir()
    (workplace / "other" / "config.toml").write_text("[server]\nport = 80\n")
    assert "states no run" in _bad("train", "moons", "--steps", 3, "--out", "other", "--overwrite")
    assert (workplace / "other" / "config.toml").read_text() == "[server]\nport = 80\n"


def test_training_that_diverges_leaves_its_best_weights_as_the_model_and_says_so(workplace: Path) -> None:
    command = ("train", "flowers.csv", "--columns", "length,width", "--lr", 1e30, "--out", "diverged", *TINY)
    for _ in range(2):  # the second time it is only said again
        said = _run(*command)
        assert said.exit_code == 2 and "training diverged" in said.stderr and "the loss of step" in said.stderr
        assert "report: diverged/report.html" in said.stdout
    page = (workplace / "diverged" / "report.html").read_text(encoding="utf-8")
    assert "Training diverged" in page and "The weights are those of step" in page
    log_prob = sf.load(workplace / "diverged").log_prob(torch.zeros(3, 2))
    assert log_prob.isfinite().all()
    assert not (workplace / "diverged" / "checkpoint.safetensors").exists()
    for again in (["sample", "diverged", "-n", 5, "-o", "diverged.csv"], ["evaluate", "diverged"]):
        said = _run(*again)
        assert said.exit_code == 0 and "note: training of diverged diverged: the loss of step" in said.stderr
    # Figures and report are finished by the same command there too, and a run that makes room takes its words along.
    (workplace / "diverged" / "metrics.json").unlink()
    assert _run(*command).exit_code == 2 and (workplace / "diverged" / "metrics.json").exists()
    _good(*command[:4], "--out", "diverged", *TINY, "--overwrite")
    assert not (workplace / "diverged" / "diverged.txt").exists()
    assert "Training diverged" not in (workplace / "diverged" / "report.html").read_text(encoding="utf-8")


def test_sampling_needs_no_data_file(workplace: Path) -> None:
    _good("sample", RUN, "-n", 50, "--context", "setosa", "-o", "a.csv")
    table = pyarrow.csv.read_csv("a.csv")
    assert table.column_names == ["length", "width", "kind"] and table.num_rows == 50
    _good("sample", RUN, "-n", 50, "--context", "kind=setosa", "--seed", 0, "-o", "a.parquet")
    again = pyarrow.parquet.read_table("a.parquet")
    assert np.allclose(table["length"].to_numpy(), again["length"].to_numpy(), rtol=1e-5)
    _good("sample", RUN, "-n", 50, "--context", "setosa", "--seed", 1, "-o", "b.npy")
    assert np.load("b.npy").shape == (50, 2)
    assert not np.allclose(np.load("b.npy")[:, 0], table["length"].to_numpy())


def test_scores_are_the_models_densities(workplace: Path) -> None:
    output = _good("score", RUN, "flowers.csv", "-o", "scores.csv")
    table = pyarrow.csv.read_csv("scores.csv")
    assert set(table["kind"].to_pylist()) == {"exact"} and "mean log-density" in output
    data = pyarrow.csv.read_csv("flowers.csv")
    x = torch.tensor(np.stack([data["length"].to_numpy(), data["width"].to_numpy()], 1), dtype=torch.float32)
    names = ["setosa", "versicolor", "virginica"]
    context = torch.tensor([[float(names.index(k))] for k in data["kind"].to_pylist()])
    expected = sf.load(Path(RUN) / "model.safetensors").log_prob(x, context).detach().numpy()
    assert np.allclose(table["log_prob"].to_numpy(), expected, atol=1e-4)


def test_evaluate_report_and_show(workplace: Path) -> None:
    assert "nll" in _good("evaluate", RUN, "--seed", 1)
    _flowers(workplace / "more.csv", n=60)
    _good("evaluate", RUN, "more.csv", "-o", "more.json")
    rows = json.loads((workplace / "more.json").read_text())["rows"]
    assert {row["case"] for row in rows} == {"more"}
    assert next(row["value"] for row in rows if row["metric"] == "test_rows") == 60
    (workplace / RUN / "report.html").unlink()
    assert _good("report", RUN).strip() == f"report: {RUN}/report.html"
    assert (workplace / RUN / "report.html").exists()
    text = _good("show", RUN)
    assert "# 0 Standardize" in text
    assert tomllib.loads(text)["model"]["transforms"][0]["class"] == "Standardize"


def test_show_states_a_chain_that_trains(workplace: Path) -> None:
    (workplace / "chain.toml").write_text(_good("show", RUN))
    output = _good("train", "--model", "chain.toml", "--out", "chain")
    assert output.splitlines()[-1] == "report: chain/report.html"
    shown = [tomllib.loads(_good("show", run))["model"] for run in (RUN, "chain", "chain/config.toml")]
    assert shown[0] == shown[1] == shown[2]
    # The same seed builds, and so trains, the same weights, whether by preset or by chain.
    first, second = (sf.load(Path(run) / "model.safetensors").state_dict() for run in (RUN, "chain"))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_bounds_are_marked(workplace: Path) -> None:
    _good("train", "flowers.csv", "--columns", "length,width", "--model", "augment", "--out", "bound", *TINY)
    output = _good("score", "bound", "flowers.csv", "--importance-samples", 2, "-o", "scores.parquet")
    assert "lower bound" in output
    assert set(pyarrow.parquet.read_table("scores.parquet")["kind"].to_pylist()) == {"bound"}


@pytest.mark.filterwarnings("ignore:the loss has grown")  # there is nothing to learn in pixels drawn by chance
def test_images(workplace: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 1, 4, 4), dtype=np.uint8)
    np.save("images.npy", pixels)
    _good("train", "images.npy", "--out", "images", *TINY)
    _good("sample", "images", "-n", 10, "-o", "grid.png")
    assert imread("grid.png").shape[:2] == (12, 12)
    _good("sample", "images", "-n", 4, "-o", "pixels.npy")
    drawn = np.load("pixels.npy")
    assert drawn.shape == (4, 1, 4, 4) and set(drawn.ravel()) <= set(range(256))
    assert "are no images" in _bad("sample", RUN, "-o", "a.png", "--context", "setosa")


def test_a_simulator_is_trained_drawn_from_and_compared_with_its_posterior(workplace: Path) -> None:
    output = _good("train", "sir", *TINY, "--rows", "200", "--out", "runs/sir")
    assert "posterior_gap" in output and "calibrated" in output
    page = (workplace / "runs/sir/report.html").read_text(encoding="utf-8")
    assert "Simulation-based calibration" in page
    _, x = sf.data.simulator("sir").sample(2, seed=0)
    np.save(workplace / "one.npy", x[:1].numpy())
    assert "30 samples" in _good("sample", "runs/sir", "-n", "30", "--context", "one.npy", "-o", "drawn.csv")
    columns = pyarrow.csv.read_csv(workplace / "drawn.csv").column_names
    assert columns[:3] == ["lambda", "mu", "I0"] and len(columns) == 203
    table = "\n".join([",".join(f"x{i + 1}" for i in range(200)), ",".join(map(str, x[0].tolist()))])
    (workplace / "one.csv").write_text(table + "\n")
    _good("sample", "runs/sir", "-n", "30", "--context", "one.csv", "-o", "again.csv")
    one, two = (np.genfromtxt(workplace / f"{name}.csv", delimiter=",", skip_header=1) for name in ("drawn", "again"))
    np.testing.assert_allclose(one, two, rtol=1e-5)
    assert "x1 to x200" in _bad("sample", "runs/sir", "-o", "x.csv")
    np.save(workplace / "two.npy", x.numpy())
    assert "expects one row" in _bad("sample", "runs/sir", "--context", "two.npy", "-o", "x.csv")
    np.save(workplace / "short.npy", x[:1, :100].numpy())
    assert "rows of 200 numbers" in _bad("sample", "runs/sir", "--context", "short.npy", "-o", "x.csv")
    theta, others = sf.data.simulator("sir").sample(30, seed=9)
    np.savetxt(workplace / "rows.csv", torch.cat([theta, others * 3 + 1], 1).numpy(), delimiter=",", comments="",
               header=",".join(["lambda", "mu", "I0", *(f"x{i + 1}" for i in range(200))]))  # fmt: skip
    assert "posterior_gap" not in _good("evaluate", "runs/sir", "rows.csv")
    x[0, 3] = float("nan")
    np.save(workplace / "nan.npy", x[:1].numpy())
    assert "NaN" in _bad("sample", "runs/sir", "--context", "nan.npy", "-o", "x.csv")


def test_synthetic_data_with_labels_are_drawn_afresh(workplace: Path) -> None:
    output = _good("train", "moons", "--context", "label", "--columns", "x,y", "--out", "labelled", *TINY)
    assert "entropy_gap is paired" in output
    _good("sample", "labelled", "-n", 3, "--context", "1", "-o", "one.csv")


def test_names_are_listed() -> None:
    output = _good("list")
    assert all(name in output for name in ("checkerboard", "digits", "abs-joint", "Experiments"))
    assert _good("--version").strip() == sf.__version__
    assert "train" in _good("--help")


def test_a_group_of_experiments_is_run_through(workplace: Path) -> None:
    output = _good("reproduce", "symmetry-lines", "--quick")
    assert "fig11/checkerboard abs-middle-rotated seed 0: gap" in output
    page = workplace / "runs/reproduce-quick/synthetic/symmetry-lines.html"
    assert f"page: {page.relative_to(workplace)}" in output and page.exists()
    assert not (workplace / "docs").exists()


# -- what is refused -------------------------------------------------------------------------------------------


def test_unknown_names(workplace: Path) -> None:
    assert "did you mean 'moons'" in _bad("train", "mons")
    assert "did you mean 'spline'" in _bad("train", "moons", "--model", "splin")
    assert "no data" in _bad("train")
    assert "did you mean 'flowers.csv'" in _bad("train", "flowrs.csv")
    assert "did you mean 'length'" in _bad("train", "flowers.csv", "--columns", "lenth,width")
    assert "no folder" in _bad("sample", "runs/nothing", "-o", "a.csv")
    assert "cannot be read" in _bad("show", "nothing.toml")
    assert "cannot be read" in _bad("train", "--model", "nothing.toml")
    assert not (workplace / "runs" / "moons-splin-1").exists()
    (workplace / "odd.toml").write_text('data = {source = "moons"}\nmodel = {preset = "spline", layers = "a"}\n')
    assert "error: odd.toml: " in _bad("train", "--model", "odd.toml")


@pytest.mark.parametrize(
    ("column", "chosen", "message"),
    [
        (["inf"] + [1.0, 2.0] * 50, [], "'width' .*not a finite number, first in row 1, line 2,.*'inf'"),
        ([2.0] * 90, ["--columns", "width"], "'width' is taken for a constant"),
        ([""] * 90, ["--columns", "width"], r"'width' is taken for a constant \(no value in any row\)"),
        ([f"a{i}" for i in range(90)], ["--columns", "width"], "'width' is taken for an identifier"),
    ],
    ids=["infinite", "constant", "empty", "identifier"],
)
def test_columns_that_cannot_be_modelled(workplace: Path, column: list, chosen: list[str], message: str) -> None:
    path = _flowers(workplace / "wrong.csv", width=column[:90])
    assert re.search(message, _bad("train", path, "--context", "kind", *chosen, "--out", "never"))
    assert not (workplace / "never").exists()


def test_labels_unseen_in_training(workplace: Path) -> None:
    assert "did you mean 'setosa'" in _bad("sample", RUN, "--context", "setose", "-o", "a.csv")
    unseen = [("setosa", "virginika")[i % 2] for i in range(40)]
    _flowers(workplace / "unseen.csv", n=40, kind=unseen)
    assert "did you mean 'virginica'" in _bad("score", RUN, "unseen.csv", "-o", "a.csv")
    assert "the model is conditional" in _bad("sample", RUN, "-o", "a.csv")
    assert "without a context" in _bad("sample", _plain(), "--context", "setosa", "-o", "a.csv")
    assert "context column 'kin'" in _bad("sample", RUN, "--context", "kin=setosa", "-o", "a.csv")


def _plain() -> str:
    if not Path("plain").exists():
        _good("train", "flowers.csv", "--columns", "length,width", "--out", "plain", *TINY)
    return "plain"


@pytest.mark.parametrize(
    ("chain", "message"),
    [
        ('{class = "Abs", shape = 2}, {class = "Coupling", shape = 2}', "lands on the support positive"),
        ('{class = "Coupling", shape = 3}', "starts from (3,)"),
        ('{class = "Coupling", shape = 2}, {class = "Slice", shape = 2, keep = 1}', "ends in shape (1,)"),
        ('{class = "Couplin", shape = 2}', "did you mean 'Coupling'"),
        ('{class = "Coupling", event_shap = 2}', "did you mean 'event_shape'"),
        ('{class = "Coupling"}', "needs the argument event_shape"),
        ('{class = "os.system", command = "true"}', "unknown class 'os.system'"),
        ("{shape = 2}", "Transform"),
    ],
)
def test_chains_that_do_not_fit(workplace: Path, chain: str, message: str) -> None:
    size = 3 if "= 3" in chain else 2
    base = f'base = {{class = "Normal", event_shape = {size}}}'
    (workplace / "wrong.toml").write_text(f'[data]\nsource = "moons"\n[model]\ntransforms = [{chain}]\n{base}\n')
    assert message in _bad("train", "--model", "wrong.toml", "--out", "never")
    assert not (workplace / "never").exists()


def test_configurations_name_the_entry(workplace: Path) -> None:
    path = workplace / "wrong.toml"
    path.write_text('[data]\nsource = "moons"\n[training]\nstep = 3\n')
    assert "'training.step'; did you mean 'training.steps'" in _bad("train", "--model", path)
    path.write_text("[data\n")
    assert "not a TOML file" in _bad("train", "--model", path)
    path.write_text('[data]\nsource = "moons"\n[model]\npreset = "nf"\nlayer = 3\n')
    assert "did you mean 'layers'" in _bad("train", "--model", path)
    path.write_text("training = 3\n")
    assert "training" in _bad("train", "moons", "--model", path)


def test_folders_that_cannot_be_written(workplace: Path) -> None:
    # A path below a regular file cannot be made, even by root.
    assert "cannot be written" in _bad("train", "moons", "--out", "flowers.csv/run", "--steps", 10**9)
    assert "cannot be written" in _bad("train", "moons", "--out", "flowers.csv", "--steps", 10**9)
    (workplace / "photos").mkdir()
    (workplace / "photos" / "cat.txt").write_text("meow")
    assert "holds other files" in _bad("train", "moons", "--out", "photos", "--steps", 10**9)
    assert "no folder" in _bad("sample", RUN, "--context", "setosa", "-o", "nowhere/a.csv")
    assert "expected one of .csv" in _bad("sample", RUN, "--context", "setosa", "-o", "a.xlsx")
    assert "cannot be written" in _bad("sample", RUN, "--context", "setosa", "-o", "flowers.csv/a.csv")


def test_runs_and_files_that_are_damaged(workplace: Path) -> None:
    good = (workplace / RUN / "model.safetensors").read_bytes()
    broken = workplace / "broken"
    broken.mkdir()
    assert "config.toml, data.json, model.safetensors missing" in _bad("show", broken)
    for name in ("config.toml", "data.json"):
        (broken / name).write_bytes((workplace / RUN / name).read_bytes())
    for content, message in [
        (good[: len(good) // 2], "damaged or cut short"),
        (b"PK\x03\x04 and so on", "looks like a pickle"),
        (b"hello, world", "not a safetensors file"),
        (renamed := good.replace(b'"Standardize\\"', b'"Standardise\\"'), "not what the SHA-256 in its header says"),
    ]:
        (broken / "model.safetensors").write_bytes(content)
        assert message in _bad("sample", broken, "--context", "setosa", "-o", "a.csv")
    (broken / "model.safetensors").write_bytes(renamed)
    seal(broken / "model.safetensors")
    assert "did you mean 'Standardize'" in _bad("sample", broken, "--context", "setosa", "-o", "a.csv")
    assert "did not finish" in _bad("report", broken)
    (broken / "model.safetensors").write_bytes(good)
    (broken / "data.json").write_text("{}")
    assert "data.json is damaged" in _bad("sample", broken, "--context", "setosa", "-o", "a.csv")


def test_data_that_do_not_fit_the_model(workplace: Path) -> None:
    np.save("cube.npy", np.random.default_rng(0).normal(size=(40, 2, 2, 2)))
    _bad("score", RUN, "cube.npy", "-o", "a.csv")
    (workplace / "narrow.csv").write_text("length,kind\n" + "1.0,setosa\n2.0,virginica\n" * 15)
    assert "unknown column 'width'" in _bad("evaluate", RUN, "narrow.csv")


def test_a_data_file_that_changed_or_moved(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _flowers(workplace / "changing.csv")
    _good("train", path.name, "--context", "kind", "--out", "changing", *TINY)
    # From another folder the relative path leads nowhere, and the absolute one is tried.
    (workplace / "elsewhere").mkdir()
    monkeypatch.chdir(workplace / "elsewhere")
    first = _good("evaluate", "../changing")
    assert "held-out rows" in first and "gaussian_nll" in first
    monkeypatch.chdir(workplace)
    _flowers(path, n=120)
    for command in ("evaluate", "report"):
        assert "has changed since training" in _bad(command, "changing")
    result = _run("evaluate", "changing", path.name, "-o", "changed.json")
    assert result.exit_code == 0 and "without the Gaussian baseline" in result.stderr
    assert "on changing.csv" in result.stdout and "held-out" not in result.stdout
    path.unlink()
    error = _bad("evaluate", "changing")
    assert "are needed, to hold out the same rows again" in error and "changing.csv" in error


def test_outputs_never_replace_a_run_or_its_data(workplace: Path) -> None:
    _flowers(workplace / "other.csv")
    kept = {path: path.read_bytes() for path in [*(workplace / RUN).glob("*.*"), workplace / "flowers.csv"]}
    drawn = ("sample", RUN, "--context", "setosa", "-n", 5, "-o")
    for command in (
        (*drawn, f"{RUN}/log.csv"),
        (*drawn, "flowers.csv"),
        (*drawn, workplace / RUN / "pictures" / "losses.png"),
        ("score", RUN, "other.csv", "-o", "other.csv"),
        ("score", RUN, "other.csv", "-o", "./flowers.csv"),
        ("evaluate", RUN, "-o", f"{RUN}/metrics.json"),
        ("evaluate", RUN, "-o", f"{RUN}/data.json"),
    ):
        assert "would be lost" in _bad(*command)
    assert "expected one of .json" in _bad("evaluate", RUN, "-o", "numbers.csv")
    assert all(path.read_bytes() == content for path, content in kept.items())
    _good(*drawn, f"{RUN}/drawn.csv")


def test_a_folder_of_images_is_trained_on_and_spared(workplace: Path) -> None:
    from PIL import Image

    (workplace / "pictures").mkdir()
    for i in range(40):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(workplace / "pictures" / f"{i:02}.png")
    _good("train", "pictures", *TINY, "--model", "max-pool", "--out", "runs/pictures")
    _good("evaluate", "runs/pictures")
    for output in ("pictures/00.png", "pictures/new.png"):
        assert "would be lost" in _bad("sample", "runs/pictures", "-n", "4", "-o", output)
    Image.fromarray(np.full((4, 4), 99, np.uint8)).save(workplace / "pictures" / "40.png")
    assert "has changed since training" in _bad("evaluate", "runs/pictures")


def test_ranges_of_options(workplace: Path) -> None:
    (workplace / "seed.toml").write_text(f'seed = {2**32}\n[data]\nsource = "moons"\n')
    assert "seed" in _bad("train", "--model", "seed.toml")
    for arguments in (("--seed", 2**32), ("--lr", 0), ("--minutes", 0), ("--rows", 19)):
        result = _run("train", "moons", *arguments)
        assert result.exit_code == 2 and arguments[0] in result.stderr


def test_samples_carry_their_context_and_one_value_for_each_column(workplace: Path) -> None:
    _good("sample", RUN, "-n", 5, "--context", "virginica", "-o", "given.csv")
    table = pyarrow.csv.read_csv("given.csv")
    assert table.column_names == ["length", "width", "kind"] and set(table["kind"].to_pylist()) == {"virginica"}
    assert "more than once" in _bad("sample", RUN, "--context", "setosa", "--context", "virginica", "-o", "a.csv")


def test_small_tables_are_validated_often_and_stop_early(workplace: Path) -> None:
    config = tomllib.loads((workplace / RUN / "config.toml").read_text())
    assert config["training"]["patience"] > 1 and config["model"]["layers"] == 1


def test_an_unknown_group_of_experiments(workplace: Path) -> None:
    assert "did you mean 'labelled'" in _bad("reproduce", "labeled")
