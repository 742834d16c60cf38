"""Calibration of posteriors, bands, and importance sampling."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from scipy.stats import kstest
from torch import Tensor
from torch.distributions import Independent, Normal

from surflow.data import SIR
from surflow.data.simulators.base import Simulator
from surflow.evaluation import band_coverage, contraction, ecdf_band, expected_coverage, inside_band, ranks, tarp
from surflow.plots.calibration import central_band
from surflow_experiments.under_truth.claims import (
    Claim,
    Simulation,
    Values,
    covers,
    exactly,
    holds,
    inside,
    p_value,
    z_test,
)


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
    "ranks": holds("ranks, inside_band", 0.98),
    "coverage": p_value("expected_coverage, KS p"),
    "curve": holds("expected_coverage in ecdf_band", 0.98),
    "tarp": p_value("tarp, KS p"),
    "contraction": exactly("contraction: .8", 0.8),
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
    return {"found": float(not inside_band(ranks(theta, drawn, seed), 100)[0]), "optimal": z_test(z)}


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
    return {"efficiency": efficiency, "evidence": inside((posterior.log_evidence.item(), error), true)}


def _product(seed: int) -> Values:
    torch.manual_seed(seed)
    sir = SIR(degenerate=True)
    return {"pit": float(kstest(sir.pit_given_product(sir.prior.sample((100,))), "uniform").pvalue)}


SIMULATIONS = {
    "calibration": Simulation(_calibration(100, 99), "conjugate Gaussians, 99 draws", 100, _CALIBRATION),
    "calibration of few": Simulation(_calibration(20, 9), "conjugate Gaussians, 9 draws", 20, _CALIBRATION),
    "ties": Simulation(
        _ties,
        "uniform posteriors, tosses of coins",
        200,
        {
            "coverage": p_value("expected_coverage with ties, KS p"),
            "tarp": p_value("tarp with ties, KS p"),
            "ranks": holds("ranks of integers, inside_band", 0.98),
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
            "numbers": exactly("band_coverage, level .9", 0.9),
            "counts": exactly("band_coverage of counts, level .9", 0.9),
            "drawn": exactly("plots.bands, level .8", 0.8),
        },
    ),
    "importance": Simulation(
        _importance,
        "N(x/2, 1/2) proposed from N(x/2, 1)",
        1000,
        {
            "efficiency": exactly("efficiency: closed form", math.sqrt(0.5) * math.sqrt(1.5)),
            "evidence": covers("log_evidence by the efficiency"),
        },
    ),
    "product": Simulation(_product, "prior of the degenerate SIR", 100, {"pit": p_value("pit_p")}),
}
