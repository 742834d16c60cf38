"""Two runs in one folder."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"}
pytestmark = [pytest.mark.e2e, pytest.mark.slow]


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
