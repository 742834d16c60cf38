"""What is measured of every model of a table: nats of held-out rows, and its draws beside rows; time."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Protocol

import numpy as np
import torch

from surflow.evaluation import mean_and_error
from surflow.evaluation.detection import detection
from surflow.evaluation.features import snapped
from surflow.evaluation.memory import copies, memory
from surflow.evaluation.usefulness import usefulness
from surflow_experiments.cells import Found
from surflow_experiments.tables.data import Rows
from surflow_experiments.tables.marginals import Array


class Scores(Protocol):
    """A fitted model that scores."""

    def log_prob(self, x: Array) -> Array:
        """Nats of rows (n, D)."""
        ...


class Draws(Protocol):
    """A fitted model that draws."""

    def sample(self, n: int, seed: int) -> Array:
        """Rows (n, D)."""
        ...


def likelihood(model: Scores, rows: Rows) -> tuple[list[Found], Array]:
    """NLL of the held-out rows, and how many are scored in a second; and nats of every row."""
    x = rows.test.numpy()
    started = time.process_time()
    log_prob = torch.from_numpy(np.asarray(model.log_prob(x)))
    seconds = time.process_time() - started
    found: list[Found] = [
        ("nll", *mean_and_error(-log_prob), "nats"),
        ("rows_per_second_scoring", len(x) / seconds, None, "rows a second"),
    ]
    if not log_prob.isfinite().all():
        found.append(("zero_density", (log_prob == -torch.inf).double().mean().item(), None, "share of rows"))
    return found, log_prob.float().numpy()


def draws(model: Draws, rows: Rows, measured: Mapping[str, int], seed: int) -> list[Found]:
    """Detection, usefulness and memory of as many draws as ``measured["draws"]``, and how many are drawn in a second.

    Args:
        model: draws.
        rows: the table.
        measured: ``draws``, and ``columns`` and ``rows`` of which the usefulness is asked.
        seed: of the draws and of what is chosen by chance.
    """
    started = time.process_time()
    drawn = model.sample(measured["draws"], seed)
    seconds = time.process_time() - started
    support = rows.support
    samples = snapped(torch.from_numpy(drawn), support).float().double()
    train, test = (part.float().double() for part in (rows.train, rows.test))
    told = detection(test, samples, support, seed)
    near = memory(train, test, samples, support, seed)
    found: list[Found] = [
        ("detection_auc", told.auc, told.error, "AUC"),
        ("nearer_to_training", near.nearer, near.error, "share of draws"),
        ("copies", *mean_and_error(copies(samples, train).double()), "share of draws"),
        ("rows_per_second_drawing", len(drawn) / seconds, None, "rows a second"),
    ]
    useful = usefulness(
        train, samples, test, support, seed, most_columns=measured["columns"], most_rows=measured["rows"]
    )
    if useful.mean is not None:
        real, made, error = useful.mean
        found += [("usefulness_real", real, None, "skill"), ("usefulness_draws", made, error, "skill")]
    return found
