"""Scoring, encoding and drawing in bounded memory: no gradients, evaluation mode, the model's dtype and device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from surflow.distribution import Distribution
from surflow.flow import Flow, Term

# Numbers of the events held at once; the networks inside a layer need a small multiple of it.
_CHUNK_ELEMENTS = 2**18
_CHUNK_ROWS = 8192
# Rows (draws times contexts) that are drawn at once.
_DRAWS_AT_ONCE = 2**16


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradients inside; afterwards every module has the mode it had.

    Args:
        model: a flow or any other module.

    >>> import surflow as sf
    >>> flow = sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2))
    >>> with evaluating(flow): flow.training
    False
    >>> flow.training
    True
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode


def log_probs(
    model: Distribution, x: Tensor, context: Tensor | None = None, importance_samples: int | None = None
) -> Tensor:
    """Log-density of every row of x in nats, shape (batch,), float64, on the CPU.

    Args:
        model: a flow or any other distribution.
        x: events, shape (batch, *event).
        context: shape (batch, *context), or None.
        importance_samples: k of the k-sample bound, for a model that is not exact; an exact one returns its density.

    >>> import torch, surflow as sf
    >>> log_probs(sf.Uniform(1, low=0, high=2), torch.ones(3, 1)).exp()
    tensor([0.5000, 0.5000, 0.5000], dtype=torch.float64)
    """
    k = 1 if model.exact or importance_samples is None else importance_samples
    parts = []
    with evaluating(model):
        for rows, given in _chunks(model, x, context, k):
            log_prob = model.log_prob(rows, given, importance_samples=k)
            parts.append(log_prob.double().cpu())
    return torch.cat(parts) if parts else torch.zeros(0, dtype=torch.float64)


def latents(flow: Flow, x: Tensor, context: Tensor | None = None) -> Tensor:
    """The latents of the rows of x, flattened to shape (batch, D), on the CPU; a draw of them where a layer draws.

    Args:
        flow: the flow.
        x: events, shape (batch, *event).
        context: shape (batch, *context), or None.
    """
    with evaluating(flow):
        parts = [flow.encode(rows, given).flatten(1).cpu() for rows, given in _chunks(flow, x, context, 1)]
    return torch.cat(parts)


def draws(model: Distribution, n: int, context: Tensor | None = None) -> Tensor:
    """n samples, shape (n, *event), on the CPU; of a conditional model one for each of the context's first n rows.

    Args:
        model: a flow or any other distribution.
        n: how many.
        context: n rows or more, or None.
    """
    with evaluating(model):
        if model.context_shape is None or context is None:
            return model.sample(n).cpu()
        return model.sample((), _to(context[:n], model)).cpu()


def draws_given(model: Distribution, n: int, context: Tensor, seed: int = 0) -> Tensor:
    """n samples for every row of the context, shape (n, rows, *event), on the CPU.

    Args:
        model: a conditional distribution.
        n: how many for each row.
        context: shape (rows, *context).
        seed: of the draws.
    """
    at_once = max(1, _DRAWS_AT_ONCE // len(context))
    sizes = [min(at_once, n - i) for i in range(0, n, at_once)]
    given = _to(context, model)
    with evaluating(model):
        parts = [model.sample((size,), given, seed=seed + i).cpu() for i, size in enumerate(sizes)]
    return torch.cat(parts)


def account(flow: Flow, x: Tensor, context: Tensor | None = None) -> list[Term]:
    """:meth:`Flow.account` over all rows of x, chunk by chunk.

    Args:
        flow: the flow.
        x: events, shape (batch, *event).
        context: shape (batch, *context), or None.
    """
    totals: list[float] = []
    names: list[tuple[str, bool]] = []
    with evaluating(flow):
        for rows, given in _chunks(flow, x, context, 1):
            terms = flow.account(rows, given)
            share = rows.shape[0] / x.shape[0]
            nats = [share * term.nats for term in terms]
            totals = nats if not totals else [a + b for a, b in zip(totals, nats, strict=True)]
            names = [(term.name, term.exact) for term in terms]
    return [Term(name, value, exact) for (name, exact), value in zip(names, totals, strict=True)]


def mean_and_error(values: Tensor) -> tuple[float, float | None]:
    """Mean and its standard error; no error for fewer than two values or for a mean that is not finite.

    Args:
        values: a tensor of any shape, whose numbers are independent.

    >>> import torch
    >>> mean_and_error(torch.tensor([1.0, 3.0]))
    (2.0, 1.0)
    """
    values = values.double()
    mean = values.mean().item()
    if values.numel() < 2 or not math.isfinite(mean):
        return mean, None
    return mean, values.std().item() / math.sqrt(values.numel())


def share_and_error(met: Tensor) -> tuple[float, float]:
    """The share of rows that something holds of, and its standard error.

    Of few such rows z (1 - z) / n is too small too often: the error is as if there were two more of either kind.

    Source: Agresti and Coull, "Approximate is Better than 'Exact' for Interval Estimation of Binomial Proportions",
    1998.

    Args:
        met: (n,), bool.

    >>> import torch
    >>> share_and_error(torch.tensor([True, True, False, False]))
    (0.5, 0.1767766952966369)
    """
    n = len(met) + 4
    share = (met.sum().item() + 2) / n
    return met.double().mean().item(), math.sqrt(share * (1 - share) / n)


def _rows_at_once(elements_per_row: int) -> int:
    return max(1, min(_CHUNK_ROWS, _CHUNK_ELEMENTS // max(1, elements_per_row)))


def _chunks(model: Distribution, x: Tensor, context: Tensor | None, k: int) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Pieces of x and of the context, where the model is, of types that enter; k copies of a piece fit in memory."""
    device = _home(model)
    at_once = _rows_at_once(k * math.prod(x.shape[1:]))
    for start in range(0, x.shape[0], at_once):
        given = None
        if model.context_shape is not None and context is not None:
            given = _to(context[start : start + at_once], model)
        yield x[start : start + at_once].to(device, model._type_of_rows(x.dtype)), given


def _home(model: nn.Module) -> torch.device:
    return next((t.device for t in (*model.parameters(), *model.buffers())), torch.device("cpu"))


def _to(context: Tensor, model: Distribution) -> Tensor:
    return context.to(_home(model), model._type_of_contexts(context.dtype))
