"""How time and memory grow with size, batch, depth and importance samples: surflow alone."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from benchmarks.cases import affine, layers
from benchmarks.protocol import Worker, one_core, row, summary
from surflow.evaluation.results import Row

SIZES = affine.SIZES | layers.SIZES
_BUDGET_MS = 2000


def action(axis: str) -> str:
    """What is timed along an axis."""
    return "log_prob" if axis == "importance" else "train_step"


def measure(*, quick: bool) -> list[Row]:
    """A fresh process for every point, since memory once taken is not given back."""
    rows = []
    for axis, sizes in SIZES.items():
        times, peaks = [], []
        for size in sizes:
            print(f"scaling: {axis} {size}", flush=True)
            with one_core(), Worker(f"scaling.{axis}.{size}", "surflow") as worker:
                [first] = worker.ask(action(axis), 1)
                repetitions = 3 if quick else min(30, max(5, round(_BUDGET_MS / first)))
                time, error = summary(worker.ask(action(axis), repetitions))
                peak = worker.ask("peak_memory")
            times.append(time)
            peaks.append(peak)
            rows.append(row("scaling", f"{axis}={size}", action(axis), time, error, "ms"))
            rows.append(row("scaling", f"{axis}={size}", "peak_memory", peak, None, "MB"))
        for metric, values in {action(axis): times, "peak_memory": peaks}.items():
            slope, spread = exponent(sizes, values)
            rows.append(row("scaling", axis, f"{metric}_exponent", slope, spread, "power"))
    return rows


def exponent(sizes: Sequence[int], values: Sequence[float]) -> tuple[float, float | None]:
    """The power of size that the values grow with over the upper half of the range, and its standard error."""
    start = math.sqrt(sizes[0] * sizes[-1])
    upper = [(size, value) for size, value in zip(sizes, values, strict=True) if size >= start]
    if any(value <= 0 for _, value in upper):
        return math.nan, None  # less memory than a page, or the system does not tell
    x, y = np.log(np.array(upper)).T
    if len(x) < 3:
        return float(np.polyfit(x, y, 1)[0]), None
    (slope, level) = np.polyfit(x, y, 1)
    residual = y - (slope * x + level)
    return float(slope), float(np.sqrt((residual**2).sum() / (len(x) - 2) / ((x - x.mean()) ** 2).sum()))
