"""Commands of several processes, over gloo on the loopback: one run, one folder, one message, one process's numbers.

"torchrun" here is two agents of one process each, as on two machines; "slurm" two processes with the variables of srun.
"""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from typer.testing import CliRunner

import surflow as sf
from surflow._internal.ranks import Ranks, ranks
from surflow.app.cli import app
from surflow.app.output import join_arrays, join_tables, table_writer, write_table
from surflow.app.parts import seed_of, sizes
from surflow.data import Column, ColumnKind
from surflow.evaluation import draws, log_probs

SURFLOW = [sys.executable, "-m", "surflow"]
TRAIN = ["train", "rows.csv", "--model", "model.toml", "--accelerator", "cpu"]
MODEL = """
[model]
transforms = [{class = "Standardize", event_shape = 2}, {class = "Coupling", event_shape = 2, hidden = [8]}]
base = {class = "Normal", event_shape = 2, learned = true}
"""


def prepare(folder: Path) -> Path:
    rows = np.random.default_rng(0).normal(size=(200, 2)) @ np.array([[1.0, 0.5], [0.0, 1.0]])
    np.savetxt(folder / "rows.csv", rows, "%.4f", ",", header="a,b", comments="")
    (folder / "model.toml").write_text(MODEL)
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return prepare(tmp_path)


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLURM", "RANK", "WORLD", "LOCAL", "MASTER"))}
    return kept | {"PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1", "COLUMNS": "200"} | more


def free_port() -> int:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        return bound.getsockname()[1]


@contextmanager
def started(how: str, folder: Path, *command: str, late: int | None = None) -> Iterator[list[subprocess.Popen[str]]]:
    """Two processes of one command, or what starts them; one of them late, if it says which."""
    port, made = str(free_port()), []
    for rank in range(1 if how == "lightning" else 2):
        line, env = [*SURFLOW, *command], environment()
        if how == "torchrun":
            agent = f"--nnodes=2 --node-rank={rank} --nproc-per-node=1 --master-addr=127.0.0.1 --master-port={port}"
            line = [sys.executable, "-m", "torch.distributed.run", *agent.split(), "-m", "surflow", *command]
        if how == "slurm":
            env = environment(
                SLURM_NTASKS="2", SLURM_NTASKS_PER_NODE="2", SLURM_NNODES="1", SLURM_PROCID=str(rank), SLURM_NODEID="0",
                SLURM_LOCALID=str(rank), SLURM_JOB_ID="77", SLURM_NODELIST="127.0.0.1", MASTER_PORT=port,
            )  # fmt: skip
        if rank == late:
            wait = "import sys, time; time.sleep(8); sys.argv = sys.argv[1:]; from surflow.app.cli import main; main()"
            line = [sys.executable, "-c", wait, *line[2:]]
        made.append(
            subprocess.Popen(line, cwd=folder, env=env, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        )
    try:
        yield made
    finally:
        for process in made:
            process.kill()
            if process.stdout is not None and not process.stdout.closed:
                process.communicate()


def ended(how: str, folder: Path, *command: str, late: int | None = None) -> list[tuple[int, str, str]]:
    """Status, output and errors of each."""
    with started(how, folder, *command, late=late) as made:
        return [(process.returncode, out, err) for process in made for out, err in [process.communicate(timeout=120)]]


def close(a: Path, b: Path) -> None:
    ours, theirs = sf.load(a), sf.load(b)
    for name, tensor in ours.state_dict().items():
        torch.testing.assert_close(theirs.state_dict()[name], tensor, atol=1e-5, rtol=0)


# -- which process this is ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variables, expected",
    [
        ({}, Ranks()),
        ({"TORCHELASTIC_RUN_ID": "a", "RANK": "5", "WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "LOCAL_RANK": "1",
          "SLURM_NTASKS": "2", "SLURM_PROCID": "1"}, Ranks(5, 8, 4, external=True)),
        ({"SLURM_NTASKS": "6", "SLURM_PROCID": "4", "SLURM_NNODES": "3"}, Ranks(4, 6, 2, external=True)),
        ({"SLURM_NTASKS": "6", "SLURM_PROCID": "0", "SLURM_JOB_NAME": "bash"}, Ranks()),
        ({"LOCAL_RANK": "1", "WORLD_SIZE": "2", "NODE_RANK": "0"}, Ranks(1, 2, 2)),
    ],
)  # fmt: skip
def test_a_process_knows_its_place_from_what_started_it(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: Ranks
) -> None:
    for name in list(os.environ):
        if name.startswith(("SLURM", "TORCHELASTIC", "LOCAL_", "WORLD_")):
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert ranks() == expected and ranks().nodes * ranks().here == ranks().world


# -- training ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one process on the batches that two share."""
    home = prepare(tmp_path_factory.mktemp("alone"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        said = CliRunner().invoke(app, [*TRAIN, "--steps", "12", "--batch-size", "16", "--out", "run"])
    assert said.exit_code == 0, said.output
    return home / "run"


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("how", ["torchrun", "lightning"])
def test_two_processes_train_as_one_on_the_doubled_batch_and_one_speaks(how: str, folder: Path, alone: Path) -> None:
    devices = ["--devices", "2"] if how == "lightning" else []
    results = ended(how, folder, *TRAIN, "--steps", "12", "--batch-size", "8", "--out", "run", *devices)
    assert [status for status, _, _ in results] == [0] * len(results), results
    said = "".join(out for _, out, _ in results)
    assert said.count("report: run/report.html") == said.count("140 training, 30 validation") == 1
    assert "error" not in "".join(err for _, _, err in results) and "timed out" not in results[-1][2]
    close(alone, folder / "run")
    ours, theirs = (
        [line.split(",")[:2] for line in (run / "log.csv").read_text().splitlines()] for run in (alone, folder / "run")
    )
    assert ours == theirs  # the same steps and splits
    assert not (folder / "run" / ".shared.safetensors").exists()
    assert not list(folder.glob("runs*"))


@pytest.mark.e2e
@pytest.mark.slow
def test_a_rank_that_is_killed_ends_the_other_and_the_command_goes_on_with_another_number(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = [*TRAIN, "--steps", "400", "--batch-size", "8", "--out", "run"]
    with started("slurm", folder, *command) as (first, other):
        log = folder / "run" / "log.csv"
        while not log.exists() or len(log.read_text().splitlines()) < 3:
            assert first.poll() is None, first.communicate()
            time.sleep(0.05)
        other.kill()
        killed = time.monotonic()
        _, err = first.communicate(timeout=60)
        assert time.monotonic() - killed < 20
    assert first.returncode == 2 and err.count("error:") == 1 and "Traceback" not in err, err
    assert "another process of this run has ended, after step " in err and "the same call goes on" in err
    monkeypatch.chdir(folder)
    again = CliRunner().invoke(app, command)
    assert again.exit_code == 0 and "report: run/report.html" in again.output, again.output


@pytest.mark.e2e
@pytest.mark.slow
@pytest.mark.parametrize("late", [None, 0, 1])
def test_what_is_wrong_is_said_once_however_late_a_process_comes(folder: Path, late: int | None) -> None:
    results = ended("slurm", folder, "train", "row.csv", "--steps", "1", late=late)
    assert [status for status, _, _ in results] == [2, 2]
    said = "".join(out + err for _, out, err in results)
    assert said.count("error: no file row.csv; did you mean 'rows.csv'?") == said.count("error") == 1, said


# -- scoring and drawing -----------------------------------------------------------------------------------


@pytest.mark.e2e
@pytest.mark.slow
def test_two_processes_score_what_one_does_bit_for_bit(alone: Path, tmp_path: Path) -> None:
    many = tmp_path / "many.parquet"
    with duckdb.connect() as connection:
        rows = "SELECT i AS id, sin(i) AS a, cos(3 * i) AS b FROM range(140000) t(i)"
        connection.execute(f"COPY ({rows}) TO '{many}' (FORMAT parquet, ROW_GROUP_SIZE 50000)")
    command = ["score", str(alone), str(many), "--beside", "id"]
    results = ended("slurm", tmp_path, *command, "-o", "two.parquet")
    assert [status for status, _, _ in results] == [0, 0], results
    said = CliRunner().invoke(app, [*command, "-o", str(tmp_path / "one.parquet")])
    assert said.exit_code == 0, said.output
    assert (tmp_path / "two.parquet").read_bytes() == (tmp_path / "one.parquet").read_bytes()
    assert results[0][1].rsplit(": ", 1)[0] == said.output.rsplit(": ", 1)[0] and results[1][1:] == ("", "")
    scores = pq.read_table(tmp_path / "two.parquet").to_pydict()
    assert scores["id"] == list(range(140000))
    flow, at = sf.load(alone), [0, 131071, 131072, 139999]
    x = torch.tensor([[math.sin(i), math.cos(3 * i)] for i in at], dtype=torch.float64)
    found = torch.tensor([scores["log_prob"][i] for i in at], dtype=torch.float64)
    torch.testing.assert_close(found, log_probs(flow, x), atol=1e-5, rtol=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["many.parquet", "one.parquet", "two.parquet"]


@pytest.mark.e2e
@pytest.mark.slow
def test_draws_are_made_in_parts_each_with_a_seed_of_its_own(alone: Path, tmp_path: Path) -> None:
    path = tmp_path / "draws.npy"
    said = CliRunner().invoke(app, ["sample", str(alone), "-n", "70000", "--seed", "3", "-o", str(path)])
    assert said.exit_code == 0 and "70,000 samples" in said.output
    flow, parts = sf.load(alone), []
    for number, (begin, end) in enumerate(sizes(70000, 65536)):
        with sf.seeded(seed_of(3, number)):
            parts.append(draws(flow, end - begin).numpy())
    assert np.array_equal(np.load(path), np.concatenate(parts)) and seed_of(3, 0) == 3 != seed_of(3, 1)


def test_files_joined_of_parts_are_the_file_written_at_once(tmp_path: Path) -> None:
    names = ["a", "b", "c"]
    for kind in ("csv", "parquet", "npy"):
        column = Column('two\n"lines', ColumnKind.NUMBER)
        parts = [np.arange(3.0), np.arange(3.0, 5.0), np.arange(5.0, 9.0)]
        files = [tmp_path / f"{name}.{kind}" for name in names]
        whole, joined = tmp_path / f"whole.{kind}", tmp_path / f"joined.{kind}"
        if kind == "npy":
            for file, part in zip(files, parts, strict=True):
                np.save(file, part)
            np.save(whole, np.concatenate(parts))
            join_arrays(files, joined)
        else:
            for file, part in zip(files, parts, strict=True):
                write_table(file, [(column, np.ma.masked_array(part))])
            with table_writer(whole) as write:
                for part in parts:
                    write([(column, np.ma.masked_array(part))])
            join_tables(files, joined)
        assert joined.read_bytes() == whole.read_bytes()
