"""The absolute value: halves the space, and draws the signs on the way back."""

from __future__ import annotations

from torch import Tensor

from surflow._internal.shapes import Shape, as_shape
from surflow.distribution import Distribution
from surflow.distributions.discrete import Bernoulli
from surflow.errors import SupportError
from surflow.pieces import check_piece
from surflow.supports import Integers, Interval, Support, positive, real
from surflow.transform import Path, Transform


class Abs(Transform):
    r"""Absolute value of every coordinate, an inference surjection.

    .. math::
        z = |x|, \qquad x = (2 b - 1) z, \quad b \sim \pi(b \mid z, c), \qquad V = \log \pi(b \mid z, c)

    Args:
        event_shape: event shape.
        signs: distribution over bits, 1 for a positive sign, of the same event shape: fair by default;
            ``Bernoulli(event_shape, learned=True)``, ``JointBernoulli(event_shape, event_shape)`` (given z), or any
            other.
            Its context is z, or z joined with the flow's context.
        support: of x: real, or an interval about zero, of which the upper half remains.

    Raises:
        ShapeError: for signs of another shape.
        SupportError: for a support that does not fold at zero.

    Source: Nielsen et al., "SurVAE Flows", arXiv 2007.02731, section 3.2.

    >>> import torch, surflow as sf
    >>> z, V = sf.Abs(2)(torch.tensor([[1.0, -2.0]]))
    >>> z, round(V.item(), 4)
    (tensor([[1., 2.]]), -1.3863)
    """

    random_inverse = True

    def __init__(self, event_shape: int | Shape, *, signs: Distribution | None = None, support: Support = real) -> None:
        event_shape = as_shape(event_shape)
        if isinstance(support, Interval) and support.low == -support.high:
            folded: Support = Interval(0.0, support.high)
        elif support == real:
            folded = positive
        else:
            raise SupportError(f"Abs folds the real line or an interval about zero, got {support!r}")
        signs = Bernoulli(event_shape) if signs is None else signs
        context_shape = check_piece(self, "signs", signs, event_shape, Integers(2), z_shape=event_shape)
        super().__init__(event_shape, domain=support, codomain=folded, context_shape=context_shape)
        self.signs = signs

    def _path(self, *, inverse: bool) -> Path:
        if inverse:
            return super()._path(inverse=inverse)
        return Path(contribution=self.signs._jumps_of_choice(), folds=True)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = x.abs()
        return z, self.signs._elbo_of_choice(lambda: (x >= 0).to(x.dtype), self.signs._given(z, context), z)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        bits, V = self.signs._draw_for(z.shape[0], self.signs._given(z, context))
        return (2 * bits - 1) * z, V
