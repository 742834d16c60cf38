"""One trial: flows learn a posterior from simulations, and are told from the exact one, if they can be."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surflow.data.simulators.base import Simulator
from surflow.data.simulators.references import read_reference
from surflow.evaluation import classifier_test, log_probs, mean_and_error
from surflow.training.fitting import fit
from surflow_experiments.cells import Cell, Outcome
from surflow_experiments.sbibm.tasks import TASKS

# Observations and test pairs come from seeds that no simulations were made with.
_OBSERVED, _TESTED = 2_000_000, 3_000_000
# Draws of an exact posterior for each that is kept, so that few are kept twice; pairs whose posteriors are in memory.
_SPARE, _TOGETHER = 20, 50
_VALIDATION = 0.05
# Observations whose draws are kept for pictures.
DRAWN = 2


def run(cell: Cell) -> Outcome:
    """Train, draw and score; ``cell.spec`` is what :func:`cells` puts into it."""
    spec = cell.spec
    task = TASKS[cell.case.split("/")[1]]
    model, simulator = task.models[cell.model], task.simulator()
    theta, x = simulator.sample(spec["simulations"], seed=cell.seed)
    held_out = round(_VALIDATION * len(theta))
    validation = (theta[:held_out], model.summary(x[:held_out]))
    # Augmented after the split: a simulation must not stand on both sides.
    theta, x = model.augment(theta[held_out:], x[held_out:])
    started = time.process_time()
    flows, losses = [], []
    for member in range(spec["members"]):
        seed = 100 * cell.seed + member
        torch.manual_seed(seed)
        flow = model.build()
        train = (theta, model.summary(x))
        history = fit(flow, train, validation=validation, **spec["training"], seed=seed, progress=False)
        flows.append(flow)
        losses.append(history.losses("validation"))
    seconds = time.process_time() - started

    theta, x = simulator.sample(spec["tested"], seed=_TESTED)
    exact = torch.cat(
        [
            simulator.posterior(observed, draws=5000).log_prob(true)
            for true, observed in zip(theta.split(_TOGETHER), x.split(_TOGETHER), strict=True)
        ]
    )
    gap = exact - torch.stack([log_probs(flow, theta, model.summary(x)) for flow in flows]).logsumexp(0)
    gap += math.log(len(flows))
    started = time.process_time()
    x, reference, shift = _references(simulator, cell)
    draws = len(reference)
    # As many of each member: that is the mixture, with less chance in it.
    share = math.ceil(draws / len(flows))
    drawn = torch.cat([flow.sample(share, model.summary(x), seed=i) for i, flow in enumerate(flows)])[:draws]
    accuracies = [classifier_test(reference[:, i], drawn[:, i], classifier="mlp")[0] for i in range(len(x))]
    found = [
        ("c2st", *mean_and_error(torch.tensor(accuracies)), "1"),
        ("nll_gap", *mean_and_error(gap), "nats"),
        ("seconds", seconds, None, "s"),
        ("reference_shift", shift, None, "1"),
        ("seconds_of_classifiers", time.process_time() - started, None, "s"),
        ("parameters", len(flows) * sum(p.numel() for p in flows[0].parameters()), None, "1"),
    ]
    found += [(f"c2st_{k}", value, None, "1") for k, value in zip(spec["observations"], accuracies, strict=True)]
    arrays = {"losses": np.asarray(losses[0])}
    for i in range(min(DRAWN, len(x))):
        arrays |= {f"exact_{i}": reference[:, i].numpy(), f"drawn_{i}": drawn[:, i].numpy()}
    return cell.outcome(found, arrays)


def _references(simulator: Simulator, cell: Cell) -> tuple[Tensor, Tensor, float]:
    """Observations, draws of their exact posteriors, and how far these are from what the simulator itself says.

    The draws are the benchmark's own where there is a folder of them, else the simulator's. The distance is the largest
    one of a mean, in standard deviations of the posterior.
    """
    spec = cell.spec
    numbers, draws = spec["observations"], spec["draws"]
    if spec["data_dir"] is None:
        _, x = simulator.sample(len(numbers), seed=_OBSERVED)
        posterior = simulator.posterior(x, draws=_SPARE * draws)
        reference = posterior.sample(draws)
    else:
        task = cell.case.split("/")[1]
        found = [read_reference(Path(spec["data_dir"]), task, number, simulator) for number in numbers]
        x = torch.stack([observation for observation, _ in found])
        reference = torch.stack([part[:draws] for _, part in found], 1)
        posterior = simulator.posterior(x, draws=_SPARE * len(reference))
    mean, sd = posterior.moments()
    return x, reference.float(), float(((reference.double().mean(0) - mean) / sd).abs().max())
