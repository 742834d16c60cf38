"""ColumnMixture: several distributions of rows, weighed by how well they predict rows that they did not see."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from surflow.distributions.column_distribution import ColumnDistribution
from surflow.distributions.column_marginals import ColumnMarginal, MixedMarginal
from surflow.distributions.discrete import draw_categories
from surflow.distributions.stacked import Stacked
from surflow.errors import DataError


class ColumnMixture(Stacked, ColumnDistribution):
    r"""A mixture of distributions of rows: exact, and conditionals reweigh its components by what is known.

    .. math::
        p(x) = \sum_k w_k\, p_k(x), \qquad
        p(x_{of} \mid x_{given}) = \sum_k \frac{w_k\, p_k(x_{given})}{\sum_j w_j\, p_j(x_{given})}\,
        p_k(x_{of} \mid x_{given})

    It learns and is weighed as :class:`Stacked`, by nothing but the rows. Of a component that is itself a mean over
    orders, the likelihood of what is known is that of the orders in which it comes first.

    Args:
        components: such as an :class:`AnyOrder` and a :class:`ColumnTree`, of one event shape, support and context.

    Raises:
        ShapeError: for no components, or components that differ in event shape, support or context.

    >>> import torch, surflow as sf
    >>> parts = [sf.ColumnTree(2, support=sf.Integers(2)) for _ in range(2)]
    >>> x = torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(50, 1)
    >>> parts[0].initialize(x)
    >>> mixture = sf.ColumnMixture(parts)
    >>> mixture.weigh(x)
    >>> mixture.logits.softmax(0)[0].item() > 0.9
    True
    """

    _prior: ClassVar[float] = 0.0  # columns alone, which both components know, have heavy tails
    components: Sequence[ColumnDistribution]  # type: ignore[assignment]

    def __init__(self, components: Sequence[ColumnDistribution]) -> None:
        for part in components:
            if not isinstance(part, ColumnDistribution):
                raise DataError(f"expected distributions of rows such as AnyOrder, got {type(part).__name__}")
        super().__init__(components)

    @torch.no_grad()
    def account(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        r"""Nats of every value given all others of its row, (n, D): the lowest are the oddest.

        By Bayes' rule :math:`p(x) / \sum_k w_k\, p_k(x) / p_k(x_i \mid x_{-i})`, from the components' densities and
        their own accounts. Of a row outside the support it is NaN.

        Args:
            x: rows (n, D).
            context: one of each row, or None.
        """
        x, context, _ = self._rows(x, context)

        def each(x: Tensor, context: Tensor | None) -> Tensor:
            owns = [part._own(context) for part in self.components]
            pairs = list(zip(self.components, owns, strict=True))
            joint = torch.stack([part._log_prob(x, own) for part, own in pairs], 1) + self.logits.log_softmax(0)
            accounts = torch.stack([part.account(x, own) for part, own in pairs], 2)
            return joint.logsumexp(1)[:, None] - (joint[:, None] - accounts).logsumexp(2)

        return self._in_parts(each, x, context)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        return ColumnDistribution._draw(self, n, context)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        k = draw_categories(n, self.logits[None])
        draws = torch.stack([part._sample(n, part._own(context)) for part in self.components], 1)
        return draws[torch.arange(n, device=draws.device), k]

    def _log_weighed(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """Log-weights of the components times their likelihoods of what is known, (n, components)."""
        weight = self.logits.log_softmax(0).expand(len(x), -1)
        if not known.any():
            return weight
        return weight + torch.stack([part._log_known(x, known, part._own(context)) for part in self.components], 1)

    def _log_known(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        return self._log_weighed(x, known, context).logsumexp(1)

    def _log_prob_of(self, x: Tensor, of: list[int], given: list[int], context: Tensor | None) -> Tensor:
        weight = self.logits.log_softmax(0).expand(len(x), -1)
        if given:
            each = [part._log_prob_of(x, given, [], part._own(context)) for part in self.components]
            weight = (weight + torch.stack(each, 1)).log_softmax(1)
        each = [part._log_prob_of(x, of, given, part._own(context)) for part in self.components]
        return (weight + torch.stack(each, 1)).logsumexp(1)

    def _marginal(
        self,
        x: Tensor,
        known: Tensor,
        of: int,
        context: Tensor | None,
        *,
        listed: Sequence[int] | None = None,
        drawing: bool = False,
    ) -> ColumnMarginal:
        parts = [
            part._marginal(x, known, of, part._own(context), listed=listed, drawing=drawing) for part in self.components
        ]
        return MixedMarginal(parts, self._log_weighed(x, known, context).double().softmax(1))

    def _marginals(
        self, x: Tensor, known: Tensor, of: list[int], context: Tensor | None, *, drawing: bool = False
    ) -> list[ColumnMarginal]:
        each = [part._marginals(x, known, of, part._own(context), drawing=drawing) for part in self.components]
        weight = self._log_weighed(x, known, context).double().softmax(1)
        return [MixedMarginal(parts, weight) for parts in zip(*each, strict=True)]

    @torch.no_grad()
    def _filled(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        k = draw_categories(len(x), self._log_weighed(x, known, context))
        drawn = torch.stack([part._filled(x, known, part._own(context)) for part in self.components], 1)
        return drawn[torch.arange(len(x), device=x.device), k]
