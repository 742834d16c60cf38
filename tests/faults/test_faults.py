"""A few of the points of `make faults`, runs that are told to stop, and two in one folder."""

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


def test_runs_that_meet_a_kill_or_a_full_disk_end_like_others() -> None:
    done = subprocess.run([sys.executable, HERE / "faults.py", "4"], env=ENVIRONMENT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def _train(folder: Path, out: str, steps: int, **environment: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "surflow", "train", "rows.csv", "--steps", str(steps), "--batch-size", "32",
               "--out", out]  # fmt: skip
    return subprocess.Popen(
        command,
        cwd=folder,
        env={**ENVIRONMENT, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def _write_rows(folder: Path) -> None:
    rows = [f"{i * 37 % 101 / 10},{(i * i) % 89 / 7}" for i in range(90)]
    (folder / "rows.csv").write_text("\n".join(["a,b", *rows]) + "\n")


def _begun(run: Path) -> None:
    """Wait until a run trains."""
    until = time.monotonic() + 300
    while not (run / "log.csv").exists():
        assert time.monotonic() < until
        time.sleep(0.01)
    time.sleep(0.3)


@pytest.mark.parametrize("name, status", [("SIGTERM", 143), ("SIGINT", 130), ("SIGHUP", 129), ("SIGUSR1", 138)])
def test_a_run_that_is_told_to_stop_goes_on_bit_for_bit(tmp_path: Path, name: str, status: int) -> None:
    _write_rows(tmp_path)
    (tmp_path / "bin").mkdir()
    scontrol = tmp_path / "bin" / "scontrol"
    scontrol.write_text(f"#!/bin/sh\necho $@ > {tmp_path}/requeued\n")
    scontrol.chmod(0o755)
    slurm = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}", "SLURM_JOB_ID": "77", "SLURM_NTASKS": "1",
             "SLURM_JOB_NAME": "train", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NODEID": "0"}  # fmt: skip
    slurm = slurm if name == "SIGUSR1" else {}
    steps = 4000
    first = _train(tmp_path, "run", steps, **slurm)
    _begun(tmp_path / "run")
    first.send_signal(getattr(signal, name))
    _, said = first.communicate(timeout=300)
    assert first.returncode == status, said
    assert f"stopped by {name}: what run holds is kept, and the same command goes on with it" in said
    stopped = re.search(r"interrupted after (\d+) steps", said)
    assert stopped is not None and 0 < int(stopped[1]) < steps
    if slurm:
        assert (tmp_path / "requeued").read_text() == "requeue 77\n" and "job 77 is back in the queue" in said
    again, whole = _train(tmp_path, "run", steps, **slurm), _train(tmp_path, "whole", steps)
    for process in (again, whole):
        assert process.communicate(timeout=500)[1] is not None and process.returncode == 0
    models = [(tmp_path / out / "model.safetensors").read_bytes() for out in ("run", "whole")]
    assert models[0] == models[1] and (tmp_path / "run" / "report.html").exists()


def test_of_two_runs_in_one_folder_one_is_refused(tmp_path: Path) -> None:
    _write_rows(tmp_path)
    first = _train(tmp_path, "run", 10**7)
    try:
        _begun(tmp_path / "run")
        second = _train(tmp_path, "run", 10**7)
        assert "another process is writing into the folder run" in second.communicate(timeout=300)[1]
        assert second.returncode == 2
    finally:
        first.kill()
        first.communicate()
