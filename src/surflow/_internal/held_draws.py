"""Draws that are held fixed while a score-function term stands for their gradient."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

# Where the log-densities of held draws are collected; None while draws carry gradients.
held: list[Tensor] | None = None


@contextmanager
def hold_draws(*, hold: bool = True) -> Iterator[list[Tensor]]:
    """Within, pieces draw without gradients, and the log-densities of what they draw, which have some, are collected.

    ``hold_draws(False)`` lets draws carry gradients again.
    """
    global held
    noted: list[Tensor] = []
    before = held
    held = noted if hold else None
    try:
        yield noted
    finally:
        held = before


@contextmanager
def no_gradient_if_held() -> Iterator[None]:
    """What is drawn within carries no gradient if draws are held."""
    if held is None:
        yield
        return
    with torch.no_grad(), hold_draws(hold=False):
        yield


def note_draw(log_prob: Tensor) -> None:
    """Collect the log-density of a draw if draws are held."""
    if held is not None:
        held.append(log_prob)
