"""Layers that change the dimension: slice drops coordinates, augment adds them; each is the other's inverse."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow._internal.shapes import Shape, as_axes
from surflow.distribution import Distribution
from surflow.distributions.normal import Normal
from surflow.errors import ShapeError
from surflow.pieces import check_piece
from surflow.supports import Support, product, real
from surflow.transform import Inverse, Path, Transform


class Slice(Transform):
    r"""Keeps the first entries of the first event axis and drops the rest, an inference surjection.

    .. math:: x = (z, r), \quad r \sim p(r \mid z, c), \qquad V = \log p(r \mid z, c)

    Args:
        event_shape: event shape of x.
        keep: how many entries of the first axis stay.
        dropped: distribution of the dropped part, standard normal by default. Its context is z, or z joined with the
            flow's context.
        support: support of the kept part.

    Raises:
        ShapeError: unless some entries are kept and some dropped, or for a dropped part of another shape.
        SupportError: for a support that ties the entries together.

    Source: Nielsen et al., "SurVAE Flows", arXiv 2007.02731.

    >>> import torch, surflow as sf
    >>> z, V = sf.Slice(3, keep=2)(torch.tensor([[1.0, 2.0, 0.0]]))
    >>> z.tolist(), round(V.item(), 4)
    ([[1.0, 2.0]], -0.9189)
    """

    random_inverse = True

    def __init__(
        self, event_shape: int | Shape, *, keep: int, dropped: Distribution | None = None, support: Support = real
    ) -> None:
        event_shape = as_axes(self, event_shape)
        if not 0 < keep < event_shape[0]:
            raise ShapeError(
                f"Slice must keep 1 to {event_shape[0] - 1} of the {event_shape[0]} entries of the first axis, got "
                f"{keep}"
            )
        gone = (event_shape[0] - keep, *event_shape[1:])
        dropped = Normal(gone) if dropped is None else dropped
        kept = (keep, *event_shape[1:])
        context_shape = check_piece(self, "a dropped part", dropped, gone, z_shape=kept)
        super().__init__(
            event_shape,
            kept,
            domain=product([*support.coordinates(keep), *dropped.support.coordinates(gone[0])]),
            codomain=support,
            context_shape=context_shape,
        )
        self.keep = keep
        self.dropped = dropped

    def _path(self, *, inverse: bool) -> Path:
        if inverse:
            return super()._path(inverse=inverse)
        return Path(contribution=self.dropped._jumps(event=True, context=True))

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z, r = x[:, : self.keep], x[:, self.keep :]
        return z, self.dropped._elbo_of(r, self.dropped._given(z, context))

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        r, V = self.dropped._draw_for(z.shape[0], self.dropped._given(z, context))
        return torch.cat([z, r], 1), V

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        return torch.cat([z, self.dropped._sample(z.shape[0], self.dropped._given(z, context))], 1)


class Augment(Inverse):
    r"""Adds noise as further entries of the first event axis, a generative surjection; the inverse of :class:`Slice`.

    .. math:: z = (x, u), \quad u \sim q(u \mid x, c), \qquad V = -\log q(u \mid x, c)

    Args:
        event_shape: event shape of x.
        noise: distribution of u, of exact density, or how many standard normal entries to add. Its context is x, or x
            joined with the flow's context.
        support: support of x.

    Raises:
        ShapeError: for noise of another shape.
        BoundError: for noise with only a bound.

    Source: Huang et al., "Augmented Normalizing Flows", arXiv 2002.07101; Chen et al., "VFlow", arXiv 2002.09741.

    >>> import torch, surflow as sf
    >>> sf.Augment(2, noise=2)(torch.zeros(5, 2))[0].shape
    torch.Size([5, 4])
    """

    def __init__(self, event_shape: int | Shape, *, noise: int | Distribution, support: Support = real) -> None:
        event_shape = as_axes(self, event_shape)
        piece = Normal((noise, *event_shape[1:])) if isinstance(noise, int) else noise
        super().__init__(
            Slice(
                (event_shape[0] + piece.event_shape[0], *event_shape[1:]),
                keep=event_shape[0],
                dropped=piece,
                support=support,
            )
        )

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        return z[:, : self.in_shape[0]]
