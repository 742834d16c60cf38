"""Small tables of numbers beside normals: closed forms, and both files are written."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from surflow.evaluation import read_results
from surflow_experiments import numbers


def test_one_cloud_is_scored_as_its_normal() -> None:
    x = torch.randn(400, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * torch.tensor([1.0, 50.0])
    entropy = 1 + math.log(2 * math.pi) + math.log(50)
    assert -numbers._bic(x[:300], x[300:]).mean().item() == pytest.approx(entropy, abs=0.25)


def test_the_density_of_a_month_is_not_above_its_probability() -> None:
    x = torch.randint(12, (600, 1), generator=torch.Generator().manual_seed(0)).double()
    assert -numbers._bic(x[:400], x[400:]).mean().item() > math.log(12) - 0.2


@pytest.mark.e2e
@pytest.mark.parametrize("label", [None, "kind"])
def test_a_table_is_trained_and_recorded(label: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    random = np.random.default_rng(0)
    kind = random.integers(2, size=120)
    frame = pd.DataFrame({"a": kind * 3 + random.normal(size=120), "b": random.normal(size=120)})
    if label is not None:
        frame[label] = np.where(kind == 1, "x", "y")
    monkeypatch.setattr(numbers, "cases", lambda: iter([numbers.Case("clouds", frame, label)]))
    numbers.main(tmp_path, splits=1)
    rows = read_results(tmp_path / "numbers.json")["rows"]
    nats = {row["model"]: row["value"] for row in rows if row["metric"] == "nll"}
    assert len(nats) == 4 and max(nats["surflow train"], nats["Gaussian"]) < 5
    text = (tmp_path / "numbers.md").read_text(encoding="utf-8")
    assert f"{nats['Gaussian']:.2f}" in text and "| 120 | 2 |" in text
