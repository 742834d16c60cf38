"""Cells of an experiment: a case, a model, a seed; many side by side in processes, each kept in a file when done."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from threadpoolctl import threadpool_limits

from surflow._internal.files import make_folder, write_text, written_whole
from surflow.evaluation.results import Row, versions

# Which share of its cells an experiment runs in this process, of how many.
_SHARD: ContextVar[tuple[int, int] | None] = ContextVar("_SHARD", default=None)

# What a trial finds: the metric, its value, a standard error or None, the unit.
Found = tuple[str, float, float | None, str]


@dataclass(frozen=True)
class Cell:
    """One run of an experiment.

    Attributes:
        case, model, seed: as in the rows of recorded results.
        spec: all that decides the outcome but the code itself, in plain JSON; a kept cell with another one, or made by
            other versions of the packages, is run again.
        weight: how long it takes, roughly and relative to others: long ones start first.
    """

    case: str
    model: str
    seed: int
    spec: Mapping[str, Any]
    weight: float = 1.0

    def __str__(self) -> str:
        return f"{self.case} {self.model} seed {self.seed}"

    def outcome(self, found: Iterable[Found], arrays: dict[str, np.ndarray] | None = None) -> Outcome:
        """The outcome with a row for everything that was found."""
        rows = [
            Row(case=self.case, model=self.model, seed=self.seed, metric=metric, value=value, error=error, unit=unit)
            for metric, value, error, unit in found
        ]
        return Outcome(self, rows, arrays or {})


@dataclass
class Outcome:
    """What a cell left: rows of results, and arrays to draw."""

    cell: Cell
    rows: list[Row]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def value(self, metric: str) -> float:
        found = {row["metric"]: row["value"] for row in self.rows}
        if metric not in found:
            raise KeyError(f"{self.cell} has no metric {metric!r}")
        return found[metric]


class ShardDone(Exception):
    """A share of the cells is kept, but for those that failed: there is nothing to record before all are."""

    def __init__(self, failed: list[str]) -> None:
        super().__init__("a share of the cells is kept")
        self.failed = failed


@contextmanager
def only(number: int, of: int) -> Iterator[None]:
    """Within the block :func:`run_cells` runs a share of the cells and raises :class:`ShardDone`.

    Args:
        number: of the share, from 1.
        of: how many shares there are; together they are all cells, each in one of them.
    """
    token = _SHARD.set((number, of))
    try:
        yield
    finally:
        _SHARD.reset(token)


def share_of(cells: Sequence[Cell], number: int, of: int) -> list[Cell]:
    """A share of the cells: the longest are dealt first, so that all shares take about as long."""
    return sorted(cells, key=lambda cell: -cell.weight)[number - 1 :: of]


def run_cells(
    cells: Sequence[Cell], run: Callable[[Cell], Outcome], folder: Path, tell: Callable[[Outcome], str]
) -> tuple[list[Outcome], list[str]]:
    """The outcomes of the cells, in their order, and what is to be said of those that failed.

    One process runs for each processor that this one may use, with one thread in each.

    Args:
        cells: what to run.
        run: runs one cell; a function of a module, because other processes import it.
        folder: holds one file for every cell that is done, which a second call reads instead of running the cell.
        tell: what to say of an outcome in the progress display.

    Raises:
        ShardDone: within :func:`only`, when its share is done.
    """
    shard = _SHARD.get()
    if shard is not None:
        cells = share_of(cells, *shard)
    make_folder(folder)
    done = {i: outcome for i, cell in enumerate(cells) if (outcome := _read(cell, folder)) is not None}
    console = Console(markup=False, highlight=False, soft_wrap=True)
    if done:
        console.print(f"{len(done)} of {len(cells)} cells are kept from an earlier run: remove {folder} to run all")
    todo = sorted((i for i in range(len(cells)) if i not in done), key=lambda i: -cells[i].weight)
    failed: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console)
    # Processes are spawned, not forked: a fork copies the locks of torch's threads as they happen to be.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(_processors(), max(1, len(todo))), context, _start_worker)
    with progress, pool:
        bar = progress.add_task("cells", total=len(todo))
        waiting = {pool.submit(_run_and_keep, cells[i], run, folder): i for i in todo}
        try:
            for future in as_completed(waiting):
                i = waiting[future]
                try:
                    done[i] = future.result()
                    console.print(f"{cells[i]}: {tell(done[i])}")
                except BrokenProcessPool:
                    left = len(todo) - len([i for i in todo if i in done]) - len(failed)
                    failed.append(f"a process was killed, perhaps for memory: {left} cells were not run")
                    break
                except Exception as error:
                    failed.append(f"{cells[i]}: {type(error).__name__}: {error}")
                    console.print(f"failed: {failed[-1]}\n{error.__cause__ or ''}")
                progress.advance(bar)
        except KeyboardInterrupt:
            for process in multiprocessing.active_children():
                process.terminate()
            console.print("interrupted; the cells that are done are kept")
            raise
    if shard is not None:
        raise ShardDone(failed)
    return [done[i] for i in sorted(done)], failed


def _processors() -> int:
    """How many processors there are for this process: a job on a cluster has a part of its machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _start_worker() -> None:
    torch.set_num_threads(1)
    threadpool_limits(1)
    # Ctrl-C ends a worker at once, where Python would hand it the next cell first.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    """A worker whose parent was killed would go on with cells that nobody waits for, beside the next run's."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


# -- files ----------------------------------------------------------------------------------------------------


def _run_and_keep(cell: Cell, run: Callable[[Cell], Outcome], folder: Path) -> Outcome:
    outcome = run(cell)
    path = _path(cell, folder)
    make_folder(path.parent)
    # The JSON goes first and comes last: while a cell is being written, it is as good as not there.
    path.unlink(missing_ok=True)
    with written_whole(path.with_suffix(".npz")) as scratch:
        np.savez_compressed(scratch, **outcome.arrays)  # type: ignore[arg-type]
    content = {"spec": cell.spec, "versions": versions(), "rows": outcome.rows}
    write_text(path, json.dumps(content))
    return outcome


def _path(cell: Cell, folder: Path) -> Path:
    return folder / cell.case / f"{cell.model}-{cell.seed}.json"


def _read(cell: Cell, folder: Path) -> Outcome | None:
    """The cell's outcome, if one is kept that this code would make again."""
    path = _path(cell, folder)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if (content["spec"], content["versions"]) != (json.loads(json.dumps(cell.spec)), versions()):
            return None
        with path.with_suffix(".npz").open("rb") as file, np.load(file) as arrays:
            return Outcome(cell, content["rows"], dict(arrays))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return None
