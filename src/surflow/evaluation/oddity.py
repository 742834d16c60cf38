"""The rows of a table that are least likely, and the values that make them so."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from surflow.distributions.column_distribution import ColumnDistribution, rows_to_account
from surflow.evaluation.likelihood import evaluating, log_probs
from surflow.flow import Flow

# Rows that say how likely values of a column mostly are.
_USUAL = 100


class OddRows(NamedTuple):
    """Rows of the lowest likelihood, the lowest first.

    Attributes:
        which: rows by number; (rows,).
        nats: their log-densities; (rows,).
        median: that of all rows.
        below: by how many nats each value is less likely, given the rest of its row, than values of its column mostly
            are; (rows, D).
    """

    which: Tensor
    nats: Tensor
    median: float
    below: Tensor


def odd_rows(flow: Flow, x: Tensor, context: Tensor | None = None, *, rows: int = 6) -> OddRows | None:
    """The oddest of rows x, (n, D), and their values; None for a flow that has no conditionals of its columns.

    What is usual is the median of a hundred rows, drawn by chance, and of fewer where there are hundreds of columns.

    Args:
        flow: a flow without layers, on a distribution of columns.
        x: rows, (n, D).
        context: one of each row, or None.
        rows: how many.
    """
    model = flow.base
    if flow.transforms or not isinstance(model, ColumnDistribution):
        return None
    given = context if flow.context_shape is not None else None
    nats = log_probs(flow, x, given)
    odd = nats.argsort()[:rows]
    both = torch.cat([odd, torch.randperm(len(x))[: rows_to_account(x.shape[1], _USUAL)]])
    with evaluating(flow):
        encoded = None if given is None else flow._embed(given[both])
        each = model.account(x[both], encoded).double().cpu()
    usual = each[len(odd) :].median(0).values
    return OddRows(odd, nats[odd], nats.median().item(), usual - each[: len(odd)])
