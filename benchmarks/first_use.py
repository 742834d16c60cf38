"""What a user waits for once: the imports, the command line, and the first training step with its compilation."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.protocol import Worker, row, summary
from surflow.evaluation.results import Row

_CASE = "spline"


def measure(*, quick: bool) -> list[Row]:
    """Wall-clock times, each in a fresh process; all cores may be used."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        caches = _caches(Path(folder) / "cache")
        rows.append(_first_step("cold cache", **caches))
        rows.append(_first_step("warm cache", **caches))
        # No compiler to be found, and nothing compiled before.
        empty = Path(folder) / "empty"
        empty.mkdir()
        hidden = {"PATH": str(empty), "CXX": "/nonexistent", "CC": "/nonexistent"}
        rows.append(_first_step("no compiler", **_caches(Path(folder) / "other"), **hidden))
    repetitions = 2 if quick else 5
    surflow = Path(sys.executable).with_name("surflow")
    commands = {
        "import torch": [sys.executable, "-c", "import torch"],
        "import surflow": [sys.executable, "-c", "import surflow"],
        "surflow --help": [str(surflow), "--help"],
    }
    for name, command in commands.items():
        print(f"first use: {name}", flush=True)
        seconds, error = summary([_seconds(command) for _ in range(repetitions)])
        rows.append(row("first_use", "surflow", name, seconds, error, "s"))
    return rows


def _caches(folder: Path) -> dict[str, str]:
    """Wherever something compiled may be kept."""
    return {"TORCHINDUCTOR_CACHE_DIR": str(folder), "TORCH_EXTENSIONS_DIR": str(folder), "XDG_CACHE_HOME": str(folder)}


def _first_step(name: str, **environment: str) -> Row:
    print(f"first use: {name}", flush=True)
    with Worker(_CASE, "surflow-compiled", **environment) as worker:
        [ms] = worker.ask("once", "train_step")
        worker.check()
    return row("first_use", "surflow-compiled", f"first train_step, {name}", ms / 1000, None, "s")


def _seconds(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"})
    return time.perf_counter() - start
