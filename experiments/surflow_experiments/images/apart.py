"""The training of a pyramid in two parts side by side: its layers, and the distribution of what they leave."""

from __future__ import annotations

import math
import multiprocessing
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from typing import Any

import torch

import surflow as sf
from surflow.data import Part, Splits, load
from surflow.distribution import Distribution
from surflow.flow import Flow
from surflow_experiments.cells import Cell
from surflow_experiments.digits import DIGITS
from surflow_experiments.images.models import LEVELS, MODELS
from surflow_experiments.trained import Trained, trained

_AT_ONCE = 1000


def trained_apart(cell: Cell, splits: Splits) -> tuple[Trained, Trained]:
    """The whole flow with the training of its layers, and its base with that of the distribution of the latents.

    What the layers make of an image is fixed, so that the likelihood is a sum whose terms share nothing to learn: one
    process trains the layers before a uniform base, whose nats are taken off again, another one the base on the
    latents, each on a core of its own.

    Args:
        cell: its ``spec`` has, beside what :func:`trained` wants, ``base``, the options of the second training.
        splits: images and their digits.
    """
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        base = pool.submit(_base, cell)

        def layers() -> Flow:
            flow = MODELS[cell.model](**cell.spec["options"])
            return _flow(flow.transforms, sf.Categorical(flow.base.event_shape, levels=LEVELS))

        made, rest = trained(cell, splits, layers), base.result()
    uniform = math.prod(made.flow.base.event_shape) * math.log(LEVELS)
    made.losses = [(step, nll - uniform) for step, nll in made.losses]
    made.flow = _flow(made.flow.transforms, rest.flow.base)
    return made, rest


def _flow(layers: Iterable[Any], base: Distribution) -> Flow:
    return Flow(list(layers), base=base, context_net=sf.ContextColumns([DIGITS]))


def _base(cell: Cell) -> Trained:
    torch.set_num_threads(1)
    spec = cell.spec
    splits = load("mnist", context="digit", data_dir=spec["data_dir"], rows=spec["rows"])
    # The latents do not depend on the networks, and narrow ones are quick.
    narrow = MODELS[cell.model](**{**spec["options"], "width": 1, "blocks": 0})
    encoded = replace(splits, train=_latents(narrow, splits.train), validation=_latents(narrow, splits.validation))
    part = replace(cell, model=f"{cell.model}-base", spec={**spec, "training": spec["base"]})

    def alone() -> Flow:
        return _flow([], MODELS[cell.model](**spec["options"]).base)

    return trained(part, encoded, alone)


@torch.no_grad()
def _latents(flow: Flow, part: Part) -> Part:
    assert part.context is not None  # the digits
    pairs = zip(part.x.split(_AT_ONCE), part.context.split(_AT_ONCE), strict=True)
    return Part(torch.cat([flow.encode(x, context) for x, context in pairs]), part.context)
