"""Cells of an experiment: a case, a model, a seed; many side by side in processes, each kept in a file when done."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from surflow.errors import SurflowError
from surflow.evaluation.results import Row


@dataclass(frozen=True)
class Cell:
    """One run of an experiment.

    Attributes:
        case, model, seed: as in the rows of recorded results.
        spec: all that decides the outcome, in plain JSON; a kept cell with another one is run again.
        weight: how long it takes, roughly and relative to others: long ones start first.
    """

    case: str
    model: str
    seed: int
    spec: Mapping[str, Any]
    weight: float = 1.0

    def __str__(self) -> str:
        return f"{self.case} {self.model} seed {self.seed}"


@dataclass
class Outcome:
    """What a cell left: rows of results, and arrays to draw."""

    cell: Cell
    rows: list[Row]
    arrays: dict[str, np.ndarray] = field(default_factory=dict)

    def value(self, metric: str) -> float:
        return next(row["value"] for row in self.rows if row["metric"] == metric)


def run_cells(
    cells: Sequence[Cell], run: Callable[[Cell], Outcome], folder: Path, tell: Callable[[Outcome], str]
) -> list[Outcome]:
    """The outcomes of all cells, in their order: one process for each processor, one thread in each.

    Args:
        cells: what to run.
        run: runs one cell; a function of a module, because other processes import it.
        folder: holds one file for every cell that is done, which a second call reads instead of running the cell.
        tell: what to say of an outcome in the progress display.

    Raises:
        SurflowError: after all others are done, if cells failed; the message names them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    kept = {i: outcome for i, cell in enumerate(cells) if (outcome := _read(cell, folder)) is not None}
    console = Console()
    if kept:
        console.print(f"{len(kept)} of {len(cells)} cells are kept from an earlier run: remove {folder} to run all")
    todo = sorted((i for i in range(len(cells)) if i not in kept), key=lambda i: -cells[i].weight)
    failed: list[str] = []
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    progress = Progress(*columns, TextColumn("left"), TimeRemainingColumn(), console=console)
    # Processes are spawned, not forked: a fork copies the locks of torch's threads as they happen to be.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(os.cpu_count() or 1, max(1, len(todo))), context, _one_thread)
    with progress, pool:
        bar = progress.add_task("cells", total=len(todo))
        waiting = {pool.submit(_run_and_keep, cells[i], run, folder): i for i in todo}
        try:
            for future in as_completed(waiting):
                cell = cells[waiting[future]]
                try:
                    kept[waiting[future]] = outcome = future.result()
                    console.print(f"{cell}: {tell(outcome)}", highlight=False)
                except Exception as error:
                    failed.append(f"{cell}: {error}")
                    console.print(f"{cell} failed: {error}", highlight=False)
                progress.advance(bar)
        except KeyboardInterrupt:
            pool.shutdown(cancel_futures=True)
            raise
    if failed:
        raise SurflowError(f"{len(failed)} of {len(cells)} cells failed; the others are kept:\n" + "\n".join(failed))
    return [kept[i] for i in range(len(cells))]


def _one_thread() -> None:
    torch.set_num_threads(1)


def _run_and_keep(cell: Cell, run: Callable[[Cell], Outcome], folder: Path) -> Outcome:
    outcome = run(cell)
    path = _path(cell, folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_suffix(".npz").open("wb") as file:
        np.savez_compressed(file, **outcome.arrays)  # type: ignore[arg-type]
    # The JSON comes last and all at once: a cell that was killed while writing has none.
    unfinished = path.with_suffix(".unfinished")
    unfinished.write_text(json.dumps({"spec": cell.spec, "rows": outcome.rows}), encoding="utf-8")
    unfinished.replace(path)
    return outcome


def _path(cell: Cell, folder: Path) -> Path:
    return folder / cell.case / f"{cell.model}-{cell.seed}.json"


def _read(cell: Cell, folder: Path) -> Outcome | None:
    path = _path(cell, folder)
    if not path.exists():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if content["spec"] != json.loads(json.dumps(cell.spec)):
        return None
    with np.load(path.with_suffix(".npz")) as arrays:
        return Outcome(cell, content["rows"], dict(arrays))
