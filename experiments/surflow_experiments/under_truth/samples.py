"""Samples against data: two-sample tests, distances, and figures of the experiments."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from types import SimpleNamespace

import torch
from scipy.stats import norm
from torch import Tensor

import surflow as sf
from surflow.data.encoding import ContextColumn, ContextEncoding
from surflow.distribution import Distribution
from surflow.evaluation import classifier_test, coverage, energy_test, frechet_distance, merit
from surflow.evaluation.data_set import DataSet
from surflow_experiments.circle.trial import kuiper
from surflow_experiments.digits import DIGITS, Classifier, named_right
from surflow_experiments.estimates import chi_square
from surflow_experiments.under_truth.claims import Claim, Simulation, Values, covers, exactly, inside, p_value
from surflow_experiments.under_truth.known import Known, collected


def _two_samples(context: str) -> Callable[[int], Values]:
    """What evaluate() writes for a model that is right: without a context, given one of ten labels, given a number."""
    columns = {"label": ContextColumn("c", [str(i) for i in range(10)]), "number": ContextColumn("c", None, 0.0, 1.0)}
    encoding = ContextEncoding([columns[context]]) if context in columns else None

    def run(seed: int) -> Values:
        torch.manual_seed(seed)
        n = 100
        c = torch.randint(10, (n, 1)).float() if context == "label" else torch.randn(n, 1)
        model = Known(1, 1 if encoding is not None else None)
        splits, x = SimpleNamespace(context=encoding, schema=None), torch.randn(n, 1)
        found = collected(_two, model, splits, x, c if encoding else None, seed=seed)
        return {"energy": found["energy_p"][0], "classifier": inside(found["classifier_accuracy"], 0.5)}

    return run


def _two(flow: Distribution, splits: DataSet, x: Tensor, c: Tensor | None, add: merit.Add, seed: int) -> None:
    merit._two_samples(flow, splits, x, c, add, seed)


_TWO_SAMPLES = {"energy": p_value("energy_p"), "classifier": covers("classifier_accuracy")}


def _perceptron(seed: int) -> Values:
    torch.manual_seed(seed)
    x, y = torch.randn(2, 50, 2)
    with warnings.catch_warnings(action="ignore"):  # a thousand rounds may end before the loss does
        return {"classifier": inside(classifier_test(x, y, seed, "mlp"), 0.5)}


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
        "samples": inside(found["class_accuracy"], _RIGHT.mean().item()),
        "real": inside(found["class_accuracy_real"], 0.95),
    }


def _experiments(seed: int) -> Values:
    angles = 2 * math.pi * torch.rand(3000, generator=torch.Generator().manual_seed(seed))
    flow = sf.Flow([sf.Reverse(2)], base=sf.Normal(2))
    return {"kuiper": kuiper(angles), "chi_square": chi_square(flow, 100_000, seed, boxes=4, half=2.0)[1]}


SIMULATIONS = {
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
        {name: p_value(f"energy_test, {name}") for name in ("alone", "labels", "numbers")},
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
            "frechet": exactly("frechet_distance: samples nearer than real ones", 0.5),
            "coverage": Claim("coverage of clouds: as its docstring says", 0.55, 0.6),
        },
    ),
    "named": Simulation(
        _named,
        "digits named right with known chances",
        500,
        {"samples": covers("class_accuracy"), "real": covers("class_accuracy_real")},
    ),
    "experiments": Simulation(
        _experiments,
        "uniform angles; N(0, I)",
        3000,
        {"kuiper": Claim("kuiper: 1.25", 1.24, 1.26), "chi_square": p_value("core: chi_square_p")},
        300,
    ),
}
