"""Training: fit, and what it is made of: sources of batches, the loop on Lightning, files of an unfinished run."""

from surflow.training.fitting import DEFAULT_STEPS, SCHEDULES, History, Row, fit

__all__ = ["DEFAULT_STEPS", "SCHEDULES", "History", "Row", "fit"]
