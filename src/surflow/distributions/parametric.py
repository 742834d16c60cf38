"""Distributions with parameters that are fixed, learned, or given by a network of the context."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from surflow._internal.held_draws import no_gradient_if_held, note_draw
from surflow._internal.shapes import Shape, as_shape
from surflow.distribution import Distribution, Jumps
from surflow.distributions.uniform import _Uniform
from surflow.errors import ConfigError
from surflow.nets.mlp import MLP
from surflow.supports import Support, real


class Parametric(Distribution):
    """A family with ``n_parameters`` unconstrained numbers per coordinate; all zero gives its standard form.

    One mechanism serves every family: the raw parameters, shape (rows or 1, n_parameters, *event), are zero
    (fixed), a parameter of the module (``learned=True``), or the output of a network of the context
    (``context_shape=...``; ``net`` replaces the default perceptron). A subclass implements
    ``_log_prob_given(x, raw)``, for x in the support, and ``_draw_given(n, raw)``, and constrains the numbers where it
    uses them. A family whose fixed form is uniform says so by ``_constant_of(shape)``.
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
        self.constant = self._constant_of(shape) if self.fixed and _ours(self) else None
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

    def _constant_of(self, shape: Shape) -> float | None:
        """The log-density of the fixed form, where it is the same on the whole support."""
        return None

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        return self.fixed or not self.discrete

    def parameters_given(self, context: Tensor | None) -> Tensor:
        """Raw parameters, shape (rows or 1, *raw_shape)."""
        if self.context_shape is None:
            return self.raw.unsqueeze(0)
        raw = self.net(context).reshape(-1, *self.raw_shape)
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
        return self._draw_given(n, self.parameters_given(context)) if _ours(self) else self._draw(n, context)[0]

    def _log_prob_inside(self, x: Tensor, raw: Tensor) -> Tensor:
        if self.constant is None:
            return self._log_prob_given(x, raw)
        return x.new_full((x.shape[0],), self.constant, dtype=torch.promote_types(x.dtype, raw.dtype))

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        raise NotImplementedError

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        raise NotImplementedError


def _ours(piece: Distribution) -> bool:
    """Whether a piece is a family of this library: the methods of a subclass of it may be others."""
    return type(piece).__module__.startswith("surflow.")


def constant_of(piece: Distribution) -> float | None:
    """The log-density of a piece that has the same one everywhere, so that it does not matter which event it scores."""
    return piece.constant if isinstance(piece, Parametric | _Uniform) and _ours(piece) else None


def jumps_of_choice(piece: Distribution) -> Jumps:
    """Whether the log-density of what a layer finds, such as signs, jumps where the layer finds something else."""
    jumps = Jumps.NONE if constant_of(piece) is not None else Jumps.FIXED
    return max(jumps, piece._jumps(event=False, context=True))


def log_prob_of_piece(piece: Distribution, event: Callable[[], Tensor], given: Tensor | None, like: Tensor) -> Tensor:
    """The log-density, for each row of ``like``, of an event that a layer makes.

    It lies in the support of the layer's piece, so a family does not look; a uniform piece does not even need it made.
    """
    constant = constant_of(piece)
    if constant is not None:
        return like.new_full((like.shape[0],), constant)
    if isinstance(piece, Parametric) and _ours(piece):
        return piece._log_prob_given(event(), piece.parameters_given(given))
    return piece.elbo(event(), given)


def draw_through(
    piece: Distribution, n: int, given: Tensor | None, put: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> tuple[Tensor, Tensor]:
    """What ``put`` makes of a draw, and the log-density of the event that it says is left of it after rounding."""
    if isinstance(piece, Parametric) and _ours(piece):
        raw = piece.parameters_given(given)
        with no_gradient_if_held():
            d = piece._draw_given(n, raw)
        x, left = put(d)
        log_prob = piece._log_prob_inside(left, raw)
    elif not piece.exact:
        d, log_prob = piece.draw(n, given)  # of the latents that d was made from: another bound would be of others
        return put(d)[0], log_prob
    else:
        with no_gradient_if_held():
            d = piece._sample(n, given)
        x, left = put(d)
        log_prob = piece.elbo(left, given)
    note_draw(log_prob)
    return x, log_prob
