"""ColumnTree: rows of a table by counting, each column in bins given one other."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from surflow._internal.numbers import as_rows
from surflow._internal.shapes import Shape
from surflow.distributions.column_conditionals import ColumnConditionals
from surflow.distributions.column_distribution import ColumnDistribution
from surflow.distributions.column_layout import DoubleBuffers
from surflow.distributions.column_marginals import BinnedMarginal, ColumnMarginal
from surflow.distributions.discrete import draw_categories
from surflow.errors import ConfigError
from surflow.supports import Support

# Strengths of the prior of an edge, in rows; the one with which rows predict each other best is taken.
_STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 1e4, 1e6)
# Logarithm of no probability, finite.
_NEVER = -1e30
# Of bins alone that hold nothing.
_EMPTY = math.log(1e-299)


class ColumnTree(DoubleBuffers, ColumnDistribution):
    r"""A tree of pairs of columns, counted in bins: exact, fast, and hard to beat on few rows.

    .. math:: \log p(x) = \sum_i \log p_i(x_i) + \log \frac{p(b_i \mid b_{\text{parent}(i)})}{p_i(b_i)}

    where :math:`p_i` is the distribution of column i alone and :math:`b_i` the bin of :math:`x_i`: its category, one of
    intervals that hold about equally many rows, or the bin of missing values. ``initialize`` takes everything from the
    data: frequencies and scales of columns, the tree whose pairs have the most mutual information, and the counts of
    pairs, smoothed as rows predict each other best. Before that the columns are independent. Nothing is trained.

    Args:
        event_shape: D, or (D,).
        support: of the columns, as for :class:`AnyOrder`.
        bins: most bins of a column beside that of missing values; of fewer rows fewer are used, and categories beyond
            share the last.

    Raises:
        ShapeError: for events that are no vectors.
        SupportError: for a support of columns of another kind.
        ConfigError: for less than two bins.

    Source: Chow and Liu, "Approximating Discrete Probability Distributions with Dependence Trees", 1968.

    >>> import torch, surflow as sf
    >>> tree = sf.ColumnTree(2, support=sf.Integers(2))
    >>> tree.initialize(torch.tensor([[0.0, 0.0], [1.0, 1.0]]).repeat(50, 1))
    >>> tree.log_prob_of(torch.tensor([[1.0, 1.0]]), of=[1], given=[0]).exp().item() > 0.9
    True
    """

    edges: Tensor
    codes: Tensor
    parent: Tensor
    turn: Tensor
    table: Tensor

    def __init__(self, event_shape: int | Shape, *, support: Support, bins: int = 32) -> None:
        super().__init__(event_shape, support=support)
        if bins < 2:
            raise ConfigError(f"ColumnTree expects two bins of a column or more, got {bins}")
        (size,) = self.event_shape
        self.bins = bins
        layout = self.layout
        # Columns alone are what conditionals of no hidden vector say.
        embedding = nn.Parameter(torch.zeros(len(layout.atom), 1))
        self.alone = ColumnConditionals(layout, embedding, components=8).requires_grad_(requires_grad=False)
        # Numbers up to the first edge are in bin 0, and so on; missing values in the last bin.
        self.register_buffer("edges", torch.full((size, bins - 1), math.inf, dtype=torch.float64))
        local = torch.arange(len(layout.atom)) - layout.offset[layout.column]
        self.register_buffer("codes", local.clamp(max=bins - 1))
        self.register_buffer("parent", torch.full((size,), -1))
        self.register_buffer("turn", torch.arange(size))  # columns, parents first
        # log p(b | b of the parent), (column, b of the parent, b); those of columns without one are not used.
        self.register_buffer("table", torch.zeros(size, bins + 1, bins + 1, dtype=torch.float64))

    # -- bins -----------------------------------------------------------------------------------------

    def _binned(self, x: Tensor) -> Tensor:
        """The bin of every value, (n, D)."""
        layout = self.layout
        numbers = torch.searchsorted(self.edges.to(x.dtype), x.nan_to_num(0.0).T.contiguous()).T
        categories = self.codes[layout.entries(x).clamp(min=0) + layout.offset]
        return torch.where(x.isnan(), self.bins, torch.where(layout.categorical, categories, numbers))

    def _in_bins(self) -> tuple[Tensor, Tensor, Tensor, tuple[Tensor, Tensor, Tensor]]:
        """Masses of columns alone: of entries (entries,), of the rest in the bins (D, bins), the bins' ends on the
        scale (D, bins + 1), and the mixtures that the rests are."""
        layout = self.layout
        columns = torch.arange(len(layout.sizes), device=self.edges.device)
        zero = self.alone.start.new_zeros(len(columns), 1)
        shares = self.alone.shares(zero, columns).sum(0)
        mixture = self.alone.mixture_of(zero, columns)
        inner = self.edges.isfinite()
        z = layout.scale().forward(self.edges.where(inner, layout.origin[:, None]))[0]
        z = z.where(inner, layout.high[:, None]).clamp(layout.low[:, None], layout.high[:, None])
        ends = torch.cat([layout.low[:, None], z, layout.high[:, None]], 1)
        several = [part.repeat_interleave(self.bins, 0) for part in mixture]
        of = columns.repeat_interleave(self.bins)
        low, high = ends[:, :-1].flatten(), ends[:, 1:].flatten()
        mass = self.alone.log_mass((several[0], several[1], several[2]), of, low, high).exp().where(high > low, 0.0)
        has_rest = layout.rest_at >= 0
        gate = shares[layout.offset + layout.rest_at.clamp(min=0)].where(has_rest, 0.0)
        return shares, mass.reshape(-1, self.bins) * gate[:, None], ends, mixture

    def _entry_bins(self) -> Tensor:
        """The bin of every entry; of the rests, which have many, 0."""
        layout = self.layout
        numbers = torch.searchsorted(self.edges[layout.column], layout.atom.nan_to_num(0.0)[:, None])[:, 0]
        local = torch.arange(len(layout.atom), device=numbers.device) - layout.offset[layout.column]
        missing = local == layout.missing_at[layout.column]
        found = torch.where(layout.categorical[layout.column], self.codes, numbers)
        return torch.where(missing, self.bins, found)

    def _log_alone(self) -> Tensor:
        """Log-masses of the bins of columns alone, (D, bins + 1)."""
        shares, rest, _, _ = self._in_bins()
        layout = self.layout
        local = torch.arange(len(layout.atom), device=shares.device) - layout.offset[layout.column]
        counted = shares.where(local != layout.rest_at[layout.column], 0.0)
        flat = layout.column * (self.bins + 1) + self._entry_bins()
        mass = rest.new_zeros(len(rest) * (self.bins + 1)).index_add(0, flat, counted).reshape(len(rest), -1)
        return (mass + torch.nn.functional.pad(rest, (0, 1))).clamp(min=1e-300).log()

    # -- what the data say ----------------------------------------------------------------------------

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        """Count rows of the training data; only once."""
        x, _, _ = self._rows(x, context)
        x = as_rows(x, weight)
        if self.layout.fitted or not len(x):
            return
        self.layout.initialize(x)
        n = len(x)
        self._set_edges(x, max(2, min(self.bins, round(2 * n ** (1 / 3)))))
        size, most = x.shape[1], self.bins + 1
        hot = torch.nn.functional.one_hot(self._binned(x), most).flatten(1).float()
        counts = (hot.T @ hot).double().reshape(size, most, size, most).permute(0, 2, 1, 3)  # (a, b, bin of a, of b)
        alone = counts.diagonal(dim1=0, dim2=1).diagonal(dim1=0, dim2=1)  # (D, bins)
        expected = alone[:, None, :, None] * alone[None, :, None, :] / n
        information = (counts / n * (counts / expected).clamp(min=1e-300).log()).nan_to_num(0.0).sum((2, 3))
        levels = (alone > 0).sum(1).double()
        information = information - (levels[:, None] - 1) * (levels - 1) / (2 * n)  # what chance alone would give
        self._set_tree(information)
        log_alone = self._log_alone()
        for column in range(size):
            parent = int(self.parent[column])
            if parent >= 0:
                self.table[column] = _smoothed(counts[parent, column], log_alone[column].exp()).log().clamp(min=_NEVER)

    def _set_edges(self, x: Tensor, bins: int) -> None:
        """Edges that no number of the column lies on, so that bins are of about as many rows each."""
        layout = self.layout
        for column in range(x.shape[1]):
            v = x[:, column][x[:, column].isfinite()].double()
            if layout.categorical[column] or not v.numel():
                continue
            values, counts = v.unique(return_counts=True)
            last = torch.arange(1, bins, device=x.device) * len(v) / bins
            at = torch.searchsorted(counts.cumsum(0).double(), last).unique()
            at = at[at < len(values) - 1]
            step, origin = layout.step[column], layout.origin[column]
            below, above = values[at], values[at + 1]
            cell = origin + (((below - origin) / step).round() + 0.5) * step
            edges = cell if layout.grid[column] else (below + above) / 2
            self.edges[column, : len(edges)] = edges

    def _set_tree(self, information: Tensor) -> None:
        """The tree of most information, by Prim's method; pairs without any are left apart."""
        size = len(information)
        best, nearest = torch.full((size,), -math.inf, dtype=torch.float64), torch.full((size,), -1)
        left = torch.ones(size, dtype=torch.bool)
        for i in range(size):
            column = (
                int(best.where(left, -math.inf).argmax()) if i else int(information.fill_diagonal_(0).sum(1).argmax())
            )
            if not left[column]:  # of those that are left none is near to any
                column = int(left.nonzero()[0])
            left[column] = False
            self.turn[i] = column
            self.parent[column] = nearest[column] if best[column] > 0 else -1
            nearer = information[column].cpu() > best
            best, nearest = torch.where(nearer, information[column].cpu(), best), nearest.where(~nearer, column)

    # -- scoring and drawing --------------------------------------------------------------------------

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        bins = self._binned(x)
        parent = self.parent.clamp(min=0)
        columns = torch.arange(x.shape[1], device=x.device)
        tied = self.table[columns, bins[:, parent], bins] - self._log_alone()[columns, bins]
        nats = self._nats_alone(x).sum(1)
        return nats + tied.where(self.parent >= 0, 0.0).sum(1).to(nats.dtype)

    @torch.no_grad()
    def account(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Nats of every value given all others of its row, (n, D): the lowest are the oddest.

        The bin of a column depends on those of its parent and of its children alone.

        Args:
            x: rows (n, D).
            context: None.
        """
        x, context, _ = self._rows(x, context)
        table, log_alone = self._tables(), self._log_alone()
        columns, parent, tied = torch.arange(x.shape[1], device=x.device), self.parent.clamp(min=0), self.parent >= 0

        def each(x: Tensor, context: Tensor | None) -> Tensor:
            bins = self._binned(x)
            from_children = table[columns, :, bins].where(tied[:, None], 0.0)  # (n, D, bins of the parent)
            belief = table[columns, bins[:, parent]].index_add(1, parent, from_children).log_softmax(2)
            nats = self._nats_alone(x)
            tied_to = belief.gather(2, bins[..., None])[..., 0] - log_alone[columns, bins]
            return nats + tied_to.to(nats.dtype)

        return self._in_parts(each, x, context, each=self.bins + 1)

    def _nats_alone(self, x: Tensor) -> Tensor:
        width = self.alone.embedding.shape[1]
        return self.alone.log_prob(self.alone.start.new_zeros(*x.shape, width), x)

    def _tables(self) -> Tensor:
        """Log-probabilities of bins given that of the parent, or of columns alone, whatever it is."""
        alone = self._log_alone().log_softmax(1)
        return torch.where(self.parent[:, None, None] < 0, alone[:, None], self.table)

    def _upward(self, x: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Log-probability of the known bins, (n,), and of those at or below each column given its bin, (n, D, bins)."""
        bins = self._binned(x)
        table = self._tables()
        own = torch.nn.functional.one_hot(bins, self.bins + 1).bool() | ~known[..., None]
        message = torch.zeros(own.shape, dtype=table.dtype, device=x.device).masked_fill(~own, _NEVER)
        total = message.new_zeros(len(x))
        for i in reversed(range(x.shape[1])):
            column = self.turn[i, None]
            parent = self.parent[column]
            up = _log_product(message[:, column][:, 0], table[column][0])  # (n, bins of the parent)
            total = total + up[:, 0].where(parent < 0, 0.0)
            message = message.index_add(1, parent.clamp(min=0), up[:, None].where(parent >= 0, 0.0))
        return total, message

    def _log_known(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        bins = self._binned(x)
        alone = self._nats_alone(x)
        within = alone - self._log_alone()[torch.arange(x.shape[1], device=x.device), bins]
        return (self._upward(x, known)[0] + within.where(known, 0.0).sum(1)).to(alone.dtype)

    def _log_prob_of(self, x: Tensor, of: list[int], given: list[int], context: Tensor | None) -> Tensor:
        both, before = (self._mask(part).to(x.device).expand_as(x) for part in ([*of, *given], given))
        return self._log_known(x, both, context) - self._log_known(x, before, context)

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
        return self._marginals(x, known, [of], context)[0]

    def _marginals(
        self, x: Tensor, known: Tensor, of: list[int], context: Tensor | None, *, drawing: bool = False
    ) -> list[ColumnMarginal]:
        shares, rest, ends, mixture = self._in_bins()
        log_alone, bins = self._log_alone(), self._entry_bins()
        message, table = self._upward(x, known)[1], self._tables()
        found: list[ColumnMarginal] = []
        for column, start in zip(of, self.layout.offset[of].tolist(), strict=True):
            # A bin that has nothing of the column has no probability given others either.
            log_given = self._log_bins(message, table, column)
            factor = (log_given - log_alone[column]).where(log_alone[column] > _EMPTY, -math.inf).exp()
            mine = slice(start, start + self.layout.sizes[column])
            masses = shares[mine] * factor[:, bins[mine]]
            gate = shares.new_zeros(())
            if self.layout.rests[column]:
                gate = shares[mine][-1]
                masses = torch.cat([masses[:, :-1], (factor[:, :-1] * rest[column]).sum(1, keepdim=True)], 1)
            log_weight, m, s = (one[column : column + 1] for one in mixture)
            found.append(
                BinnedMarginal(
                    self.alone,
                    column,
                    (log_weight, m, s),
                    shares=masses,
                    factor=factor[:, :-1],
                    ends=ends[column],
                    gate=gate,
                )
            )
        return found

    def _log_bins(self, message: Tensor, table: Tensor, of: int) -> Tensor:
        """Log-probabilities of the bins of one column given what :meth:`_upward` says of all, (n, bins + 1)."""
        path = [of]  # from the column up to its root
        while int(self.parent[path[-1]]) >= 0:
            path.append(int(self.parent[path[-1]]))
        root = path[-1]
        belief = table[root, 0] + message[:, root]
        for column in reversed(path[:-1]):
            up = _log_product(message[:, column], table[column])  # what this column says of its parent
            belief = _log_product(belief - up, table[column].T) + message[:, column]
        return belief.log_softmax(1)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        x = torch.zeros(n, *self.event_shape, device=self.table.device, dtype=self._event_type)
        return self._filled(x, torch.zeros_like(x, dtype=torch.bool), context)

    @torch.no_grad()
    def _filled(self, x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        _, message = self._upward(x, known)
        table = self._tables()
        bins = torch.zeros_like(x, dtype=torch.long)
        for i in range(x.shape[1]):
            column = self.turn[i, None]
            above = bins[:, self.parent[column].clamp(min=0)][:, 0]
            chosen = draw_categories(len(x), table[column][0][above] + message[:, column][:, 0])
            bins = bins.index_copy(1, column, chosen[:, None])
        return x.where(known, self._values(bins).to(x.dtype))

    def _values(self, bins: Tensor) -> Tensor:
        """Values of columns alone, drawn from the bins (n, D) that they lie in; double."""
        layout = self.layout
        shares, rest, ends, mixture = self._in_bins()
        of_entry = self._entry_bins()
        drawn = []
        start = 0
        for column, (size, has_rest) in enumerate(zip(layout.sizes, layout.rests, strict=True)):
            mine = slice(start, start + size)
            start += size
            mass = shares[mine] * (of_entry[mine] == torch.arange(self.bins + 1, device=bins.device)[:, None])
            if has_rest:
                mass = torch.cat([mass[:, :-1], torch.nn.functional.pad(rest[column], (0, 1))[:, None]], 1)
            which = bins[:, column]
            entry = draw_categories(len(bins), mass.clamp(min=1e-300).log()[which])
            value = layout.atom[mine][entry]
            if has_rest:
                part = [one[column].expand(len(bins), -1) for one in mixture]
                low, high = (ends[column][(which + shift).clamp(max=self.bins)] for shift in (0, 1))
                low = low.where(low < high, layout.low[column])  # where nothing is drawn
                of = torch.full_like(which, column)
                numbers = self.alone.draw_rest((part[0], part[1], part[2]), of, low, high)
                value = torch.where(entry == size - 1, numbers, value)
            drawn.append(value)
        return torch.stack(drawn, 1)


def _log_product(row: Tensor, table: Tensor) -> Tensor:
    """Logarithms of sums over j of exp(row_j + table_ij), rows (n, j) to (n, i), by a product of matrices."""
    most = row.amax(1, keepdim=True)
    return ((row - most).exp() @ table.exp().T).log().clamp(min=_NEVER) + most


def _smoothed(pairs: Tensor, alone: Tensor) -> Tensor:
    """Probabilities of bins given those of the parent, (bins, bins), from counts and what the column is alone."""
    alone = alone / alone.sum()
    total = pairs.sum(1, keepdim=True)
    best, found = -math.inf, alone.expand(len(alone), -1)
    for strength in _STRENGTHS:
        # Every row predicted from the others.
        others = ((pairs - 1).clamp(min=0) + strength * alone) / ((total - 1).clamp(min=0) + strength)
        nats = (pairs * others.clamp(min=1e-300).log()).sum().item()
        if nats > best:
            best, found = nats, (pairs + strength * alone) / (total + strength)
    return found
