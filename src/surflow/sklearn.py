"""A flow as a density estimator of scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, DensityMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from surflow import presets
from surflow._internal.random import seeded
from surflow.errors import BoundError, ConfigError
from surflow.tables.defaults import VALIDATION
from surflow.training import fit

__all__ = ["FlowDensity"]

_SEEDS = 2**31 - 1


class FlowDensity(DensityMixin, BaseEstimator):
    r"""The density of rows of numbers, learned by a flow: :math:`\log p(x)` in nats, and samples.

    As ``KernelDensity`` and ``GaussianMixture`` of scikit-learn, and as they in a ``Pipeline``, a ``GridSearchCV`` over
    presets and options, under ``clone`` and ``pickle``. Where nothing is said, model and training are those of
    ``surflow train`` for as many rows; 15 % of the rows are held out and choose the weights. Training is in single
    precision, what is learned is evaluated in double.

    Args:
        preset: name of an architecture, one of :func:`surflow.presets.names`, or "auto".
        options: of the preset, such as ``{"layers": 2}``; over those of "auto", which come of the number of rows.
        steps, minutes: the length of the training, whichever ends first; by default steps by the number of rows.
        batch_size: rows of a step.
        lr: the learning rate at its highest.
        random_state: a seed or a ``RandomState``, of the initial weights and of the training; None for another one
            with every fit.
        verbose: show how far the training is.

    Attributes:
        flow_: the trained :class:`~surflow.Flow`, in double precision.
        n_features_in_: the number of columns.
        feature_names_in_: their names, where ``X`` has any.

    Raises:
        ConfigError: by ``fit``, for a preset or an option that does not exist.
        BoundError: by ``fit``, for a preset whose likelihood is a bound: it has no density to score by.
        ValueError: for what scikit-learn refuses: holes, infinite values, names, another number of columns.

    >>> from sklearn.datasets import load_iris
    >>> X = load_iris().data
    >>> density = FlowDensity(steps=20, random_state=0).fit(X)
    >>> density.score_samples(X).shape, density.sample(3, random_state=1).shape
    ((150,), (3, 4))
    """

    def __init__(
        self,
        preset: str = "auto",
        *,
        options: Mapping[str, object] | None = None,
        steps: int | None = None,
        minutes: float | None = None,
        batch_size: int | None = None,
        lr: float | None = None,
        random_state: int | np.random.RandomState | None = None,
        verbose: bool = False,
    ) -> None:
        self.preset = preset
        self.options = options
        self.steps = steps
        self.minutes = minutes
        self.batch_size = batch_size
        self.lr = lr
        self.random_state = random_state
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> Self:
        """Train a flow.

        Args:
            X: rows of numbers, (rows, columns), two at least; a table of pandas or polars with its names.
            y: not used.
        """
        x = torch.from_numpy(validate_data(self, X, dtype=np.float32, order="C", copy=True, ensure_min_samples=2))
        seed = int(check_random_state(self.random_state).randint(_SEEDS))
        rows = len(x) - round(VALIDATION * len(x))
        name, own = presets.choose_numbers(x.shape[1], rows) if self.preset == "auto" else (self.preset, {})
        flow = presets.build(name, x.shape[1], seed=seed, **own | dict(self.options or {}))
        if not flow.exact:
            raise BoundError(f"the preset {name!r} has a bound and no density: FlowDensity takes exact presets alone")
        given = {"steps": self.steps, "minutes": self.minutes, "batch_size": self.batch_size, "lr": self.lr}
        training: dict[str, Any] = dict(presets.training_of_numbers(rows))
        if self.minutes is not None:
            training.pop("steps")
        training |= {option: value for option, value in given.items() if value is not None}
        fit(flow, x, validation=VALIDATION, seed=seed, progress=self.verbose, **training)
        self.flow_ = flow.double()
        return self

    def score_samples(self, X: ArrayLike) -> np.ndarray:
        """The log-density of every row in nats, (rows,)."""
        check_is_fitted(self)
        x = torch.from_numpy(validate_data(self, X, dtype=np.float64, order="C", copy=True, reset=False))
        with torch.no_grad():
            return self.flow_.log_prob(x).numpy()

    def score(self, X: ArrayLike, y: object = None) -> float:
        """The mean log-density of the rows in nats, as of ``GaussianMixture``; ``y`` is not used."""
        return float(self.score_samples(X).mean())

    def sample(self, n_samples: int = 1, random_state: int | np.random.RandomState | None = None) -> np.ndarray:
        """Draw rows, (n_samples, columns); the same ones from the same ``random_state``."""
        check_is_fitted(self)
        if n_samples < 1:
            raise ConfigError(f"n_samples must be at least 1, got {n_samples}")
        with torch.no_grad(), seeded(int(check_random_state(random_state).randint(_SEEDS))):
            return self.flow_.sample(n_samples).numpy()
