"""Is a posterior calibrated? Ranks with simultaneous bands, coverage, contraction, resimulation."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln
from scipy.stats import binom
from torch import Tensor

from surflow.errors import ConfigError, ShapeError

# Where an ECDF is compared with its band: at no more points than these.
_POINTS = 100
# Bins of a histogram of ranks: a divisor of the number of ranks, as near to this as there is.
_BINS = 20


def ranks(truth: Tensor, draws: Tensor, seed: int = 0) -> Tensor:
    """How many posterior draws lie below the truth: uniform on 0, ..., L if the posterior is right.

    Args:
        truth: parameters, shape (n, d), each drawn from the prior before its data set was simulated.
        draws: of the posterior given every data set, shape (L, n, d).
        seed: decides ties, at random.

    Returns:
        Integers, shape (n, d).

    Raises:
        ShapeError: if the shapes do not fit.

    Source: Talts et al., "Validating Bayesian Inference Algorithms with Simulation-Based Calibration", arXiv
    1804.06788.

    >>> ranks(torch.tensor([[0.5]]), torch.tensor([[[0.1]], [[0.2]], [[0.9]]])).item()
    2
    """
    _check_draws(truth, draws)
    return _ranks(truth, draws, np.random.default_rng(seed))


@lru_cache(maxsize=64)
def ecdf_band(n: int, points: tuple[float, ...], probability: float = 0.95) -> tuple[NDArray, NDArray]:
    r"""A band that holds the whole ECDF of n uniform numbers with the given probability, at increasing points.

    At every point it is the central binomial interval of one level, and the level is chosen so that all hold at once:
    counts at the points are a Markov chain with binomial steps, through which the probability is summed exactly.
    Counts are whole, so that it is a little above the probability that is asked for.

    Args:
        n: how many numbers.
        points: increasing, between 0 and 1.
        probability: that the band holds all of the ECDF.

    Returns:
        Lower and upper end at the points, as shares of n.

    Raises:
        ConfigError: for points that do not increase inside (0, 1), or a probability outside it.

    Source: Säilynoja, Bürkner and Vehtari, "Graphical Test for Discrete Uniformity and its Applications in
    Goodness-of-Fit Evaluation and Multiple Sample Comparison", arXiv 2103.10522.

    >>> low, high = ecdf_band(100, (0.5,))  # one point: the binomial interval
    >>> low.tolist(), high.tolist()
    ([0.4], [0.6])
    """
    z = np.asarray(points, dtype=np.float64)
    if not (len(z) and z[0] > 0 and z[-1] < 1 and (np.diff(z) > 0).all()):
        raise ConfigError(f"the points of a band must increase inside (0, 1), got {z.tolist()}")
    if n < 1 or not 0 < probability < 1:
        raise ConfigError(f"a band needs n >= 1 and a probability inside (0, 1), got {n} and {probability}")
    # Of the pointwise levels that are wide enough the narrowest.
    wide, narrow = (1 - probability) / (2 * len(z)), 1 - probability
    for _ in range(30):
        middle = math.sqrt(wide * narrow)
        if _probability_inside(n, z, *_intervals(n, z, middle)) >= probability:
            wide = middle
        else:
            narrow = middle
    low, high = _intervals(n, z, narrow)
    if _probability_inside(n, z, low, high) < probability:
        low, high = _intervals(n, z, wide)
    return low / n, high / n


def _intervals(n: int, z: NDArray, level: float) -> tuple[NDArray, NDArray]:
    return binom.ppf(level / 2, n, z).astype(int), binom.ppf(1 - level / 2, n, z).astype(int)


def _probability_inside(n: int, z: NDArray, low: NDArray, high: NDArray) -> float:
    counts, chances, before = np.zeros(1, int), np.ones(1), 0.0
    for point, a, b in zip(z, low, high, strict=True):
        there = np.arange(a, b + 1)
        # From j numbers below the last point: of the n - j others, each lies below this one with the same chance.
        p = (point - before) / (1 - before)
        step = there[None] - counts[:, None]
        left = (n - counts)[:, None]
        fits = (step >= 0) & (step <= left)
        k = np.where(fits, step, 0)
        log_pmf = gammaln(left + 1) - gammaln(k + 1) - gammaln(left - k + 1) + k * math.log(p)
        log_pmf = log_pmf + (left - k) * math.log1p(-p)
        counts, chances, before = there, chances @ np.where(fits, np.exp(log_pmf), 0.0), point
    return float(chances.sum())


def rank_points(n_ranks: int) -> NDArray:
    """Where the ECDF of ranks is compared with its band: k / n_ranks, the chance of a rank below k, for up to 100 k."""
    if n_ranks < 2:
        raise ConfigError(f"ranks need at least one draw, so n_ranks is 2 or more, got {n_ranks}")
    return np.unique(np.linspace(1, n_ranks - 1, min(n_ranks - 1, _POINTS)).round()) / n_ranks


def rank_ecdf(ranks: Tensor, n_ranks: int) -> NDArray:
    """Shares of ranks below k at the points k / n_ranks of :func:`rank_points`, shape (points, d) for ranks (n, d)."""
    _check_ranks(ranks, n_ranks)
    below = (rank_points(n_ranks) * n_ranks).round()[:, None, None]
    return (ranks.cpu().numpy()[None] < below).mean(1)


def inside_band(ranks: Tensor, n_ranks: int, probability: float = 0.95) -> NDArray[np.bool_]:
    """Whether the ranks of every column, shape (n, d), are uniform on 0, ..., n_ranks - 1 as far as the band tells.

    A calibrated column passes with the given probability; of several, one may fail by chance.

    Args:
        ranks: shape (n, d), integers.
        n_ranks: how many ranks are possible, one more than draws.
        probability: with which a calibrated column passes.

    Raises:
        ShapeError: for ranks that are not (n, d).
        ConfigError: for ranks beyond n_ranks - 1.
    """
    low, high = ecdf_band(len(ranks), tuple(rank_points(n_ranks)), probability)
    found = rank_ecdf(ranks, n_ranks)
    slack = 1e-9
    return np.all((found >= low[:, None] - slack) & (found <= high[:, None] + slack), axis=0)


def rank_histogram(ranks: Tensor, n_ranks: int) -> NDArray[np.int64]:
    """Counts of ranks, shape (d, bins): every bin holds the same number of ranks, so that calibrated bins are equal.

    Args:
        ranks: shape (n, d), integers.
        n_ranks: how many ranks are possible, one more than draws.

    Raises:
        ConfigError: if no number of bins from 5 to 50 divides n_ranks; L draws give L + 1 ranks, take 99, 199 or 999.

    >>> rank_histogram(torch.arange(100)[:, None], 100).tolist()
    [[5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5]]
    """
    _check_ranks(ranks, n_ranks)
    divisors = [bins for bins in range(5, 51) if n_ranks % bins == 0]
    if not divisors:
        raise ConfigError(
            f"{n_ranks} ranks do not divide into equal bins: draw 99, 199 or 999 times for 100, 200 or 1000 ranks"
        )
    bins = min(divisors, key=lambda b: abs(b - _BINS))
    rows = (ranks.cpu().numpy() * bins) // n_ranks
    return np.stack([np.bincount(column, minlength=bins) for column in rows.T])


def expected_coverage(truth: Tensor, draws: Tensor, seed: int = 0) -> Tensor:
    r"""The mass of the smallest region of highest density that holds the truth: uniform on (0, 1) if calibrated.

    .. math:: \frac{\#\{l : q_l > q\} + T + U}{L + 1}, \qquad U \sim U(0, 1)

    for the density q at the truth and q_l at L draws. T is uniform on 0, ..., number of draws as dense as the truth, so
    that it holds for posteriors with plateaus too; U fills the steps of 1 / (L + 1), so that it does for any L.

    Args:
        truth: log-density of the posterior at the true parameters, shape (n,).
        draws: its log-density at draws of it, shape (L, n).
        seed: decides ties and positions within steps, at random.

    Returns:
        Shares of the posterior's mass, shape (n,), float64.

    Source: Hermans et al., "A Trust Crisis In Simulation-Based Inference? Your Posterior Approximations Can Be
    Unfaithful", arXiv 2110.06581.

    >>> expected_coverage(torch.zeros(1000), torch.zeros(9, 1000)).mean().round(decimals=1).item()  # equal densities
    0.5
    """
    if truth.ndim != 1 or draws.ndim != 2 or draws.shape[1:] != truth.shape:
        raise ShapeError(f"expected log-densities (n,) and (L, n), got {tuple(truth.shape)} and {tuple(draws.shape)}")
    return _levels(-truth[:, None], -draws[:, :, None], np.random.default_rng(seed))[:, 0]


def tarp(truth: Tensor, draws: Tensor, seed: int = 0) -> Tensor:
    """Tests of accuracy with random points: the share of draws nearer to a random point than the truth is.

    Exactly uniform on (0, 1) for the right posterior, with any number of rows and draws. Random points are uniform in a
    box, in units of which distances count every parameter: from the 1 % to the 99 % quantile of truths and draws
    together. Under the right posterior the truth is one of the L + 1 like any other, and the box must not tell which:
    one about the truths alone would. Shares are filled up to a uniform number as in :func:`expected_coverage`.

    Args:
        truth: shape (n, d).
        draws: shape (L, n, d).
        seed: of the random points, ties and positions within steps.

    Returns:
        shape (n,), float64.

    Source: Lemos et al., "Sampling-Based Accuracy Testing of Posterior Estimators for General Inference", arXiv
    2302.03026.
    """
    _check_draws(truth, draws)
    random = np.random.default_rng(seed)
    both = torch.cat([truth[None], draws]).double().cpu()
    # numpy's quantile, because torch's stops at sixteen million numbers.
    low, high = torch.from_numpy(np.quantile(both.flatten(0, 1).numpy(), [0.01, 0.99], axis=0))
    width = (high - low).where(high > low, 1.0)
    distance = ((both - low) / width - _random(both[0], random)).square().sum(2, keepdim=True)
    return _levels(distance[0], distance[1:], random)[:, 0]


def contraction(posterior_sd: Tensor, prior_sd: Tensor) -> Tensor:
    r"""How much of the prior's variance data remove: the mean of :math:`1 - s_\text{post}^2 / s_\text{prior}^2`.

    Args:
        posterior_sd: standard deviations, shape (n, d), of the posteriors of n data sets.
        prior_sd: of the prior, shape (d,).

    Returns:
        shape (d,): 0 where data say nothing, 1 where they say everything.

    >>> contraction(torch.tensor([[0.5, 1.0]]), torch.ones(2)).tolist()
    [0.75, 0.0]
    """
    return 1 - (posterior_sd / prior_sd).square().mean(0)


def band_coverage(observed: Tensor, resimulated: Tensor, level: float = 0.9, seed: int = 0) -> float:
    r"""Share of the observed numbers inside central bands of resimulated ones, which hold ``level`` if all is right.

    An observed number with rank r among R resimulated ones is inside if :math:`|u - 1/2| \le` level / 2, with u
    uniform between r / (R + 1) and (r + 1) / (R + 1). That holds the level for any R, and for counts, whose ties are
    broken at random; between quantiles of the R resimulations themselves lie (R - 1) / (R + 1) of it.

    All is right means that ``observed`` is simulated from true parameters as ``resimulated`` is from the posterior's.
    The very observation that the posterior was given lies nearer to the middle: with p parameters known from N numbers
    of Gaussian noise, bands of 90 % hold about :math:`2 \Phi(1.645 \sqrt{(N + p) / (N - p)}) - 1` of it.

    Args:
        observed: shape (n, size).
        resimulated: simulations, with their noise, of draws of the posterior, shape (R, n, size).
        level: of the bands.
        seed: decides ties and positions within steps, at random.

    >>> band_coverage(torch.rand(1000, 1), torch.rand(4, 1000, 1)) > 0.85
    True
    """
    _check_draws(observed, resimulated)
    inside = (_levels(observed, resimulated, np.random.default_rng(seed)) - 0.5).abs() <= level / 2
    return inside.double().mean().item()


def _levels(truth: Tensor, draws: Tensor, random: np.random.Generator) -> Tensor:
    """(rank + U) / (L + 1) with ties broken at random: exactly uniform on (0, 1) if the truth is like a draw."""
    return (_ranks(truth, draws, random) + _random(truth, random)) / (len(draws) + 1)


def _ranks(truth: Tensor, draws: Tensor, random: np.random.Generator) -> Tensor:
    below, equal = (draws < truth).sum(0), (draws == truth).sum(0)
    return below + (_random(truth, random) * (equal + 1)).long()


def _random(like: Tensor, random: np.random.Generator) -> Tensor:
    # Not by torch's generator: truths that were drawn with the same seed would be no strangers to these numbers. And in
    # double precision whatever the truths are in: as integers all would be 0, and rounded to half precision some are 1.
    return torch.as_tensor(random.random(like.shape), device=like.device)


def _check_draws(truth: Tensor, draws: Tensor) -> None:
    if truth.ndim != 2 or draws.ndim != 3 or draws.shape[1:] != truth.shape or not len(draws):
        raise ShapeError(
            f"expected one row a data set, shape (n, d), and draws (L, n, d) for them, "
            f"got {tuple(truth.shape)} and {tuple(draws.shape)}"
        )


def _check_ranks(ranks: Tensor, n_ranks: int) -> None:
    if ranks.ndim != 2 or not len(ranks):
        raise ShapeError(f"expected ranks of shape (n, d), got {tuple(ranks.shape)}")
    if int(ranks.min()) < 0 or int(ranks.max()) >= n_ranks:
        raise ConfigError(
            f"of L draws the ranks are 0 to L, so n_ranks is L + 1: got ranks from {int(ranks.min())} to "
            f"{int(ranks.max())} and n_ranks {n_ranks}"
        )
