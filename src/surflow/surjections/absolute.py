"""The absolute value: halves the space, and draws the signs on the way back."""

from __future__ import annotations

from torch import Tensor

from surflow._internal.shapes import Shape, as_shape
from surflow.distribution import Distribution
from surflow.distributions.discrete import Bernoulli
from surflow.distributions.parametric import jumps_of_choice, log_prob_of_piece
from surflow.errors import ShapeError, SupportError
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
        if signs.event_shape != event_shape or signs.support != Integers(2):
            raise ShapeError(
                f"Abs({event_shape}) expects signs as bits of shape {event_shape}, "
                f"got {type(signs).__name__} of shape {signs.event_shape} on {signs.support!r}"
            )
        super().__init__(event_shape, domain=support, codomain=folded, context_shape=signs.context_beyond(event_shape))
        self.signs = signs

    def _path(self, *, inverse: bool) -> Path:
        return super()._path(inverse=inverse) if inverse else Path(contribution=jumps_of_choice(self.signs), folds=True)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        z = x.abs()
        return z, log_prob_of_piece(self.signs, lambda: (x >= 0).to(x.dtype), self.signs.given(z, context), z)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        bits, V = self.signs.draw(z.shape[0], self.signs.given(z, context))
        return (2 * bits - 1) * z, V
