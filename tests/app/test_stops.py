"""What a command that is told to stop says, and what it tells SLURM."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from surflow.app.cli.stops import Stopped, says_how_to_go_on


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("task", ["", "3"])
def test_slurm_gets_its_job_back_from_the_first_line_on(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    number: signal.Signals,
    known: bool,
    task: str,
) -> None:
    """Also before it is known which folder the run has; with SIGUSR1 alone."""
    (tmp_path / "scontrol").write_text('#!/bin/sh\necho "told: $@"\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("SLURM_JOB_ID", "79")
    if task:
        monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "77")
        monkeypatch.setenv("SLURM_ARRAY_TASK_ID", task)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(Stopped) as stop, says_how_to_go_on() as begun:
        if known:
            begun.append(Path("runs/a-1"))
        raise Stopped(number)
    assert stop.value.code == 128 + number
    said = capfd.readouterr()
    assert f"stopped by {number.name}: " in said.err and ("runs/a-1" in said.err) == known
    job = "77_3" if task else "79"
    told = f"told: requeue {job}\n" if number == signal.SIGUSR1 else ""
    assert said.out == told and (f"job {job} is back in the queue" in said.err) == bool(told)
    assert signal.getsignal(signal.SIGINT) is handler  # of the program that called
