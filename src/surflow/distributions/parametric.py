"""Distributions with parameters that are fixed, learned, or given by a network of the context."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from surflow.distribution import Distribution, Shape, as_shape
from surflow.errors import ConfigError
from surflow.nets.mlp import MLP
from surflow.support import Support, real


class Parametric(Distribution):
    """A family with ``n_parameters`` unconstrained numbers per coordinate; all zero gives its standard form.

    One mechanism serves every family: the raw parameters, shape (rows or 1, n_parameters, *event), are zero
    (fixed), a parameter of the module (``learned=True``), or the output of a network of the context
    (``context_shape=...``; ``net`` replaces the default perceptron). A subclass implements
    ``_log_prob_given(x, raw)`` and ``_draw_given(n, raw)`` and constrains the numbers where it uses them.
    """

    n_parameters = 1
    discrete = False

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        learned: bool = False,
        net: nn.Module | None = None,
    ) -> None:
        shape = as_shape(event_shape)
        super().__init__(shape, support=self._support_of(shape), context_shape=context_shape)
        if net is not None and context_shape is None:
            raise ConfigError(f"{type(self).__name__} got a net but no context_shape for its input")
        self.raw_shape = self._raw_shape_of(shape)
        self.fixed = context_shape is None and not learned
        if self.context_shape is not None:
            self.net = net if net is not None else MLP(self.context_shape, self.raw_shape, zero_init=True)
        zeros = torch.zeros(self.raw_shape)
        if learned:
            self.raw = nn.Parameter(zeros)  # with a network: the bias that it is added to
        else:
            self.register_buffer("raw", zeros, persistent=False)

    def _support_of(self, shape: Shape) -> Support:
        return real

    def _raw_shape_of(self, shape: Shape) -> Shape:
        return (self.n_parameters, *shape)

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        return self.fixed or not self.discrete

    def parameters_given(self, context: Tensor | None) -> Tensor:
        """Raw parameters, shape (rows or 1, *raw_shape)."""
        if self.context_shape is None:
            return self.raw.unsqueeze(0)
        return self.net(context).reshape(-1, *self.raw_shape) + self.raw

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self._log_prob_given(x, self.parameters_given(context))

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raw = self.parameters_given(context)
        x = self._draw_given(n, raw)
        return x, self._log_prob_given(x, raw)

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        raise NotImplementedError

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        raise NotImplementedError
