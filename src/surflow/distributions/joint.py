"""Independent parts of different families side by side, such as a radius and an angle."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.shapes import as_axes
from surflow.distribution import Distribution, Jumps
from surflow.errors import ShapeError
from surflow.pieces import shared_context
from surflow.supports import product


class Joint(Distribution):
    r"""Independent parts along the first event axis: :math:`\log p(x) = \sum_k \log p_k(x_k \mid c)`.

    Args:
        parts: distributions whose event shapes agree but for the first axis.

    Raises:
        ShapeError: for no parts, or parts whose shapes or contexts do not fit together.
        SupportError: for a part whose support ties its coordinates together.

    >>> import torch, surflow as sf
    >>> polar = sf.Joint([sf.HalfNormal(1), sf.UniformCircle(1)])
    >>> polar.support
    positive^1 x circle^1
    >>> polar.sample(5, seed=0).shape
    torch.Size([5, 2])
    """

    def __init__(self, parts: Sequence[Distribution]) -> None:
        if not parts:
            raise ShapeError("Joint needs at least one part, got none")
        first = parts[0]
        as_axes(self, first.event_shape)
        for other in parts:
            if other.event_shape[1:] != first.event_shape[1:]:
                raise ShapeError(
                    "parts lie side by side along the first event axis and agree in the others, "
                    f"got event shapes {first.event_shape} and {other.event_shape}"
                )
        sizes = [part.event_shape[0] for part in parts]
        super().__init__(
            (sum(sizes), *first.event_shape[1:]),
            support=product(s for part in parts for s in part.support.coordinates(part.event_shape[0])),
            context_shape=shared_context("the parts of a Joint", [(part, part.context_shape) for part in parts]),
        )
        self.parts: Sequence[Distribution] = nn.ModuleList(parts)  # type: ignore[assignment]
        self.sizes = sizes

    @property
    def exact(self) -> bool:
        return all(part.exact for part in self.parts)

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        return all(part.reparameterized for part in self.parts)

    def _jumps(self, *, event: bool, context: bool) -> Jumps:
        return max(part._jumps(event=event, context=context) for part in self.parts)

    @property
    def has_pole(self) -> bool:  # type: ignore[override]
        return any(part.has_pole for part in self.parts)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self._total(x, context, None)

    def _bound(self, x: Tensor, context: Tensor | None, k: int) -> Tensor:
        return self._total(x, context, k)

    def _total(self, x: Tensor, context: Tensor | None, k: int | None) -> Tensor:
        """The sum of the parts' densities, or k-sample bounds."""
        blocks = zip(self.parts, x.split(self.sizes, 1), strict=True)
        return torch.stack([p.log_prob(b, p._own(context), importance_samples=k) for p, b in blocks]).sum(0)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        draws = [part._draw_for(n, context) for part in self.parts]
        return torch.cat([x for x, _ in draws], 1), torch.stack([log_prob for _, log_prob in draws]).sum(0)
