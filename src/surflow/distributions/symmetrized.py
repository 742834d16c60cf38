"""Symmetrized: the mean of a distribution over changes of places and signs, of events and of their contexts."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from surflow.distribution import Distribution, Jumps
from surflow.errors import BoundError, ShapeError, SupportError
from surflow.supports import Interval, Positive, Real, Support


class Symmetrized(Distribution):
    r"""The mean of the densities that q gives to the images of an event, given the image of its context.

    .. math:: \log p(x \mid c) = \log \frac{1}{K} \sum_k q(T_k x \mid S_k c), \qquad
        (T_k x)_i = m_i + s_{ki} (x_{o_{ki}} - m_{o_{ki}}), \quad (S_k c)_j = a_j + t_{kj} (c_j - a_j)

    The maps keep volumes. Where they are a group that leaves the distribution of what q was learned from as it is, p
    has their symmetry, whatever q has, and is not less likely on average. q may also be learned from one image of each
    event alone: p has the others.

    Args:
        distribution: q, exact, of vectors whose coordinates are real, positive or in intervals, given a vector or none.
        orders: o, a permutation for each map.
        signs: s, 1 or -1, a row for each map.
        centre: m.
        context_signs: t, a row for each map; None for ones.
        context_centre: a; None for zeros.

    Raises:
        ShapeError: for arguments that do not fit each other.
        SupportError: for a map that moves the support.
        BoundError: for a distribution with only a bound.

    >>> import torch, surflow as sf
    >>> q = sf.Uniform(2, low=0.0, high=1.0)
    >>> p = Symmetrized(q, orders=[[0, 1], [1, 0]], signs=[[1, 1], [-1, -1]], centre=[0.5, 0.5])
    >>> p.log_prob(torch.tensor([[0.2, 0.9]]))
    tensor([0.])
    """

    orders: Tensor
    signs: Tensor
    centre: Tensor
    context_signs: Tensor
    context_centre: Tensor
    low: Tensor
    high: Tensor

    def __init__(
        self,
        distribution: Distribution,
        orders: Sequence[Sequence[int]],
        signs: Sequence[Sequence[float]],
        centre: Sequence[float],
        context_signs: Sequence[Sequence[float]] | None = None,
        context_centre: Sequence[float] | None = None,
    ) -> None:
        shape, given = distribution.event_shape, distribution.context_shape
        if len(shape) != 1 or (given is not None and len(given) != 1):
            raise ShapeError(
                f"Symmetrized expects events and contexts that are vectors, got shapes {shape} and {given}"
            )
        if not distribution.exact:
            raise BoundError(f"Symmetrized needs an exact density, {type(distribution).__name__} has a bound")
        super().__init__(shape, support=distribution.support, context_shape=given)
        self.distribution = distribution
        size, width, maps = shape[0], 0 if given is None else given[0], len(orders)
        turned = [[1.0] * width] * maps if context_signs is None else context_signs
        at = [0.0] * width if context_centre is None else context_centre
        self._keep("orders", orders, (maps, size))
        self._keep("signs", signs, (maps, size))
        self._keep("centre", centre, (size,))
        self._keep("context_signs", turned, (maps, width))
        self._keep("context_centre", at, (width,))
        if not maps or any(sorted(order) != list(range(size)) for order in orders):
            raise ShapeError(f"orders expects permutations of 0 to {size - 1}, one or more, got {orders}")
        low, high = zip(*(_ends(self.support, part) for part in self.support.coordinates(size)), strict=True)
        self._keep("low", low, (size,))
        self._keep("high", high, (size,))
        # The interval of a coordinate is that of the one that takes its place, upside down if its sign changes.
        moved = [self._moved(torch.stack([side] * maps), self.orders, self.signs) for side in (self.low, self.high)]
        fits = [
            torch.isclose(moved[i].where(self.signs > 0, moved[1 - i]), side.expand(maps, size)).all()
            for i, side in enumerate((self.low, self.high))
        ]
        if not all(fits):
            raise SupportError(f"Symmetrized expects maps that keep the support, {self.support!r}")

    def _keep(self, name: str, values: Sequence[float] | Sequence[Sequence[float]], shape: tuple[int, ...]) -> None:
        try:
            tensor = torch.tensor(values).reshape(shape)
        except (ValueError, RuntimeError, TypeError):
            raise ShapeError(f"Symmetrized expects {name} of shape {shape}, got {values}") from None
        self.register_buffer(name, tensor if name == "orders" else tensor.float(), persistent=False)

    @property
    def has_pole(self) -> bool:  # type: ignore[override]
        return self.distribution.has_pole

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        return self.distribution.reparameterized

    def _jumps(self, *, event: bool, context: bool) -> Jumps:
        return self.distribution._jumps(event=event, context=context)

    def _moved(self, x: Tensor, order: Tensor, sign: Tensor) -> Tensor:
        """Rows of x (m, n) by maps (m, n). A coordinate that keeps its sign about its own centre is kept to the bit."""
        centre = self.centre.to(x.dtype)
        return sign * x.gather(-1, order) + (centre - sign * centre[order])

    def _turned(self, context: Tensor | None, sign: Tensor) -> Tensor | None:
        if context is None or self.context_shape is None:
            return None
        return sign * context + (1 - sign) * self.context_centre.to(context.dtype)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        each = []
        inside = ((x >= self.low) & (x <= self.high)).all(1)
        for order, sign, turned in zip(self.orders, self.signs, self.context_signs, strict=True):
            image = self._moved(x, order.expand(x.shape), sign.to(x.dtype))
            # Rounding takes nothing out of an interval.
            image = image.clamp(self.low, self.high).where(inside[:, None], image)
            each.append(self.distribution.log_prob(image, self._turned(context, turned)))
        stacked = torch.stack(each, 1)
        # Where no image has density, logsumexp has no gradient: keep those rows out of it.
        none = stacked.isneginf().all(1)
        log_prob = stacked.where(~none[:, None], 0.0).logsumexp(1) - math.log(len(self.orders))
        return log_prob.where(~none, -math.inf)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        k = torch.randint(len(self.orders), (n,), device=self.orders.device)
        image = self.distribution._sample(n, self._turned(context, self.context_signs[k]))
        back = self.orders[k].argsort(1)
        return self._moved(image, back, self.signs[k].gather(1, back).to(image.dtype)).clamp(self.low, self.high)


def _ends(support: Support, part: Support) -> tuple[float, float]:
    if isinstance(part, Interval):
        return part.low, part.high
    if not isinstance(part, Real | Positive):
        raise SupportError(f"Symmetrized expects coordinates that are real, positive or in intervals, got {support!r}")
    return 0.0 if isinstance(part, Positive) else -math.inf, math.inf
