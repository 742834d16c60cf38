"""Figures of merit: likelihoods and bounds, entropy gaps, a baseline, tests, calibration, latents, recorded results."""

from surflow.evaluation.calibration import (
    band_coverage,
    contraction,
    ecdf_band,
    expected_coverage,
    inside_band,
    rank_histogram,
    ranks,
    tarp,
)
from surflow.evaluation.clouds import cloud_distances, coverage
from surflow.evaluation.gaussian import Gaussian, fit_gaussian, gaussian_scores
from surflow.evaluation.likelihood import account, draws, draws_given, evaluating, latents, log_probs, mean_and_error
from surflow.evaluation.merit import BOUND_SAMPLES, evaluate
from surflow.evaluation.results import Row, machine, read_results, versions, write_results
from surflow.evaluation.samples import classifier_test, energy_distance, energy_test, frechet_distance

__all__ = [
    "BOUND_SAMPLES",
    "Gaussian",
    "Row",
    "account",
    "band_coverage",
    "classifier_test",
    "cloud_distances",
    "contraction",
    "coverage",
    "draws",
    "draws_given",
    "ecdf_band",
    "energy_distance",
    "energy_test",
    "evaluate",
    "evaluating",
    "expected_coverage",
    "fit_gaussian",
    "frechet_distance",
    "gaussian_scores",
    "inside_band",
    "latents",
    "log_probs",
    "machine",
    "mean_and_error",
    "rank_histogram",
    "ranks",
    "read_results",
    "tarp",
    "versions",
    "write_results",
]
