"""Figures of merit: likelihoods and bounds, entropy gaps, a baseline, two-sample tests, codes, recorded results."""

from surflow.evaluation.gaussian import Gaussian, fit_gaussian, gaussian_scores
from surflow.evaluation.likelihood import account, codes, draws, evaluating, mean_and_error, scores
from surflow.evaluation.merit import BOUND_SAMPLES, evaluate
from surflow.evaluation.results import Row, machine, read_results, versions, write_results
from surflow.evaluation.samples import classifier_test, energy_distance, energy_test

__all__ = [
    "BOUND_SAMPLES",
    "Gaussian",
    "Row",
    "account",
    "classifier_test",
    "codes",
    "draws",
    "energy_distance",
    "energy_test",
    "evaluate",
    "evaluating",
    "fit_gaussian",
    "gaussian_scores",
    "machine",
    "mean_and_error",
    "read_results",
    "scores",
    "versions",
    "write_results",
]
