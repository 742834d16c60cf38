"""One trial: a set of the plane, a model trained on fresh draws of it, and its score on ten thousand others."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from surflow import presets
from surflow._internal.random import seeded
from surflow.bijections.coupling import Coupling
from surflow.bijections.linear import Orthogonal
from surflow.bijections.normalize import Standardize
from surflow.data import Synthetic, offset, skew, synthetic_set
from surflow.distributions.discrete import Bernoulli
from surflow.distributions.normal import HalfNormal
from surflow.evaluation import log_probs, mean_and_error
from surflow.flow import Flow
from surflow.nets.context import OneHot
from surflow.plots.style import frame
from surflow.presets.parts import positive_splines
from surflow.surjections.absolute import Abs
from surflow.training.fitting import fit
from surflow_experiments.cells import Cell, Outcome

Arrays = dict[str, np.ndarray]

# Points and pixels of a picture, draws for a pixel of a bound, and how often q is written down.
DRAWN = 3000
RESOLUTION = 110
_DENSITY_DRAWS = 16
_WATCHED = 100
# Test points come from seeds that no batch of any trial was drawn with.
_TEST_SEED = 1_000_000


@dataclass(frozen=True)
class Data:
    """A named set, perhaps skewed (axis, q) and then moved by v, perhaps with its labels as the context."""

    name: str
    skew: tuple[int, float] | None = None
    offset: tuple[float, float] | None = None
    labelled: bool = False

    def distribution(self) -> Synthetic:
        data = synthetic_set(self.name)
        data = data if self.skew is None else skew(data, *self.skew)
        return data if self.offset is None else offset(data, self.offset)


ROTATED = "rotated-middle"


def build(name: str, classes: int | None, options: Mapping[str, Any]) -> Flow:
    """A preset, given the label where there are classes, or the one chain of the study that is none."""
    if name == ROTATED:
        pairs = [(Coupling(2), Orthogonal(2)) for _ in range(5)]
        before = [Standardize(2), *(layer for pair in pairs for layer in pair), Abs(2)]
        return Flow([*before, *positive_splines(2, None, (64, 64), 16)], base=HalfNormal(2))
    return presets.build(name, 2, context_net=None if classes is None else OneHot(classes), **options)


def run(cell: Cell) -> Outcome:
    """Train and score; ``cell.spec`` is what :meth:`Comparison.cells` puts into it."""
    spec = cell.spec
    given = Data(**spec["data"])
    data = given.distribution()
    torch.manual_seed(cell.seed)
    flow = build(spec["preset"], data.classes if given.labelled else None, spec["options"])
    steps, lines = spec["training"]["steps"], spec["lines"]
    watched = sorted({round(steps * i / _WATCHED) for i in range(_WATCHED + 1)}) if _q(flow) is not None else []
    source: Any = data.sample_labelled if given.labelled else data
    started = time.process_time()
    history = fit(flow, source, **spec["training"], seed=cell.seed, snapshots={*watched, *lines}, progress=False)
    seconds = time.process_time() - started
    with seeded(_TEST_SEED + cell.seed):
        if given.labelled:
            x, labels = data.sample_labelled(spec["test"])
            true, entropy = data.log_prob_labelled(x, labels), data.entropy_given_label()
        else:
            x, labels = data.sample(spec["test"]), None
            true, entropy = data.log_prob(x), data.entropy()
        log_prob = log_probs(flow, x, labels, importance_samples=spec["draws"])
    found = [
        ("nll", *mean_and_error(-log_prob), "nats"),
        ("entropy", *entropy, "nats"),
        # Paired on the same points, the gap is known far better than the NLL and the entropy are.
        ("gap", *mean_and_error(true - log_prob), "nats"),
        ("seconds", seconds, None, "s"),
        ("steps", history.steps, None, "1"),
        ("parameters", sum(p.numel() for p in flow.parameters()), None, "1"),
    ]
    limits = frame(x)
    arrays: Arrays = {"losses": np.asarray(history.losses()), "frame": np.asarray(limits)}
    q = _q(flow)
    if q is not None:
        found += [("q", q[0], None, "1"), ("q_y", q[1], None, "1")]
        arrays["q"] = _q_over_training(flow, history.snapshots, watched)
    if cell.seed == 0 or lines:  # one of the seeds is drawn
        arrays |= _pictures(flow, data, limits, labelled=given.labelled, seed=cell.seed)
    for step in lines:
        flow.load_state_dict(history.snapshots[step])
        drawn, error = symmetry_lines(flow, x)
        arrays[f"lines_{step}"] = drawn.float().numpy()
        arrays[f"samples_{step}"] = flow.sample(DRAWN, seed=cell.seed).numpy()
        found.append((f"line_error_{step}", error, None, "1"))
    return cell.outcome(found, arrays)


def _q(flow: Flow) -> tuple[float, float] | None:
    """Learned probabilities of a positive sign on either axis, where the signs depend on nothing else."""
    for layer in flow.transforms:
        signs = layer.signs if isinstance(layer, Abs) else None
        if isinstance(signs, Bernoulli) and signs.context_shape is None and not signs.fixed:
            x, y = signs.probs.tolist()
            return x, y
    return None


def _q_over_training(flow: Flow, snapshots: Mapping[int, dict[str, Tensor]], steps: Sequence[int]) -> np.ndarray:
    """Rows (step, q of the first axis, q of the second)."""
    name = next(name for name in flow.state_dict() if name.endswith("signs.raw"))
    return np.asarray([(step, *snapshots[step][name].flatten().sigmoid().tolist()) for step in steps])


@torch.no_grad()
def _pictures(
    flow: Flow, data: Synthetic, limits: Sequence[tuple[float, float]], *, labelled: bool, seed: int
) -> Arrays:
    """Samples, with the labels they were drawn for, and the density at pixel centres; of all labels together."""
    axes = [torch.linspace(low, high, 2 * RESOLUTION + 1)[1::2] for low, high in limits]
    grid = torch.cartesian_prod(*axes)
    if labelled and data.classes is not None:
        labels = torch.arange(data.classes).repeat_interleave(len(grid))
        each = log_probs(flow, grid.repeat(data.classes, 1), labels).reshape(data.classes, -1)
        log_density = (each + data.priors.double().log()[:, None]).logsumexp(0)
        _, drawn_for = data.sample_labelled(DRAWN, seed=seed)
        drawn = {"samples": flow.sample((), drawn_for, seed=seed).numpy(), "labels": drawn_for.numpy()}
    else:
        log_density = log_probs(flow, grid, importance_samples=_DENSITY_DRAWS)
        drawn = {"samples": flow.sample(DRAWN, seed=seed).numpy()}
    image = log_density.exp().nan_to_num(0, 0, 0).reshape(RESOLUTION, RESOLUTION)
    return {**drawn, "density": image.float().numpy()}


@torch.no_grad()
def symmetry_lines(flow: Flow, x: Tensor, points: int = 400) -> tuple[Tensor, float]:
    """The set that the absolute value of a chain folds along, seen in the plane of the data.

    The fold is where a coordinate before the absolute value is zero. Each axis there is pulled back through all layers
    before it; every one of them is needed, or the line is not the one of symmetry.

    Args:
        flow: a chain of bijections up to an :class:`Abs`.
        x: data, shape (n, 2); the lines are as long as it reaches.
        points: of each line.

    Returns:
        The lines, shape (2, points, 2), and the largest coordinate, which should be zero, of their points pushed
        forward again; computed in float64.
    """
    exact = copy.deepcopy(flow).double()
    before = list(itertools.takewhile(lambda layer: not isinstance(layer, Abs), exact.transforms))
    z = x.double()
    for layer in before:
        z, _ = layer(z)
    reach = 1.5 * z.abs().max().item()
    lines = z.new_zeros(2, points, 2)
    lines[0, :, 1] = lines[1, :, 0] = torch.linspace(-reach, reach, points, dtype=z.dtype)
    flat = lines.reshape(-1, 2)
    for layer in reversed(before):
        flat, _ = layer.inverse(flat)
    again = flat
    for layer in before:
        again, _ = layer(again)
    pushed = again.reshape(2, points, 2)
    error = max(pushed[0, :, 0].abs().max().item(), pushed[1, :, 1].abs().max().item())
    return flat.reshape(2, points, 2), error
