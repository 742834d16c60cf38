"""Race surflow and its peers to a held-out likelihood: `python -m benchmarks.race.run [SET ...]`, or `make race`."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.protocol import ONE_THREAD, ROOT, WorkerError, add_versions, one_core, row
from benchmarks.race import page, sets
from benchmarks.race.worker import RECIPES
from surflow.evaluation.results import Row, write_results

_RECORD, _TRIAL = Path("docs/results/race.json"), Path("runs/race.json")
_SECONDS = 60.0


def main() -> None:
    """Parse the arguments, run every model on every set, and write results and page after each set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("sets", nargs="*", help=f"all by default: {', '.join(sets.RACE)}")
    parser.add_argument("--models", nargs="+", choices=RECIPES, default=list(RECIPES), help="these alone")
    parser.add_argument("--seconds", type=float, default=_SECONDS, help="processor time of a run at most")
    parser.add_argument("--jax", default=".venv-jax/bin/python", help="the Python that has flowjax")
    parser.add_argument("-o", "--output", type=Path, help=f"{_RECORD} for the whole, else {_TRIAL}")
    options = parser.parse_args()
    if unknown := [name for name in options.sets if name not in sets.SETS]:
        sys.exit(f"no set {unknown[0]!r}: expected some of {', '.join(sets.SETS)}")
    whole = not options.sets and options.models == list(RECIPES)
    output = options.output or (_RECORD if whole else _TRIAL)
    rows: list[Row] = []
    versions: dict[str, str] = {}
    chosen = options.sets or sets.RACE
    for i, name in enumerate(chosen):
        try:
            rows += _race(name, options, versions)
        except WorkerError as error:
            sys.exit(f"{error}\n`make race` installs what is compared; --models leaves a library out")
        # A record that was cut short says what makes its own rows again.
        done = [] if whole and i == len(chosen) - 1 else chosen[: i + 1]
        write_results(output, " ".join(["python -m benchmarks.race.run", *done, *_stated(options)]), rows)
        add_versions(output, versions)
    for path in page.write(output):
        print(path)


def _stated(options: argparse.Namespace) -> list[str]:
    """The options of a command that makes the same rows."""
    seconds = [] if options.seconds == _SECONDS else ["--seconds", f"{options.seconds:g}"]
    return seconds + ([] if options.models == list(RECIPES) else ["--models", *options.models])


def _race(name: str, options: argparse.Namespace, versions: dict[str, str]) -> list[Row]:
    """All models on one set, one after the other on one core."""
    splits = sets.SETS[name]()
    nats, unit = sets.unit(splits)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.npz"
        sets.write(splits, file)
        for model in options.models:
            if model == "sbi" and splits.context is None:
                continue  # it estimates posteriors
            print(f"{name}: {model}", flush=True)
            python = options.jax if model == "flowjax" else sys.executable
            *curve, about = _answers(python, str(file), name, model, str(options.seconds))
            versions[model] = about["version"]
            for i, point in enumerate(curve):
                rows.append(row(name, model, f"seconds {i}", point["seconds"], None, "s"))
                rows.append(row(name, model, f"nll {i}", point["nll"] / nats, point["error"] / nats, unit))
            rows.append(row(name, model, "ended by itself", float(about["ended"] == "itself"), None, ""))
    return rows


def _answers(python: str, *arguments: str) -> list[dict[str, Any]]:
    """What a worker said, a dictionary a line.

    Raises:
        WorkerError: if it did not come to its end.
    """
    command = [python, "-m", "benchmarks.race.worker", *arguments]
    try:
        with one_core():
            done = subprocess.run(command, capture_output=True, text=True, env=ONE_THREAD, cwd=ROOT)
    except OSError as error:
        raise WorkerError(f"{' '.join(arguments[1:3])}: {error}") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise WorkerError(f"{arguments[2]} on {arguments[1]}: its process ended ({done.returncode}): {last}")
    return [json.loads(line) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    main()
