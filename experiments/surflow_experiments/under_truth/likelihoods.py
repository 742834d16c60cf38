"""Likelihoods, their differences, and latents."""

from __future__ import annotations

import math
from types import SimpleNamespace

import torch

import surflow as sf
from surflow.data import moons
from surflow.evaluation import fit_gaussian, mean_and_error, merit
from surflow_experiments.estimates import median_and_error
from surflow_experiments.under_truth.claims import Claim, Simulation, Values, covers, inside, p_value, z_test
from surflow_experiments.under_truth.known import Known, collected


def _likelihoods(seed: int) -> Values:
    n, model = 200, Known(2)
    torch.manual_seed(seed)
    x = torch.randn(n, 2)
    found = collected(merit._likelihood, model, x, None)
    # The truth is N((.2, 0), I), whose divergence from the model is .02 nats.
    shifted = x + torch.tensor([0.2, 0.0])
    truth = SimpleNamespace(
        has_density=True, entropy=model.entropy, log_prob=lambda rows: model.log_prob(rows - torch.tensor([0.2, 0.0]))
    )
    gap = collected(merit._against_truth, model.log_prob(shifted).double(), SimpleNamespace(truth=truth), shifted, None)
    beyond = collected(merit._likelihood, sf.Uniform(1, low=0.0, high=1.0), torch.rand(n, 1) / 0.97, None)
    return {
        "nll": inside(found["nll"], model.entropy()[0]),
        "gap": inside(gap["entropy_gap"], 0.02),
        "zero": inside(beyond.get("zero_density", (0.0, 0.0)), 0.03),
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
    return {"gain": inside(mean_and_error(gain), true)}


def _few(seed: int) -> Values:
    torch.manual_seed(seed)
    return {
        "ten": inside(mean_and_error(torch.randn(10)), 0.0),
        "median": inside(median_and_error(torch.randn(15).tolist()), 0.0),
    }


_MOONS_ENTROPY = moons.entropy(1_000_000, seed=10**6)[0]


def _entropy(seed: int) -> Values:
    return {"entropy": inside(moons.entropy(1000, seed=seed), _MOONS_ENTROPY)}


# -- latents ----------------------------------------------------------------------------------------------------


def _latents(seed: int) -> Values:
    torch.manual_seed(seed)
    z = torch.randn(200, 4)
    found = collected(merit._code, z)
    shifted = z[:, :1] + 0.2
    return {
        "mean": inside(found["latent_mean"], 0.0),
        "sd": inside(found["latent_sd"], 1.0),
        "sd_0": inside(found["latent_sd_0"], 1.0),
        "p": found["latent_ks_p"][0],
        "found": float(collected(merit._code, shifted)["latent_ks_p"][0] <= 0.05),
        "optimal": z_test(shifted.mean().item() * math.sqrt(200)),
    }


SIMULATIONS = {
    "likelihoods": Simulation(
        _likelihoods,
        "N(0, I) in the plane; a model .2 off; 3 % beyond a support",
        200,
        {
            "nll": covers("nll"),
            "gap": covers("entropy_gap, posterior_gap (paired)"),
            "zero": covers("zero_density"),
        },
    ),
    "gain": Simulation(_gain, "Laplace rows", 360, {"gain": covers("gain_over_gaussian (paired)")}),
    "few": Simulation(
        _few,
        "N(0, 1): 10 numbers, the median of 15",
        10,
        {
            "ten": Claim("mean_and_error of ten (c2st over observations): Student's t covers .918", 0.918, 0.918),
            "median": covers("core: median of ratios"),
        },
        2000,
    ),
    "entropy": Simulation(_entropy, "moons", 1000, {"entropy": covers("entropy by Monte Carlo")}),
    "latents": Simulation(
        _latents,
        "N(0, I), four coordinates; one of them .2 off",
        200,
        {
            "mean": covers("latent_mean"),
            "sd": covers("latent_sd"),
            "sd_0": covers("latent_sd_0"),
            "p": p_value("latent_ks_p"),
            "found": Claim("latent_ks_p: power, of the z-test's", 0.7, 1.0, beside="optimal"),
        },
    ),
}
