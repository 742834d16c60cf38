"""Measure surflow beside its peers: `python -m benchmarks.run [CASE ...]`, or all of it with `make bench`."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch

from benchmarks import cases, first_use, protocol, scaling, show
from benchmarks.model import BOUNDS, TOLERANCE, Case
from benchmarks.protocol import Worker, WorkerError, row, summary
from surflow.evaluation.results import Row, write_results

_RECORD, _TRIAL = Path("docs/results/benchmark.json"), Path("runs/benchmark.json")
_ROUNDS, _PER_ROUND = 6, 5
_ALONE = {"scaling": scaling.measure, "first_use": first_use.measure}


def main() -> None:
    """Parse the arguments, measure, write the results, their table and their pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"all by default: {', '.join([*cases.COMPARED, *_ALONE])}")
    parser.add_argument("--models", nargs="+", help="these libraries only; all that a case has by default")
    parser.add_argument("--quick", action="store_true", help="three repetitions of everything, to see that it works")
    parser.add_argument("--jax", default=".venv-jax/bin/python", help="the Python that has flowjax")
    parser.add_argument("--device", default="cpu", help="cuda measures the libraries on torch on a GPU")
    parser.add_argument("-o", "--output", type=Path, help=f"{_RECORD} for the whole, else {_TRIAL}")
    options = parser.parse_args()
    chosen = _chosen(options.cases, [*cases.COMPARED, *_ALONE])
    whole = not (options.cases or options.models or options.quick or options.device != "cpu")
    rows: list[Row] = []
    versions: dict[str, str] = {}
    try:
        for name in chosen:
            if name in _ALONE:
                rows += _ALONE[name](quick=options.quick)
                continue
            with protocol.one_core():
                rows += _compare(name, cases.COMPARED[name], options, versions)
    except WorkerError as error:
        sys.exit(f"{error}\n`make bench` installs what is compared; --models leaves a library out")
    output = options.output or (_RECORD if whole else _TRIAL)
    write_results(output, " ".join(["python -m benchmarks.run", *sys.argv[1:]]), rows)
    protocol.add_versions(output, versions)
    for path in show.write(output):
        print(path)


def _chosen(asked: Iterable[str], known: list[str]) -> list[str]:
    """The cases that were asked for; `layers` is all of its parts."""
    chosen = []
    for name in asked:
        found = [case for case in known if case == name or case.startswith(f"{name}.")]
        if not found:
            sys.exit(f"no case {name!r}: expected some of {', '.join(known)}")
        chosen += found
    return chosen or known


def _compare(name: str, case: Case, options: argparse.Namespace, versions: dict[str, str]) -> list[Row]:
    """All models of a case in turn, round by round, so that a slow minute of the machine is slow for all."""
    models = [model for model in case.builders if options.models is None or model in options.models]
    if options.device != "cpu":
        models = [model for model in models if model != "flowjax"]
        versions["device"] = torch.cuda.get_device_name()
    pythons = {model: options.jax if model == "flowjax" else sys.executable for model in models}
    rows: list[Row] = []
    times: dict[str, dict[str, list[float]]] = {model: {} for model in models}
    with contextlib.ExitStack() as stack:
        workers = {model: stack.enter_context(Worker(name, model, pythons[model], options.device)) for model in models}
        about = {model: worker.about for model, worker in workers.items()}
        _check_sizes(name, case, about)
        for model, facts in about.items():
            versions[facts["library"]] = facts["version"]
            rows.append(row(name, model, "parameters", facts["parameters"], None, "numbers"))
            rows.append(row(name, model, "multiply_adds", facts["multiply_adds"], None, "per pass"))
        for worker in workers.values():
            worker.check()
        actions = ["train_step", "sample"] if name.startswith("layers.") else ["train_step", "log_prob", "sample"]
        for turn in range(1 if options.quick else _ROUNDS):
            print(f"{name}: round {turn + 1}, {', '.join(models)}", flush=True)
            for model, worker in workers.items():
                for action in actions:
                    more = worker.ask(action, 3 if options.quick else _PER_ROUND)
                    times[model].setdefault(action, []).extend(more)
    for model in models:
        rows += [row(name, model, action, *summary(values), "ms") for action, values in times[model].items()]
        # In a process of its own that only trains.
        with Worker(name, model, pythons[model], options.device) as worker:
            worker.ask("train_step", 3 if options.quick else 10)
            rows.append(row(name, model, "peak_memory", worker.ask("peak_memory"), None, "MB"))
    return rows


def _check_sizes(name: str, case: Case, about: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse to compare models of different size."""
    peers = [model for model in about if model not in BOUNDS]
    for model in peers[1:]:
        for fact in ("parameters", "multiply_adds"):
            ours, theirs = about[peers[0]][fact], about[model][fact]
            allowed = case.tolerance.get(model, TOLERANCE)
            if abs(theirs - ours) > allowed * ours:
                raise WorkerError(
                    f"{model} in {name} has {theirs:,} {fact}, {peers[0]} {ours:,}: more than {allowed:.0%} apart, "
                    "state the reason in the case's tolerance or make them equal"
                )


if __name__ == "__main__":
    main()
