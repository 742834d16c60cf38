"""The runner's side: workers that are asked in turn on one core, and medians with their errors."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median
from typing import Any, cast

from surflow.evaluation.results import Row

ROOT = Path(__file__).parent.parent

# The environment of a worker. One thread each; for XLA also one of Eigen's, and no pool beside it.
ONE_THREAD = os.environ | {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "NPROC": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1",
    "JAX_PLATFORMS": "cpu",
}


class WorkerError(RuntimeError):
    """A worker could not build or run its model."""


class Worker:
    """A process of `benchmarks.worker`, used in a `with`."""

    def __init__(
        self, case: str, model: str, python: str | Path = sys.executable, device: str = "cpu", **environment: str
    ) -> None:
        self.name = f"{model} in {case}"
        command = [str(python), "-m", "benchmarks.worker", case, model, device]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                env=ONE_THREAD | environment,
                cwd=ROOT,
            )
        except OSError as error:
            raise WorkerError(f"{self.name}: {error}") from None
        self.about = self._answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]
        self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]

    def ask(self, *words: str | int) -> Any:  # noqa: ANN401 -- a number, numbers or names, as the question has it
        """Send one line, return what the worker answers."""
        print(*words, file=self._process.stdin, flush=True)
        return self._answer()

    def check(self) -> None:
        """Raise WorkerError unless draws and scores are what they should be."""
        if not self.ask("sound"):
            raise WorkerError(f"{self.name}: draws or scores have wrong shapes or are not finite")

    def _answer(self) -> Any:  # noqa: ANN401 -- as of `ask`
        line = cast(Any, self._process.stdout).readline()
        answer = json.loads(line) if line else {"error": f"its process ended ({self._process.wait()})"}
        if isinstance(answer, Mapping) and "error" in answer:
            self.__exit__()
            raise WorkerError(f"{self.name}: {answer['error']}")
        return answer


@contextlib.contextmanager
def one_core() -> Iterator[None]:
    """Keep this process, and the workers that it starts, on one core, where the system can."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def summary(values: Sequence[float]) -> tuple[float, float]:
    """The median and its standard error for a normal distribution, 1.2533 sigma / sqrt(n), with sigma 1.4826 MAD."""
    middle = median(values)
    deviation = median(abs(value - middle) for value in values)
    return middle, 1.2533 * 1.4826 * deviation / len(values) ** 0.5


def row(case: str, model: str, metric: str, value: float, error: float | None, unit: str) -> Row:
    """A row of the results; everything is run with seed 0."""
    return Row(case=case, model=model, seed=0, metric=metric, value=value, error=error, unit=unit)


def add_versions(path: Path, versions: Mapping[str, str]) -> None:
    """Put the libraries' versions to the head of the results."""
    head, rows = path.read_text(encoding="utf-8").split(',\n "rows"', 1)
    content = json.loads(head + "}")
    content["versions"] |= {library: versions[library] for library in sorted(versions)}
    path.write_text(json.dumps(content, ensure_ascii=False, indent=1)[:-2] + ',\n "rows"' + rows, encoding="utf-8")
