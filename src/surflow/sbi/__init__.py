"""surflow in the package ``sbi``: a density estimator for its neural posteriors and likelihoods."""

from surflow.sbi.estimators import KINDS, Embedded, estimator

__all__ = ["KINDS", "Embedded", "estimator"]
