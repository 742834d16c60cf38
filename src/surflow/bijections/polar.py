"""Polar coordinates of the plane."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow.supports import circle, positive, product
from surflow.transform import Path, Transform


class Polar(Transform):
    r"""(x, y) to (r, angle): from the plane to the positive half-line times the circle.

    .. math:: r = \sqrt{x^2 + y^2}, \quad \varphi = \mathrm{atan2}(y, x), \qquad V = -\log r

    >>> import torch, surflow as sf
    >>> sf.Polar()(torch.tensor([[0.0, 2.0]]))[0]
    tensor([[2.0000, 1.5708]])
    """

    def __init__(self) -> None:
        super().__init__(2, codomain=product([positive, circle]))

    def _path(self, *, inverse: bool) -> Path:
        return Path() if inverse else super()._path(inverse=inverse)  # the angle jumps, its cosine and sine do not

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        # The origin, of measure zero, has no angle: a point beside it keeps value and gradient finite.
        a, b = x.unbind(1)
        a = a.where((a != 0) | (b != 0), torch.finfo(x.dtype).tiny)
        r = torch.hypot(a, b)
        return torch.stack([r, torch.atan2(b, a)], 1), -r.log()

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        r, angle = z.unbind(1)
        r = r.clamp(min=torch.finfo(z.dtype).tiny)
        return torch.stack([r * angle.cos(), r * angle.sin()], 1), -r.log()
