"""Options of ``fit`` that a model has values of its own for, where a person states none."""

from __future__ import annotations

from typing import TypedDict


class FitOptions(TypedDict, total=False):
    """As the arguments of :func:`surflow.fit`; ``validation`` is a share of the rows."""

    steps: int
    batch_size: int
    lr: float
    schedule: str
    clip: float
    patience: int
    validate_every: int
    validation: float
