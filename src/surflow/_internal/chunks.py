"""Rows that pass through a model one chunk after the other, in bounded memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator

from torch import Tensor

from surflow._internal.shapes import Shape

# Rows, and numbers in the events of these rows, that pass through a model at once where no gradients are recorded: a
# layer's hidden values of so many rows lie in a processor's caches, so that more would be slower as well as larger.
_ROWS_AT_ONCE = 2**13
_ELEMENTS_AT_ONCE = 2**18


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
        # Written to their position as they come: kept for later, they would break up the memory that layers work in.
        wholes = wholes or tuple(rows.new_empty((n, *rows.shape[1:])) for rows in part)
        for whole, rows in zip(wholes, part, strict=True):
            whole[done : done + size] = rows
        done += size
    return wholes
