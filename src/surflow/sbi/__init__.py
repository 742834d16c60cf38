"""Simulation-based inference: posteriors by one default, also in the package ``sbi``, and density estimators for it."""

from surflow.sbi.automatic import FittedPosterior, fit_posterior
from surflow.sbi.estimators import KINDS, Embedded, estimator

__all__ = ["KINDS", "Embedded", "FittedPosterior", "estimator", "fit_posterior"]
