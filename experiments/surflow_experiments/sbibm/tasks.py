"""The tasks, the flows that learn their posteriors, what is known of both, and the figures to compare with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import surflow as sf
from surflow import presets
from surflow.data.simulators.base import Simulator
from surflow.data.simulators.gaussians import GaussianLinear
from surflow.data.simulators.moons import TwoMoons
from surflow.data.simulators.references import reference_numbers
from surflow.data.simulators.slcp import SLCP
from surflow.nets.summary import Summary
from surflow_experiments.cells import Cell

SIMULATIONS = 10_000
# Of the first model of every task; the others are trained once.
_SEEDS = 3
_OBSERVATIONS, _DRAWS, _TESTED = 10, 10_000, 500

Pairs = tuple[Tensor, Tensor]


# -- two moons --------------------------------------------------------------------------------------------------


def _folded_moons() -> sf.Flow:
    """The sum of the parameters is known up to its sign: fold it, and one moon is left."""
    turned = sf.Linear(2, matrix=[[1.0, 1.0], [-1.0, 1.0]])
    fold = [sf.On(2, part=[0], layer=layer) for layer in (sf.Abs(1), sf.Inverse(sf.Softplus(1)))]
    one_moon = presets.posterior(2, context_shape=2, layers=3)
    return sf.Flow([turned, *fold, *one_moon.transforms], base=one_moon.base, context_net=Summary(2))


def _moons_in_a_box() -> sf.Flow:
    return presets.box(2, context_net=Summary(2), support=sf.Interval(-1, 1), layers=3, bins=16)


# -- SLCP -------------------------------------------------------------------------------------------------------


def statistics(x: Tensor) -> Tensor:
    """Of four points of a Gaussian, shape (batch, 8), what suffices, in forms that a linear map can use, (batch, 8).

    Means, logarithms of theta3 and theta4 as the scatter would have them, these themselves, the correlation and its
    inverse hyperbolic tangent.
    """
    points = x.unflatten(1, (4, 2)).double()
    mean = points.mean(1)
    apart = points - mean.unsqueeze(1)
    # Four equal numbers, to rounding, have a logarithm, too.
    scatter = apart.square().sum(1) + 1e-6
    correlation = (apart.prod(2).sum(1, keepdim=True) / scatter.prod(1, keepdim=True).sqrt()).clamp(-1, 1)
    size = scatter.sqrt().sqrt()
    bent = (correlation * (1 - 1e-6)).atanh()
    return torch.cat([mean, size.log(), size, correlation, bent], 1).to(x.dtype)


def symmetries(theta: Tensor, x: Tensor) -> Pairs:
    """Every pair of parameters and points as the symmetries of the square would have it, eight times as many rows.

    The plane may be reflected at either axis, and its axes exchanged: neither the prior nor the distribution of points
    given the parameters would change, so all are simulations as good as the first.
    """
    points = x.unflatten(1, (4, 2))
    found = [(theta, points)]
    for axis in range(2):
        signs, reflected = torch.ones(5), torch.ones(2)
        signs[[axis, 4]], reflected[axis] = -1.0, -1.0
        found += [(t * signs.to(t), p * reflected.to(p)) for t, p in found]
    found += [(t[:, [1, 0, 3, 2, 4]], p.flip(2)) for t, p in found]
    return torch.cat([t for t, _ in found]), torch.cat([p for _, p in found]).flatten(1)


def _slcp_plain() -> sf.Flow:
    net, box = Summary(8, 16), sf.Interval(-3, 3)
    return presets.box(5, context_net=net, support=box, fold=[2, 3], hidden=(128, 128))


def _slcp() -> sf.Flow:
    return presets.box(5, context_net=Summary(8), support=sf.Interval(-3, 3), fold=[2, 3], hidden=(128, 128))


# -- the linear Gaussian ------------------------------------------------------------------------------------------


def _gaussian() -> sf.Flow:
    return presets.posterior(10, context_net=Summary(10), layers=0, hidden=())


# -- tasks --------------------------------------------------------------------------------------------------------


def _as_it_is(x: Tensor) -> Tensor:
    return x


def _once(theta: Tensor, x: Tensor) -> Pairs:
    return theta, x


@dataclass(frozen=True)
class Model:
    """A flow, how it is trained, and what it knows.

    Attributes:
        title, text: what it is.
        build: makes it.
        training: options of ``fit``.
        members: flows that are trained from other beginnings, and mixed.
        summary: of observations, before the flow.
        augment: more pairs from pairs.
        cost: seconds of one trial, roughly.
    """

    title: str
    text: str
    build: Callable[[], sf.Flow]
    training: Mapping[str, Any]
    members: int = 1
    summary: Callable[[Tensor], Tensor] = _as_it_is
    augment: Callable[[Tensor, Tensor], Pairs] = _once
    cost: float = 300.0


@dataclass(frozen=True)
class Task:
    """A task of the benchmark.

    Attributes:
        title, text: what it is.
        simulator: makes it.
        models: by name; the goal is that of the first.
        goal: C2ST that is to be reached with 10,000 simulations.
        paper, package: C2ST of neural posterior estimation in the benchmark's paper, and of the package sbi in 2024.
        drawn: pairs of coordinates to draw.
    """

    title: str
    text: str
    simulator: Callable[[], Simulator]
    models: Mapping[str, Model]
    goal: float
    paper: float
    package: float
    drawn: tuple[tuple[int, int], ...] = ((0, 1),)


_COMMON = {"batch_size": 256, "lr": 5e-3, "validate_every": 200}

TASKS = {
    "two_moons": Task(
        "Two moons",
        "Two parameters in a box; the observation knows their sum up to its sign, and their difference.",
        TwoMoons,
        {
            "folded": Model(
                "sum folded, then the preset posterior",
                "The absolute value of the sum of the parameters, with fair signs, and for the one moon that is left "
                "location, covariance and autoregressive splines. The walls of the prior it does not know.",
                _folded_moons,
                {**_COMMON, "steps": 6000},
                members=3,
            ),
            "box": Model(
                "preset box",
                "All that is known is the prior's box: autoregressive splines that keep to it.",
                _moons_in_a_box,
                {**_COMMON, "steps": 6000},
                members=3,
            ),
        },
        goal=0.53,
        paper=0.606,
        package=0.576,
    ),
    "gaussian_linear": Task(
        "Gaussian, linear",
        "Ten parameters with a Gaussian prior, each seen with Gaussian noise of the same size.",
        GaussianLinear,
        {
            "linear": Model(
                "preset posterior, linear, no splines",
                "Location and covariance as linear functions of the observation, and a normal base: what a user who "
                "knows that all is linear and Gaussian would choose.",
                _gaussian,
                {**_COMMON, "steps": 3000},
                cost=1000.0,
            ),
        },
        goal=0.54,
        paper=0.552,
        package=0.6,
    ),
    "slcp": Task(
        "Simple likelihood, complex posterior (SLCP)",
        "Four points of a Gaussian of the plane; the parameters are its mean, square roots of its standard deviations "
        "up to their signs, and its correlation, in a box.",
        SLCP,
        {
            "symmetric": Model(
                "statistics, symmetries, box with two coordinates folded",
                "The absolute values of theta3 and theta4, whose signs the points cannot tell, and distributions that "
                "are cut off at the walls of the prior. In place of the points the flow is given their means, standard "
                "deviations and correlation, which suffice, for the points are independent and Gaussian; and every "
                "simulation is used in the eight ways in which the plane maps onto itself with its axes.",
                _slcp,
                {**_COMMON, "steps": 6000},
                members=3,
                summary=statistics,
                augment=symmetries,
                cost=900.0,
            ),
            "plain": Model(
                "summary network, box with two coordinates folded",
                "As above, but from the eight numbers as they come, through a perceptron, and from each simulation "
                "once.",
                _slcp_plain,
                {**_COMMON, "steps": 4000},
                members=3,
                cost=900.0,
            ),
        },
        goal=0.78,
        paper=0.901,
        package=0.872,
        drawn=((0, 1), (2, 3), (3, 4)),
    ),
}


def cells(*, quick: bool, data_dir: Path | None = None) -> list[Cell]:
    """The trials, on the benchmark's observations in a folder or on simulated ones; ``quick`` ones only run through."""
    made = []
    for task, given in TASKS.items():
        for i, (name, model) in enumerate(given.models.items()):
            training, members = dict(model.training), model.members
            if quick:
                training["steps"], members = 10, 1
            spec = {
                "training": training,
                "members": members,
                "simulations": 500 if quick else SIMULATIONS,
                "observations": _observations(data_dir, task, quick=quick),
                "data_dir": None if data_dir is None else str(data_dir),
                "draws": 100 if quick else _DRAWS,
                "tested": 20 if quick else _TESTED,
                "text": model.text,
            }
            seeds = 1 if quick or i else _SEEDS
            made += [Cell(f"sbibm/{task}", name, seed, spec, model.cost) for seed in range(seeds)]
    return made


def _observations(data_dir: Path | None, task: str, *, quick: bool) -> list[int]:
    numbers = list(range(1, _OBSERVATIONS + 1)) if data_dir is None else reference_numbers(data_dir, task)
    return numbers[:2] if quick else numbers
