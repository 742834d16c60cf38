"""The distributions inside a layer, a mixture or a flow: what must hold when one is put there."""

from __future__ import annotations

from collections.abc import Iterable

from torch import nn

from surflow._internal.shapes import Shape
from surflow.distribution import Distribution
from surflow.errors import ShapeError
from surflow.supports import Support


def check_piece(
    layer: object,
    what: str,
    piece: Distribution,
    event_shape: Shape,
    support: Support | None = None,
    *,
    z_shape: Shape,
    such_as: str = "",
) -> Shape | None:
    """The context that a piece of a layer needs beside the layer's z, or None.

    Args:
        layer: the layer; its class is named by the errors.
        what: what the piece is a distribution of.
        piece: the distribution.
        event_shape: the event shape that it must have.
        support: the support that it must have, or None for any.
        z_shape: shape of the layer's z, which a conditional piece is given.
        such_as: what would do, for the error.

    Raises:
        ShapeError: for a piece of another shape or support, or given something that z is no part of.

    >>> import surflow as sf
    >>> check_piece(sf.Abs(2), "signs", sf.Bernoulli(2, context_shape=5), (2,), sf.Integers(2), z_shape=(2,))
    (3,)
    """
    if piece.event_shape != event_shape or support not in (None, piece.support):
        wanted = f"{what} of shape {event_shape}" + (f" on {support!r}" if support is not None else "")
        raise ShapeError(
            f"{type(layer).__name__} expects {wanted}{such_as and f', such as {such_as}'}, got "
            f"{type(piece).__name__} of shape {piece.event_shape} on {piece.support!r}"
        )
    return piece._context_beyond(z_shape)


def shared_context(who: str, needs: Iterable[tuple[object, Shape | None]]) -> Shape | None:
    """The one context of several parts, of which some may take none.

    Args:
        who: the parts, for the error.
        needs: every part and the context that it takes, or None.

    Raises:
        ShapeError: if two parts take different contexts.

    >>> shared_context("all layers", [("a coupling", (3,)), ("a permutation", None)])
    (3,)
    """
    shapes = {shape: type(part).__name__ for part, shape in needs if shape is not None}
    if len(shapes) > 1:
        listed = ", ".join(f"{name} takes {shape}" for shape, name in shapes.items())
        raise ShapeError(f"{who} share one context, but {listed}")
    return next(iter(shapes), None)


def bounds_in(module: nn.Module) -> list[Distribution]:
    """The distributions inside a module, at any depth, that have only a bound."""
    return [part for part in module.modules() if isinstance(part, Distribution) and not part.exact]
