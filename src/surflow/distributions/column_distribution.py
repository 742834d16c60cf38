"""ColumnDistribution: rows of a table of which any columns may be asked for given any others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from surflow._internal.number_types import number_type, type_for
from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.distribution import Distribution
from surflow.distributions.column_layout import ColumnLayout
from surflow.errors import DataError, ShapeError
from surflow.supports import Support

# Steps of the expectation-maximisation algorithm, which for weights alone has one optimum.
_STEPS = 1000
# Values that are scored or drawn at once where no gradients are recorded.
_VALUES_AT_ONCE = 2**15


class ColumnDistribution(Distribution):
    """A distribution of rows of mixed columns with all conditionals; an event is a vector, a missing value NaN.

    A subclass implements, beside ``_log_prob``, ``_log_prob_of(x, of, given, context)`` and ``_filled(x, known,
    context)``, for rows whose columns, numbers and known values are checked.

    Args:
        event_shape: D, or (D,).
        support: of the columns: real, positive, intervals and the circle for numbers of full resolution, grids for
            numbers that were rounded, integers for categories, and :class:`~surflow.column_supports.WithAtoms` around.
        context_shape: shape of the context, or None.

    Raises:
        ShapeError: for events that are no vectors.
        SupportError: for a support of columns of another kind.
    """

    reparameterized = False

    def __init__(self, event_shape: int | Shape, *, support: Support, context_shape: int | Shape | None = None) -> None:
        super().__init__(event_shape, support=support, context_shape=context_shape)
        if len(self.event_shape) != 1 or not self.event_shape[0]:
            raise ShapeError(f"rows of a table are vectors of one column or more, got event shape {self.event_shape}")
        self.layout = ColumnLayout(support.coordinates(self.event_shape[0]))

    def _log_prob_of(self, x: Tensor, of: list[int], given: list[int], context: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _filled(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        raise NotImplementedError

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._sample(n, context)
        return x, self._log_prob(x, context)

    def log_prob_of(
        self, x: Tensor, of: Sequence[int], given: Sequence[int] = (), context: Tensor | None = None
    ) -> Tensor:
        r"""Nats of some columns given others, whatever the rest: :math:`\log p(x_{of} \mid x_{given})`, shape (n,).

        Args:
            x: rows (n, D); columns not listed may hold anything.
            of, given: different columns by number, those asked for and those known.
            context: one of each row, or None.

        Raises:
            ShapeError: for columns that are not there, or stand twice.
            DataError: for rows outside the support in a column that is given.
        """
        of, given = list(of), list(given)
        x, context, _ = self._rows(x, context)
        self._check_columns(of, given)
        self._check_known(x, self._mask(given))
        return self._in_parts(lambda x, context: self._log_prob_of(x, of, given, context), x, context)

    @torch.no_grad()
    def sample_given(
        self, x: Tensor, known: Sequence[int] | Tensor, context: Tensor | None = None, *, seed: int | None = None
    ) -> Tensor:
        """Rows with what is not known of them drawn, given what is; (n, D).

        Args:
            x: rows (n, D); what is not known may hold anything. A row that stands in it twice is drawn twice.
            known: columns by number, or a mask (D,) or (n, D), true where a value is known. A value of which it is
                known that it is missing is a known value.
            context: one of each row, or None.
            seed: of the draws.

        Raises:
            ShapeError: for columns that are not there, or a mask of another shape.
            DataError: for known values outside the support.
        """
        x, context, _ = self._rows(x, context)
        if not isinstance(known, Tensor):
            self._check_columns(list(known), [])
            known = self._mask(list(known))
        if known.dtype != torch.bool or tuple(known.shape) not in (tuple(x.shape), self.event_shape):
            raise ShapeError(
                f"known is a list of columns, or a mask of booleans of shape {self.event_shape} or {tuple(x.shape)}, "
                f"got {known.dtype} of shape {tuple(known.shape)}"
            )
        known = known.to(x.device).expand_as(x)
        self._check_known(x, known)

        def draw(rows: Tensor, context: Tensor | None) -> Tensor:
            x, known = rows.chunk(2, 1)
            return self._filled(x.to(self._event_type), known.bool(), context)

        with seeded(seed):
            return self._in_parts(draw, torch.cat([x.where(known, 0.0), known.to(x.dtype)], 1), context)

    @torch.no_grad()
    def account(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Nats of every value given all others of its row, (n, D): the lowest are the oddest.

        Args:
            x: rows (n, D).
            context: one of each row, or None.
        """
        x, context, _ = self._rows(x, context)
        columns = range(x.shape[1])

        def each(x: Tensor, context: Tensor | None) -> Tensor:
            others = [[other for other in columns if other != column] for column in columns]
            return torch.stack([self._log_prob_of(x, [i], others[i], context) for i in columns], 1)

        return self._in_parts(each, x, context)

    # -- shared by subclasses -------------------------------------------------------------------------

    @property
    def _event_type(self) -> torch.dtype:
        return type_for(number_type(self), self.support.largest)

    def _in_parts(self, score: Callable[[Tensor, Tensor | None], Tensor], x: Tensor, context: Tensor | None) -> Tensor:
        at_once = max(1, _VALUES_AT_ONCE // x.shape[1])
        if torch.is_grad_enabled() or len(x) <= at_once:
            return score(x, context)
        parts = x.split(at_once)
        given = [None] * len(parts) if context is None else context.split(at_once)
        return torch.cat([score(*part) for part in zip(parts, given, strict=True)])

    def _mask(self, columns: Sequence[int]) -> Tensor:
        """Which of all columns these are; (D,), bool."""
        return torch.tensor([column in columns for column in range(self.event_shape[0])])

    def _check_columns(self, of: list[int], given: list[int]) -> None:
        both = [*of, *given]
        if any(not 0 <= column < self.event_shape[0] for column in both) or len(set(both)) < len(both):
            raise ShapeError(
                f"columns are numbers from 0 to {self.event_shape[0] - 1}, each listed once, got of={of}, given={given}"
            )

    def _check_known(self, x: Tensor, known: Tensor) -> None:
        bad = (known.to(x.device) & ~self.layout.inside(x, self.layout.entries(x))).nonzero()
        if len(bad):
            row, column = bad[0].tolist()
            raise DataError(
                f"{len(bad)} known values lie outside the support, the first in row {row}, column {column}, "
                f"{x[row, column].item():g} on {self.support.coordinates(x.shape[1])[column]!r}: bring them there, or "
                "leave them out of what is known"
            )


def weights(log_prob: Tensor) -> Tensor:
    """Logarithms of the weights with which a mixture fits best, from log-densities (rows, components).

    Raises:
        DataError: if no row has a density.
    """
    log_prob = log_prob.double()
    log_prob = log_prob[log_prob.isfinite().any(1)]
    if not len(log_prob):
        raise DataError("expected rows to weigh components with, got none that has a density under any")
    log_weight = torch.zeros_like(log_prob[0])
    for _ in range(_STEPS):
        log_weight = (log_prob + log_weight).softmax(1).mean(0).clamp(min=1e-12).log()
    return log_weight
