"""Figures of merit under the truth: what each gives where it is known what it should give.

    python -m surflow_experiments.figures

Data and a model that is right, or wrong in a known way, are simulated hundreds of times. p-values must then be
uniform, bands hold their level, intervals of 1.96 standard errors cover in 93 to 97 % of the repeats, and a shift be
found nearly as often as the optimal test finds it.

Written to docs/results/figures_of_merit.json and .md, in about ten minutes of one core.
"""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.stats import kstest, norm
from torch import Tensor
from torch.distributions import Independent, Normal

import surflow as sf
from surflow.data import SIR, moons
from surflow.data.encoding import ContextColumn, ContextEncoding
from surflow.data.simulators.base import Simulator
from surflow.evaluation import (
    Row,
    band_coverage,
    classifier_test,
    contraction,
    coverage,
    ecdf_band,
    energy_test,
    expected_coverage,
    fit_gaussian,
    frechet_distance,
    inside_band,
    mean_and_error,
    merit,
    ranks,
    tarp,
    write_results,
)
from surflow.plots.calibration import central_band
from surflow_experiments.circle.trial import kuiper
from surflow_experiments.core import chi_square, median_and_error
from surflow_experiments.digits import DIGITS, Classifier, named_right

RESULTS = Path("docs/results")
_COMMAND = "python -m surflow_experiments.figures"
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
    claims: dict[str, Claim]
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


def _covers(what: str) -> Claim:
    return Claim(f"{what}: 95 % interval covers", 0.93, 0.97)


def _p_value(what: str) -> Claim:
    return Claim(f"{what}: uniform", 0.05, 0.05, uniform=True)


def _holds(what: str, high: float = 0.97) -> Claim:
    return Claim(f"{what}: holds 95 %", 0.95, high)


def _is(what: str, value: float) -> Claim:
    return Claim(what, value, value)


def _inside(found: tuple[float, float | None], true: float) -> float:
    value, error = found
    return float(error is not None and abs(value - true) <= 1.96 * error)


# -- likelihoods, and their differences -----------------------------------------------------------------------


class _Known(sf.Distribution):
    """x ~ N(0, I), whatever the context; a model that is right."""

    has_density = True

    def __init__(self, size: int = 1, context: int | None = None) -> None:
        super().__init__(size, context_shape=context)
        self.size = size

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return Normal(0.0, 1.0).log_prob(x).sum(1)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, self.size)
        return x, self._log_prob(x, context)

    def entropy(self) -> tuple[float, float]:
        return self.size / 2 * math.log(2 * math.pi * math.e), 0.0


def _collected(fill: Callable[..., Any], *given: Any, **named: Any) -> dict[str, tuple[float, float | None]]:
    found: dict[str, tuple[float, float | None]] = {}

    def add(metric: str, value: float, error: float | None = None, unit: str = "") -> None:
        found[metric] = value, error

    fill(*given, add, **named)
    return found


def _likelihoods(seed: int) -> Values:
    n, model = 200, _Known(2)
    torch.manual_seed(seed)
    x = torch.randn(n, 2)
    found = _collected(merit._likelihood, model, x, None)
    # The truth is N((.2, 0), I), whose divergence from the model is .02 nats.
    shifted = x + torch.tensor([0.2, 0.0])
    truth = SimpleNamespace(
        has_density=True, entropy=model.entropy, log_prob=lambda rows: model.log_prob(rows - torch.tensor([0.2, 0.0]))
    )
    gap = _collected(
        merit._against_truth, model.log_prob(shifted).double(), SimpleNamespace(truth=truth), shifted, None
    )
    beyond = _collected(merit._likelihood, sf.Uniform(1, low=0.0, high=1.0), torch.rand(n, 1) / 0.97, None)
    return {
        "nll": _inside(found["nll"], model.entropy()[0]),
        "gap": _inside(gap["entropy_gap"], 0.02),
        "zero": _inside(beyond.get("zero_density", (0.0, 0.0)), 0.03),
    }


_LAPLACE = torch.distributions.Laplace(0.0, 1.0)


def _gain(seed: int) -> Values:
    """Laplace data against the Gaussian of 200 other rows: E log p = -1 - log 2, and E x^2 = 2 under log q."""
    torch.manual_seed(seed)
    fit = fit_gaussian(_LAPLACE.sample((200, 1)))
    mean, sd = fit.coefficients.item(), fit.cholesky.item()
    true = -1 - math.log(2) + 0.5 * math.log(2 * math.pi * sd**2) + (2 + mean**2) / (2 * sd**2)
    x = _LAPLACE.sample((360, 1))
    gain = _LAPLACE.log_prob(x)[:, 0].double() - fit.log_prob(x.double(), torch.ones(360, 1, dtype=torch.float64))
    return {"gain": _inside(mean_and_error(gain), true)}


def _few(seed: int) -> Values:
    torch.manual_seed(seed)
    return {
        "ten": _inside(mean_and_error(torch.randn(10)), 0.0),
        "median": _inside(median_and_error(torch.randn(15).tolist()), 0.0),
    }


_MOONS_ENTROPY = moons.entropy(1_000_000, seed=10**6)[0]


def _entropy(seed: int) -> Values:
    return {"entropy": _inside(moons.entropy(1000, seed=seed), _MOONS_ENTROPY)}


# -- latents ----------------------------------------------------------------------------------------------------


def _latents(seed: int) -> Values:
    torch.manual_seed(seed)
    z = torch.randn(200, 4)
    found = _collected(merit._code, z)
    shifted = z[:, :1] + 0.2
    return {
        "mean": _inside(found["latent_mean"], 0.0),
        "sd": _inside(found["latent_sd"], 1.0),
        "sd_0": _inside(found["latent_sd_0"], 1.0),
        "p": found["latent_ks_p"][0],
        "found": float(_collected(merit._code, shifted)["latent_ks_p"][0] <= 0.05),
        "optimal": _z_test(shifted.mean().item() * math.sqrt(200)),
    }


def _z_test(z: float) -> float:
    return float(abs(z) > norm.ppf(0.975))


# -- calibration --------------------------------------------------------------------------------------------------


def _conjugate(n: int, draws: int, seed: int, shift: float = 0.0) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """theta ~ N(0, I), x ~ N(theta, .5^2 I): theta, draws of the posterior N(.8 x, .2 I), and its log-density."""
    torch.manual_seed(seed)
    theta = torch.randn(n, 2)
    mean = 0.8 * (theta + 0.5 * torch.randn(n, 2)) + shift * math.sqrt(0.2)
    posterior = Independent(Normal(mean, math.sqrt(0.2)), 1)
    return theta, posterior.sample((draws,)), posterior.log_prob


def _calibration(n: int, draws: int) -> Callable[[int], Values]:
    def run(seed: int) -> Values:
        theta, drawn, log_prob = _conjugate(n, draws, seed)
        level = expected_coverage(log_prob(theta), log_prob(drawn), seed)
        points = np.linspace(0, 1, 101)[1:-1]
        low, high = ecdf_band(n, tuple(points))
        curve = (level.numpy()[None] <= points[:, None]).mean(1)
        return {
            "ranks": float(inside_band(ranks(theta, drawn, seed), draws + 1)[0]),
            "coverage": float(kstest(level, "uniform").pvalue),
            "curve": float(((curve >= low - 1e-9) & (curve <= high + 1e-9)).all()),
            "tarp": float(kstest(tarp(theta, drawn, seed), "uniform").pvalue),
            "contraction": contraction(drawn.std(0), torch.ones(2))[0].item(),
        }

    return run


_CALIBRATION = {
    "ranks": _holds("ranks, inside_band", 0.98),
    "coverage": _p_value("expected_coverage, KS p"),
    "curve": _holds("expected_coverage in ecdf_band", 0.98),
    "tarp": _p_value("tarp, KS p"),
    "contraction": _is("contraction: .8", 0.8),
}


def _ties(seed: int) -> Values:
    """Posteriors with plateaus, parameters that are integers."""
    generator = torch.Generator().manual_seed(seed)
    flat = torch.zeros(51, 200)
    coins = torch.randint(2, (8, 200, 1), generator=generator)
    return {
        "coverage": float(kstest(expected_coverage(flat[0], flat[1:], seed), "uniform").pvalue),
        "tarp": float(kstest(tarp(coins[0].float(), coins[1:].float(), seed), "uniform").pvalue),
        "ranks": float(inside_band(ranks(coins[0], coins[1:], seed), 8)[0]),
    }


def _wrong_posterior(seed: int) -> Values:
    theta, drawn, _ = _conjugate(200, 99, seed, shift=0.2)
    z = (theta[:, 0] - drawn[:, :, 0].mean(0)).mean().item() / math.sqrt(0.2 / 200)
    return {"found": float(not inside_band(ranks(theta, drawn, seed), 100)[0]), "optimal": _z_test(z)}


def _bands(seed: int) -> Values:
    torch.manual_seed(seed)
    numbers, counts = torch.randn(10, 100, 1), torch.poisson(torch.full((20, 100, 1), 3.0))
    low, high = central_band(numbers[1:, :, 0].numpy(), 0.8)
    return {
        "numbers": band_coverage(numbers[0], numbers[1:], 0.9, seed),
        "counts": band_coverage(counts[0], counts[1:], 0.9, seed),
        "drawn": float(((numbers[0, :, 0].numpy() >= low) & (numbers[0, :, 0].numpy() <= high)).mean()),
    }


class _Line(Simulator):
    """theta ~ N(0, 1), x ~ N(theta, 1): the posterior is N(x / 2, 1 / 2), and is proposed from N(x / 2, 1)."""

    def __init__(self) -> None:
        super().__init__("line", ["theta"], Independent(Normal(torch.zeros(1), 1.0), 1), 1)

    def _simulate(self, theta: Tensor) -> Tensor:
        return theta + torch.randn_like(theta)

    def _log_likelihood(self, x: Tensor, theta: Tensor) -> Tensor:
        return Normal(theta, 1.0).log_prob(x).sum(-1)

    def _propose(self, x: Tensor, draws: int) -> tuple[Tensor, Tensor]:
        distribution = Normal(x / 2, 1.0)
        theta = distribution.sample((draws,))
        return theta, distribution.log_prob(theta).sum(-1)


def _importance(seed: int) -> Values:
    _, x = _Line().sample(1, seed=seed)
    posterior = _Line().posterior(x, draws=1000, seed=seed)
    efficiency = posterior.efficiency.item()
    true = Normal(0.0, math.sqrt(2)).log_prob(x.double()).item()
    error = math.sqrt((1 / efficiency - 1) / 1000)
    return {"efficiency": efficiency, "evidence": _inside((posterior.log_evidence.item(), error), true)}


def _product(seed: int) -> Values:
    torch.manual_seed(seed)
    sir = SIR(degenerate=True)
    return {"pit": float(kstest(sir.pit_given_product(sir.prior.sample((100,))), "uniform").pvalue)}


# -- two samples --------------------------------------------------------------------------------------------------


def _two_samples(context: str) -> Callable[[int], Values]:
    """What evaluate() writes for a model that is right: without a context, given one of ten labels, given a number."""
    columns = {"label": ContextColumn("c", [str(i) for i in range(10)]), "number": ContextColumn("c", None, 0.0, 1.0)}
    encoding = ContextEncoding([columns[context]]) if context in columns else None

    def run(seed: int) -> Values:
        torch.manual_seed(seed)
        n = 100
        c = torch.randint(10, (n, 1)).float() if context == "label" else torch.randn(n, 1)
        model = _Known(1, 1 if encoding is not None else None)
        splits, x = SimpleNamespace(context=encoding), torch.randn(n, 1)
        found = _collected(_two, model, splits, x, c if encoding else None, seed=seed)
        return {"energy": found["energy_p"][0], "classifier": _inside(found["classifier_accuracy"], 0.5)}

    return run


def _two(flow: Any, splits: Any, x: Tensor, c: Tensor | None, add: Any, seed: int) -> None:
    merit._two_samples(flow, splits, x, c, add, seed)


_TWO_SAMPLES = {"energy": _p_value("energy_p"), "classifier": _covers("classifier_accuracy")}


def _perceptron(seed: int) -> Values:
    torch.manual_seed(seed)
    x, y = torch.randn(2, 50, 2)
    with warnings.catch_warnings(action="ignore"):  # a thousand rounds may end before the loss does
        return {"classifier": _inside(classifier_test(x, y, seed, "mlp"), 0.5)}


def _energies(n: int, shift: float, seed: int) -> Values:
    """p of n rows of N(0, 1) and n of N(shift, 1): alone, given the same ten labels, given the same numbers."""
    torch.manual_seed(seed)
    x, y = torch.randn(n, 1), torch.randn(n, 1) + shift
    labels, numbers = torch.randint(10, (n,)), torch.randn(n, 1)
    one_hot = torch.nn.functional.one_hot(labels, 10).float()
    given = energy_test(torch.cat([x, one_hot], 1), torch.cat([y, one_hot], 1), 99, seed, (labels, labels))
    rows = torch.arange(n)
    paired = energy_test(torch.cat([x, numbers], 1), torch.cat([y, numbers], 1), 99, seed, (rows, rows))
    z = (y.mean() - x.mean()).item() / math.sqrt(2 / n)
    return {
        "alone": energy_test(x, y, 99, seed)[1],
        "labels": given[1],
        "numbers": paired[1],
        "optimal": float(2 * norm.sf(abs(z))),
    }


def _same(seed: int) -> Values:
    return _energies(100, 0.0, seed)


def _shifted(seed: int) -> Values:
    return {name: float(p <= 0.05) for name, p in _energies(300, 0.2, seed).items()}


def _distances(seed: int) -> Values:
    torch.manual_seed(seed)
    real, other, samples = torch.randn(3, 100, 5)
    clouds, drawn = torch.randn(2, 50, 2, 10)
    covered, _ = coverage(drawn, clouds)
    return {"frechet": float(frechet_distance(real, samples) < frechet_distance(real, other)), "coverage": covered}


class _Reader(Classifier):
    """Names the number that stands in an image."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def name(self, x: Tensor) -> Tensor:
        return x.flatten(1)[:, 0].long()


_RIGHT = torch.linspace(0.8, 0.98, DIGITS)


def _named(seed: int) -> Values:
    """Fifty samples of every digit, of which shares from .80 to .98 are named right; 500 real ones, .95 of all."""
    torch.manual_seed(seed)
    digits = torch.arange(DIGITS)
    drawn = torch.where(torch.rand(50, DIGITS) < _RIGHT, digits, (digits + 1) % DIGITS).float()[..., None]
    true = torch.randint(DIGITS, (500, 1))
    real = torch.where(torch.rand(500, 1) < 0.95, true, (true + 1) % DIGITS).float()
    found = {name: (value, error) for name, value, error, _ in named_right(_Reader(), drawn, real, true)}
    return {
        "samples": _inside(found["class_accuracy"], _RIGHT.mean().item()),
        "real": _inside(found["class_accuracy_real"], 0.95),
    }


def _experiments(seed: int) -> Values:
    angles = 2 * math.pi * torch.rand(3000, generator=torch.Generator().manual_seed(seed))
    flow = sf.Flow([sf.Reverse(2)], base=sf.Normal(2))
    return {"kuiper": kuiper(angles), "chi_square": chi_square(flow, 100_000, seed, boxes=4, half=2.0)[1]}


# -- all of them --------------------------------------------------------------------------------------------------


SIMULATIONS = {
    "likelihoods": Simulation(
        _likelihoods,
        "N(0, I) in the plane; a model .2 off; 3 % beyond a support",
        200,
        {
            "nll": _covers("nll"),
            "gap": _covers("entropy_gap, posterior_gap (paired)"),
            "zero": _covers("zero_density"),
        },
    ),
    "gain": Simulation(_gain, "Laplace rows", 360, {"gain": _covers("gain_over_gaussian (paired)")}),
    "few": Simulation(
        _few,
        "N(0, 1): 10 numbers, the median of 15",
        10,
        {
            "ten": Claim("mean_and_error of ten (c2st over observations): Student's t covers .918", 0.918, 0.918),
            "median": _covers("core: median of ratios"),
        },
        2000,
    ),
    "entropy": Simulation(_entropy, "moons", 1000, {"entropy": _covers("entropy by Monte Carlo")}),
    "latents": Simulation(
        _latents,
        "N(0, I), four coordinates; one of them .2 off",
        200,
        {
            "mean": _covers("latent_mean"),
            "sd": _covers("latent_sd"),
            "sd_0": _covers("latent_sd_0"),
            "p": _p_value("latent_ks_p"),
            "found": Claim("latent_ks_p: power, of the z-test's", 0.7, 1.0, beside="optimal"),
        },
    ),
    "calibration": Simulation(_calibration(100, 99), "conjugate Gaussians, 99 draws", 100, _CALIBRATION),
    "calibration of few": Simulation(_calibration(20, 9), "conjugate Gaussians, 9 draws", 20, _CALIBRATION),
    "ties": Simulation(
        _ties,
        "uniform posteriors, tosses of coins",
        200,
        {
            "coverage": _p_value("expected_coverage with ties, KS p"),
            "tarp": _p_value("tarp with ties, KS p"),
            "ranks": _holds("ranks of integers, inside_band", 0.98),
        },
    ),
    "wrong posterior": Simulation(
        _wrong_posterior,
        "conjugate Gaussians, .2 off, 99 draws",
        200,
        {"found": Claim("inside_band: power, of the z-test's", 0.7, 1.0, beside="optimal")},
    ),
    "bands": Simulation(
        _bands,
        "N(0, 1), 9 resimulations; counts of mean 3, 19",
        100,
        {
            "numbers": _is("band_coverage, level .9", 0.9),
            "counts": _is("band_coverage of counts, level .9", 0.9),
            "drawn": _is("plots.bands, level .8", 0.8),
        },
    ),
    "importance": Simulation(
        _importance,
        "N(x/2, 1/2) proposed from N(x/2, 1)",
        1000,
        {
            "efficiency": _is("efficiency: closed form", math.sqrt(0.5) * math.sqrt(1.5)),
            "evidence": _covers("log_evidence by the efficiency"),
        },
    ),
    "product": Simulation(_product, "prior of the degenerate SIR", 100, {"pit": _p_value("pit_p")}),
    "two samples": Simulation(_two_samples(""), "N(0, 1), no context", 100, _TWO_SAMPLES),
    "two samples, labels": Simulation(_two_samples("label"), "N(0, 1), ten labels", 100, _TWO_SAMPLES),
    "two samples, numbers": Simulation(_two_samples("number"), "N(0, 1), given a number", 100, _TWO_SAMPLES),
    "perceptron": Simulation(
        _perceptron,
        "N(0, I) in the plane",
        50,
        {"classifier": Claim("classifier_test, mlp: 95 % interval covers", 0.93, 1.0)},
        50,
    ),
    "same": Simulation(
        _same,
        "N(0, 1) twice",
        100,
        {name: _p_value(f"energy_test, {name}") for name in ("alone", "labels", "numbers")},
    ),
    "shifted": Simulation(
        _shifted,
        "N(0, 1) and N(.2, 1)",
        300,
        {
            name: Claim(f"energy_test, {name}: power, of the z-test's", 0.8, 1.0, beside="optimal")
            for name in ("alone", "labels", "numbers")
        },
        300,
    ),
    "distances": Simulation(
        _distances,
        "N(0, I): 100 rows of 5; 50 clouds of 10 points",
        100,
        {
            "frechet": _is("frechet_distance: samples nearer than real ones", 0.5),
            "coverage": Claim("coverage of clouds: as its docstring says", 0.55, 0.6),
        },
    ),
    "named": Simulation(
        _named,
        "digits named right with known chances",
        500,
        {"samples": _covers("class_accuracy"), "real": _covers("class_accuracy_real")},
    ),
    "experiments": Simulation(
        _experiments,
        "uniform angles; N(0, I)",
        3000,
        {"kuiper": Claim("kuiper: 1.25", 1.24, 1.26), "chi_square": _p_value("core: chi_square_p")},
        300,
    ),
}


def table(found: Sequence[Verdict]) -> str:
    """All verdicts as a table in Markdown."""
    lines = [
        "| figure | simulated | n | repeats | wanted | got | ± | uniform, p | right |",
        "|---|---|" + "---:|" * 6 + "---|",
    ]
    for v in found:
        wanted = f"{v.low:.3g}" if v.low == v.high else f"{v.low:.3g} to {v.high:.3g}"
        p = "" if v.uniform_p is None else f"{v.uniform_p:.2g}"
        right = "yes" if v.right else "**no**"
        got = f"{v.got:.3f} | {v.error:.3f}"
        lines.append(f"| {v.what} | {v.simulated} | {v.n} | {v.repeats} | {wanted} | {got} | {p} | {right} |")
    return "\n".join(lines)


def main(results: Path = RESULTS) -> int:
    """Simulate all, write both files; returns the number of figures that are wrong."""
    torch.set_num_threads(1)
    found: list[Verdict] = []
    rows: list[Row] = []
    for name, simulation in SIMULATIONS.items():
        made = verdicts(simulation)
        print(table(made).split("\n", 2)[2], flush=True)
        found += made
        for v in made:
            metrics: list[tuple[str, float, float | None]] = [
                ("n", v.n, None),
                ("repeats", v.repeats, None),
                ("wanted_from", v.low, None),
                ("wanted_to", v.high, None),
                ("got", v.got, v.error),
                *([("uniform_p", v.uniform_p, None)] if v.uniform_p is not None else []),
                ("right", float(v.right), None),
            ]
            rows += [
                Row(case=f"{name}: {v.simulated}", model=v.what, seed=0, metric=m, value=value, error=error, unit="1")
                for m, value, error in metrics
            ]
    write_results(results / "figures_of_merit.json", _COMMAND, rows)
    text = f"# Figures of merit under the truth\n\n{' '.join((__doc__ or '').split(chr(10) * 2)[2].split())}\n\n"
    text += "Of p-values, what is wanted and got is the share of repeats up to .05, and the p beside it is of their "
    text += "uniformity. ± is the standard error of what was got; right is what lies within three of it. Made by "
    text += f"`{_COMMAND}`.\n\n{table(found)}\n"
    (results / "figures_of_merit.md").write_text(text, encoding="utf-8")
    return sum(not v.right for v in found)


if __name__ == "__main__":
    sys.exit(min(1, main()))
