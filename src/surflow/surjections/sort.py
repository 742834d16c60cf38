"""Sorting: of a vector, or of a set of points by one coordinate; the order is drawn on the way back."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow._internal.number_types import type_for
from surflow._internal.shapes import Shape, as_shape
from surflow.bijections.ordered import check_sortable
from surflow.distribution import Distribution, check_integers
from surflow.distributions.discrete import PlackettLuce
from surflow.pieces import check_piece
from surflow.supports import Ordered, Permutations
from surflow.transform import Path, Transform


class Sort(Transform):
    r"""Sorts a vector, or points by one coordinate, in ascending order; an inference surjection onto the ordered cone.

    .. math:: z_j = x_{\sigma_j}, \qquad z_1 \le \dots \le z_n, \qquad V = \log \pi(\sigma \mid z, c)

    where :math:`\sigma_j` is the position in x of the j-th smallest value. A uniform :math:`\pi` gives V = - log n!.

    Args:
        event_shape: n for a vector, or (coordinates, n) for n points.
        by: the coordinate by which points are sorted; a point's column moves as a whole. None for a vector.
        order: distribution of :math:`\sigma`, a permutation of 0, ..., n - 1 of event shape (n,): uniform by default;
            ``PlackettLuce(n, learned=True)``, ``PlackettLuce(n, context_shape=event_shape)`` (given z), or any other.
            Its context is z, or z joined with the flow's context (for points: as further coordinates of every point).

    Raises:
        ShapeError: if points come without ``by``, a vector with it, or the order has another shape or support.

    Source: Nielsen et al., "SurVAE Flows", arXiv 2007.02731, section 3.2.

    >>> import torch, surflow as sf
    >>> z, V = sf.Sort(3)(torch.tensor([[3.0, 1.0, 2.0]]))
    >>> z, round(V.exp().item() * 6, 4)
    (tensor([[1., 2., 3.]]), 1.0)
    >>> sf.Sort((2, 3), by=0)(torch.tensor([[[3.0, 1.0, 2.0], [7.0, 8.0, 9.0]]]))[0]
    tensor([[[1., 2., 3.],
             [8., 9., 7.]]])
    """

    random_inverse = True

    def __init__(self, event_shape: int | Shape, *, by: int | None = None, order: Distribution | None = None) -> None:
        event_shape = as_shape(event_shape)
        check_sortable(self, event_shape, by)
        n = event_shape[-1]
        order = PlackettLuce(n) if order is None else order
        context_shape = check_piece(
            self, "an order", order, (n,), Permutations(n), z_shape=event_shape, such_as=f"PlackettLuce({n})"
        )
        super().__init__(event_shape, codomain=Ordered(by), context_shape=context_shape)
        self.by = by
        self.order = order

    def _path(self, *, inverse: bool) -> Path:
        if inverse:
            return super()._path(inverse=inverse)
        # Where two points exchange their positions, so do their other coordinates.
        alone = self.by is None or self.in_shape[0] == 1
        return Path(event=alone, contribution=self.order._jumps_of_choice(), folds=True)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        if self.by is None:
            z, positions = x.sort(dim=1)
        else:
            positions = self._positions(x, self.by)
            z = x.gather(-1, self._columns(positions))
        kind = type_for(x.dtype, self.order.support.largest)
        V = self.order._elbo_of_choice(lambda: positions.to(kind), self.order._given(z, context), z)
        return z, V.to(x.dtype)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        positions, V = self.order._draw_for(z.shape[0], self.order._given(z, context))
        check_integers(self, "the draws of its order", positions, self.order.support)
        return z.new_empty(z.shape).scatter_(-1, self._columns(positions.long()), z), V.to(z.dtype)

    def _positions(self, x: Tensor, by: int) -> Tensor:
        """Points by one coordinate and, where floats are equal, by the others: the order that they came in is lost."""
        positions = torch.arange(x.shape[2], device=x.device).expand(x.shape[0], -1)
        for i in [*(i for i in range(x.shape[1]) if i != by), by]:
            positions = positions.gather(1, x[:, i].gather(1, positions).argsort(dim=1, stable=True))
        return positions

    def _columns(self, positions: Tensor) -> Tensor:
        """One permutation for every coordinate of the points."""
        return positions if self.by is None else positions.unsqueeze(1).expand(-1, *self.in_shape)

    def extra_repr(self) -> str:
        return super().extra_repr() if self.by is None else f"{super().extra_repr()}, by={self.by}"
