"""The figures of merit of a model of a table: baselines, detection, usefulness, associations, memory, ranges."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow.distribution import Distribution
from surflow.evaluation.associations import associations
from surflow.evaluation.data_set import Add, DataSet
from surflow.evaluation.detection import detection
from surflow.evaluation.features import categorical, snapped
from surflow.evaluation.likelihood import draws, mean_and_error, share_and_error
from surflow.evaluation.memory import copies, memory
from surflow.evaluation.usefulness import usefulness
from surflow.supports import Support, product

# Rows of each part of the data, and samples, that are looked at, and values that trees see of each; columns whose
# pairs are looked at.
_MOST_ROWS, _FEWEST_TO_LEARN, _MOST_VALUES = 5000, 500, 250_000
MOST_PAIRED = 40
# Columns that are predicted from the others, fewer where there are more than a hundred.
_PREDICTED = 12
# With fewer held-out rows a figure is of noise.
_FEWEST = 20


def table_figures(
    flow: Distribution, splits: DataSet, x: Tensor, context: Tensor | None, best: Tensor, add: Add, seed: int
) -> None:
    """Add the figures of a table, :class:`surflow.data.Splits` with a schema, to those of its held-out rows x.

    Figures of a column end in its number, those of a pair in two. Samples are taken as a file would have them, with
    numbers on the grids of their columns. At most 5000 rows are compared, drawn by chance, and fewer by trees where
    there are more than 50 columns.

    Args:
        flow: the model.
        splits: the data.
        x, context: held-out rows, and the contexts of a conditional model.
        best: their log-density.
        add: takes the metric, its value, error and unit.
        seed: of what is chosen by chance.
    """
    if not len(splits.train.x):
        return
    support: Support = splits.column_support
    known = copies(x, splits.train.x)
    add("held_out_copies", *share_and_error(known), "share of rows")
    if known.any() and not known.all():
        add("nll_not_trained_on", *mean_and_error(-best[~known]), "nats per event")
    if len(x) < _FEWEST:
        return
    given = None if flow.context_shape is None else context
    held_out, held_given = _some(x, given)
    train, train_given = _some(splits.train.x, None if given is None else splits.train.context)
    samples = _samples(flow, support, held_given, min(_MOST_ROWS, len(x) + len(splits.train.x)))
    like_training = samples if given is None else _samples(flow, support, train_given, len(train))
    encoded = None if given is None else (_encoded(splits, train_given), _encoded(splits, held_given))
    most = min(_MOST_ROWS, max(_FEWEST_TO_LEARN, _MOST_VALUES // x.shape[1]))
    found = detection(held_out, samples, support, seed, given=None if encoded is None else encoded[1], most=most)
    add("detection_rows", float(min(most, len(held_out), len(samples))), None, "rows")
    add("detection_auc", found.auc, found.error, "AUC")
    for column, value in enumerate(found.without.tolist()):
        add(f"detection_without_{column}", value, None, "AUC")
    _usefulness(train[:most], like_training[:most], held_out, support, encoded, add, seed)
    _associations(splits, samples, support, add)
    _memory(flow, splits, samples, held_out, support, add, seed)
    _ranges(splits.train.x, held_out, samples, support, add)


def _some(x: Tensor, given: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """Rows by chance, on the CPU, and what is given with them."""
    kept = torch.randperm(len(x))[:_MOST_ROWS].to(x.device)
    return x[kept].cpu(), None if given is None else given[kept]


def _samples(flow: Distribution, support: Support, given: Tensor | None, n: int) -> Tensor:
    """Samples as a file would have them, one for each context if there are some."""
    drawn = draws(flow, n if given is None else len(given), given).double()
    return snapped(drawn.where(drawn.isfinite() | drawn.isnan(), 0.0), support)


def _encoded(splits: DataSet, given: Tensor | None) -> Tensor:
    assert given is not None
    raw = given.cpu().double()
    return (raw if splits.context is None else splits.context.network()(raw)).detach().reshape(len(raw), -1)


def _usefulness(
    train: Tensor,
    samples: Tensor,
    test: Tensor,
    support: Support,
    given: tuple[Tensor, Tensor] | None,
    add: Add,
    seed: int,
) -> None:
    columns = max(2, min(_PREDICTED, _PREDICTED * 100 // train.shape[1]))
    found = usefulness(train, samples, test, support, seed, given=given, most_columns=columns)
    add("usefulness_rows", float(min(len(train), len(samples))), None, "rows")
    if found.mean is not None:
        real, drawn, error = found.mean
        add("usefulness_real", real, None, "skill")
        add("usefulness_samples", drawn, None, "skill")
        add("usefulness_gain", drawn - real, error, "skill")
    each = zip(found.columns, found.real.tolist(), found.samples.tolist(), found.error.tolist(), strict=True)
    for column, real, drawn, error in each:
        add(f"usefulness_real_{column}", real, None, "skill")
        add(f"usefulness_samples_{column}", drawn, error, "skill")


def _associations(splits: DataSet, samples: Tensor, support: Support, add: Add) -> None:
    parts = support.coordinates(samples.shape[1])[:MOST_PAIRED]
    if len(parts) < 2:
        return
    real = _some(torch.cat([splits.train.x, splits.validation.x, splits.test.x]), None)[0]
    n, size = min(len(real), len(samples)), len(parts)
    shown = product(parts)
    each = [associations(part[:n, :size], shown) for part in (real, samples)]
    halves = [associations(part[:, :size], shown) for part in real[:n].chunk(2)]
    a, b = torch.triu_indices(size, size, 1)
    add("association_difference", (each[0] - each[1])[a, b].abs().mean().item(), None, "association")
    add("association_halves", (halves[0] - halves[1])[a, b].abs().mean().item(), None, "association")
    for i, j in zip(a.tolist(), b.tolist(), strict=True):
        add(f"association_data_{i}_{j}", each[0][i, j].item(), None, "association")
        add(f"association_samples_{i}_{j}", each[1][i, j].item(), None, "association")


def _memory(
    flow: Distribution, splits: DataSet, samples: Tensor, held_out: Tensor, support: Support, add: Add, seed: int
) -> None:
    if flow.context_shape is not None:  # contexts of neither set that is compared
        given = splits.validation.context
        if given is None or len(given) < _FEWEST:
            return
        samples = _samples(flow, support, given[:_MOST_ROWS], 0)
    n = min(len(samples), len(held_out))
    add("sample_copies", *share_and_error(copies(samples[:n], splits.train.x)), "share of samples")
    found = memory(splits.train.x, held_out, samples, support, seed)
    add("nearer_to_training", found.nearer, found.error, "share of samples")
    add("nearer_p", found.p, None, "p-value")
    add("memory_rows", float(found.rows), None, "rows")


def _ranges(train: Tensor, held_out: Tensor, samples: Tensor, support: Support, add: Add) -> None:
    """The share of rows and samples with a number beyond the least and the greatest of the training rows."""
    numbers = ~torch.tensor(categorical(support, samples.shape[1]))
    if not numbers.any():
        return
    least = train.nan_to_num(torch.inf).amin(0)
    most = train.nan_to_num(-torch.inf).amax(0)
    beyond = [((part < least) | (part > most)) & numbers for part in (held_out, samples)]
    add("outside_held_out", *share_and_error(beyond[0].any(1)), "share of rows")
    add("outside_samples", *share_and_error(beyond[1].any(1)), "share of samples")
    ends = samples.nan_to_num(torch.inf).amin(0), samples.nan_to_num(-torch.inf).amax(0)
    for column in numbers.nonzero()[:, 0].tolist():
        add(f"outside_samples_{column}", beyond[1][:, column].double().mean().item(), None, "share of samples")
        for name, end in zip(("samples_least", "samples_most"), ends, strict=True):
            add(f"{name}_{column}", end[column].item(), None, "1")
