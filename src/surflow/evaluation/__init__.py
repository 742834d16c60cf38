"""Figures of merit: likelihoods and bounds, entropy gaps, a baseline, tests, calibration, latents, recorded results."""

from surflow.evaluation.associations import associations
from surflow.evaluation.baselines import column_scores
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
from surflow.evaluation.detection import Detection, detection
from surflow.evaluation.gaussian import Gaussian, fit_gaussian, gaussian_scores
from surflow.evaluation.likelihood import (
    account,
    draws,
    draws_given,
    evaluating,
    latents,
    log_probs,
    mean_and_error,
    share_and_error,
)
from surflow.evaluation.memory import Memory, copies, memory
from surflow.evaluation.merit import BOUND_SAMPLES, evaluate
from surflow.evaluation.relations import linear_relations
from surflow.evaluation.results import Row, machine, read_results, versions, write_results
from surflow.evaluation.samples import classifier_test, energy_distance, energy_test, frechet_distance
from surflow.evaluation.usefulness import Usefulness, usefulness

__all__ = [
    "BOUND_SAMPLES",
    "Detection",
    "Gaussian",
    "Memory",
    "Row",
    "Usefulness",
    "account",
    "associations",
    "band_coverage",
    "classifier_test",
    "cloud_distances",
    "column_scores",
    "contraction",
    "copies",
    "coverage",
    "detection",
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
    "linear_relations",
    "log_probs",
    "machine",
    "mean_and_error",
    "memory",
    "rank_histogram",
    "ranks",
    "read_results",
    "share_and_error",
    "tarp",
    "usefulness",
    "versions",
    "write_results",
]
