"""evaluate: all figures of merit of one flow on the held-out rows of one data set."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from surflow._internal.random import seeded
from surflow.distribution import Distribution
from surflow.distributions.normal import Normal
from surflow.errors import DataError
from surflow.evaluation.baselines import column_scores
from surflow.evaluation.calibration import inside_band, ranks
from surflow.evaluation.data_set import Add, DataSet, Simulator
from surflow.evaluation.features import features, mixed
from surflow.evaluation.gaussian import gaussian_scores
from surflow.evaluation.likelihood import (
    draws,
    draws_given,
    evaluating,
    latents,
    log_probs,
    mean_and_error,
    share_and_error,
)
from surflow.evaluation.results import Row
from surflow.evaluation.samples import classifier_test, energy_test
from surflow.evaluation.tables import table_figures
from surflow.flow import Flow
from surflow.supports import Integers

BOUND_SAMPLES = (1, 10, 100)
# Numbers that the largest importance-weighted bound passes through the flow; past it, some rows only are scored.
_BOUND_ELEMENTS = 2**27
_TEST_ROWS = 1000
_TIMED_SAMPLES = 1000
# Rows whose exact posteriors are computed, and how many ranks there are among draws.
_POSTERIOR_ROWS, _RANKS = 200, 100
# Up to this many coordinates of the latent have rows of their own.
_CODE_COORDINATES = 8


def evaluate(flow: Distribution, splits: DataSet, *, model: str = "flow", seed: int = 0) -> list[Row]:
    """Figures of merit on ``splits.test``, with standard errors, as rows of the results' schema.

    ==========================  ================================================================================
    nll                         held-out negative log-likelihood of an exact model, nats per event
    nll_bound_k1, _k10, _k100   for a bound: the importance-weighted bound with k draws; it falls towards the NLL
    zero_density                share of held-out rows with density zero, if there are any (the NLL is then infinite)
    entropy, entropy_gap        where the truth is known: its entropy H, and the mean of log p(x) - log q(x) over the
                                held-out rows, an estimate of NLL - H; for a bound with k = 100
    bits_per_dim                integer data: NLL / (D log 2); for a bound with k = 100
    gaussian_nll                the Gaussian baseline on the same rows (:func:`gaussian_scores`), where there are
                                training rows; for integer data it is an upper bound, as it scores x + u with u
                                uniform on [0, 1)
    gain_over_gaussian          gaussian_nll - NLL, paired; for a bound with k = 100
    posterior_nll,              of parameters that were simulated: the exact posterior's NLL on up to 200 held-out rows,
    posterior_gap               and the mean of log p(theta | x) - log q(theta | x) over them
    calibrated                  of parameters given an observation: the share of them whose ranks among 99 draws keep
                                inside the simultaneous 95 % band (:func:`inside_band`)
    energy_distance, energy_p   samples against held-out rows, at most 1000 of each; with a context, given the same ones
                                and joined with them, rows changing sides within a context only (:func:`energy_test`)
    classifier_accuracy         the same rows told apart by a random forest (:func:`classifier_test`); 0.5 is the best;
                                not of tables
    latent_mean, latent_sd      base N(0, 1): moments over all coordinates of the latent, and of each of up to eight
    latent_ks, latent_ks_p      largest Kolmogorov-Smirnov distance of a coordinate to N(0, 1), and the p-value of its
                                being the largest of D independent ones, 1 - (1 - p)^D; the distance of each of up to
                                eight
    seconds_per_1000_samples    wall-clock time on this machine
    independent_nll, tree_nll,  tables of mixed columns: simple models on the same rows (:func:`column_scores`), and
    copula_nll, gain_over_*     what the model gains over them, paired
    held_out_copies             tables: share of held-out rows that are equal to a training row;
    nll_not_trained_on          the NLL of the others, where there are some
    detection_auc               rows told from samples by gradient boosting (:func:`detection`), 0.5 is the best;
    detection_without_i, _rows  what is left when column i is shuffled; how many of each were compared
    usefulness_real, _samples,  skill of models that predict columns from the others, trained on rows and on samples and
    _gain, _rows, _i            tested on held-out rows (:func:`usefulness`): the mean, and of column i
    association_data_i_j,       association of columns i and j (:func:`associations`); the mean of their differences,
    _samples_i_j, _difference,  and of those between two halves of the data
    _halves
    nearer_to_training,         share of samples nearer to a training row than to a held-out one, its p-value, and how
    nearer_p, memory_rows       many rows of each were compared (:func:`memory`)
    sample_copies               share of samples that are equal to a training row, of as many as held-out rows
    outside_held_out,           share of rows and samples with a value outside the training rows' range, and of samples
    outside_samples, _i         in column i, whose samples reach from
    samples_least_i, _most_i
    ==========================  ================================================================================

    Args:
        flow: the flow, or any other distribution.
        splits: :class:`surflow.data.Splits`.
        model: what the flow is called in the rows.
        seed: of all draws.

    Raises:
        DataError: if there are no held-out rows, or the flow is conditional and the data has no context.

    >>> import torch, surflow as sf
    >>> splits = sf.data.load("checkerboard", rows=500)
    >>> rows = evaluate(sf.data.checkerboard, splits, model="truth")
    >>> [row["value"] for row in rows if row["metric"] == "entropy_gap"]
    [0.0]
    """
    rows: list[Row] = []

    def add(metric: str, value: float, error: float | None = None, unit: str = "") -> None:
        rows.append(Row(case=splits.name, model=model, seed=seed, metric=metric, value=value, error=error, unit=unit))

    conditional = flow.context_shape is not None
    if not len(splits.test.x):
        raise DataError(f"{splits.name} has no held-out rows: evaluation needs a test split")
    if conditional and splits.test.context is None:
        raise DataError(f"the flow is conditional, but {splits.name} has no context: load it with context=")
    with seeded(seed), evaluating(flow):
        x, context = _rows_to_score(flow, splits)
        add("test_rows", float(len(x)), unit="rows")
        best = _likelihood(flow, x, context, add)
        _against_truth(best, splits, x, context if conditional else None, add)
        if splits.simulator is not None and conditional and context is not None:
            _against_posterior(flow, best, splits.simulator, x, context, add, seed)
        if isinstance(splits.support, Integers) and splits.schema is None:
            per_dim = math.log(2) * math.prod(x.shape[1:])
            value, error = mean_and_error(-best / per_dim)
            add("bits_per_dim", value, error, "bits per dimension")
        if len(splits.train.x) and not mixed(flow.support):
            gaussian = gaussian_scores(splits, x, context, conditional=conditional, seed=seed)
            add("gaussian_nll", *mean_and_error(-gaussian), "nats per event")
            add("gain_over_gaussian", *mean_and_error(best - gaussian), "nats per event")
        if len(splits.train.x) and mixed(flow.support):
            for name, score in column_scores(splits.train.x, x, flow.support).items():
                add(f"{name}_nll", *mean_and_error(-score), "nats per event")
                add(f"gain_over_{name}", *mean_and_error(best - score), "nats per event")
        _two_samples(flow, splits, x, context, add, seed)
        if splits.schema is not None:
            table_figures(flow, splits, x, context, best, add, seed)
        if isinstance(flow, Flow) and isinstance(flow.base, Normal) and flow.base.fixed:
            _code(latents(flow, x, context), add)
    return rows


def _rows_to_score(flow: Distribution, splits: DataSet) -> tuple[Tensor, Tensor | None]:
    x, context = splits.test.x, splits.test.context
    most = len(x) if flow.exact else max(100, _BOUND_ELEMENTS // (max(BOUND_SAMPLES) * math.prod(x.shape[1:])))
    if len(x) <= most:
        return x, context
    kept = torch.randperm(len(x))[:most]
    return x[kept], None if context is None else context[kept]


def _likelihood(flow: Distribution, x: Tensor, context: Tensor | None, add: Add) -> Tensor:
    """Rows for the NLL or its bounds; returns the log-density, or its tightest bound."""
    if flow.exact:
        best = log_probs(flow, x, context)
        add("nll", *mean_and_error(-best), "nats per event")
    else:
        for k in BOUND_SAMPLES:
            best = log_probs(flow, x, context, importance_samples=k)
            add(f"nll_bound_k{k}", *mean_and_error(-best), "nats per event")
    if (best == -math.inf).any():
        add("zero_density", *share_and_error(best == -math.inf), "share of rows")
    return best


def _against_truth(best: Tensor, splits: DataSet, x: Tensor, context: Tensor | None, add: Add) -> None:
    truth = splits.truth
    if truth is None or not getattr(truth, "has_density", True):
        return
    if context is None:
        entropy, error = truth.entropy()
        log_p = truth.log_prob(x)
    elif truth.classes is not None and context[:1].numel() == 1:
        entropy, error = truth.entropy_given_label()
        labels = context.reshape(-1).round().long()
        names = None if splits.context is None else splits.context.columns[0].categories
        if names is not None:  # the raw context is the index of the label's name among them
            labels = torch.tensor([int(name) for name in names])[labels]
        log_p = truth.log_prob_labelled(x, labels)
    else:
        return
    if not math.isfinite(entropy):
        return
    add("entropy", entropy, error, "nats per event")
    # Paired: the points that are hard for the model are hard for the truth, so their difference varies much less.
    difference = log_p.double().cpu() - best
    difference = difference[log_p.isfinite().cpu()]  # a point rounded over the edge of the support has no partner
    add("entropy_gap", *mean_and_error(difference), "nats per event")


def _against_posterior(
    flow: Distribution, best: Tensor, simulator: Simulator, x: Tensor, context: Tensor, add: Add, seed: int
) -> None:
    n = min(len(x), _POSTERIOR_ROWS)
    if simulator.has_posterior:
        exact = simulator.posterior(context[:n].cpu()).log_prob(x[:n].cpu())
        add("posterior_nll", *mean_and_error(-exact), "nats per event")
        add("posterior_gap", *mean_and_error(exact - best[:n]), "nats per event")
    rank = ranks(x.cpu(), draws_given(flow, _RANKS - 1, context, seed=seed).to(x.dtype), seed)
    add("calibrated", float(inside_band(rank, _RANKS).mean()), None, "share of parameters")


def _two_samples(flow: Distribution, splits: DataSet, x: Tensor, context: Tensor | None, add: Add, seed: int) -> None:
    # Any rows, not the first ones: data may be sorted.
    kept = torch.randperm(len(x))[:_TEST_ROWS]
    n = len(kept)
    given = None if flow.context_shape is None or context is None else context[kept]
    repeated = None if given is None else given[torch.arange(_TIMED_SAMPLES) % n]
    draws(flow, 10, repeated)  # the first call pays for what later ones find ready
    start = time.perf_counter()
    samples = draws(flow, _TIMED_SAMPLES, repeated)
    seconds = (time.perf_counter() - start) * 1000 / _TIMED_SAMPLES
    real, fake, groups = x[kept].cpu().flatten(1), samples[:n].flatten(1).to(x.dtype), None
    if mixed(flow.support):
        both = features(torch.cat([real, fake]), flow.support)
        real, fake = both[: len(real)], both[len(real) :]
    finite = fake.isfinite().all(1)
    if not finite.all():
        add("samples_not_finite", 1 - finite.double().mean().item(), None, "share of samples")
    if given is not None:
        # The context on both sides: the test is then one of the joint distribution, and so of every
        # conditional one.
        encoded = given if splits.context is None else splits.context.network()(given)
        encoded = encoded.cpu().reshape(n, -1)
        real, fake = (torch.cat([part, encoded.to(part.dtype)], 1) for part in (real, fake))
        # Both sides hold the same contexts, more alike than those of independent sets: only rows of one context, if it
        # has numbers often a pair, may change sides.
        group = given.cpu().reshape(n, -1).unique(dim=0, return_inverse=True)[1][finite]
        real, groups = real[finite], (group, group)
    fake = fake[finite]
    if len(fake) >= 10:
        distance, p = energy_test(real, fake, seed=seed, groups=groups)
        add("energy_distance", distance, None, "standard deviations")
        add("energy_p", p, None, "p-value")
        if splits.schema is None:  # tables have a stronger test, which takes categories as they are
            accuracy = classifier_test(real[: len(fake)], fake, seed=seed, paired=groups is not None)
            add("classifier_accuracy", *accuracy, "share of rows")
    add("seconds_per_1000_samples", seconds, None, "s")


def _code(z: Tensor, add: Add) -> None:
    from scipy.stats import kstest

    z = z.double()
    finite = z.isfinite().all(1)
    z = z[finite]
    if len(z) < 2:
        return
    size = z.shape[1]
    each = [kstest(column.numpy(), "norm") for column in z.T]
    worst = max(each, key=lambda test: test.statistic)
    # Coordinates of a perfect latent are independent: the smallest of their p-values has a known distribution.
    p = -math.expm1(size * math.log1p(-min(float(worst.pvalue), 1 - 1e-16)))
    # Rows are independent, coordinates of one row need not be: errors come from the spread of the rows' means.
    add("latent_mean", *mean_and_error(z.mean(1)), "1")
    add("latent_sd", *_sd_and_error(z), "1")
    add("latent_ks", float(worst.statistic), None, "1")
    add("latent_ks_p", p, None, "p-value")
    if size <= _CODE_COORDINATES:
        for i, test in enumerate(each):
            add(f"latent_mean_{i}", *mean_and_error(z[:, i]), "1")
            add(f"latent_sd_{i}", *_sd_and_error(z[:, i : i + 1]), "1")
            add(f"latent_ks_{i}", float(test.statistic), None, "1")


def _sd_and_error(z: Tensor) -> tuple[float, float | None]:
    """Standard deviation of all entries, and by the delta method its error from the rows' mean squares."""
    square, error = mean_and_error((z - z.mean()).square().mean(1))
    sd = math.sqrt(square)
    return sd, None if error is None or sd == 0 else error / (2 * sd)
