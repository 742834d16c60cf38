"""One trial: a model of spatial MNIST trained for some minutes, its nats, and what its samples are worth."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import surflow as sf
from surflow.data import Part, Splits, load
from surflow.data.synthetic.point_sets import clouds
from surflow.evaluation import coverage, log_probs, mean_and_error
from surflow.flow import Flow
from surflow_experiments.cells import Cell, Found, Outcome
from surflow_experiments.digits import DIGITS, classifier, drawn_digits, named_right
from surflow_experiments.point_clouds.models import MODELS, SHAPE
from surflow_experiments.trained import trained

SHOWN = 8
_POINTS, _SIDE = SHAPE[1], 28
# How bright the classifier sees one point of a pixel.
_POINT = 85.0
# Importance samples of bounds, and how many clouds are scored with so many.
BOUNDS = {10: 500, 100: 50}
# Clouds that are scored given each of the ten digits.
_WITHOUT = 2000


def spatial_mnist(spec: Mapping[str, Any]) -> Splits:
    """Splits with several training clouds of every training image, each drawn with a seed of its own."""
    splits = load("spatial_mnist", context="digit", data_dir=spec["data_dir"], rows=spec["rows"])
    images = load("mnist", context="digit", data_dir=spec["data_dir"], rows=spec["rows"]).train
    assert images.context is not None  # the digits
    more = [torch.from_numpy(clouds(images.x[:, 0].numpy(), seed=seed)) for seed in range(1, spec["clouds"])]
    x = torch.cat([splits.train.x, *more])
    splits.train = Part(x, torch.cat([splits.train.context, *[images.context] * len(more)]))  # type: ignore[list-item]
    return splits


def counts(x: Tensor) -> Tensor:
    """Images of how many points lie in every pixel, (n, 1, 28, 28), as bright as digits: what the classifier sees."""
    position = (x + 0.5).floor().long().clamp(0, _SIDE - 1)
    flat = torch.zeros(len(x), _SIDE**2).scatter_add_(
        1, position[:, 1] * _SIDE + position[:, 0], torch.ones(len(x), _POINTS)
    )
    return (_POINT * flat).clamp(max=255).reshape(-1, 1, _SIDE, _SIDE)


def as_images(part: Part) -> Part:
    """Clouds as images of their counts."""
    return Part(counts(part.x), part.context)


def run(cell: Cell) -> Outcome:
    """Train, score and draw; ``cell.spec`` is what :func:`cells` puts into it."""
    spec = cell.spec
    splits = spatial_mnist(spec)
    made = trained(cell, splits, lambda: MODELS[cell.model](**spec["options"]))
    flow = made.flow
    judge = classifier(Path(spec["classifier"]), as_images(splits.train), spec["epochs"])
    n = spec["tested"]
    x, context = splits.test.x[:n], splits.test.context[:n]  # type: ignore[index]
    found: list[Found] = []
    with sf.seeded(cell.seed):
        log_prob = log_probs(flow, x, context, importance_samples=1)
        found.append(("nats_per_point", *mean_and_error(-log_prob / _POINTS), "nats per point"))
        if flow.exact:
            found.append(
                ("nats_per_point_without_digit", *_without_digit(flow, splits, x[:_WITHOUT]), "nats per point")
            )
        for k, scored in {} if flow.exact else BOUNDS.items():
            bound = log_probs(flow, x[:scored], context[:scored], importance_samples=k)
            found.append((f"nats_per_point_{k}", *mean_and_error(-bound / _POINTS), "nats per point"))
        found.append(("permutation_change", _permuted(flow, x[:200], context[:200]), None, "1"))
    drawn, sampling = drawn_digits(flow, spec["draws"], cell.seed)
    samples = drawn.flatten(0, 1)
    found += named_right(judge, counts(samples).unflatten(0, drawn.shape[:2]), counts(x), context)
    compared = spec["compared"]
    other = splits.validation.x[:compared]
    for short, distance in (("chamfer", "chamfer"), ("earth", "earth-mover")):
        for name, part in (("", samples[:compared]), ("_real", other)):
            covered, nearest = coverage(part, x[:compared], distance)
            unit = "squared pixels" if short == "chamfer" else "pixels"
            found += [(f"{short}_coverage{name}", covered, None, "1"), (f"{short}_mmd{name}", nearest, None, unit)]
    found += [
        sampling,
        ("training_minutes", made.seconds / 60, None, "min"),
        ("step_milliseconds", 1000 * made.seconds / made.steps, None, "ms"),
        ("steps", made.steps, None, "1"),
        ("parameters", sum(p.numel() for p in flow.parameters()), None, "1"),
    ]
    return cell.outcome(found, {"samples": drawn[:SHOWN].numpy(), "losses": np.asarray(made.losses)})


def _without_digit(flow: Flow, splits: Splits, x: Tensor) -> tuple[float, float | None]:
    """Nats per point of log p(x) = log sum_d p(d) p(x | d), with the digits' shares of the training images."""
    assert splits.train.context is not None
    share = torch.bincount(splits.train.context[:, 0].long(), minlength=DIGITS).double()
    given = [log_probs(flow, x, torch.full((len(x), 1), float(digit)), importance_samples=1) for digit in range(DIGITS)]
    log_prob = (torch.stack(given, 1).double() + (share / share.sum()).log()).logsumexp(1)
    return mean_and_error(-log_prob / _POINTS)


def _permuted(flow: Flow, x: Tensor, context: Tensor) -> float:
    """Largest relative change of log p under permutations of the points; of the mean of a bound, where it is one."""
    shuffled = x.gather(2, torch.rand(len(x), 1, _POINTS).argsort(2).expand_as(x))
    with torch.no_grad():
        if flow.exact:
            before, after = flow.log_prob(x, context), flow.log_prob(shuffled, context)
            return ((after - before) / before).abs().max().item()
        before, after = (flow.elbo(part, context).mean() for part in (x, shuffled))
        return abs(after / before - 1).item()
