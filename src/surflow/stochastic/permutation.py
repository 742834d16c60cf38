"""Random permutations: what is exchangeable is shuffled in both directions."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow._internal.shapes import Shape, as_axes
from surflow.supports import Support, real
from surflow.transform import Transform


class RandomPermutation(Transform):
    r"""Shuffles the last event axis, uniformly: the entries of a vector, or the points of a set (coordinates, points).

    Points move as whole columns. Both directions draw from the same uniform distribution, so

    .. math:: V = \log \tfrac{1}{n!} - \log \tfrac{1}{n!} = 0

    and the likelihood of what follows is a bound.

    Args:
        event_shape: shape of one event: n for a vector, or (coordinates, n) for n points.
        support: of x; real by default.

    Raises:
        SupportError: for a support of x that some order of the entries does not keep.

    Source: Nielsen et al., "SurVAE Flows", arXiv 2007.02731.

    >>> import torch, surflow as sf
    >>> cloud = torch.tensor([[[1.0, 2.0, 3.0], [10.0, 20.0, 30.0]]])
    >>> z, V = sf.RandomPermutation((2, 3))(cloud)
    >>> (z[0, 1] / z[0, 0]).tolist(), V.item()
    ([10.0, 10.0, 10.0], 0.0)
    """

    random_forward = True
    random_inverse = True

    def __init__(self, event_shape: int | Shape, *, support: Support = real) -> None:
        event_shape = as_axes(self, event_shape)
        super().__init__(event_shape, domain=support.shuffled(event_shape, len(event_shape) - 1, "RandomPermutation"))

    def _shuffle(self, x: Tensor) -> tuple[Tensor, Tensor]:
        order = torch.rand(x.shape[0], x.shape[-1], device=x.device).argsort(1)
        order = order.reshape(x.shape[0], *[1] * (x.ndim - 2), x.shape[-1]).expand(x.shape)
        return x.gather(-1, order), x.new_zeros(x.shape[0])

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._shuffle(x)

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return self._shuffle(z)
