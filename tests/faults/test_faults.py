"""A few of the points of `make faults`, commands that are told to stop, and two runs in one folder."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
pytestmark = [pytest.mark.e2e, pytest.mark.slow]

# Some seconds of training, which no patience ends before; the log is written early in them.
STEPS = 1500
SURFLOW = """
import runpy
from surflow.training import record
record._LOG_SECONDS = 0.1
runpy.run_module("surflow", run_name="__main__", alter_sys=True)
"""
LONG = '[model]\npreset = "auto"\n\n[training]\npatience = 1000000\n'


def test_runs_that_meet_a_fault_end_like_others() -> None:
    done = subprocess.run([sys.executable, HERE / "faults.py", "4"], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with rows, a scontrol that notes what it is told, and a run that nobody stopped."""
    folder = tmp_path_factory.mktemp("home")
    rows = [f"{i * 37 % 101 / 10},{(i * i) % 89 / 7}" for i in range(90)]
    (folder / "rows.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    (folder / "long.toml").write_text(LONG)
    (folder / "bin").mkdir()
    (folder / "bin" / "scontrol").write_text(f"#!/bin/sh\necho $@ > {folder}/told\n")
    (folder / "bin" / "scontrol").chmod(0o755)
    assert _ended(_train(folder, "whole"))[0] == 0
    return folder


def _train(folder: Path, out: str, steps: int = STEPS, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", SURFLOW, "train", "rows.csv", "--model", "long.toml", "--steps", str(steps),
               "--batch-size", "32", "--out", out]  # fmt: skip
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # which in the background is ignored
    )


def _ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    said = process.communicate(timeout=600)[1]
    return process.returncode, said


def _wait_for(process: subprocess.Popen[str], path: Path, text: str = "") -> None:
    while not path.exists() or text not in path.read_text():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129), ("SIGUSR1", 138)])
def test_a_run_that_is_told_to_stop_goes_on_bit_for_bit(home: Path, name: str, status: int) -> None:
    slurm = {"PATH": f"{home}/bin:{os.environ['PATH']}", "SLURM_JOB_ID": "77", "SLURM_NTASKS": "1",
             "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}  # fmt: skip
    first = _train(home, name, **slurm)
    _wait_for(first, home / name / "log.csv", ",train,")
    first.send_signal(getattr(signal, name))
    code, said = _ended(first)
    assert code == status, said
    assert f"stopped by {name}: what {name} holds is kept, and the same command goes on with it" in said
    steps = re.search(r"interrupted after (\d+) steps", said)
    assert steps is not None and 0 < int(steps[1]) < STEPS
    assert ("job 77 is back in the queue" in said) == (home / "told").exists() == (name == "SIGUSR1")
    if name == "SIGUSR1":
        assert (home / "told").read_text() == "requeue 77\n"
    assert _ended(_train(home, name, **slurm))[0] == 0
    models = [(home / run / "model.safetensors").read_bytes() for run in (name, "whole")]
    assert models[0] == models[1] and (home / name / "report.html").exists()


def test_a_signal_after_the_last_line_changes_nothing(home: Path) -> None:
    process = _train(home, "whole", PYTHONUNBUFFERED="1")
    assert process.stdout is not None
    while not process.stdout.readline().startswith("report: "):
        assert process.poll() is None
    time.sleep(0.02)
    process.send_signal(signal.SIGUSR1)
    code, said = _ended(process)
    # Either the command was still at its end, which it says, or it had ended.
    assert (code, said) == (0, "") or (code == 138 and "stopped by SIGUSR1" in said)


def test_of_two_runs_in_one_folder_one_is_refused(home: Path) -> None:
    first = _train(home, "run", 10**7)
    try:
        _wait_for(first, home / "run" / "log.csv")
        code, said = _ended(_train(home, "run", 10**7))
        assert code == 2 and "another process is writing into the folder run" in said
    finally:
        first.kill()
        first.communicate()
