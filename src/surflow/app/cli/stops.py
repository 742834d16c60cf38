"""Signals that end a command: what is said, the status that it ends with, and SLURM's requeue."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import typer

from surflow._internal.ranks import first_to_fail

# Of schedulers, of a closed terminal, of SLURM some time before the end. Ctrl-C has an exception of its own.
_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP", "SIGUSR1") if hasattr(signal, name)]


class Stopped(SystemExit):
    """A signal asked for the end; the status is that of a shell, 128 and the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__(128 + number)
        self.number = number


def end_in_order() -> None:
    """From now on a signal unwinds the command, so that nothing half written stays."""
    for number in _SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(number, _stop)


def end_as_decided() -> None:
    """From now on no signal changes how the command ends: Python puts the system's handlers back at its end."""
    if _stop in map(signal.getsignal, _SIGNALS):  # a command that is called by another program leaves that alone
        for number in (*_SIGNALS, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)


def _stop(number: int, _: FrameType | None) -> None:
    raise Stopped(number)


@contextmanager
def says_how_to_go_on() -> Iterator[list[Path]]:
    """Say it when a run is stopped, and put the job back into SLURM's queue if SLURM has asked by SIGUSR1.

    Gives a list for the folder of the run, once it is known.
    """
    begun: list[Path] = []
    try:
        yield begun
    except (KeyboardInterrupt, Stopped) as stop:
        end_as_decided()
        first_to_fail()  # others that this brings down have nothing to add
        number = stop.number if isinstance(stop, Stopped) else signal.SIGINT
        then = f"what {begun[0]} holds is kept, and the same command goes on with it" if begun else "no run was begun"
        typer.echo(f"stopped by {signal.Signals(number).name}: {then}", err=True)
        if number == getattr(signal, "SIGUSR1", None) and "SLURM_JOB_ID" in os.environ:
            _requeue()
        raise


def _requeue() -> None:
    task = os.environ.get("SLURM_ARRAY_TASK_ID")
    job = f"{os.environ['SLURM_ARRAY_JOB_ID']}_{task}" if task else os.environ["SLURM_JOB_ID"]
    command = shutil.which("scontrol")
    done = None if command is None else subprocess.run([command, "requeue", job], check=False)
    if done is not None and done.returncode == 0:
        typer.echo(f"job {job} is back in the queue", err=True)
    else:
        why = "there is no scontrol" if done is None else f"scontrol ended with status {done.returncode}"
        typer.echo(f"job {job} is not back in the queue, {why}: submit it again", err=True)
