"""Distribution: scores events and draws them; one of the two nouns of the library."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import ClassVar, TypeVar

import torch
from torch import Tensor, nn

from surflow._internal import held_draws
from surflow._internal.chunks import chunks, gather, rows_at_once
from surflow._internal.configurable import Configurable
from surflow._internal.fit_options import FitOptions
from surflow._internal.held_draws import hold_draws, no_gradient_if_held, note_draw
from surflow._internal.number_types import number_type, type_for
from surflow._internal.random import seeded
from surflow._internal.shapes import Shape, as_shape, as_tensor_of, check_context, check_rows, join
from surflow.errors import BoundError, DataError, ShapeError
from surflow.supports import Support, real

Fitted = TypeVar("Fitted")


def check_integers(owner: object, what: str, x: Tensor, support: Support) -> None:
    """Raise DataError where the type of ``x`` is too narrow for the integers of its support, and has rounded some."""
    if support.largest and x.is_floating_point() and type_for(x.dtype, support.largest) != x.dtype:
        raise DataError(
            f"{type(owner).__name__} expects {what} on {support!r}, and {x.dtype} cannot tell all of its integers "
            f"apart: make them {type_for(x.dtype, support.largest)}, whatever the type of the parameters"
        )


class Jumps(IntEnum):
    """Whether a function jumps: not at all, at a point that is fixed, or at one that its own parameters move."""

    NONE = 0
    FIXED = 1
    LEARNED = 2


class Distribution(Configurable, nn.Module):
    """A distribution over events of ``event_shape`` on ``support``, possibly given a context.

    A subclass implements, on rows (batch, *event),

    - ``_log_prob(x, context)``, the log-density in nats, (batch,); or, where that has no closed form and ``exact`` is
      False, ``_bound(x, context, k)``, the k-sample bound of it, of which k = 1 is the ELBO;
    - ``_draw(n, context)``, which returns ``n`` events, one for each row of the context, with their log-density; or
      ``_sample(n, context)``, the events alone; or both, where the log-density is dear.

    Everything public is built on these, and so is what a layer asks of its pieces (``_given``, ``_elbo_of``,
    ``_elbo_of_choice``, ``_draw_for``, ``_draw_through``). A family may have shortcuts; a subclass that overrides what
    they go past is given the general methods, so that it counts wherever it stands.

    Args:
        event_shape: shape of one event; a number n stands for (n,).
        support: where the density lives; outside it the log-density is -inf.
        context_shape: shape of one context, or None for a distribution that takes none.

    Attributes:
        event_shape: shape of one event.
        support: where the density lives; outside it the log-density is -inf.
        context_shape: shape of one context, or None for a distribution that takes none.
        exact: whether ``log_prob`` is the density; otherwise there is only a bound.
        reparameterized: whether draws carry gradients to the parameters.
        has_pole: whether the derivative of the log-density has no bound at an end of the support, as a log-normal's at
            zero.

    >>> class Laplace(Distribution):
    ...     def _log_prob(self, x, context):
    ...         return (-x.abs() - math.log(2)).flatten(1).sum(1)
    >>> Laplace(1).log_prob(torch.zeros(1, 1)).exp().item()
    0.5
    """

    reparameterized: bool = True
    has_pole: bool = False

    # Methods of which a class may know more than the general ones below, each with those that it has to agree with.
    _shortcuts: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "_sample": ("_draw",),
        "_draw": ("_log_prob", "_sample"),
        "_elbo_of": ("_log_prob", "_bound"),
        "_draw_through": ("_log_prob", "_draw", "_sample"),
        "_uniform_log_prob": ("_log_prob", "_draw", "_sample"),
        "_iid": ("_log_prob", "_draw", "_sample"),
    }

    def __init_subclass__(cls, **kwargs: object) -> None:
        """What a subclass overrides counts on every path: a parent's shortcut past it becomes the general method."""
        super().__init_subclass__(**kwargs)
        for shortcut, hooks in cls._shortcuts.items():
            owner = next(parent for parent in cls.__mro__ if shortcut in vars(parent))
            overridden = any(getattr(cls, hook, None) is not getattr(owner, hook, None) for hook in hooks)
            # The general `_draw` needs a `_sample` of the class's own.
            if overridden and (shortcut != "_draw" or cls._sample is not Distribution._sample):
                setattr(cls, shortcut, vars(Distribution)[shortcut])

    def __init__(
        self,
        event_shape: int | Shape,
        *,
        support: Support = real,
        context_shape: int | Shape | None = None,
    ) -> None:
        super().__init__()
        self.event_shape = as_shape(event_shape)
        self.support = support
        support.check_shape(self.event_shape)
        self.context_shape = None if context_shape is None else as_shape(context_shape)

    @property
    def exact(self) -> bool:
        return True

    # -- what a subclass implements ---------------------------------------------------------------

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        """The log-density of rows; never a bound."""
        raise NotImplementedError

    def _bound(self, x: Tensor, context: Tensor | None, k: int) -> Tensor:
        """A draw of the k-sample bound, for what is not exact. Its gradient is unbiased, or ``backward`` refuses."""
        raise NotImplementedError

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        """Events and their log-density; of what is not exact, log p(x, z) - log q(z | x) of the z they are made of."""
        if type(self)._sample is Distribution._sample:
            raise NotImplementedError(f"{type(self).__name__} has neither _draw nor _sample")
        x = self._sample(n, context)
        return x, self._log_prob(x, context)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        """The events of ``_draw``, and the same ones for the same seed."""
        return self._draw(n, context)[0]

    # -- before training ----------------------------------------------------------------------------

    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        """Let what is fitted to data before training see rows of them; ``fit`` calls it.

        Args:
            x: rows, (batch, *event).
            context: their contexts.
            weight: (batch,), not negative: a row of weight w counts as w rows; None for ones.
        """

    def weigh(self, x: Tensor, context: Tensor | None = None) -> None:
        """Let what is chosen by rows that were not trained on, such as weights of a mixture of distributions of rows,
        see them; here nothing. ``fit`` calls it at the end, with up to 2000 rows of the validation set.

        Args:
            x: rows, (batch, *event), at least one.
            context: one of each row, or None.
        """

    def _ready_to_fit(self, data: Fitted) -> tuple[Fitted | Tensor, FitOptions]:
        """What ``fit`` is given as it trains on it, and its options where a person states none."""
        return data, {}

    # -- scoring ------------------------------------------------------------------------------------

    def log_prob(self, x: Tensor, context: Tensor | None = None, *, importance_samples: int | None = None) -> Tensor:
        r"""Log-density in nats. ``x`` is (*sample, *batch, *event); the context's rows match its last batch axis.

        Args:
            x: events.
            context: shape (batch, *context), or None.
            importance_samples: k, for a distribution that has only a bound: the k-sample bound
                :math:`\log \frac1k \sum_i p(x, z^i) / q(z^i \mid x)` is returned, which tightens with k, in bounded
                memory. An exact one has no use for k and returns its density.

        Raises:
            ShapeError: if x or the context has another shape.
            BoundError: if there is only a bound, and ``importance_samples`` is not given or not from 1.
        """
        if self.exact:
            return self._scored(self._log_prob, x, context)
        k = importance_samples
        if k is None:
            raise BoundError(self._no_density())
        if not isinstance(k, int) or k < 1:
            raise BoundError(f"importance_samples must be a whole number from 1, got {k}")
        return self._scored(lambda rows, given: self._bound(rows, given, k), x, context, chunked=True)

    def elbo(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """One draw of the evidence lower bound in nats; ``log_prob`` where the distribution is exact.

        Its gradient is unbiased, or ``backward`` raises BoundError. Where that takes a score-function term
        (:mod:`surflow.flow.gradients`) and gradients are recorded, the mean of two draws is returned.

        Without gradients, many rows are scored one chunk after the other, in bounded memory.
        """
        if self.exact:
            return self.log_prob(x, context)
        return self._scored(lambda rows, given: self._bound(rows, given, 1), x, context)

    def _no_density(self) -> str:
        """Why there is no log_prob, for a distribution that is not exact."""
        return (
            f"{type(self).__name__} has no exact density, only a bound: use .elbo(x), "
            "or .log_prob(x, importance_samples=k) for a tighter one"
        )

    def _scored(
        self,
        score: Callable[[Tensor, Tensor | None], Tensor],
        x: Tensor,
        context: Tensor | None,
        *,
        chunked: bool = False,
    ) -> Tensor:
        """``score(x, context)`` of rows, for events of any leading axes; in chunks where no gradients are recorded."""
        x, context, batch = self._rows(x, context)
        at_once = rows_at_once(self.event_shape)
        if x.shape[0] <= at_once or (torch.is_grad_enabled() and not chunked):
            return score(x, context).reshape(batch)
        parts = ((score(*chunk),) for chunk in chunks(x, context, at_once))
        return gather(parts, x.shape[0])[0].reshape(batch)

    def _rows(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None, Shape]:
        """Flatten the leading axes of x to one batch axis and repeat the context to match."""
        if not isinstance(x, Tensor):
            raise DataError(f"expected events as a tensor, got {type(x).__name__}: pass {as_tensor_of(x)}")
        self._refuse_stray(context)
        batch = tuple(x.shape[: x.ndim - len(self.event_shape)])
        if len(batch) != 1 and tuple(x.shape[len(batch) :]) == self.event_shape:
            x = x.reshape(-1, *self.event_shape)
            if self.context_shape is not None and context is not None and batch:
                leading = (*batch[:-1], *context.shape)
                context = context.expand(leading).reshape(-1, *context.shape[1:])
        check_rows(self, "events", x, self.event_shape)
        if not x.is_floating_point():
            x = x.to(self._type_of_rows(x.dtype))
        check_integers(self, "events", x, self.support)
        return x, check_context(self, context, self.context_shape, x.shape[0]), batch

    @property
    def _any_precision(self) -> bool:
        """Whether events may be of any floating type, whatever that of the parameters."""
        return False

    def _type_of_rows(self, kind: torch.dtype) -> torch.dtype:
        """The floating type in which events of a type enter: the parameters', or one that keeps all integers."""
        return type_for(number_type(self), self.support.largest)

    def _type_of_contexts(self, kind: torch.dtype) -> torch.dtype:
        """The type in which contexts of a type enter; integers stay, for they may be labels."""
        return number_type(self) if kind.is_floating_point else kind

    def _refuse_stray(self, context: Tensor | None) -> None:
        """Who passes a context believes the model to be conditional, and should hear that it is not."""
        if context is not None and self.context_shape is None:
            raise ShapeError(
                f"{type(self).__name__} takes no context, got one of shape {tuple(context.shape)}: leave it out, "
                "or build the distribution or its layers with context_shape="
            )

    # -- drawing ------------------------------------------------------------------------------------

    def sample_and_log_prob(
        self, shape: int | Shape = (), context: Tensor | None = None, *, seed: int | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draws, shape + context's batch + event, and their log-density in nats; gradients as of :meth:`rsample`.

        Raises:
            BoundError: if there is only a bound: the number at hand would be log p(x, z) - log q(z | x) of the z that x
                was drawn with, whose mean lies above the log-density. Score draws with
                ``flow.log_prob(x, importance_samples=k)``.
        """
        if not self.exact:
            raise BoundError(
                f"{type(self).__name__} has a bound, not a density, so that draws do not come with their log-density: "
                "use x = .sample(shape), and .elbo(x) or .log_prob(x, importance_samples=k)"
            )
        x, log_prob = self._in_chunks(self._draw, shape, context, seed)
        return x, log_prob

    @torch.no_grad()
    def sample(self, shape: int | Shape = (), context: Tensor | None = None, *, seed: int | None = None) -> Tensor:
        """Draws without gradients, of shape ``shape + context's batch + event``; the same seed gives the same draws.

        Many are drawn one chunk after the other, in bounded memory.
        """
        return self._in_chunks(lambda n, given: (self._sample(n, given),), shape, context, seed)[0]

    def rsample(self, shape: int | Shape = (), context: Tensor | None = None, *, seed: int | None = None) -> Tensor:
        """Draws whose gradients reach the parameters.

        Raises:
            BoundError: if no such gradient exists: a part of the draw is discrete with learned probabilities, or jumps
                as what it is made from moves.
        """
        refusal = self._no_rsample()
        if refusal:
            raise BoundError(
                f"draws of {type(self).__name__} carry no gradient to the parameters: {refusal}; use .sample, or the "
                "log_prob of the draw"
            )
        return self._in_chunks(lambda n, given: (self._sample(n, given),), shape, context, seed)[0]

    def _no_rsample(self) -> str | None:
        """Why draws carry no gradients to the parameters, or None."""
        return None if self.reparameterized else "it draws something discrete with learned probabilities"

    def _in_chunks(
        self,
        draw: Callable[[int, Tensor | None], tuple[Tensor, ...]],
        shape: int | Shape,
        context: Tensor | None,
        seed: int | None,
    ) -> tuple[Tensor, ...]:
        """What ``draw(n, context)`` gives for a chunk of rows at a time, in the shape of all rows.

        The chunks are the same with gradients and without, and so are the draws of a seed.
        """
        batch = as_shape(shape)
        self._refuse_stray(context)
        if context is not None and self.context_shape is not None:
            check_rows(self, "context", context, self.context_shape)
            batch = (*batch, context.shape[0])
        n, at_once = math.prod(batch), rows_at_once(self.event_shape)

        def part(start: int) -> tuple[Tensor, ...]:
            size = min(at_once, n - start)
            given = context
            if context is not None and size != context.shape[0]:
                given = context[torch.arange(start, start + size, device=context.device) % context.shape[0]]
            return draw(size, check_context(self, given, self.context_shape, size))

        with seeded(seed):
            wholes = gather(map(part, range(0, max(n, 1), at_once)), n)
        return tuple(whole.reshape(*batch, *whole.shape[1:]) for whole in wholes)

    # -- as a piece of a layer ------------------------------------------------------------------------

    def _given(self, z: Tensor, context: Tensor | None) -> Tensor | None:
        """What a piece is given: nothing, the layer's z alone, or z joined with the flow's context."""
        if self.context_shape is None:
            return None
        if tuple(z.shape[1:]) == self.context_shape:
            return z
        return join(z, context)

    def _own(self, context: Tensor | None) -> Tensor | None:
        """The context, or None for a distribution that takes none."""
        return None if self.context_shape is None else context

    def _context_beyond(self, shape: Shape) -> Shape | None:
        """The flow's context that a piece inside a layer needs beside the layer's z of shape ``shape``."""
        own = self.context_shape
        if own is None or own == shape:
            return None
        extra = own[0] - shape[0] if len(own) == len(shape) and own[1:] == shape[1:] else 0
        if extra <= 0:
            raise ShapeError(
                f"{type(self).__name__} inside a layer is conditioned on z, context_shape={shape}, or on z joined "
                f"with the flow's context, ({shape[0]} + context, *{shape[1:]}); got context_shape={own}"
            )
        return (extra,)

    def _elbo_of(self, event: Tensor, given: Tensor | None) -> Tensor:
        """``elbo`` of events that a layer makes, rows of the support: a family does not look whether they lie in it."""
        return self.elbo(event, given)

    def _elbo_of_choice(self, find: Callable[[], Tensor], given: Tensor | None, like: Tensor) -> Tensor:
        """The same, for every row of ``like``, of what ``find()`` gives: uniform pieces do not need to know it."""
        log_prob = self._uniform_log_prob
        return self._elbo_of(find(), given) if log_prob is None else like.new_full((like.shape[0],), log_prob)

    def _draw_for(self, n: int, given: Tensor | None) -> tuple[Tensor, Tensor]:
        """``n`` events, one for each given row and without gradients where draws are held, and their log-density."""
        given = check_context(self, given, self.context_shape, n)
        if held_draws.held is None:
            return self._draw(n, given)
        with no_gradient_if_held():
            x = self._sample(n, given)
        with hold_draws(hold=False):
            log_prob = self._log_prob(x, given)
        note_draw(log_prob)
        return x, log_prob

    def _draw_through(
        self, n: int, given: Tensor | None, put: Callable[[Tensor], tuple[Tensor, Tensor]]
    ) -> tuple[Tensor, Tensor]:
        """What ``put`` makes of a draw, and the log-density of the event that it says is left of it after rounding."""
        if not self.exact:
            d, log_weight = self._draw_for(n, given)  # of the latents of this very d: another bound would be of others
            return put(d)[0], log_weight
        with no_gradient_if_held():
            d = self._sample(n, given)
        x, left = put(d)
        log_prob = self.log_prob(left, given)
        note_draw(log_prob)
        return x, log_prob

    @property
    def _uniform_log_prob(self) -> float | None:
        """The log-density, where it is the same of every event of the support."""
        return None

    @property
    def _iid(self) -> bool:
        """Whether all coordinates are independent and have one distribution."""
        return False

    def _jumps(self, *, event: bool, context: bool) -> Jumps:
        """Whether the log-density jumps as the event, or the context, moves while all that is drawn within is held."""
        return Jumps.NONE

    def _jumps_of_choice(self) -> Jumps:
        """Whether the log-density of what a layer finds, such as signs, jumps where the layer finds something else."""
        jumps = Jumps.FIXED if self._uniform_log_prob is None else Jumps.NONE
        return max(jumps, self._jumps(event=False, context=True))

    def extra_repr(self) -> str:
        given = "" if self.context_shape is None else f", context_shape={self.context_shape}"
        return f"{self.event_shape}, support={self.support!r}{given}"
