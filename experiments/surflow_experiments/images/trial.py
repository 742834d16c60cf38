"""One trial: a model of MNIST trained for some minutes, its bits, and what its samples are worth."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import surflow as sf
from surflow.data import Splits, load
from surflow.distributions.levels import AutoregressiveDiscretizedLogistic
from surflow.evaluation import frechet_distance, log_probs, mean_and_error
from surflow.flow import Flow
from surflow.surjections.integers import IntegerMaxPool
from surflow_experiments.cells import Cell, Found, Outcome
from surflow_experiments.digits import DIGITS, Classifier, classifier, drawn_digits, named_right
from surflow_experiments.images.apart import trained_apart
from surflow_experiments.images.between import between
from surflow_experiments.images.models import MODELS
from surflow_experiments.trained import trained

SHOWN, VARIED, BETWEEN = 8, 6, 7
# What is trained apart: the layers and, if it is not with them, the base.
_PARTS = ("", "_base")
# Draws of the k-sample bound, for a model without a density; and the rows that are scored with so many.
_BOUND, _BOUND_ROWS = 10, 1000


def run(cell: Cell) -> Outcome:
    """Train, score and draw; ``cell.spec`` is what :func:`cells` puts into it."""
    spec = cell.spec
    splits = load("mnist", context="digit", data_dir=spec["data_dir"], rows=spec["rows"])
    if spec["base"]:
        parts = list(trained_apart(cell, splits))
    else:
        parts = [trained(cell, splits, lambda: MODELS[cell.model](**spec["options"]))]
    # A thread for every core that the training had.
    torch.set_num_threads(len(parts))
    flow = parts[0].flow
    judge = classifier(Path(spec["classifier"]), splits.train, spec["epochs"])
    n = spec["tested"]
    x, context = splits.test.x[:n], splits.test.context[:n]  # type: ignore[index]
    per_dim = math.log(2) * math.prod(flow.event_shape)
    kept = n if flow.exact else min(n, _BOUND_ROWS)
    with sf.seeded(cell.seed):
        log_prob = log_probs(flow, x[:kept], context[:kept], importance_samples=_BOUND)
    drawn, sampling = drawn_digits(flow, spec["draws"], cell.seed)
    samples = drawn.flatten(0, 1)
    found: list[Found] = [
        ("bits_per_dimension", *mean_and_error(-log_prob / per_dim), "bits per dimension"),
        *named_right(judge, drawn, x, context),
        ("frechet_distance", frechet_distance(judge.features(x), judge.features(samples)), None, "1"),
        # Of as many images, for the distance of few is larger.
        ("frechet_distance_real", _between_real(judge, splits, x, len(samples)), None, "1"),
        sampling,
        ("training_minutes", max(part.seconds for part in parts) / 60, None, "min"),
        ("cores", len(parts), None, "1"),
        *((f"steps{name}", part.steps, None, "1") for name, part in zip(_PARTS, parts, strict=False)),
        ("parameters", sum(p.numel() for p in flow.parameters()), None, "1"),
    ]
    near, of_samples, of_test = _neighbours(samples[: 5 * SHOWN], x[: 20 * SHOWN], splits.train.x)
    found += [("neighbour_distance", of_samples, None, "1"), ("neighbour_distance_real", of_test, None, "1")]
    arrays = {
        "samples": drawn[:SHOWN].to(torch.uint8).numpy(),
        "near": near[:SHOWN].to(torch.uint8).numpy(),
        **{f"losses{name}": np.asarray(part.losses) for name, part in zip(_PARTS, parts, strict=False)},
        **_variations(flow, x, context, cell.seed),
    }
    return cell.outcome(found, arrays)


def _between_real(judge: Classifier, splits: Splits, test: Tensor, n: int) -> float:
    """The Frechet distance of test images and n validation images: what chance leaves."""
    return frechet_distance(judge.features(test), judge.features(splits.validation.x[:n]))


def _neighbours(samples: Tensor, test: Tensor, train: Tensor) -> tuple[Tensor, float, float]:
    """The training image nearest to every sample, and mean distances to it of samples and of test images, in levels.

    A model that has learned images by heart has samples much nearer to training images than new images are.
    """
    flat = train.flatten(1)
    distance, index = torch.cdist(samples.flatten(1), flat).min(1)
    real = torch.cdist(test.flatten(1), flat).min(1).values
    return train[index], distance.mean().item(), real.mean().item()


def _variations(flow: Flow, x: Tensor, context: Tensor, seed: int) -> dict[str, np.ndarray]:
    """For every digit: a test image and images with the same latent; and images between it and another of the digit.

    Between two images lie those whose latents lie between theirs (:func:`between`), drawn with the same random numbers.
    """
    distribution = flow.base
    if not (
        isinstance(flow.transforms[0], IntegerMaxPool) and isinstance(distribution, AutoregressiveDiscretizedLogistic)
    ):
        return {}
    positions = [(context[:, 0] == digit).nonzero()[:2, 0] for digit in range(DIGITS)]
    ends, context = (
        torch.stack([x[position] for position in positions], 1),
        context[[int(position[0]) for position in positions]],
    )
    with torch.no_grad(), sf.seeded(seed):
        z, other = (flow.encode(end, context) for end in ends)
        again = [flow.decode(z, context) for _ in range(VARIED)]
        latents = between(distribution, (z, other), flow.context_net(context), BETWEEN)  # type: ignore[misc]
        way = []
        for latent in latents:
            with sf.seeded(seed):
                way.append(flow.decode(latent, context))
    variations = torch.stack([ends[0], *again], 1)
    interpolations = torch.stack([ends[0], *way, ends[1]], 1)
    return {"variations": variations.numpy(), "interpolations": interpolations.numpy()}
