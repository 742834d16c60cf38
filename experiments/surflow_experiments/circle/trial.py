"""One trial: a flow trained on the circle, its distance to the truth where there is one, and merits of its samples."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from torch import Tensor

from surflow._internal.random import seeded
from surflow.data import noisy_circle
from surflow.evaluation import log_probs, mean_and_error
from surflow.training.fitting import fit
from surflow_experiments.cells import Cell, Found, Outcome
from surflow_experiments.circle.models import RADIUS, build

# Test points come from a seed that no batch of any trial was drawn with.
_TEST_SEED = 1_000_000
# A sample farther from the circle than this is an outlier: five standard deviations of the noise of the noisy target.
OFF = 0.5


def run(cell: Cell) -> Outcome:
    """Train, draw and score; ``cell.spec`` is what :meth:`Target.cells` puts into it."""
    spec = cell.spec
    torch.manual_seed(cell.seed)
    flow = build(cell.model, **spec["options"])
    started = time.process_time()
    history = fit(flow, noisy_circle(spec["noise"]), **spec["training"], seed=cell.seed, progress=False)
    seconds = time.process_time() - started
    found: list[Found] = []
    if spec["scored"]:
        target = noisy_circle(spec["noise"])
        with seeded(_TEST_SEED + cell.seed):
            x = target.sample(spec["points"])
            log_prob = log_probs(flow, x, importance_samples=spec["draws"])
        # Paired on the same points, the gap is known far better than the two likelihoods are.
        found.append(("entropy_gap", *mean_and_error(target.log_prob(x).double() - log_prob), "nats"))
    samples = flow.sample(spec["points"], seed=cell.seed)
    found += [(name, value, None, unit) for name, (value, unit) in merits(samples).items()]
    found += [
        ("seconds", seconds, None, "s"),
        ("steps", history.steps, None, "1"),
        ("parameters", sum(p.numel() for p in flow.parameters()), None, "1"),
    ]
    return cell.outcome(found, {"samples": samples.numpy(), "losses": np.asarray(history.losses())})


def merits(x: Tensor) -> dict[str, tuple[float, str]]:
    """Merits of samples of a circle about the origin, shape (n, 2), each with its unit.

    ``radial_sd``: standard deviation of the radius. ``off_share``: share of points farther than ``OFF`` from the
    circle. ``kuiper``: :func:`kuiper` of the angles. ``angular_gap``: the largest angle without a point.

    >>> turn = torch.arange(4.0) * math.pi / 2
    >>> found = merits(4 * torch.stack([turn.cos(), turn.sin()], 1))
    >>> [round(value, 4) for value, _ in found.values()]
    [0.0, 0.0, 0.5, 1.5708]
    """
    x = x.double()
    radius, angle = x.norm(dim=1), torch.atan2(x[:, 1], x[:, 0])
    turn = angle.sort().values
    gaps = torch.cat([turn.diff(), turn[:1] + 2 * math.pi - turn[-1:]])
    return {
        "radial_sd": (radius.std().item(), "1"),
        "off_share": (((radius - RADIUS).abs() > OFF).double().mean().item(), "1"),
        "kuiper": (kuiper(angle), "1"),
        "angular_gap": (gaps.max().item(), "rad"),
    }


def kuiper(angle: Tensor) -> float:
    r"""Kuiper's statistic of angles against the uniform one, :math:`\sqrt n (D^+ + D^-)`, the same from any zero.

    For uniform angles and large n its mean is :math:`\sqrt{\pi / 2}`, 1.253, and its standard deviation
    :math:`\sqrt{\pi^2 / 6 - \pi / 2}`, 0.272.

    Source: Kuiper, "Tests concerning random points on a circle", 1960.
    """
    n = len(angle)
    u = (angle.double() / (2 * math.pi)).remainder(1).sort().values
    steps = torch.arange(n + 1, dtype=torch.float64) / n
    above, below = (steps[1:] - u).max(), (u - steps[:-1]).max()
    return math.sqrt(n) * (above + below).item()
