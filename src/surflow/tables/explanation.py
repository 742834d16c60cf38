"""Which value of a row is odd, and what would be expected in its place."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import torch
from torch import Tensor

from surflow.data.tables.columns import decode
from surflow.data.tables.schema import Column, ColumnKind
from surflow.distributions.column_distribution import ColumnDistribution
from surflow.tables.libraries import Decoded, written

# Rows that are explained or filled before a bar of progress moves.
_BLOCK = 1000


def explained(
    base: ColumnDistribution, columns: Sequence[Column], usual: Tensor, x: Tensor, *, progress: bool = False
) -> list[Decoded]:
    """What :meth:`surflow.TableModel.explain` says of rows (n, columns), where nats of columns are mostly ``usual``."""
    log_prob, nats, middle = [x.new_zeros(0)], [x.new_zeros(0, x.shape[1])], [x.new_zeros(0)]
    odd = [x.new_zeros(0).long()]
    for part in in_blocks(x, "explaining rows", progress=progress):
        log_prob.append(base.log_prob(part).double())
        inside = base.layout.inside(part, base.layout.entries(part))
        each = base.account(part).double()
        each = each.masked_fill(~inside.all(1, keepdim=True), torch.nan).masked_fill(~inside, -torch.inf)
        nats.append(each)
        odd.append((usual - each).nan_to_num(-torch.inf).argmax(1))
        found = torch.zeros(len(part), dtype=torch.float64)
        for i in odd[-1].unique().tolist():
            at = odd[-1] == i
            known = inside[at].clone()
            known[:, i] = False
            found[at] = expected(base, columns, part[at], known, i, missing=True)
        middle.append(found)
    oddest, by_column = torch.cat(odd), torch.cat(nats).numpy()
    value = x.gather(1, oddest[:, None])[:, 0]
    expected_of = torch.cat(middle)
    names = np.asarray([column.name for column in columns], dtype=object)
    out: list[Decoded] = [
        ("log_prob", np.ma.masked_array(torch.cat(log_prob).numpy())),
        ("oddest", np.ma.masked_array(names[oddest.numpy()])),
        ("value", _texts(columns, value, oddest)),
        ("expected", _texts(columns, expected_of, oddest)),
    ]
    named = [(f"nats of {column.name}", np.ma.masked_array(by_column[:, i])) for i, column in enumerate(columns)]
    return out + named


def _texts(columns: Sequence[Column], values: Tensor, which: Tensor) -> np.ma.MaskedArray:
    """Values of columns by number, ``which`` (n,), as texts."""
    out = np.ma.masked_array(np.full(len(values), "", dtype=object), np.zeros(len(values), dtype=bool))
    for i in which.unique().tolist():
        at = (which == i).numpy()
        out[at] = written(columns[i], decode(columns[i], values.numpy()[at]))
    return out


def expected(
    base: ColumnDistribution, columns: Sequence[Column], x: Tensor, known: Tensor, i: int, *, missing: bool
) -> Tensor:
    """The median of a column of numbers or ordered names, or its most likely name, given what is known of rows.

    ``missing`` where it may be expected to be missing.
    """
    column, names = columns[i], len(columns[i].categories)
    at = int(base.layout.missing_at[i])

    def each(x: Tensor, known: Tensor, context: Tensor | None) -> Tensor:
        marginal = base._marginal(x, known, i, context)
        shares = marginal.shares
        if column.kind.named and column.kind is not ColumnKind.ORDERED:
            values = shares[:, :names].argmax(1).double()
            most = shares[:, :names].amax(1)
        else:
            values = marginal.quantile((0.5,))[:, 0]
            values = values.clamp(max=names - 1) if column.kind.named else values
            most = torch.full_like(values, 0.5)
        return values.masked_fill(shares[:, at] > most, torch.nan) if missing and at >= 0 else values

    x, context, known = base._with_known(x, known, None)
    return base._in_parts(each, x, context, known)


def in_blocks(x: Tensor, title: str, *, progress: bool) -> Iterable[Tensor]:
    """Rows some at a time, with a bar on the terminal."""
    parts = x.split(_BLOCK) if len(x) else ()
    if not progress:
        return parts
    from rich.console import Console
    from rich.progress import track

    return track(parts, title, console=Console(stderr=True))
