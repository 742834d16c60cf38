"""The benchmarks run, compare models of one size, and write what they measured."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.run", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_quick_comparison_leaves_results_a_table_and_pictures(tmp_path: Path) -> None:
    output = tmp_path / "benchmark.json"
    done = _run("affine", "layers.dequantize", "--models", "surflow", "limit", "bare", "--quick", "-o", str(output))
    assert done.returncode == 0, done.stderr
    rows = {(row["case"], row["model"], row["metric"]): row["value"] for row in json.loads(output.read_text())["rows"]}
    steps = [rows["affine", model, "train_step"] for model in ("surflow", "limit")]
    assert 0 < steps[1] < steps[0]  # nothing beats its own matrix products
    # Ten networks 1 -> 64 -> ... -> 64 -> 2.
    assert rows["affine", "surflow", "parameters"] == 10 * (2 * 64 + 4 * 65 * 64 + 65 * 2)
    assert "| limit |" in (tmp_path / "benchmark.md").read_text()
    assert (tmp_path / "benchmark" / "affine.png").stat().st_size > 1000


def test_an_unknown_case_and_a_library_that_is_missing_are_named() -> None:
    assert "expected some of affine" in _run("afine").stderr
    missing = _run("affine", "--models", "flowjax", "--quick", "--jax", "/nonexistent/python")
    assert missing.returncode != 0 and "make bench" in missing.stderr
