"""Transform: a layer between a data side x and a latent side z; one of the two nouns of the library."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from surflow._internal.configurable import Configurable
from surflow._internal.number_types import floats_in
from surflow._internal.shapes import Shape, as_axes, as_shape, check_context, check_rows
from surflow.distribution import Distribution, Jumps, check_integers
from surflow.errors import BoundError, ShapeError
from surflow.pieces import bounds_in
from surflow.supports import Circle, Product, Support, product, real


class Path(NamedTuple):
    """What a gradient may rely on in one direction of a layer, while that which the layer draws is held fixed.

    Attributes:
        event: whether the event that is returned is continuous in the one that is given.
        contribution: whether V jumps as that moves.
        drawn: whether V jumps as that which the direction draws moves.
        folds: whether events inside the support that is given are sent to an end of the one that is returned, as the
            absolute value sends those at zero.
        keeps: whether what is returned depends on what is given at all.
    """

    event: bool = True
    contribution: Jumps = Jumps.NONE
    drawn: Jumps = Jumps.NONE
    folds: bool = False
    keeps: bool = True


class Transform(Configurable, nn.Module):
    r"""A map between x on ``domain`` and z on ``codomain`` with its likelihood contribution V(x, z), in nats.

    A subclass implements ``_forward(x, context)`` and ``_inverse(z, context)`` on rows, shape
    (batch, *event). Both return the other side and the *same* V(x, z), shape (batch,). Where V is dear, it may
    also implement ``_generate(z, context)``, the x of ``_inverse`` alone:

    =====================  ===============  ===============  ===================================  =====
    kind                   forward draws    inverse draws    V(x, z)                              exact
    =====================  ===============  ===============  ===================================  =====
    bijection              no               no               log abs det dz/dx                    yes
    inference surjection   no               yes              log p(x given z)                     yes
    generative surjection  yes              no               - log q(z given x)                   no
    stochastic             yes              yes              log p(x given z) - log q(z given x)  no
    =====================  ===============  ===============  ===================================  =====

    Args:
        in_shape: event shape of x; a number n stands for (n,).
        out_shape: event shape of z; that of x by default.
        domain: support of x; real by default.
        codomain: support of z; that of x by default.
        context_shape: shape of the context that the layer takes, or None.

    Source: Nielsen et al., "SurVAE Flows: Surjections to Bridge the Gap between VAEs and Flows", arXiv 2007.02731.

    Attributes:
        in_shape, out_shape: event shapes of x and of z.
        domain, codomain: supports of x and of z.
        context_shape: shape of the context the layer takes, or None.
        random_forward, random_inverse: which directions draw; they tell the kind.

    >>> import math, torch
    >>> class Double(Transform):
    ...     def _forward(self, x, context):
    ...         return 2 * x, x.new_full((x.shape[0],), x[0].numel() * math.log(2))
    ...     def _inverse(self, z, context):
    ...         return z / 2, z.new_full((z.shape[0],), z[0].numel() * math.log(2))
    >>> layer = Double(2)
    >>> layer.kind, layer.inverse(torch.ones(1, 2))[0].tolist()
    ('bijection', [[0.5, 0.5]])
    """

    random_forward: bool = False
    random_inverse: bool = False

    def __init__(
        self,
        in_shape: int | Shape,
        out_shape: int | Shape | None = None,
        *,
        domain: Support = real,
        codomain: Support | None = None,
        context_shape: int | Shape | None = None,
    ) -> None:
        super().__init__()
        self.in_shape = as_shape(in_shape)
        self.out_shape = self.in_shape if out_shape is None else as_shape(out_shape)
        self.domain = domain
        self.codomain = domain if codomain is None else codomain
        self.domain.check_shape(self.in_shape)
        self.codomain.check_shape(self.out_shape)
        self.context_shape = None if context_shape is None else as_shape(context_shape)

    # -- what a subclass implements ---------------------------------------------------------------

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        raise NotImplementedError

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        """The x of ``_inverse``; a layer overrides it whose V is dear and draws nothing itself."""
        return self._inverse(z, context)[0]

    # -- the contract ---------------------------------------------------------------------------------

    @property
    def exact(self) -> bool:
        """Whether V makes the likelihood of a chain exact; otherwise the chain has a bound."""
        return not self.random_forward and not bounds_in(self)

    @property
    def kind(self) -> str:
        """Bijection, inference surjection, generative surjection or stochastic."""
        kinds = {
            (False, False): "bijection",
            (False, True): "inference surjection",
            (True, False): "generative surjection",
            (True, True): "stochastic",
        }
        return kinds[self.random_forward, self.random_inverse]

    @property
    def reparameterized(self) -> bool:
        """Whether ``inverse`` passes gradients to z and to all parameters that its draw depends on."""
        return self._pathwise(inverse=True) and self._path(inverse=True).event

    @property
    def reparameterized_forward(self) -> bool:
        """The same of ``forward``, for x."""
        return self._pathwise(inverse=False) and self._path(inverse=False).event

    def _drawn(self, *, inverse: bool) -> list[Distribution]:
        """The pieces that a direction draws from."""
        draws = self.random_inverse if inverse else self.random_forward
        return [piece for piece in self.children() if isinstance(piece, Distribution)] if draws else []

    def _pathwise(self, *, inverse: bool) -> bool:
        """Whether what a direction draws carries gradients to the parameters that it depends on."""
        return all(piece.reparameterized for piece in self._drawn(inverse=inverse))

    def _path(self, *, inverse: bool) -> Path:
        """What is continuous in a direction. The side of a surjection that draws nothing is taken to jump: it is where
        signs, indices and orders are found; a layer for which that is not so says so."""
        draws, other_draws = self.random_forward, self.random_inverse
        if inverse:
            draws, other_draws = other_draws, draws
        if other_draws and not draws:
            return Path(event=False, contribution=Jumps.LEARNED)
        pieces = [piece for piece in self.children() if isinstance(piece, Distribution)]
        # Layers take angles as numbers, which jump from one end of the circle to the other.
        seam = not pieces and (has_circle(self.domain) or has_circle(self.codomain))
        given = [Jumps.FIXED if seam else Jumps.NONE, *(p._jumps(event=False, context=True) for p in pieces)]
        drawn = [Jumps.NONE, *(p._jumps(event=True, context=False) for p in self._drawn(inverse=inverse))]
        return Path(not seam, max(given), max(drawn))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """From data to latent: (z, V), with x of shape (batch, *in_shape) and V of shape (batch,) in nats."""
        check_rows(self, "x", x, self.in_shape)
        check_integers(self, "x", x, self.domain)
        return self._forward(x, check_context(self, context, self.context_shape, x.shape[0]))

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """From latent to data: (x, V), with the same V(x, z) and the same sign as ``forward``."""
        check_rows(self, "z", z, self.out_shape)
        check_integers(self, "z", z, self.codomain)
        return self._inverse(z, check_context(self, context, self.context_shape, z.shape[0]))

    def generate(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The x of ``inverse``, and the same one for the same seed, without the price of V."""
        check_rows(self, "z", z, self.out_shape)
        check_integers(self, "z", z, self.codomain)
        return self._generate(z, check_context(self, context, self.context_shape, z.shape[0]))

    @property
    def _any_precision(self) -> bool:
        """Whether events may be of any floating type; else they are of the type of the layer's own floats."""
        return not floats_in(self)

    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        """Fit whatever the layer takes from the data before training; most layers take nothing.

        Args:
            x: rows, (batch, *in_shape).
            context: their contexts.
            weight: (batch,), not negative: a row of weight w counts as w rows; None for ones.
        """

    def extra_repr(self) -> str:
        shape = f"{self.in_shape}" if self.in_shape == self.out_shape else f"{self.in_shape} -> {self.out_shape}"
        given = "" if self.context_shape is None else f", context_shape={self.context_shape}"
        return shape + given


def has_circle(support: Support) -> bool:
    """Whether any coordinate of the support is an angle."""
    if isinstance(support, Product):
        return any(has_circle(part) for part, _ in support.parts)
    return isinstance(support, Circle)


class Inverse(Transform):
    """The layer turned round: forward is the other's inverse, V changes its sign.

    The inverse of an inference surjection is a generative one and the reverse: ``Inverse(Slice(...))``
    augments. What the layer draws in its generative direction is then an encoder, which must have an
    exact density.

    Args:
        layer: any transform; the pieces that its inverse draws must have exact densities.

    Raises:
        ShapeError: for what is no transform.
        BoundError: if a piece that forward is to draw has only a bound.

    >>> import torch, surflow as sf
    >>> z, V = sf.Inverse(sf.Exp(1))(torch.tensor([[1.0]]))
    >>> z.item(), V.item() + 0.0
    (0.0, 0.0)
    """

    def __init__(self, layer: Transform) -> None:
        if not isinstance(layer, Transform):
            raise ShapeError(f"Inverse turns a Transform round, got {type(layer).__name__}")
        if layer.random_inverse and bounds_in(layer):
            raise BoundError(
                f"Inverse({type(layer).__name__}) would use the bound of {type(bounds_in(layer)[0]).__name__} as the "
                "density of an encoder, which bounds nothing: use a piece with an exact density"
            )
        super().__init__(
            layer.out_shape,
            layer.in_shape,
            domain=layer.codomain,
            codomain=layer.domain,
            context_shape=layer.context_shape,
        )
        self.layer = layer
        self.random_forward = layer.random_inverse
        self.random_inverse = layer.random_forward

    def _drawn(self, *, inverse: bool) -> list[Distribution]:
        return self.layer._drawn(inverse=not inverse)

    def _path(self, *, inverse: bool) -> Path:
        return self.layer._path(inverse=not inverse)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, V = self.layer.inverse(x, context)
        return z, -V

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, V = self.layer.forward(z, context)
        return x, -V

    @property
    def _any_precision(self) -> bool:
        return self.layer._any_precision

    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        if isinstance(self.layer, Inverse):
            self.layer.layer.initialize(x, context, weight=weight)


class On(Transform):
    """A layer on a part of an event: z is x with the coordinates ``part`` of the first event axis transformed.

    V is the layer's. The layer keeps the number of coordinates. ``rest`` is the support of the others.

    Args:
        event_shape: shape of x and of z.
        part: which entries of the first event axis the layer transforms, in the order in which it takes them.
        layer: a transform whose events have len(part) entries on the first axis, before and after.
        rest: support of the other entries; real by default.

    Raises:
        ShapeError: if the part is not one of distinct entries of the first axis, or the layer has other shapes.

    >>> import torch, surflow as sf
    >>> layer = sf.On(3, part=[0, 2], layer=sf.Exp(2))
    >>> layer.codomain
    positive^1 x real^1 x positive^1
    >>> layer(torch.zeros(1, 3))[0]
    tensor([[1., 0., 1.]])
    """

    def __init__(self, event_shape: int | Shape, *, part: list[int], layer: Transform, rest: Support = real) -> None:
        event_shape = as_axes(self, event_shape)
        if not isinstance(layer, Transform):
            raise ShapeError(f"On puts a Transform on a part of the event, got {type(layer).__name__}")
        expected = (len(part), *event_shape[1:])
        if not part or len(set(part)) != len(part) or not all(0 <= i < event_shape[0] for i in part):
            raise ShapeError(f"On expects distinct coordinates from 0 to {event_shape[0] - 1}, got {part}")
        if layer.in_shape != expected or layer.out_shape != expected:
            raise ShapeError(
                f"On({event_shape}, {part}, ...) expects a layer from {expected} to {expected}, "
                f"got {type(layer).__name__} from {layer.in_shape} to {layer.out_shape}"
            )

        def with_part(support: Support) -> Support:
            whole = rest.coordinates(event_shape[0])
            for i, coordinate in zip(part, support.coordinates(len(part)), strict=True):
                whole[i] = coordinate
            return product(whole)

        super().__init__(
            event_shape,
            domain=with_part(layer.domain),
            codomain=with_part(layer.codomain),
            context_shape=layer.context_shape,
        )
        self.part = list(part)
        self.layer = layer
        self.random_forward = layer.random_forward
        self.random_inverse = layer.random_inverse

    def _drawn(self, *, inverse: bool) -> list[Distribution]:
        return self.layer._drawn(inverse=inverse)

    def _path(self, *, inverse: bool) -> Path:
        return self.layer._path(inverse=inverse)._replace(keeps=True)

    def _put(self, x: Tensor, value: Tensor) -> Tensor:
        whole = x.to(torch.promote_types(x.dtype, value.dtype), copy=True)
        whole[:, self.part] = value.to(whole.dtype)
        return whole

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, V = self.layer.forward(x[:, self.part], context)
        return self._put(x, z), V

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x, V = self.layer.inverse(z[:, self.part], context)
        return self._put(z, x), V

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        return self._put(z, self.layer.generate(z[:, self.part], context))

    @property
    def _any_precision(self) -> bool:
        return self.layer._any_precision

    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        self.layer.initialize(x[:, self.part], context, weight=weight)


def layer_name(layer: Transform) -> str:
    """The class name, with what it wraps."""
    if isinstance(layer, Inverse | On) and type(layer) in (Inverse, On):
        return f"{type(layer).__name__}({layer_name(layer.layer)})"
    return type(layer).__name__
