"""One trial: a model of MNIST trained for some minutes, its bits, and what its samples are worth."""

from __future__ import annotations

import math
import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

import surflow as sf
from surflow.data import Part, Splits, load
from surflow.evaluation import draws_given, frechet_distance, mean_and_error, scores
from surflow.evaluation.results import Row
from surflow.experiments.cells import Cell, Outcome
from surflow.experiments.images.classifier import Classifier, classifier
from surflow.experiments.images.models import DIGITS, MODELS
from surflow.experiments.trained import trained
from surflow.flow import Flow
from surflow.surjections.integers import IntegerMaxPool
from surflow.training import fit

SHOWN, VARIED, BETWEEN = 8, 6, 7
# Draws of the k-sample bound, for a model without a density; and the rows that are scored with so many.
_BOUND, _BOUND_ROWS = 10, 1000
_TIMED = 1000


def run(cell: Cell) -> Outcome:
    """Train, score and draw; ``cell.spec`` is what :func:`cells` puts into it."""
    spec = cell.spec
    splits = load("mnist", context="digit", data_dir=spec["data_dir"], rows=spec["rows"])
    made = trained(cell, splits, lambda: MODELS[cell.model](**spec["options"]))
    flow, seconds = made.flow, made.seconds
    if spec["base"]:
        seconds += _train_base(cell, flow, splits, made.folder)
    judge = classifier(Path(spec["classifier"]), splits.train, spec["epochs"])
    n = spec["tested"]
    x, context = splits.test.x[:n], splits.test.context[:n]  # type: ignore[index]
    per_dim = math.log(2) * math.prod(flow.event_shape)
    kept = n if flow.exact else min(n, _BOUND_ROWS)
    with sf.distribution.seeded(cell.seed):
        log_prob = scores(flow, x[:kept], context[:kept], importance_samples=_BOUND)
    digits = torch.arange(float(DIGITS))[:, None]
    started = time.perf_counter()
    drawn = draws_given(flow, max(1, spec["draws"] // DIGITS), digits, seed=cell.seed)
    speed = _TIMED * (time.perf_counter() - started) / (drawn.shape[0] * DIGITS)
    samples = drawn.flatten(0, 1)
    named = (judge.name(samples) == digits[:, 0].long().repeat(len(drawn))).double()
    found: list[tuple[str, float, float | None, str]] = [
        ("bits_per_dimension", *mean_and_error(-log_prob / per_dim), "bits per dimension"),
        ("class_accuracy", *mean_and_error(named), "1"),
        ("class_accuracy_real", (judge.name(x) == context[:, 0].long()).double().mean().item(), None, "1"),
        ("frechet_distance", frechet_distance(judge.features(x), judge.features(samples)), None, "1"),
        # Of as many images, for the distance of few is larger.
        ("frechet_distance_real", _between_real(judge, splits, x, len(samples)), None, "1"),
        ("sampling_seconds", speed, None, "s"),
        ("training_minutes", seconds / 60, None, "min"),
        ("steps", made.steps, None, "1"),
        ("parameters", sum(p.numel() for p in flow.parameters()), None, "1"),
    ]
    near, of_samples, of_test = _neighbours(samples[: 5 * SHOWN], x[: 20 * SHOWN], splits.train.x)
    found += [("neighbour_distance", of_samples, None, "1"), ("neighbour_distance_real", of_test, None, "1")]
    rows = [
        Row(case=cell.case, model=cell.model, seed=cell.seed, metric=metric, value=value, error=error, unit=unit)
        for metric, value, error, unit in found
    ]
    arrays = {
        "samples": drawn[:SHOWN].to(torch.uint8).numpy(),
        "near": near[:SHOWN].to(torch.uint8).numpy(),
        "losses": np.asarray(made.losses),
        **_variations(flow, x, context, cell.seed),
    }
    return Outcome(cell, rows, arrays)


def _train_base(cell: Cell, flow: Flow, splits: Splits, folder: Path) -> float:
    """Train the law of what is left anew, by itself, and return the seconds that it took.

    Forward directions draw nothing, so that the likelihood is a sum and its last term can be learned on the codes: its
    transformer wants a third of the learning rate of the convolutions.
    """
    path, record = folder / "base.safetensors", folder / "base.npz"
    if not (path.exists() and record.exists()):
        with sf.distribution.seeded(cell.seed):
            law = Flow([], base=MODELS[cell.model](**cell.spec["options"]).base)
            # The codes do not depend on the networks, so narrow ones find them sooner.
            narrow = MODELS[cell.model](**{**cell.spec["options"], "width": 1, "blocks": 0})
        n = cell.spec["validated"]
        held_out = Part(splits.validation.x[:n], splits.validation.context[:n])  # type: ignore[index]
        options = cell.spec["base"]
        history = fit(
            law,
            _codes(narrow, splits.train),
            validation=_codes(narrow, held_out),
            seed=cell.seed,
            folder=folder / "base",
            progress=False,
            **options,
        )
        law.save(path)
        np.savez(record, seconds=history.seconds)
    flow.base = sf.load(path).base
    with np.load(record) as kept:
        return float(kept["seconds"])


def _codes(flow: Flow, part: Part) -> tuple[Tensor, Tensor]:
    """Codes, and the contexts that layers are given, of all rows."""
    assert part.context is not None and flow.context_net is not None
    pairs = zip(part.x.split(_TIMED), part.context.split(_TIMED), strict=True)
    with torch.no_grad():
        return torch.cat([flow.encode(x, context) for x, context in pairs]), flow.context_net(part.context)


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
    """For every digit: a test image and images with the same code; and images between it and another one of the digit.

    Between two images lie those whose codes, the maxima, lie between theirs, drawn with the same random numbers.
    """
    if not any(isinstance(layer, IntegerMaxPool) for layer in flow.transforms):
        return {}
    places = [(context[:, 0] == digit).nonzero()[:2, 0] for digit in range(DIGITS)]
    ends, context = torch.stack([x[place] for place in places], 1), context[[int(place[0]) for place in places]]
    with torch.no_grad():
        z, other = (flow.encode(end, context) for end in ends)
        with sf.distribution.seeded(seed):
            again = [flow.decode(z, context) for _ in range(VARIED)]
        between = []
        for share in torch.linspace(0, 1, BETWEEN):
            with sf.distribution.seeded(seed):
                between.append(flow.decode(torch.lerp(z, other, share).round(), context))
    variations = torch.stack([ends[0], *again], 1)
    interpolations = torch.stack([ends[0], *between, ends[1]], 1)
    return {"variations": variations.numpy(), "interpolations": interpolations.numpy()}
