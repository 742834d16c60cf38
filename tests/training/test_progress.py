"""What a run says where there is no terminal: lines with the step, the time left and the losses; and a resumption."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import torch

import surflow as sf
from surflow.app import waiting as waiting_module
from surflow.app.waiting import waiting
from surflow.training import progress, record


def _run(folder: Path | None = None, **options: object) -> None:
    flow = sf.Flow([sf.Coupling(2, hidden=(4,))], base=sf.Normal(2))
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(0))
    sf.fit(flow, x, validation=0.2, batch_size=50, folder=folder, **options)  # type: ignore[arg-type]


def test_lines_tell_how_far_a_run_is(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    _run(steps=6, validate_every=2)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    for i, line in enumerate(lines, 1):
        assert re.match(rf"step {i} of 6, \d+ s gone, at most \d+ s left", line)
    assert re.search(r"train -?\d+\.\d{3} nats, validation -?\d+\.\d{3} nats$", lines[3])
    _run(steps=2, progress=False)
    assert capsys.readouterr().err == ""


def test_a_run_of_minutes_ends_in_time(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "_LINE_SECONDS", 0.0)
    _run(minutes=0.005)
    first = capsys.readouterr().err.splitlines()[0]
    assert re.match(r"step 1, 0 s gone, at most 0 s left", first)


def test_waiting_says_what_takes_long(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with waiting("reading a.csv"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(waiting_module, "_FIRST", 0.01)
    with waiting("reading a.csv"):
        time.sleep(0.2)
    assert "reading a.csv: 0 s so far" in capsys.readouterr().err


def test_a_resumption_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "CHECKPOINT_SECONDS", 0.0)
    calls = iter(range(100))

    def draw(n: int) -> torch.Tensor:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return torch.randn(n, 2)

    flow = sf.Flow([sf.Coupling(2, hidden=(4,))], base=sf.Normal(2))
    stopped = sf.fit(flow, draw, steps=6, batch_size=5, folder=tmp_path, progress=False)
    capsys.readouterr()
    assert sf.fit(flow, draw, steps=6, batch_size=5, folder=tmp_path).steps == 6
    said = capsys.readouterr().err
    assert re.search(rf"^goes on from step {stopped.steps}, after \d+ s of training$", said, re.MULTILINE)
