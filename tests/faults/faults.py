"""Runs of `surflow train` that meet a fault at a point in the sequence of their file operations, and their ends.

Operations are what changes files in the folder of a run, in their order: a file opened for writing, bytes that go into
it, a rename, a removal, a folder made, a sync. "kill" is SIGKILL in place of an operation, or with half of its bytes
written; "full" is a disk that is full from an operation on. Then the same command is repeated without a fault.

    python tests/faults/faults.py [POINTS]       all of them, or so many, evenly spaced; `make faults`
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
import tempfile
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import safetensors.torch

from surflow._internal import files
from surflow.app import cli, page, report, runs  # noqa: F401 -- imported before processes are forked
from surflow.training import fitting, record  # noqa: F401

TRAIN = ["train", "rows.csv", "--steps", "3", "--batch-size", "32", "--seed", "1", "--out", "run"]


class Fault:
    """Counts the file operations of a process in a folder, and breaks in at one of them."""

    def __init__(self, folder: Path, kind: str, point: int) -> None:
        self.folder, self.kind, self.point = os.path.realpath(folder) + os.sep, kind, point
        self.done = 0

    def meets(self, *, writes: bool = True) -> None:
        number, self.done = self.done, self.done + 1
        if self.kind == "kill" and number == self.point:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.kind == "full" and number >= self.point and writes:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def inside(self, path: Any) -> bool:
        return isinstance(path, str | os.PathLike) and os.path.realpath(path).startswith(self.folder)

    def install(self) -> None:
        """For good: the process is one for the fault."""
        fault, real_open, fsync = self, builtins.open, os.fsync

        def audited(event: str, arguments: tuple[Any, ...]) -> None:
            if event == "open":
                path, _, flags = arguments
                changes = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
                if (flags or 0) & changes and fault.inside(path):
                    fault.meets()
            elif event in ("os.rename", "os.remove", "os.rmdir", "os.mkdir") and fault.inside(arguments[0]):
                fault.meets(writes=event == "os.mkdir")

        class Written(io.FileIO):
            def write(self, data: Any) -> int:
                fault.meets()
                view = memoryview(data).cast("B")
                written = super().write(view[: len(view) // 2])
                fault.meets()  # here half of them are in the file
                return written + super().write(view[len(view) // 2 :])

        def opened(file: Any, mode: str = "r", buffering: int = -1, encoding: Any = None, errors: Any = None,
                   newline: Any = None, closefd: bool = True, opener: Any = None) -> Any:  # fmt: skip
            if not fault.inside(file) or not set(mode) & set("wax+"):
                return real_open(file, mode, buffering, encoding, errors, newline, closefd, opener)
            raw = Written(file, mode.replace("b", "").replace("t", ""), closefd, opener)
            buffer: Any = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
            return buffer if "b" in mode else io.TextIOWrapper(buffer, encoding, errors, newline)

        def save_file(tensors: Any, path: Any, header: Any = None) -> None:  # Rust writes where no hook sees it
            fault.meets()
            safetensors.torch.save_file(tensors, path, header)
            if fault.kind == "kill" and fault.done == fault.point:
                os.truncate(path, os.path.getsize(path) // 2)
            fault.meets()

        def synced(descriptor: int) -> None:
            if fault.inside(os.readlink(f"/proc/self/fd/{descriptor}") + os.sep + "x"):
                fault.meets()
            fsync(descriptor)

        builtins.open = io.open = opened  # type: ignore[assignment]
        files.save_file = save_file  # type: ignore[assignment]
        os.fsync = synced
        sys.addaudithook(audited)


def run(folder: Path, kind: str, point: int, command: list[str]) -> tuple[int, str, int]:
    """The status of a command in a process of its own, negative for a signal, what it printed, its operations."""
    said = folder.with_suffix(".said")
    child = os.fork()
    if not child:
        status = 1
        try:
            output = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(output, 1)
            os.dup2(output, 2)
            sys.stdout, sys.stderr = (os.fdopen(n, "w", buffering=1) for n in (1, 2))
            os.chdir(folder)
            # Each step leaves a checkpoint and a row of the log.
            record.CHECKPOINT_SECONDS = record._LOG_SECONDS = 0.0
            fault = Fault(folder, kind, point)
            fault.install()
            sys.argv = ["surflow", *command]
            try:
                cli.main()
            except SystemExit as end:
                status = int(end.code or 0)
            print(f"operations: {fault.done}", file=sys.stderr)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(status)
    _, ended = os.waitpid(child, 0)
    text = said.read_text()
    count = text.rpartition("operations: ")[2]
    return os.waitstatus_to_exitcode(ended), text, int(count) if count.strip().isdigit() else -1


def prepared(folder: Path) -> Path:
    """A new folder with data to train on."""
    folder.mkdir(parents=True)
    rows = [f"{i * 37 % 101 / 10},{(i * i) % 89 / 7}" for i in range(90)]
    (folder / "rows.csv").write_text("\n".join(["a,b", *rows]) + "\n")
    return folder


def killed(folder: Path, point: int, weights: bytes) -> str:
    """What is wrong after a kill and the same command; nothing if nothing is."""
    status, said, _ = run(prepared(folder), "kill", point, TRAIN)
    return _end(folder, weights) if status == -signal.SIGKILL else f"not killed: status {status}: {said}"


def filled(folder: Path, point: int, weights: bytes) -> str:
    """What is wrong after a full disk, and the same command on one with room."""
    status, said, _ = run(prepared(folder), "full", point, TRAIN)
    if status != 2 or "Traceback" in said:
        return f"not refused in words: status {status}: {said}"
    message = said.rpartition("error: ")[2]
    if "run" not in message or "No space left on device" not in message:
        return f"no path or no reason: {message}"
    left = [str(p) for p in (folder / "run").rglob("*.part*")]
    return f"left {left}" if left else _end(folder, weights)


def _end(folder: Path, weights: bytes) -> str:
    status, said, _ = run(folder, "none", 0, TRAIN)
    if status != 0:
        return f"the same command: status {status}: {said}"
    if (folder / "run" / "model.safetensors").read_bytes() != weights:
        return "other weights"
    left = [p.name for p in (folder / "run").rglob("*") if ".part" in p.name or p.name.startswith("checkpoint")]
    report_page = folder / "run" / "report.html"
    whole = report_page.exists() and report_page.read_text().rstrip().endswith("</html>")
    return f"left {left}" if left else "" if whole else "no report"


def sweep(points: int | None = None) -> int:
    """Print what becomes of runs with faults at so many points, and return how many end in another way."""
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        status, said, operations = run(prepared(Path(scratch) / "whole"), "none", 0, TRAIN)
        assert status == 0, said
        weights = (Path(scratch) / "whole" / "run" / "model.safetensors").read_bytes()
        chosen = range(operations) if points is None else [operations * i // points for i in range(points)]
        faults: dict[str, Callable[[Path, int, bytes], str]] = {"kill": killed, "full": filled}
        for name, meet in faults.items():
            found = {point: meet(Path(scratch) / f"{name}-{point}", point, weights) for point in chosen}
            bad = {point: said for point, said in found.items() if said}
            for point, said in bad.items():
                print(f"{name} at {point}: {said}")
            good = len(found) - len(bad)
            print(
                f"{name}: {good} of {len(found)} points (of {operations}) end like the run without a fault", flush=True
            )
            wrong += len(bad)
    return wrong


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    sys.exit(min(1, sweep(int(sys.argv[1]) if len(sys.argv) > 1 else None)))
