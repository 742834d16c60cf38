"""The clock of a run: processor seconds since the process began, without those in which checkpoints are scored."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

import numpy as np

# Log-densities in nats, (rows,), of rows in original units and their contexts, under the model as it is now.
Score = Callable[[np.ndarray, np.ndarray | None], np.ndarray]

# A checkpoint comes this much later than the one before, and this many seconds at least.
_LATER, _LATER_SECONDS = 1.15, 0.25
_CHUNK = 2500


class TimeUp(Exception):
    """The run has used the seconds that it had."""


@dataclass(frozen=True)
class Rows:
    """The arrays of a set, by name: train, validation and test, each perhaps with _context and _integers."""

    arrays: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, path: Path) -> Rows:
        with np.load(path) as file:
            return cls(dict(file))

    def of(self, part: str, *, integers: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """The rows of a part, dequantised unless ``integers``, and their contexts."""
        name = f"{part}_integers" if integers and f"{part}_integers" in self.arrays else part
        return self.arrays[name], self.arrays.get(f"{part}_context")

    @property
    def dim(self) -> int:
        """How many numbers an event has."""
        return self.arrays["train"].shape[1]

    @property
    def context_dim(self) -> int:
        """How many numbers a context has."""
        context = self.arrays.get("train_context")
        return 0 if context is None else context.shape[1]


class Track:
    """Scores checkpoints off the clock, keeps the best by validation, and ends the run when its seconds are used.

    Args:
        seconds: that the run may use.
        rows: whose parts validation and test are scored.
        answers: where a line of JSON for every checkpoint goes.
        integers: score integers as they are, where the set has them.
    """

    def __init__(self, seconds: float, rows: Rows, answers: TextIO, *, integers: bool = False) -> None:
        self.seconds, self.answers = seconds, answers
        self.validation, self.test = (rows.of(part, integers=integers) for part in ("validation", "test"))
        self.away = self.next = 0.0
        self.best = np.inf
        self.nll, self.error = np.nan, np.nan

    @property
    def now(self) -> float:
        return time.process_time() - self.away

    @contextmanager
    def paused(self) -> Iterator[None]:
        """What happens inside is not timed."""
        start = time.process_time()
        try:
            yield
        finally:
            self.away += time.process_time() - start

    def step(self, score: Score) -> None:
        """After every step of the training.

        Raises:
            TimeUp: after a last checkpoint, when the seconds are used.
        """
        up = self.now >= self.seconds
        if up or self.now >= self.next:
            self.mark(score)
        if up:
            raise TimeUp

    def mark(self, score: Score) -> None:
        """A checkpoint; its figure is that of the best one so far by validation, as if selection cost nothing."""
        now = self.now
        with self.paused():
            validation = -_in_chunks(score, *self.validation).mean()
            if not validation >= self.best:
                nll = -_in_chunks(score, *self.test)
                self.best, self.nll, self.error = validation, nll.mean(), nll.std() / len(nll) ** 0.5
            answer = {"seconds": now, "nll": float(self.nll), "error": float(self.error)}
            print(json.dumps(answer), file=self.answers, flush=True)
        self.next = max(_LATER * now, now + _LATER_SECONDS)


def _in_chunks(score: Score, x: np.ndarray, context: np.ndarray | None) -> np.ndarray:
    starts = range(0, len(x), _CHUNK)
    parts = [score(x[i : i + _CHUNK], None if context is None else context[i : i + _CHUNK]) for i in starts]
    return np.concatenate(parts).astype(np.float64)


@dataclass(frozen=True)
class Scale:
    """Standardisation to mean 0 and deviation 1 of the training rows, which peers leave to their users."""

    mean: np.ndarray
    deviation: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray) -> Scale:
        return cls(x.mean(0), x.std(0))

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return ((x - self.mean) / self.deviation).astype(np.float32)

    @property
    def log_det(self) -> float:
        """What it adds to the log-density of a row in original units."""
        return -float(np.log(self.deviation).sum())
