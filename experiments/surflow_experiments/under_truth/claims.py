"""What a figure should be, simulations that show it, and the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from scipy.stats import kstest, norm

_TINY_P = 1e-3

Values = dict[str, float]


@dataclass(frozen=True)
class Claim:
    """What a figure should be over the repeats.

    Attributes:
        what: the figure and what is asked of it.
        low, high: the mean over the repeats lies between, but for three standard errors of itself.
        uniform: the values are p-values, whose own p-value of uniformity must not be below .001; ``low`` and ``high``
            are of the share of them up to .05.
        beside: the key of another value, whose mean ``low`` and ``high`` are multiples of.
    """

    what: str
    low: float
    high: float
    uniform: bool = False
    beside: str | None = None


@dataclass(frozen=True)
class Simulation:
    """One repeat is ``run(seed)``, a value for each of the claims."""

    run: Callable[[int], Values]
    simulated: str
    n: int
    claims: Mapping[str, Claim]
    repeats: int = 500


@dataclass(frozen=True)
class Verdict:
    """A line of the table; ``uniform_p`` for p-values only."""

    what: str
    simulated: str
    n: int
    repeats: int
    low: float
    high: float
    got: float
    error: float
    uniform_p: float | None

    @property
    def right(self) -> bool:
        near = self.low - 3 * self.error <= self.got <= self.high + 3 * self.error
        return near and (self.uniform_p is None or self.uniform_p >= _TINY_P)


def verdicts(simulation: Simulation, repeats: int | None = None) -> list[Verdict]:
    """Every claim of a simulation against ``repeats`` runs of it, always with the same seeds."""
    count = repeats or simulation.repeats
    # Not 0, 1, 2, ...: the numbers that torch draws from neighbouring seeds are not independent enough.
    seeds = np.random.SeedSequence(0).generate_state(count)
    found = [simulation.run(int(seed)) for seed in seeds]
    made = []
    for key, claim in simulation.claims.items():
        values = np.array([row[key] for row in found], dtype=np.float64)
        p = float(kstest(values, "uniform").pvalue) if claim.uniform else None
        counted = values <= 0.05 if claim.uniform else values
        scale = 1.0 if claim.beside is None else float(np.mean([row[claim.beside] for row in found]))
        low, high, got = claim.low * scale, claim.high * scale, float(counted.mean())
        error = float(counted.std()) / math.sqrt(count)
        if set(np.unique(counted)) <= {0.0, 1.0}:  # the nearest share that is allowed: one that was never met has none
            nearest = min(max(got, low), min(high, 1.0))
            error = math.sqrt(nearest * (1 - nearest) / count)
        made.append(Verdict(claim.what, simulation.simulated, simulation.n, count, low, high, got, error, p))
    return made


def covers(what: str) -> Claim:
    """Intervals of 1.96 standard errors cover the truth."""
    return Claim(f"{what}: 95 % interval covers", 0.93, 0.97)


def p_value(what: str) -> Claim:
    """p-values are uniform."""
    return Claim(f"{what}: uniform", 0.05, 0.05, uniform=True)


def holds(what: str, high: float = 0.97) -> Claim:
    """A band of 95 % holds its level."""
    return Claim(f"{what}: holds 95 %", 0.95, high)


def exactly(what: str, value: float) -> Claim:
    """The mean is a value."""
    return Claim(what, value, value)


def inside(found: tuple[float, float | None], true: float) -> float:
    """1.0 where the truth is within 1.96 standard errors, 0.0 elsewhere."""
    value, error = found
    return float(error is not None and abs(value - true) <= 1.96 * error)


def z_test(z: float) -> float:
    """1.0 where the z-test, which is optimal for a shift of a normal distribution, finds it at 5 %."""
    return float(abs(z) > norm.ppf(0.975))
