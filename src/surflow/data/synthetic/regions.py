"""Synthetic distributions with a density in closed form on regions: rectangles, a split Gaussian, gradients."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from surflow.data.synthetic.base import LOG_2PI, Synthetic


class Rectangles(Synthetic):
    """A mixture of uniform distributions on rectangles, closed, all of the same probability; they may overlap.

    Args:
        name: what the set is called.
        boxes: rectangles as (left, bottom, right, top).
        labels: the label of each.
    """

    boxes: Tensor
    labels: Tensor
    member: Tensor

    def __init__(self, name: str, boxes: Sequence[Sequence[float]], labels: Sequence[int]) -> None:
        classes = max(labels) + 1
        super().__init__(name, [labels.count(c) / len(labels) for c in range(classes)])
        self._constant("boxes", boxes)
        self.register_buffer("labels", torch.tensor(labels), persistent=False)
        self._constant("member", (torch.tensor(labels)[:, None] == torch.arange(classes)).float())

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        box = torch.randint(len(self.boxes), (n,), device=self.boxes.device)
        low, high = self.boxes[box, :2], self.boxes[box, 2:]
        return torch.lerp(low, high, self._uniform(n, 2)), self.labels[box]

    def _joint_density(self, x: Tensor) -> Tensor:
        boxes = self.boxes.to(x)
        low, high = boxes[:, :2], boxes[:, 2:]
        inside = ((x[:, None] >= low) & (x[:, None] <= high)).all(2).to(x.dtype)
        density = 1 / ((high - low).prod(1) * len(boxes))
        return (inside * density) @ self.member.to(x)

    def _log_joint(self, x: Tensor) -> Tensor:
        return self._joint_density(x).log()

    def _cells(self) -> tuple[Tensor, Tensor]:
        """The joint density (cells, classes) on the grid of all edges, where it is constant, and the cells' areas."""
        boxes = self.boxes.double()
        xs, ys = boxes[:, ::2].unique(), boxes[:, 1::2].unique()
        middles = torch.cartesian_prod((xs[1:] + xs[:-1]) / 2, (ys[1:] + ys[:-1]) / 2)
        return self._joint_density(middles), torch.cartesian_prod(xs.diff(), ys.diff()).prod(1)

    def _exact_entropy(self) -> float:
        density, area = self._cells()
        p = density.sum(1)
        return -(torch.xlogy(p, p) * area).sum().item()

    def _exact_entropy_given_label(self) -> float:
        density, area = self._cells()
        given = density / self.priors.double()
        return -(torch.xlogy(density, given).sum(1) * area).sum().item() + 0.0  # no negative zero


class SplitLineData(Synthetic):
    """A thin Gaussian along the diagonal; its right half, label 1, is moved up by 1, its left half, label 0, down."""

    # The covariance [[.7107, .7036], [.7036, .7107]]. Four digits leave the thin direction uncertain by one part in a
    # hundred; the determinant 0.01 is the one that belongs to the known entropy 0.5353.
    _LONG, _DETERMINANT = 1.4143, 0.01

    def __init__(self) -> None:
        super().__init__("split_line", [0.5, 0.5])
        self.scales = math.sqrt(self._LONG), math.sqrt(self._DETERMINANT / self._LONG)

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        along, across = self._normal(2, n)
        along, across = along * self.scales[0] / math.sqrt(2), across * self.scales[1] / math.sqrt(2)
        x, y = along + across, along - across
        labels = (x >= 0).long()
        return torch.stack([x, y + 2 * labels - 1], 1), labels

    def _log_joint(self, x: Tensor) -> Tensor:
        right = x[:, 0] >= 0
        first, second = x[:, 0], x[:, 1] - (2 * right.to(x.dtype) - 1)
        along, across = (first + second) / math.sqrt(2), (first - second) / math.sqrt(2)
        exponent = (along / self.scales[0]).square() + (across / self.scales[1]).square()
        log_prob = -0.5 * exponent - LOG_2PI - 0.5 * math.log(self._DETERMINANT)
        sides = torch.stack([~right, right], 1)
        return log_prob[:, None].where(sides, -math.inf)

    def _exact_entropy(self) -> float:
        return LOG_2PI + 1 + 0.5 * math.log(self._DETERMINANT)

    def _exact_entropy_given_label(self) -> float:
        return self._exact_entropy() - math.log(2)  # the label is a fair coin and a function of x


class GradientData(Synthetic):
    r"""Two independent powers of uniform variables on the unit square; the label tells y >= 1/2.

    .. math:: p(x, y) = a x^{a - 1}\, b y^{b - 1}, \qquad H = \sum_{a, b} \frac{a - 1}{a} - \log a
    """

    def __init__(self, name: str, a: float, b: float) -> None:
        low = 0.5**b
        super().__init__(name, [low, 1 - low])
        self.a, self.b = a, b

    def _points(self, n: int) -> tuple[Tensor, Tensor]:
        x = torch.stack([self._uniform(n) ** (1 / self.a), self._uniform(n) ** (1 / self.b)], 1)
        return x, (x[:, 1] >= 0.5).long()

    def _log_joint(self, x: Tensor) -> Tensor:
        inside = ((x >= 0) & (x <= 1)).all(1)
        u = x.clamp(0, 1)
        log_prob = torch.xlogy(self.a - 1, u[:, 0]) + torch.xlogy(self.b - 1, u[:, 1]) + math.log(self.a * self.b)
        log_prob = log_prob.where(inside, -math.inf)
        upper = x[:, 1] >= 0.5
        return log_prob[:, None].where(torch.stack([~upper, upper], 1), -math.inf)

    def _exact_entropy(self) -> float:
        return sum((p - 1) / p - math.log(p) for p in (self.a, self.b))

    def _exact_entropy_given_label(self) -> float:
        low = 0.5**self.b
        return self._exact_entropy() + low * math.log(low) + (1 - low) * math.log1p(-low)
