"""One run in a process of its own: `python -m benchmarks.race.worker FILE SET MODEL SECONDS`.

It prints a line of JSON for every checkpoint, and at the end one about the library: or what went wrong.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import sys
from importlib import metadata
from pathlib import Path

from benchmarks.race.track import Rows, TimeUp, Track

# Where the recipe of a library is: a function of its name.
RECIPES = {
    "surflow": "ours",
    "zuko": "torch_recipes",
    "nflows": "torch_recipes",
    "normflows": "torch_recipes",
    "sbi": "sbi_recipe",
    "flowjax": "jax_recipe",
}


def main(file: str, name: str, model: str, seconds: str) -> None:
    """Run a recipe to its end, or to that of its seconds."""
    answers = sys.stdout
    sys.stdout = sys.stderr  # what a library prints is no answer
    rows = Rows.read(Path(file))
    track = Track(float(seconds), rows, answers, integers=model == "surflow")
    recipe = importlib.import_module(f"benchmarks.race.{RECIPES[model]}")
    if model != "flowjax":
        torch = importlib.import_module("torch")
        torch.set_num_threads(1)
        torch.manual_seed(0)
    ended = "time"
    with contextlib.suppress(TimeUp):
        getattr(recipe, model)(name, rows, track)
        ended = "itself"
    print(json.dumps({"version": metadata.version(model), "ended": ended}), file=answers, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
