"""fit_posterior: the posterior of any simulations by one recipe, whose choices are made by simulations held out."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from surflow._internal.random import mix, seeded
from surflow.data.simulators.base import simulations
from surflow.data.simulators.priors import support_of
from surflow.distributions.mixture import Mixture
from surflow.errors import ConfigError, DataError
from surflow.evaluation.likelihood import log_probs
from surflow.flow import Flow
from surflow.sbi.recipe import Recipe, Trials
from surflow.sbi.structure import Exchange, Symmetry, informative, pairs_alike, symmetries
from surflow.sbi.trust import coverage, sentence
from surflow.supports import Interval, Real, real

# The fewest simulations of which anything is held out.
_FEWEST = 50
# A choice is made after this share of the steps, and may take this share of the minutes.
_TRIED = 0.3
# Standard errors by which a symmetry may make simulations less likely, and still be tried.
_TOLERATED = 3.0
# Standard errors from zero at which a mean is taken for one that is not zero.
_SHIFTED = 4.0


@dataclass
class FittedPosterior:
    """A posterior that was learned from simulations.

    Attributes:
        flow: the distribution of parameters given an observation, laid out as a vector.
        findings: what was found and chosen, a sentence each.
        trust: how far its regions can be trusted, in one sentence.
        nll: in nats, of simulations under members that did not see them.
    """

    flow: Flow
    findings: list[str]
    trust: str
    nll: float

    def __str__(self) -> str:
        return "\n".join([*self.findings, self.trust])


def fit_posterior(
    theta: Tensor,
    x: Tensor,
    *,
    prior: torch.distributions.Distribution | None = None,
    minutes: float | None = None,
    seed: int = 0,
) -> FittedPosterior:
    r"""Learn the posterior from simulations alone; nothing about the simulator is asked.

    Flows keep to the prior's support. What they are given of an observation, whether a linear Gaussian does, and which
    symmetries they use, is decided by the likelihood of simulations that are held out:

    - coordinates that are not related to any parameter are left out, if that does no harm;
    - symmetries that the simulations do not speak against (signs, parameters that change places, blocks of observations
      in any order) multiply the simulations, if flows trained with them are better, and the posterior is the mean over
      up to eight images under them;
    - of blocks in any order, means, deviations and correlations stand for them, if that is better;
    - splines are not given the observation, which then tells location and scale alone, if that is better;
    - the linear Gaussian in closed form takes the place of splines, unless these are better by a standard error.

    Several flows, each of which holds out other simulations for its early stopping, are mixed in equal parts; the
    linear Gaussian is fitted once more, to all.

    Args:
        theta: parameters drawn from the prior, (n, d).
        x: an observation of each, (n, \*observation).
        prior: whose support is that of the posterior; by default the real line.
        minutes: at most so many, by the clock; by default steps alone decide, about three minutes of one processor for
            ten thousand simulations of five parameters, and results do not depend on how fast a computer is.
        seed: of all that is random.

    Raises:
        ShapeError: unless theta is (n, d) and x has as many rows.
        DataError: for fewer than 50 simulations, NaN or infinite numbers, theta outside the prior, or a parameter that
            does not vary.
        SupportError: for a prior whose coordinates are not real, positive or in intervals.
        ConfigError: for minutes that are not positive.

    Source: Lueckmann et al., "Benchmarking Simulation-Based Inference", arXiv 2101.04653, for what is measured;
    Hermans et al., "A Trust Crisis in Simulation-Based Inference?", arXiv 2110.06581, for ensembles and coverage.

    >>> import torch, surflow as sf
    >>> generator = torch.Generator().manual_seed(0)
    >>> theta = torch.randn(300, 1, generator=generator)
    >>> x = theta + torch.randn(300, 1, generator=generator)
    >>> fitted = sf.sbi.fit_posterior(theta, x)
    >>> fitted.findings
    ['a linear Gaussian is as good as splines, or better']
    >>> 0.3 < fitted.flow.sample(1000, torch.ones(1, 1), seed=0).mean() < 0.7
    tensor(True)
    """
    theta, x = simulations(theta, x, prior)
    if minutes is not None and not minutes > 0:
        raise ConfigError(f"minutes must be positive, got {minutes}")
    if len(theta) < _FEWEST:
        raise DataError(f"expected {_FEWEST} simulations or more, got {len(theta)}: simulate more")
    still = (theta == theta[0]).all(0)
    if still.any():
        raise DataError(f"theta{int(still.nonzero()[0]) + 1} is the same in all simulations: leave it out")
    shape = tuple(x.shape[1:])
    task = Trials(theta, x.flatten(1), real if prior is None else support_of(prior), seed, minutes)
    findings: list[str] = []
    recipe = _chosen(task, findings)
    members = len(task.parts)
    flows = [task.fit(recipe, i, share=1 / (members - i)) for i in range(1 if recipe.linear else members)]
    seen = [log_probs(flow, *task.held(i)) for i, flow in enumerate(flows)]
    trust = sentence(*coverage([(flow, *task.held(i)) for i, flow in enumerate(flows)], seed))
    if recipe.linear:
        flows = [task.linear(recipe, torch.arange(len(theta)))]
    flow = flows[0] if len(flows) == 1 else Flow([], base=Mixture(flows))
    if len(shape) > 1:
        findings.append(f"observations of shape {shape} are laid out as vectors")
    return FittedPosterior(flow.eval(), findings, trust, -float(torch.cat(seen).mean()))


# -- choices ------------------------------------------------------------------------------------------------------


def _chosen(task: Trials, findings: list[str]) -> Recipe:
    k = task.x.shape[1]
    rows = task.rows(0)
    plain = Recipe(tuple(range(k)))
    # A summary is shared by all networks of a flow, but has weights of its own, which may be too many.
    wide = replace(plain, features=64)
    located = replace(plain, splines=False)
    related = informative(task.theta[rows], task.x[rows]).nonzero().flatten().tolist()
    tried = [plain, wide, located]
    if 0 < len(related) < k:
        tried += [replace(one, keep=tuple(related)) for one in (plain, wide, located)]
    if not task.boxed:
        tried += [replace(one, linear=kind) for one in tried[::3] for kind in ("full", "sparse")]
    flows = [task.fit(one, 0, effort=_TRIED, share=_TRIED / len(tried)) for one in tried]
    best, flow, score = _best(task, tried, flows)
    best, flow, score = _simpler(task, tried, flows) or (best, flow, score)
    if len(best.keep) < k:
        findings.append(f"{k - len(best.keep)} of {k} numbers of an observation tell nothing, and are left out")
    if best.linear:
        findings.append("a linear Gaussian is as good as splines, or better")
        return best
    if not best.splines:
        findings.append("observations tell location and scale alone: the shape of posteriors is the same for all")
    found = _symmetries(task, best, flow)
    if not found:
        return best
    folds = [one for one in found if task.boxed and isinstance(one, Symmetry) and one.fold is not None]
    with_them = replace(
        best,
        fold=tuple(sorted(one.fold for one in folds if isinstance(one, Symmetry) and one.fold is not None)),
        found=tuple(one for one in found if one not in folds),
    )
    tried = [with_them]
    for one in found:
        if isinstance(one, Exchange) and len(one.blocks) > 2:
            places = tuple(tuple(best.keep.index(j) for j in block) for block in one.blocks)
            rest = tuple(other for other in with_them.found if other is not one)
            tried.append(replace(with_them, found=rest, blocks=places))
    flows = [task.fit(one, 0, effort=_TRIED, share=_TRIED / 2) for one in tried]
    after, _, now = _best(task, tried, flows)
    if now <= score:
        return best
    findings.extend(one.said for one in found)
    if after.blocks:
        findings.append("their means, deviations and correlations stand for them")
    return after


def _best(task: Trials, tried: Sequence[Recipe], flows: Sequence[Flow]) -> tuple[Recipe, Flow, float]:
    scores = [float(log_probs(flow, *task.held(0)).mean()) for flow in flows]
    i = max(range(len(scores)), key=lambda j: scores[j] if math.isfinite(scores[j]) else -math.inf)
    return tried[i], flows[i], scores[i]


def _simpler(task: Trials, tried: Sequence[Recipe], flows: Sequence[Flow]) -> tuple[Recipe, Flow, float] | None:
    """The best linear Gaussian, unless splines are better by more than chance, of the rows that stopped them, makes."""
    scores = torch.stack([log_probs(flow, *task.held(0)) for flow in flows]).nan_to_num(nan=-math.inf)
    linear = [i for i, one in enumerate(tried) if one.linear]
    if not linear:
        return None
    means = scores.mean(1)
    i, j = max(linear, key=lambda one: float(means[one])), int(means.argmax())
    loss = scores[j] - scores[i]
    if not loss.mean() <= loss.std() / math.sqrt(len(loss)):
        return None
    return tried[i], flows[i], float(means[i])


def _symmetries(task: Trials, recipe: Recipe, flow: Flow) -> list[Symmetry | Exchange]:
    """Those under which simulations that were held out are no less likely."""
    rows, keep = task.rows(0), list(recipe.keep)
    theta = task.theta[rows].double()
    mean, error = theta.mean(0), theta.std(0) / math.sqrt(len(theta))
    centres: list[float | None] = []
    for i, one in enumerate(task.coordinates):
        if isinstance(one, Interval):
            centres.append((one.low + one.high) / 2)
        else:
            centre = float(mean[i]) if abs(mean[i]) > _SHIFTED * error[i] else 0.0
            centres.append(centre if isinstance(one, Real) else None)
    ends = [(one.low, one.high) if isinstance(one, Interval) else None for one in task.coordinates]
    t, x = task.held(0)
    before = log_probs(flow, t, x)
    good: list[Symmetry | Exchange] = []
    for candidate in symmetries(theta, task.x[rows], centres, pairs_alike(ends), keep=keep):
        with seeded(mix(task.seed, 1) % 2**31):
            change = log_probs(flow, *candidate(t, x)) - before
        if change.mean() > -_TOLERATED * change.std() / math.sqrt(len(change)):
            good.append(candidate)
    return good
