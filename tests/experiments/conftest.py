"""Cells of experiments without processes of their own."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

import pytest


class _Here(Executor):
    """Runs what it is given at once, in this process; as on the way to another, all is pickled, there and back."""

    def __init__(self, *_: object) -> None:
        """Takes what a pool of processes takes."""

    def submit(self, run: Callable[..., Any], /, *given: object, **named: object) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            run, given, named = pickle.loads(pickle.dumps((run, given, named)))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # in another process they are no errors
                outcome = run(*given, **named)
            future.set_result(pickle.loads(pickle.dumps(outcome)))
        except Exception as error:
            future.set_exception(error)
        return future


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every process of a pool imports torch and Lightning first: that it does is shown once, not by every test."""
    monkeypatch.setattr("surflow_experiments.cells.ProcessPoolExecutor", _Here)
