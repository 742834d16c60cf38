"""Training: fit, and what it is made of: sources of batches, the loop on Lightning, files of an unfinished run."""

from surflow.training.metrics import defer

defer()  # before Lightning is imported

from surflow.training.fitting import DEFAULT_STEPS, SCHEDULES, History, Row, fit  # noqa: E402

__all__ = ["DEFAULT_STEPS", "SCHEDULES", "History", "Row", "fit"]
