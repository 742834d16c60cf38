"""One model of one library in a process of its own: `python -m benchmarks.worker CASE MODEL DEVICE`.

It prints one line of JSON about the model, and one more for every line that it reads:

- `train_step 5` runs five repetitions after an untimed one: their processor times in ms, and on a GPU the wall-clock
  times until it has finished;
- `once train_step` runs a single one with nothing before it: its wall-clock time in ms;
- `sound`: whether draws and scores have their shapes and are finite;
- `peak_memory`: the growth in MB since before the model and its data were built.
"""

from __future__ import annotations

import importlib
import json
import resource
import sys
import time
from contextlib import AbstractContextManager, nullcontext
from importlib import metadata
from pathlib import Path
from typing import TextIO

from benchmarks import cases

# What a library's models import, so that memory is measured from there on.
_IMPORTS = {
    "surflow": ["surflow", "benchmarks.torch_models"],
    "surflow-compiled": ["surflow", "benchmarks.torch_models"],
    "zuko": ["zuko.flows", "benchmarks.torch_models"],
    "nflows": ["nflows.flows", "nflows.transforms", "nflows.distributions", "benchmarks.torch_models"],
    "normflows": ["normflows", "benchmarks.torch_models"],
    "FrEIA": ["FrEIA.framework", "FrEIA.modules", "benchmarks.torch_models"],
    "flowjax": ["flowjax.flows", "benchmarks.jax_models"],
    "limit": ["torch", "benchmarks.torch_models"],
    "bare": ["torch", "benchmarks.torch_models"],
}
# Compiled before anything is timed: at least three runs, as compilers may look at the first ones.
_WARM_UP = 3


def main(case: str, model: str, device: str) -> None:
    """Build the model, say what it is, and obey until the input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no answer
    try:
        for module in _IMPORTS[model]:
            importlib.import_module(module)
        where: AbstractContextManager = nullcontext()
        if model != "flowjax":
            torch = importlib.import_module("torch")
            torch.set_num_threads(1)
            importlib.import_module("torch._dynamo")  # which the first optimiser imports
            torch.manual_seed(0)
            if device != "cpu":
                where = torch.device(device)
        before = _peak_mb(reset=True)
        with where:
            built = cases.ALL[case].builders[model]()
    except Exception as error:
        _say(answers, {"error": f"{type(error).__name__}: {error}"})
        return
    library = _IMPORTS[model][0].split(".")[0]
    about = {"parameters": built.parameters, "multiply_adds": built.multiply_adds}
    _say(answers, about | {"library": library, "version": metadata.version(library)})
    clock, finish = time.process_time, _nothing
    if device != "cpu":
        clock, finish = time.perf_counter, torch.cuda.synchronize
    warm = set()
    for line in sys.stdin:
        match line.split():
            case ["peak_memory"]:
                _say(answers, _peak_mb() - before)
            case ["sound"]:
                _say(answers, built.sound())
            case ["once", action]:
                start = time.perf_counter()
                built.actions[action]()
                _say(answers, [1e3 * (time.perf_counter() - start)])
            case [action, repetitions]:
                run = built.actions[action]
                for _ in range(1 if action in warm else _WARM_UP):
                    run()
                warm.add(action)
                times = []
                for _ in range(int(repetitions)):
                    start = clock()
                    run()
                    finish()
                    times.append(1e3 * (clock() - start))
                _say(answers, times)


def _nothing() -> None:
    """What a processor has left to do when a call returns."""


def _say(answers: TextIO, answer: object) -> None:
    print(json.dumps(answer), file=answers, flush=True)


def _peak_mb(*, reset: bool = False) -> float:
    """The most memory the process has held; on Linux since the last reset, elsewhere since it began."""
    status = Path("/proc/self/status")
    if status.exists():
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak_bytes / 2**20 if sys.platform == "darwin" else peak_bytes / 1024


if __name__ == "__main__":
    main(*sys.argv[1:])
