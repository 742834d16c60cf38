"""Distributions with parameters that are fixed, learned, or given by a network of the context."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import ClassVar

import torch
from torch import Tensor, nn

from surflow._internal.held_draws import no_gradient_if_held, note_draw
from surflow._internal.shapes import Shape, as_raw, as_shape
from surflow.distribution import Distribution
from surflow.errors import ConfigError
from surflow.nets.mlp import MLP
from surflow.supports import Support, real


class Parametric(Distribution):
    """A family with ``n_parameters`` unconstrained numbers per coordinate; all zero gives its standard form.

    One mechanism serves every family: the raw parameters, shape (rows or 1, n_parameters, *event), are zero
    (fixed), a parameter of the module (``learned=True``), or the output of a network of the context
    (``context_shape=...``; ``net`` replaces the default perceptron by a network from (batch, *context_shape) to as many
    numbers in that order). A subclass implements ``_log_prob_given(x, raw)``, for x in the support, and
    ``_draw_given(n, raw)``, and constrains the numbers where it uses them. A family whose fixed form is uniform says so
    by ``_constant``, one of independent coordinates that are all alike by ``_iid``; a subclass that overrides a method
    of the form says it again where it still holds.
    """

    n_parameters = 1
    discrete = False

    _form = ("_log_prob", "_draw", "_sample", "_log_prob_given", "_draw_given")
    _shortcuts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        **Distribution._shortcuts,
        "_uniform_log_prob": _form,
        "_iid": _form,
    }

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
        own = type(self).parameters_given is not Parametric.parameters_given  # a subclass that gives others
        self.fixed = context_shape is None and not learned and not own
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
        return not self.discrete or (self.fixed and not any(True for _ in self.parameters()))

    def parameters_given(self, context: Tensor | None) -> Tensor:
        """Raw parameters, shape (rows or 1, *raw_shape)."""
        if self.context_shape is None:
            return self.raw.unsqueeze(0)
        assert context is not None  # for the type checker: its shape has been checked
        raw = as_raw(self, self.net(context), context.shape[0], self.raw_shape)
        return raw + self.raw if isinstance(self.raw, nn.Parameter) else raw

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        raw = self.parameters_given(context)
        if self.fixed and self.support == real:  # no parameters whose gradients an infinite row would spoil
            return self._log_prob_inside(x, raw)
        outside = self.support.outside(x) if self.support == real else ~self.support.contains(x)
        return self._log_prob_inside(self.support.without(x, outside), raw).masked_fill(outside, -math.inf)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raw = self.parameters_given(context)
        x = self._draw_given(n, raw)
        return x, self._log_prob_inside(x, raw)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self._draw_given(n, self.parameters_given(context))

    def _elbo_of(self, event: Tensor, given: Tensor | None) -> Tensor:
        return self._log_prob_inside(event, self.parameters_given(given))

    def _draw_through(
        self, n: int, given: Tensor | None, put: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        raw = self.parameters_given(given)
        with no_gradient_if_held():
            d = self._draw_given(n, raw)
        x, left = put(d)
        log_prob = self._log_prob_inside(left, raw)
        note_draw(log_prob)
        return x, log_prob

    def _log_prob_inside(self, x: Tensor, raw: Tensor) -> Tensor:
        log_prob = self._uniform_log_prob
        if log_prob is None:
            return self._log_prob_given(x, raw)
        return x.new_full((x.shape[0],), log_prob, dtype=torch.promote_types(x.dtype, raw.dtype))

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        raise NotImplementedError

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        raise NotImplementedError
