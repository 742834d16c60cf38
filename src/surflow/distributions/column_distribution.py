"""ColumnDistribution: rows of a table of which any columns may be asked for given any others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from surflow._internal.number_types import number_type, type_for
from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.distribution import Distribution
from surflow.distributions.column_layout import ColumnLayout
from surflow.distributions.column_marginals import ColumnMarginal, Region, Within
from surflow.distributions.discrete import draw_categories
from surflow.errors import DataError, ShapeError
from surflow.supports import Support

# Values that are scored or drawn at once where no gradients are recorded.
_VALUES_AT_ONCE = 2**15
# Of a row with several regions, of which one is kept.
_PROPOSALS = 32
# Values that are scored to tell what is usual, each column of a row given all others.
_LEAST_ROWS, _MOST_VALUES = 10, 2**21


def rows_to_account(columns: int, most: int) -> int:
    """Of how many rows to take an account to see what is usual: each costs a pass over the row for every column.

    >>> rows_to_account(20, 300), rows_to_account(200, 300), rows_to_account(1000, 300)
    (300, 52, 10)
    """
    return max(_LEAST_ROWS, min(most, _MOST_VALUES // columns**2))


class ColumnDistribution(Distribution):
    """A distribution of rows of mixed columns with all conditionals; an event is a vector, a missing value NaN.

    A subclass implements, beside ``_log_prob``, ``_log_prob_of(x, of, given, context)``, ``_filled(x, known,
    context)``, ``_log_known(x, known, context)`` and ``_marginal(x, known, of, context, ...)``, for rows whose columns,
    numbers and known values are checked.

    Args:
        event_shape: D, or (D,).
        support: of the columns: real, positive, intervals and the circle for numbers of full resolution, grids for
            numbers that were rounded, integers for categories, and :class:`~surflow.supports.columns.WithAtoms` around.
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

    def _log_known(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        """Nats of what is known, whatever the rest; (n,)."""
        raise NotImplementedError

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
        """A column given what is known of every row; (n, D).

        ``listed`` are the columns known, where these are the same of all rows, in the order in which a person lists
        them; for drawing, an order may be drawn in place of a mean over orders.
        """
        raise NotImplementedError

    def _marginals(
        self, x: Tensor, known: Tensor, of: list[int], context: Tensor | None, *, drawing: bool = False
    ) -> list[ColumnMarginal]:
        """The same of several columns; the columns known are those of all rows."""
        return [self._marginal(x, known, column, context, drawing=drawing) for column in of]

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
        x, context, known = self._with_known(x, known, context)
        with seeded(seed):
            return self._in_parts(self._filled, x, context, known)

    @torch.no_grad()
    def sample_where(
        self,
        x: Tensor,
        known: Sequence[int] | Tensor,
        where: Mapping[int, Region],
        context: Tensor | None = None,
        *,
        seed: int | None = None,
    ) -> tuple[Tensor, float]:
        """Rows with what is not known of them drawn, given what is, and given regions that hold some of the others.

        Of one region the draws are from the conditional itself. Of several, in the order listed, 32 proposals a row,
        each drawn from its region given those before, have the weight of the probabilities of the regions, and one
        is kept: as exact as the effective share of these proposals is high.

        Args:
            x, known, context, seed: as for :meth:`sample_given`.
            where: a region of columns that are not known in any row, by number.

        Returns:
            The rows (n, D), and the effective share of the proposals, in (0, 1]; 1 where nothing was weighed.

        Raises:
            ShapeError: for columns that are not there, or known as well.
            DataError: for known values outside the support, or regions that no row can lie in.
        """
        x, context, known = self._with_known(x, known, context)
        regions = self._regions(known, where)
        several = 1 if len(where) < 2 else _PROPOSALS
        effective = []

        def draw(x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
            n = len(x)
            rows, held, share = self._propose(x, known, regions, context, several)
            effective.append((1 / share.square().sum(1)).sum().item() / several)
            kept = torch.arange(n, device=x.device) * several + draw_categories(n, share.clamp(min=1e-300).log())
            return self._filled(rows[kept], held[kept], context)

        with seeded(seed):
            drawn = self._in_parts(draw, x, context, known, each=several)
        return drawn, sum(effective) / max(len(x), 1)

    @torch.no_grad()
    def quantile(
        self,
        x: Tensor,
        q: Sequence[float],
        of: int,
        known: Sequence[int] | Tensor = (),
        context: Tensor | None = None,
    ) -> Tensor:
        """Quantiles of one column of numbers given others, as far as it is not missing; (n, quantiles), double.

        Args:
            x: rows (n, D); only what is known is used.
            q: probabilities, such as (0.05, 0.5, 0.95).
            of: the column, by number.
            known: what is known, as for :meth:`sample_given`; not the column itself.
            context: one of each row, or None.

        Raises:
            ShapeError: for columns that are not there, or stand twice.
            DataError: for a column of categories, probabilities outside (0, 1), or known values outside the support.
        """
        x, context, mask, listed = self._asked(x, known, of, context)
        if not self.layout.rests[of] or not all(0 < p < 1 for p in q):
            raise DataError(f"expected a column of numbers and probabilities in (0, 1), got column {of} and {q}")

        def each(x: Tensor, mask: Tensor, context: Tensor | None) -> Tensor:
            return self._marginal(x, mask, of, context, listed=listed).quantile(q)

        return self._in_parts(each, x, context, mask)

    @torch.no_grad()
    def shares(self, x: Tensor, of: int, known: Sequence[int] | Tensor = (), context: Tensor | None = None) -> Tensor:
        """Probabilities of the values of one column that have one, given others; (n, entries), double.

        They are those of the categories or atoms in their order, then of the missing value if the support holds it,
        then of all other numbers together if there are any.

        Args:
            x, known, context: as for :meth:`quantile`.
            of: the column, by number.

        Raises:
            ShapeError: for columns that are not there, or stand twice.
            DataError: for known values outside the support.
        """
        x, context, mask, listed = self._asked(x, known, of, context)

        def each(x: Tensor, mask: Tensor, context: Tensor | None) -> Tensor:
            return self._marginal(x, mask, of, context, listed=listed).shares

        return self._in_parts(each, x, context, mask)

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

    @torch.no_grad()
    def marginals(
        self,
        x: Tensor,
        known: Sequence[int] = (),
        where: Mapping[int, Region] | None = None,
        context: Tensor | None = None,
        *,
        draws: int = 64,
        seed: int | None = None,
    ) -> tuple[dict[int, ColumnMarginal], Tensor]:
        """Every other column given what is known of one row, at once: shares, masses, quantiles and draws.

        Given regions of columns too, each has a line for every one of so many ``draws`` of these columns within
        their regions: their mean with the weights of the draws is the marginal, up to what the draws leave to chance.

        Args:
            x: a row (1, D); what is not known may hold anything.
            known: columns by number.
            where: a region of columns that are not known, by number.
            context: of the row, or None.
            draws: of the columns in regions.
            seed: of the draws.

        Returns:
            The marginals by column, those of regions left out, and the weights of their lines, (lines,): one, of weight
            1, without regions.

        Raises:
            ShapeError: for several rows, columns that are not there, or known as well.
            DataError: for known values outside the support, or regions that no row can lie in.
        """
        if len(x) != 1:
            raise ShapeError(f"expected one row, (1, {self.event_shape[0]}), got {tuple(x.shape)}")
        x, context, mask = self._with_known(x, known, context)
        regions = self._regions(mask, where or {})
        weight = torch.ones(1, dtype=torch.float64, device=x.device)
        if regions:
            with seeded(seed):
                x, mask, share = self._propose(x, mask, regions, context, draws)
            weight, context = share[0], None if context is None else context.expand(draws, *context.shape[1:])
        of = [column for column in range(x.shape[1]) if column not in known and column not in regions]
        with seeded(seed):
            found = self._marginals(x, mask, of, context, drawing=bool(regions)) if of else []
        return dict(zip(of, found, strict=True)), weight

    # -- shared by subclasses -------------------------------------------------------------------------

    def _regions(self, known: Tensor, where: Mapping[int, Region]) -> dict[int, Within]:
        """Regions as the layout has them, checked."""
        self._check_columns(list(where), [])
        twice = [column for column in where if known[:, column].any()]
        if twice:
            raise ShapeError(f"expected a region or a known value of a column, got both of the columns {twice}")
        regions = {column: Within.of(self.layout, column, region) for column, region in where.items()}
        for column, within in regions.items():
            if not within.entries.any() and not len(within.low):
                raise DataError(f"no value of column {column} lies in {where[column]}")
        return regions

    def _propose(
        self, x: Tensor, known: Tensor, regions: Mapping[int, Within], context: Tensor | None, several: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """So many proposals a row with values drawn in the regions, each given those before: rows and what is known of
        them, (n several, D), and the weights of the proposals of a row, (n, several), which sum to one."""
        n = len(x)
        rows, held = x.repeat_interleave(several, 0), known.repeat_interleave(several, 0)
        given = None if context is None else context.repeat_interleave(several, 0)
        log_weight = rows.new_zeros(len(rows), dtype=torch.float64)
        for i, (column, within) in enumerate(regions.items()):
            if i:
                marginal = self._marginal(rows, held, column, given, drawing=True)
            else:  # all proposals of a row are from one marginal
                of = torch.arange(n, device=x.device).repeat_interleave(several)
                marginal = self._marginal(x, known, column, context, drawing=True).of_rows(of)
            value, log_mass = marginal.draw_within(within)
            log_weight = log_weight + log_mass
            at = torch.tensor([column], device=x.device)
            rows = rows.index_copy(1, at, value[:, None].to(rows.dtype))
            held = held.index_fill(1, at, value=True)
        if log_weight.reshape(n, several).isneginf().all(1).any():
            raise DataError(f"no row has a probability where columns {list(regions)} lie in their regions")
        return rows, held, log_weight.reshape(n, several).softmax(1)

    @property
    def _event_type(self) -> torch.dtype:
        return type_for(number_type(self), self.support.largest)

    def _in_parts(
        self, score: Callable[..., Tensor], x: Tensor, context: Tensor | None, *beside: Tensor, each: int = 1
    ) -> Tensor:
        """What ``score(x, *beside, context)`` makes of rows, so many at once as memory should hold of ``each``."""
        at_once = max(1, _VALUES_AT_ONCE // (x.shape[1] * each))
        if torch.is_grad_enabled() or len(x) <= at_once:
            return score(x, *beside, context)
        parts = [rows.split(at_once) for rows in (x, *beside)]
        given = [None] * len(parts[0]) if context is None else context.split(at_once)
        return torch.cat([score(*part) for part in zip(*parts, given, strict=True)])

    def _with_known(
        self, x: Tensor, known: Sequence[int] | Tensor, context: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor]:
        """Rows, contexts, and which values are known, (n, D): checked; what is not known is 0."""
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
        return x.where(known, 0.0).to(self._event_type), context, known

    def _asked(
        self, x: Tensor, known: Sequence[int] | Tensor, of: int, context: Tensor | None
    ) -> tuple[Tensor, Tensor | None, Tensor, list[int] | None]:
        """The same for a column that is asked for, and the columns known as they are listed."""
        listed = None if isinstance(known, Tensor) else list(known)
        self._check_columns([of], listed or [])
        x, context, mask = self._with_known(x, known, context)
        if mask[:, of].any():
            raise ShapeError(f"column {of} is asked for and known: expected one")
        return x, context, mask, listed

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
