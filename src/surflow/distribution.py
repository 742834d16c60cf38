"""Distribution: scores events and draws them; one of the two nouns of the library."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from enum import IntEnum
from operator import index
from typing import SupportsIndex

import torch
from torch import Tensor, nn

from surflow.configurable import Configurable
from surflow.errors import BoundError, DataError, ShapeError
from surflow.support import Shape, Support, real, type_for

# Rows, and numbers in the events of these rows, that pass through a model at once where no gradients are recorded: a
# layer's hidden values of so many rows lie in a processor's caches, so that more would be slower as well as larger.
_ROWS_AT_ONCE = 2**13
_ELEMENTS_AT_ONCE = 2**18


def as_shape(shape: int | tuple[int, ...] | list[int]) -> Shape:
    """An event shape as a tuple; a bare integer means a vector.

    Raises:
        ShapeError: unless it is made of integers, none of them negative.
    """
    try:
        sizes = (index(shape),) if isinstance(shape, SupportsIndex) else tuple(index(size) for size in shape)
    except TypeError:
        sizes = (-1,)
    if any(size < 0 for size in sizes):
        raise ShapeError(f"expected a shape, an integer or a tuple of integers such as (3, 28, 28), got {shape!r}")
    return sizes


def as_axes(owner: object, shape: int | Shape) -> Shape:
    """An event shape that has an axis, for what works along the axes of an event.

    Raises:
        ShapeError: for the shape (), of single numbers.
    """
    shape = as_shape(shape)
    if not shape:
        raise ShapeError(
            f"{type(owner).__name__} works along an axis of the event, and events of shape () have none: "
            "give them the shape (1,), with Reshape((), 1) before it"
        )
    return shape


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Draw from a generator of its own, and leave the global one as it was; without a seed, do nothing.

    >>> with seeded(0): a = torch.rand(3)
    >>> with seeded(0): b = torch.rand(3)
    >>> torch.equal(a, b)
    True
    """
    if seed is None:
        yield
        return
    used = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=used):
        # Not torch.manual_seed, which would also set the devices that are not in use.
        torch.default_generator.manual_seed(seed)
        if used:
            torch.cuda.manual_seed(seed)
        yield


def join(z: Tensor, context: Tensor | None) -> Tensor:
    """``z`` with the context beside it, as one tensor for a network.

    Vectors are concatenated. Where z has positions, shape (batch, channels, *positions), a context
    vector is repeated over the positions and becomes further channels.
    """
    if context is None:
        return z
    if context.ndim == 1:
        context = context.unsqueeze(1)
    if z.ndim == 2:
        return torch.cat([z, context.flatten(1)], 1)
    if context.ndim == 2:
        context = context.reshape(*context.shape, *[1] * (z.ndim - 2)).expand(-1, -1, *z.shape[2:])
    return torch.cat([z, context], 1)


def joined_shape(shape: Shape, context_shape: Shape | None) -> Shape:
    """The event shape of :func:`join`."""
    if context_shape is None:
        return shape
    channels = math.prod(context_shape) if len(shape) == 1 or not context_shape else context_shape[0]
    return (shape[0] + channels, *shape[1:])


def check_rows(owner: object, what: str, x: Tensor, shape: Shape) -> None:
    """Raise ShapeError unless ``x`` has shape (batch, *shape)."""
    if tuple(x.shape[1:]) != shape or x.ndim != len(shape) + 1:
        expected = ", ".join(["batch", *map(str, shape)])
        raise ShapeError(f"{type(owner).__name__} expects {what} of shape ({expected}), got {tuple(x.shape)}")


def check_integers(owner: object, what: str, x: Tensor, support: Support) -> None:
    """Raise DataError where the type of ``x`` is too narrow for the integers of its support, and has rounded some."""
    if support.largest and x.is_floating_point() and type_for(x.dtype, support.largest) != x.dtype:
        raise DataError(
            f"{type(owner).__name__} expects {what} on {support!r}, and {x.dtype} cannot tell all of its integers "
            f"apart: make them {type_for(x.dtype, support.largest)}, whatever the type of the parameters"
        )


def check_context(owner: object, context: Tensor | None, shape: Shape | None, batch: int) -> Tensor | None:
    """The context that ``owner`` takes: checked, or None for an owner that takes none."""
    if shape is None:
        return None
    if context is None:
        raise ShapeError(
            f"{type(owner).__name__} is conditional and expects context of shape "
            f"({', '.join(['batch', *map(str, shape)])}), got none: pass context="
        )
    if not isinstance(context, Tensor):
        raise ShapeError(f"{type(owner).__name__} expects context as a tensor, got {type(context).__name__}")
    check_rows(owner, "context", context, shape)
    if context.shape[0] != batch:
        raise ShapeError(f"{type(owner).__name__} got {batch} rows but {context.shape[0]} rows of context")
    return context


def sum_event(x: Tensor) -> Tensor:
    """Sum over all axes but the first: one number per row."""
    if x.ndim == 2:
        return x.sum(1)
    return x.flatten(1).sum(1) if x.ndim > 1 else x


def rows_at_once(event_shape: Shape) -> int:
    """How many events of this shape pass through a model at once.

    >>> rows_at_once((2,)), rows_at_once((3, 32, 32))
    (8192, 85)
    """
    return max(1, min(_ROWS_AT_ONCE, _ELEMENTS_AT_ONCE // max(1, math.prod(event_shape))))


def chunks(x: Tensor, context: Tensor | None, size: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Up to ``size`` rows of x after the other, with their rows of the context; one empty chunk of no rows."""
    parts = x.split(size)
    return zip(parts, [None] * len(parts) if context is None else context.split(size), strict=True)


def gather(parts: Iterable[tuple[Tensor, ...]], n: int) -> tuple[Tensor, ...]:
    """The tensors of all parts, one part below the other, ``n`` rows in all."""
    wholes: tuple[Tensor, ...] = ()
    done = 0
    for part in parts:
        size = part[0].shape[0]
        if size == n:
            return part
        # Written to their place as they come: kept for later, they would break up the memory that layers work in.
        wholes = wholes or tuple(rows.new_empty((n, *rows.shape[1:])) for rows in part)
        for whole, rows in zip(wholes, part, strict=True):
            whole[done : done + size] = rows
        done += size
    return wholes


def bounds_in(module: nn.Module) -> list[Distribution]:
    """The distributions inside a module, at any depth, that have only a bound."""
    return [part for part in module.modules() if isinstance(part, Distribution) and not part.exact]


def number_type(module: nn.Module) -> torch.dtype:
    """The floating type that a module computes in: its first parameter's or buffer's."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()


# Where the log-densities of held draws are collected; None while draws carry gradients.
_held: list[Tensor] | None = None


@contextmanager
def hold_draws(hold: bool = True) -> Iterator[list[Tensor]]:
    """Within, pieces draw without gradients, and the log-densities of what they draw, which have some, are collected.

    ``hold_draws(False)`` lets draws carry gradients again.
    """
    global _held
    noted: list[Tensor] = []
    before = _held
    _held = noted if hold else None
    try:
        yield noted
    finally:
        _held = before


@contextmanager
def no_gradient_if_held() -> Iterator[None]:
    """What is drawn within carries no gradient if draws are held."""
    if _held is None:
        yield
        return
    with torch.no_grad(), hold_draws(False):
        yield


def note_draw(log_prob: Tensor) -> None:
    """Collect the log-density of a draw if draws are held."""
    if _held is not None:
        _held.append(log_prob)


class Jumps(IntEnum):
    """Whether a function jumps: not at all, at a place that is fixed, or at one that its own parameters move."""

    NONE = 0
    FIXED = 1
    LEARNED = 2


class Distribution(Configurable, nn.Module):
    """A law over events of ``event_shape`` on ``support``, possibly given a context.

    A subclass implements ``_log_prob(x, context)`` for rows, shape (batch, *event) to (batch,), in nats,
    and ``_draw(n, context)``, which returns ``n`` events, one for each row of the context, with their
    log-density. Everything public is built on the two. Where that log-density is dear, it may also implement
    ``_sample(n, context)``, the events alone.

    Attributes:
        event_shape: shape of one event.
        support: where the density lives; outside it the log-density is -inf.
        context_shape: shape of one context, or None for a distribution that takes none.
        exact: whether ``log_prob`` is the density; otherwise there is only a bound.
        reparameterized: whether draws carry gradients to the parameters.
        has_pole: whether the derivative of the log-density has no bound at an end of the support, as a log-normal's at
            zero.
    """

    reparameterized: bool = True
    has_pole: bool = False

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
        raise NotImplementedError

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        """The events of ``_draw``; overridden where their log-density is dear and draws nothing itself."""
        return self._draw(n, context)[0]

    # -- scoring ------------------------------------------------------------------------------------

    def log_prob(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Log-density in nats. ``x`` is (*sample, *batch, *event); the context's rows match its last batch axis.

        Raises:
            ShapeError: if x or the context has another shape.
            BoundError: if there is only a bound; use ``elbo``.
        """
        if not self.exact:
            raise BoundError(
                f"{type(self).__name__} has no exact density, only a bound: use .elbo(x), "
                "or .log_prob(x, importance_samples=k) of a Flow for a tighter one"
            )
        return self.elbo(x, context)

    def elbo(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """One draw of the evidence lower bound in nats; the density itself where the distribution is exact.

        Its gradient is unbiased, or ``backward`` raises BoundError. Where that takes a score-function term
        (:mod:`surflow.gradients`) and gradients are recorded, the mean of two draws is returned.

        Without gradients, many rows are scored one chunk after the other, in bounded memory.
        """
        x, context, batch = self._rows(x, context)
        at_once = rows_at_once(self.event_shape)
        if torch.is_grad_enabled() or x.shape[0] <= at_once:
            return self._log_prob(x, context).reshape(batch)
        parts = ((self._log_prob(*chunk),) for chunk in chunks(x, context, at_once))
        return gather(parts, x.shape[0])[0].reshape(batch)

    def _rows(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor | None, Shape]:
        """Flatten the leading axes of x to one batch axis and repeat the context to match."""
        if not isinstance(x, Tensor):
            raise DataError(f"expected events as a tensor, got {type(x).__name__}: pass torch.as_tensor(x)")
        self._refuse_stray(context)
        batch = tuple(x.shape[: x.ndim - len(self.event_shape)])
        if len(batch) != 1 and tuple(x.shape[len(batch) :]) == self.event_shape:
            x = x.reshape(-1, *self.event_shape)
            if self.context_shape is not None and context is not None and batch:
                leading = (*batch[:-1], *context.shape)
                context = context.expand(leading).reshape(-1, *context.shape[1:])
        check_rows(self, "events", x, self.event_shape)
        if not x.is_floating_point():
            x = x.to(type_for(number_type(self), self.support.largest))
        check_integers(self, "events", x, self.support)
        return x, check_context(self, context, self.context_shape, x.shape[0]), batch

    def _refuse_stray(self, context: Tensor | None) -> None:
        """Who passes a context believes the model to be conditional, and should hear that it is not."""
        if context is not None and self.context_shape is None:
            raise ShapeError(
                f"{type(self).__name__} takes no context, got one of shape {tuple(context.shape)}: leave it out, "
                "or build the distribution or its layers with context_shape="
            )

    # -- drawing ------------------------------------------------------------------------------------

    def draw(self, n: int, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """``n`` events, one for each row of the context, and their log-density; gradients flow where they can."""
        context = check_context(self, context, self.context_shape, n)
        if _held is None:
            return self._draw(n, context)
        with no_gradient_if_held():
            x = self._sample(n, context)
        with hold_draws(False):
            log_prob = self._log_prob(x, context)
        note_draw(log_prob)
        return x, log_prob

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
                "use x = .sample(shape), and .elbo(x) or .log_prob(x, importance_samples=k) of a Flow"
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

    def given(self, z: Tensor, context: Tensor | None) -> Tensor | None:
        """The context of a piece inside a layer: nothing, the layer's z alone, or z joined with the flow's context."""
        if self.context_shape is None:
            return None
        if tuple(z.shape[1:]) == self.context_shape:
            return z
        return join(z, context)

    def own(self, context: Tensor | None) -> Tensor | None:
        """The context, or None for a distribution that takes none."""
        return None if self.context_shape is None else context

    def _jumps(self, *, event: bool, context: bool) -> Jumps:
        """Whether the log-density jumps as the event, or the context, moves while all that is drawn within is held."""
        return Jumps.NONE

    def context_beyond(self, shape: Shape) -> Shape | None:
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

    def extra_repr(self) -> str:
        given = "" if self.context_shape is None else f", context_shape={self.context_shape}"
        return f"{self.event_shape}, support={self.support!r}{given}"
