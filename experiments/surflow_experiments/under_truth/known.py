"""A model that is right, and what evaluation says of it."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor
from torch.distributions import Normal

import surflow as sf


class Known(sf.Distribution):
    """x ~ N(0, I), whatever the context; a model that is right."""

    has_density = True

    def __init__(self, size: int = 1, context: int | None = None) -> None:
        super().__init__(size, context_shape=context)
        self.size = size

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return Normal(0.0, 1.0).log_prob(x).sum(1)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = torch.randn(n, self.size)
        return x, self._log_prob(x, context)

    def entropy(self) -> tuple[float, float]:
        return self.size / 2 * math.log(2 * math.pi * math.e), 0.0


def collected(fill: Callable[..., object], *given: object, **named: object) -> dict[str, tuple[float, float | None]]:
    """What a function of :mod:`surflow.evaluation.merit` adds, values with their errors by metric."""
    found: dict[str, tuple[float, float | None]] = {}

    def add(metric: str, value: float, error: float | None = None, unit: str = "") -> None:
        found[metric] = value, error

    fill(*given, add, **named)
    return found
