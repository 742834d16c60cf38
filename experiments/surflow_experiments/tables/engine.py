"""The engine of MOSTLY AI, in an environment of its own: trained, and drawn from, by another process."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd

from surflow.data import read_rows
from surflow.data.tables.columns import decode
from surflow.errors import DataError
from surflow_experiments.tables.data import Rows
from surflow_experiments.tables.marginals import Array

# Names the Python of an environment in which mostlyai-engine is installed.
VARIABLE = "SURFLOW_MOSTLYAI"
_SCRIPT = """
import json, sys, time
import pandas as pd, torch
torch.set_num_threads(1)
from mostlyai.engine import TabularARGN
table, n, minutes, seed, out = sys.argv[1], *map(float, sys.argv[2:5]), sys.argv[5]
rows = pd.read_parquet(table)
model = TabularARGN(max_training_time=minutes, random_state=int(seed), device="cpu")
started = time.process_time()
model.fit(rows)
seconds = time.process_time() - started
model.sample(n_samples=100)
started = time.process_time()
drawn = model.sample(n_samples=int(n))
drawing = time.process_time() - started
drawn.to_csv(out, index=False)
print("facts " + json.dumps({"seconds": seconds, "rows_per_second_drawing": n / drawing}))
"""


def python() -> str | None:
    """The Python of the engine's environment, if the variable names one."""
    found = os.environ.get(VARIABLE)
    return found if found and Path(found).exists() else None


class Engine:
    """TabularARGN of the package mostlyai-engine, with its defaults, for minutes of its own clock.

    It makes bins of numbers and protects rare values, so that it has no density that could be compared: only its draws
    are. It holds out validation rows itself, and so is given those of training and of validation.

    Args:
        rows: the table.
        minutes: of training.
        draws: how many rows are drawn.
        seed: of the engine.

    Raises:
        DataError: if it fails, with the end of what it said.
    """

    def __init__(self, rows: Rows, minutes: float, draws: int, seed: int) -> None:
        executable = python()
        if executable is None or rows.schema is None:
            raise DataError(f"{VARIABLE} names no Python with mostlyai-engine")
        x = np.concatenate([rows.train.numpy(), rows.validation.numpy()])
        known = {column.name: _typed(decode(column, x[:, i])) for i, column in enumerate(rows.schema.columns)}
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            pd.DataFrame(known).to_parquet(folder / "rows.parquet")
            (folder / "run.py").write_text(_SCRIPT, encoding="utf-8")
            told = [folder / "run.py", folder / "rows.parquet", draws, minutes, seed, folder / "drawn.csv"]
            done = subprocess.run([executable, *map(str, told)], capture_output=True, text=True, check=False)
            said = [line for line in done.stdout.splitlines() if line.startswith("facts ")]
            if done.returncode or not said:
                raise DataError(f"mostlyai-engine failed: {(done.stderr or done.stdout)[-2000:]}")
            self.facts: dict[str, float] = json.loads(said[0].removeprefix("facts "))
            part = read_rows(folder / "drawn.csv", rows.schema.names, schema=rows.schema, support=rows.support)
        self._drawn = part.x.numpy()

    def sample(self, n: int, seed: int) -> Array:
        """Rows (n, D) of those that were drawn, by chance."""
        return self._drawn[np.random.default_rng(seed).permutation(len(self._drawn))[:n]]


def _typed(values: np.ma.MaskedArray) -> pd.Series:
    found = pd.Series(values.data).astype(object)
    found[np.ma.getmaskarray(values)] = None
    return found.infer_objects()
