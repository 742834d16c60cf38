"""The distribution of a column's value given what a network made of others, for all columns of a table at once."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from surflow.distributions.column_layout import ColumnLayout
from surflow.distributions.discrete import draw_categories
from surflow.distributions.truncated import log_one_minus_exp, log_tails, quantile

# The narrowest logistic has a scale of e to this, in standard deviations of the column.
_NARROWEST = -9.0
# One more logistic is fixed, wide, and has at least this share: what is far from all of training stays possible.
_WIDE, _LEAST_WIDE = 1.0, 1e-4
# Two logistics of this scale, so far from the middle on either side, are the nearest to a standard normal: .002 nats.
_APART, _WIDTH = 0.5585579, 0.4637314
# Logarithm of a probability of zero, with a gradient.
_NEVER = -1e30


class ColumnConditionals(nn.Module):
    r"""Entries by a softmax, and the rest of a column by a mixture of logistics on the column's scale z.

    .. math::
        p(v) = g_v + g_{\text{rest}} \sum_k w_k
        \frac{\sigma((z^+ - m_k) / s_k) - \sigma((z^- - m_k) / s_k)}
        {\sigma((z_{\text{high}} - m_k) / s_k) - \sigma((z_{\text{low}} - m_k) / s_k)}

    for a number v on a grid, where z^- and z^+ are the ends of its cell; for one of full resolution the difference
    above is the density times dz/dv, and an atom has g_v alone. The probabilities g are a softmax over embeddings of
    the entries, whose logits start at the logarithms of their frequencies, and a reserved part in equal shares.

    Args:
        layout: of the columns.
        embedding: of the entries, (entries, width): the same as the network reads.
        components: K, how many logistics.
    """

    ungrouped: Tensor

    def __init__(self, layout: ColumnLayout, embedding: nn.Parameter, components: int) -> None:
        super().__init__()
        self.layout, self.embedding = layout, embedding
        columns, (entries, width) = len(layout.sizes), embedding.shape
        self.inner = nn.Linear(width, width)
        nn.init.zeros_(self.inner.weight)
        nn.init.zeros_(self.inner.bias)
        self.bias = nn.Parameter(torch.zeros(entries))
        self.weight = nn.Parameter(torch.zeros(columns, width, 3 * components + 1))
        # All together are near to a standard normal.
        share = (torch.arange(components) + 0.5) / components
        start = torch.cat([torch.zeros(components + 1), torch.special.ndtri(share), torch.full((components,), -1.4)])
        start[components] = -4.0
        self.start = nn.Parameter(start.repeat(columns, 1))
        self.components = components
        # Columns of like size side by side, each in a table as wide as the largest of them.
        self.groups: list[tuple[str, str]] = []
        by_size: dict[int, list[int]] = {}
        for column, size in enumerate(layout.sizes):
            by_size.setdefault(max(2, (size - 1).bit_length() if size > 1 else 0), []).append(column)
        for number, group in enumerate(by_size.values()):
            most = max(layout.sizes[column] for column in group)
            local = torch.arange(most)
            table = layout.offset[group][:, None] + local
            table = table.where(local < layout.size[group][:, None], -1)
            self.register_buffer(f"group_{number}", torch.tensor(group), persistent=False)
            self.register_buffer(f"table_{number}", table, persistent=False)
            self.groups.append((f"group_{number}", f"table_{number}"))
        order = torch.tensor([column for group in by_size.values() for column in group])
        self.register_buffer("ungrouped", order.argsort(), persistent=False)

    # -- scoring ----------------------------------------------------------------------------------------

    def log_prob(self, h: Tensor, x: Tensor) -> Tensor:
        """Nats of every value: hidden vectors (n, columns, width) and values (n, columns) to (n, columns).

        Hidden vectors (k, 1, columns, width) are those of k cases that rows have in common; (k, n, columns).
        """
        layout = self.layout
        entry = layout.entries(x)
        counted = entry >= 0
        gates = self._gates(self.inner(h), [entry.clamp(min=0), layout.rest_at.clamp(min=0).expand_as(entry)])
        alone, rest = gates
        alone = alone.where(counted, _NEVER)
        has_rest = (layout.rest_at >= 0) & ~x.isnan() & (layout.grid | ~counted)
        within = self._log_rest(h, x)
        log_prob = torch.logaddexp(alone, (rest + within).where(has_rest, _NEVER))
        return log_prob.masked_fill(~layout.inside(x, entry), -math.inf)

    def _entry_bias(self) -> Tensor:
        return self.bias + self.layout.log_frequency.to(self.bias.dtype)

    def _gates(self, h: Tensor, wanted: list[Tensor]) -> list[Tensor]:
        """Log-probabilities of the ``wanted`` entries, each (n, columns), counted within their columns; as h is."""
        bias = self._entry_bias()
        found: list[list[Tensor]] = [[] for _ in wanted]
        for columns_name, table_name in self.groups:
            columns, table = getattr(self, columns_name), getattr(self, table_name)
            logits = torch.einsum("...cw,csw->...cs", h[..., columns, :], self.embedding[table])
            logits = (logits + bias[table]).where(table >= 0, _NEVER)
            log_sum = logits.logsumexp(-1)
            for parts, index in zip(found, wanted, strict=True):
                shape = torch.broadcast_shapes(log_sum.shape, index[:, columns].shape)
                at = index[:, columns, None].expand(*shape, 1)
                parts.append(logits.expand(*shape, -1).gather(-1, at)[..., 0] - log_sum)
        reserved = self.layout.reserved
        kept, each = torch.log1p(-reserved), (reserved / self.layout.size).log()
        return [
            torch.logaddexp(torch.cat(parts, -1)[..., self.ungrouped] + kept.to(h.dtype), each.to(h.dtype))
            for parts in found
        ]

    def _mixture(self, raw: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Log-weights, positions and scales of the logistics, the fixed one last: (..., components + 1)."""
        k = self.components
        log_weight = raw[..., : k + 1].log_softmax(-1)
        least = torch.full_like(log_weight[..., :1], math.log(_LEAST_WIDE))
        log_weight = log_weight + math.log1p(-_LEAST_WIDE)
        log_weight = torch.cat([log_weight[..., :k], torch.logaddexp(log_weight[..., k:], least)], -1)
        position = torch.cat([raw[..., k + 1 : 2 * k + 1], torch.zeros_like(least)], -1)
        scale = (_NARROWEST + F.softplus(raw[..., 2 * k + 1 :] - _NARROWEST)).exp()
        return log_weight, position, torch.cat([scale, torch.full_like(least, _WIDE)], -1)

    def raw_of_normals(self, normals: Sequence[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
        """What is put out for a mixture of weights, means and deviations, each as two logistics; (..., parameters)."""
        log_weight, position, log_scale = [], [], []
        for weight, mean, deviation in normals:
            for side in (-_APART, _APART):
                log_weight.append((weight / 2).clamp(min=_LEAST_WIDE**2).log())
                position.append(mean + side * deviation)
                log_scale.append((deviation * _WIDTH).log())
        wide = torch.full_like(log_weight[0], 2 * math.log(_LEAST_WIDE))
        above = (torch.stack(log_scale, -1) - _NARROWEST).clamp(min=_LEAST_WIDE)
        raw_scale = above + torch.log(-torch.expm1(-above)) + _NARROWEST  # the inverse of softplus
        return torch.cat([torch.stack([*log_weight, wide], -1), torch.stack(position, -1), raw_scale], -1)

    def _raw(self, h: Tensor) -> Tensor:
        raw = torch.einsum("...cw,cwp->...cp", h, self.weight) + self.start
        return raw.float() if raw.dtype in (torch.float16, torch.bfloat16) else raw

    def _log_rest(self, h: Tensor, x: Tensor) -> Tensor:
        layout = self.layout
        raw = self._raw(h)
        log_weight, m, s = self._mixture(raw)
        z, log_slope = layout.scaled(x)
        centre, width = layout.cells(x)
        grid = layout.grid[:, None]
        centre = torch.where(layout.grid, centre, z).to(raw.dtype)[..., None]
        width = width.to(raw.dtype)[..., None].where(grid, 0.0)
        low, high = layout.low.to(raw.dtype)[:, None], layout.high.to(raw.dtype)[:, None]
        below, above = (low - m) / s, (high - m) / s
        a, b = (centre - width / 2 - m) / s, (centre + width / 2 - m) / s
        tails = log_tails(a, b, below, above, (centre - width / 2 - low) / s, (high - centre - width / 2) / s)
        narrow = torch.where(grid, log_one_minus_exp(width / s), log_slope.to(raw.dtype)[..., None] - s.log())
        each = log_weight + tails + narrow - log_one_minus_exp(above - below)
        return each.logsumexp(-1).to(h.dtype)

    # -- drawing ----------------------------------------------------------------------------------------

    def _logits_of(self, h: Tensor, column: Tensor, entries: Tensor) -> Tensor:
        """Logits of the entries, -inf of other columns than (n,); (n, entries)."""
        logits = self.inner(h) @ self.embedding[entries].T + self._entry_bias()[entries]
        return logits.masked_fill(self.layout.column[entries] != column[:, None], -math.inf)

    def shares(self, h: Tensor, column: Tensor) -> Tensor:
        """Probabilities of all entries, those of other columns than (n,) zero; (n, entries), double."""
        layout = self.layout
        every = torch.arange(len(layout.column), device=h.device)
        shares = self._logits_of(h, column, every).double().softmax(1)
        reserved = layout.reserved[column][:, None]
        return shares * (1 - reserved) + reserved / layout.size[column][:, None] * (layout.column == column[:, None])

    def mixture_of(self, h: Tensor, column: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Weights' logarithms, positions and scales of the rest of the columns (n,); (n, components + 1), double."""
        raw = torch.einsum("nw,nwp->np", h, self.weight[column]) + self.start[column]
        log_weight, m, s = self._mixture(raw)
        return log_weight.double(), m.double(), s.double()

    def draw(self, h: Tensor, column: Tensor, asked: list[int]) -> Tensor:
        """One value a row of the columns (n,), all of them ``asked``, given hidden vectors (n, width); double."""
        layout = self.layout
        entries = layout.entries_of(asked)
        entry = entries[draw_categories(len(h), self._logits_of(h, column, entries))]
        u = torch.rand(2, len(h), dtype=torch.float64, device=h.device)
        reserved = layout.offset[column] + (u[1] * layout.size[column]).long()
        entry = torch.where(u[0] < layout.reserved[column], reserved, entry)
        rest = entry - layout.offset[column] == layout.rest_at[column]
        v = self.draw_rest(self.mixture_of(h, column), column, layout.low[column], layout.high[column])
        return torch.where(rest, v, layout.atom[entry])

    def draw_rest(self, mixture: tuple[Tensor, Tensor, Tensor], column: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Numbers of the rest of the columns (n,), drawn from mixtures between two points (n,) of their scales."""
        layout = self.layout
        log_weight, m, s = mixture
        log_weight = log_weight + self._log_share(m, s, column, low, high)
        k = draw_categories(len(column), log_weight)[:, None]
        m, s = m.gather(1, k)[:, 0], s.gather(1, k)[:, 0]
        below, gap = (low - m) / s, (high - low) / s
        z = low + s * quantile(torch.rand_like(m), below, below + gap, gap)
        return layout.snapped(layout.scale(column).inverse(z[:, None])[:, 0], column)

    def _log_share(self, m: Tensor, s: Tensor, column: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Logarithms of the shares of logistics (n, components) that lie between two points (n,) of the scales."""
        first, last = self.layout.low[column], self.layout.high[column]
        start, end, a, b = ((point[:, None] - m) / s for point in (first, last, low, high))
        above, below = ((low - first)[:, None] / s, (last - high)[:, None] / s)
        share = log_tails(a, b, start, end, above, below)
        return share + log_one_minus_exp(b - a) - log_one_minus_exp(end - start)

    def log_mass(self, mixture: tuple[Tensor, Tensor, Tensor], column: Tensor, low: Tensor, high: Tensor) -> Tensor:
        """Logarithm of the share of the rest of the columns (n,) between two points (n,) of their scales."""
        log_weight, m, s = mixture
        return (log_weight + self._log_share(m, s, column, low, high)).logsumexp(1)
