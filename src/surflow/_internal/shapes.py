"""Shapes of events, contexts and rows: what they are made of, and errors that say what was expected."""

from __future__ import annotations

import math
from operator import index
from typing import SupportsIndex

import torch
from torch import Tensor

from surflow.errors import ShapeError

Shape = tuple[int, ...]


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


def flat(x: Tensor) -> Tensor:
    """Rows as vectors, (batch, numbers in an event); an event of shape () is one number."""
    return x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)


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


def width_of(context_shape: Shape | None) -> int:
    """How many numbers a context has: 0 for none."""
    return 0 if context_shape is None else math.prod(context_shape)


def as_raw(owner: object, raw: Tensor, rows: int, shape: Shape) -> Tensor:
    """What a ready-made network put out for some rows, as (rows, *shape).

    Raises:
        ShapeError: unless it put out as many numbers for each.
    """
    if raw.ndim == 0 or raw.shape[0] != rows or math.prod(raw.shape[1:]) != math.prod(shape):
        raise ShapeError(
            f"{type(owner).__name__} expects its net to put out shape ({', '.join(map(str, (rows, *shape)))}), or as "
            f"many numbers in that order, got {tuple(raw.shape)}"
        )
    return raw.reshape(rows, *shape)


def as_tensor_of(value: object) -> str:
    """What makes a tensor of something that is none, for messages; tables of other libraries have ``to_numpy``."""
    return "torch.tensor(x.to_numpy())" if hasattr(value, "to_numpy") else "torch.as_tensor(x)"


def check_rows(owner: object, what: str, x: Tensor, shape: Shape) -> None:
    """Raise ShapeError unless ``x`` has shape (batch, *shape)."""
    if tuple(x.shape[1:]) != shape or x.ndim != len(shape) + 1:
        expected = ", ".join(["batch", *map(str, shape)])
        raise ShapeError(f"{type(owner).__name__} expects {what} of shape ({expected}), got {tuple(x.shape)}")


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
        raise ShapeError(
            f"{type(owner).__name__} expects context as a tensor, got {type(context).__name__}: "
            f"pass {as_tensor_of(context)}"
        )
    check_rows(owner, "context", context, shape)
    if context.shape[0] != batch:
        raise ShapeError(f"{type(owner).__name__} got {batch} rows but {context.shape[0]} rows of context")
    return context


def sum_event(x: Tensor) -> Tensor:
    """Sum over all axes but the first: one number per row."""
    if x.ndim == 2:
        return x.sum(1)
    return x.flatten(1).sum(1) if x.ndim > 1 else x
