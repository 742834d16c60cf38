"""One trial: a default learns a posterior from simulations, and is told from the exact one, if it can be."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

import surflow as sf
from surflow.data import simulator
from surflow.data.simulators.base import Simulator
from surflow.data.simulators.references import read_reference
from surflow.evaluation import classifier_test, log_probs, mean_and_error
from surflow.sbi.trust import coverage
from surflow_experiments.cells import Cell, Found, Outcome

# Observations and test pairs come from seeds that no simulations were made with.
_OBSERVED, _TESTED = 2_000_000, 3_000_000
# Draws of an exact posterior for each that is kept, so that few are kept twice; pairs whose posteriors are in memory.
_SPARE, _TOGETHER = 20, 50
# Pairs by which the coverage of regions is measured.
_COVERED = 500


class Learned(Protocol):
    """A posterior that was learned."""

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        """Of every row, (batch,)."""

    def sample(self, n: int, x: Tensor, seed: int) -> Tensor:
        """For one observation, (n, parameters)."""


@dataclass
class Ours:
    """The default of surflow."""

    fitted: sf.sbi.FittedPosterior

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        return log_probs(self.fitted.flow, theta, x)

    def sample(self, n: int, x: Tensor, seed: int) -> Tensor:
        return self.fitted.flow.sample(n, x[None], seed=seed)[:, 0]


class Theirs:
    """Neural posterior estimation in the package sbi, a neural spline flow with all its defaults.

    Its log-density is that of the flow, parts of which may lie outside the prior; its draws lie inside.
    """

    def __init__(self, simulated: Simulator, theta: Tensor, x: Tensor, seed: int, *, quick: bool) -> None:
        from sbi.inference import NPE  # which takes seconds to import, and only these trials need it

        torch.manual_seed(seed)
        inference = NPE(simulated.prior, density_estimator="nsf", show_progress_bars=False, tracker=_NoTracker())
        inference.append_simulations(theta, x).train(**({"max_num_epochs": 1} if quick else {}))
        self.posterior = inference.build_posterior()

    def log_prob(self, theta: Tensor, x: Tensor) -> Tensor:
        with torch.no_grad():
            return self.posterior.posterior_estimator.log_prob(theta[None], x)[0].double()

    def sample(self, n: int, x: Tensor, seed: int) -> Tensor:
        torch.manual_seed(seed)
        return self.posterior.sample((n,), x=x[None], show_progress_bars=False)


def run(cell: Cell) -> Outcome:
    """Train, draw and score; ``cell.spec`` is what :func:`cells` puts into it."""
    spec, task = cell.spec, cell.case.split("/")[1].rsplit("-", 1)[0]
    simulated = simulator(task)
    theta, x = simulated.sample(spec["simulations"], seed=cell.seed)
    started = time.process_time()
    learned: Learned
    if cell.model == "auto":
        fitted = sf.sbi.fit_posterior(theta, x, prior=simulated.prior, minutes=spec["minutes"], seed=cell.seed)
        learned = Ours(fitted)
        said = [*fitted.findings, fitted.trust]
    else:
        learned = Theirs(simulated, theta, x, cell.seed, quick=spec["minutes"] is not None)
        said = []
    found: list[Found] = [("seconds", time.process_time() - started, None, "s")]
    if isinstance(learned, Ours):
        pairs = simulated.sample(min(_COVERED, 10 * spec["tested"]), seed=_TESTED + 1)
        shares, n = coverage([(learned.fitted.flow, *pairs)], cell.seed)
        found += [(f"coverage_{p}", s, (s * (1 - s) / n) ** 0.5, "1") for p, s in zip((50, 90), shares, strict=True)]
    if simulated.has_posterior:
        theta, x = simulated.sample(spec["tested"], seed=_TESTED)
        exact = torch.cat(
            [
                simulated.posterior(observed, draws=5000).log_prob(true)
                for true, observed in zip(theta.split(_TOGETHER), x.split(_TOGETHER), strict=True)
            ]
        )
        found.append(("nll_gap", *mean_and_error(exact - learned.log_prob(theta, x)), "nats"))
    started = time.process_time()
    accuracies = []
    for i, (observed, reference) in enumerate(_references(simulated, task, cell)):
        drawn = learned.sample(len(reference), observed, i)
        accuracies.append(classifier_test(reference, drawn, classifier="mlp")[0])
    found += [
        ("c2st", *mean_and_error(torch.tensor(accuracies)), "1"),
        ("seconds_of_classifiers", time.process_time() - started, None, "s"),
    ]
    found += [(f"c2st_{k}", value, None, "1") for k, value in zip(spec["observations"], accuracies, strict=True)]
    return cell.outcome(found, {"said": np.array(said, dtype=np.str_)})


def _references(simulated: Simulator, task: str, cell: Cell) -> list[tuple[Tensor, Tensor]]:
    """Observations and draws of their exact posteriors: the benchmark's where there is a folder, else simulated."""
    spec = cell.spec
    if spec["data_dir"] is not None:
        found = [read_reference(Path(spec["data_dir"]), task, k, simulated) for k in spec["observations"]]
        return [(x, reference[: spec["draws"]]) for x, reference in found]
    _, x = simulated.sample(len(spec["observations"]), seed=_OBSERVED)
    draws = simulated.posterior(x, draws=_SPARE * spec["draws"]).sample(spec["draws"])
    return [(x[i], draws[:, i].float()) for i in range(len(x))]


class _NoTracker:
    """Keeps no log: sbi would write one below the current folder."""

    log_dir = None

    def log_metric(self, *args: object, **kwargs: object) -> None: ...

    def log_metrics(self, *args: object, **kwargs: object) -> None: ...

    def log_params(self, *args: object, **kwargs: object) -> None: ...

    def add_figure(self, *args: object, **kwargs: object) -> None: ...

    def flush(self) -> None: ...
