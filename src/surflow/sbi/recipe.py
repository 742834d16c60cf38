"""What is chosen for a flow, and trials of it: flows that have not seen a part of the simulations."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from surflow import presets
from surflow._internal.random import mix, seeded
from surflow.distributions.symmetrized import Symmetrized
from surflow.errors import NonFiniteError
from surflow.flow import Flow
from surflow.nets.selected import Selected, width_with
from surflow.nets.summary import Summary
from surflow.sbi.linear import linear_gaussian
from surflow.sbi.structure import Exchange, Symmetry, group, one_of_each_orbit
from surflow.supports import Interval, Support
from surflow.training.fitting import fit

# Below and from how many there are more and smaller flows, and fewer that are trained for longer.
_FEW, _MANY = 3000, 50_000
_STEPS_OF_FEW, _STEPS, _STEPS_OF_MANY = 3000, 4000, 20_000
# Up to so many parameters there is a second layer of splines, in the other order.
_FEW_NUMBERS = 5
# The most images of parameters and observations over which a posterior is averaged.
_IMAGES = 8
# Simulations that each member holds out, at most.
_HELD, _HELD_OF_MANY = 1000, 5000


@dataclass(frozen=True)
class Recipe:
    """What is chosen for a flow.

    Attributes:
        keep: coordinates of observations that it is given.
        found: symmetries, by which simulations are multiplied as they are trained on.
        fold: parameters whose sign observations do not tell.
        blocks: of the kept coordinates, whose means, deviations and correlations stand for them.
        features: length of the summary of an observation; None for none.
        splines: whether they are given the observation; otherwise it tells location and scale alone.
        linear: None for splines; else the linear Gaussian, whose coefficients may be left out where they are sparse.
    """

    keep: tuple[int, ...]
    found: tuple[Symmetry | Exchange, ...] = ()
    fold: tuple[int, ...] = ()
    blocks: tuple[tuple[int, ...], ...] | None = None
    features: int | None = None
    splines: bool = True
    linear: str | None = None


class Trials:
    """Simulations, in parts that are held out in turn, and the time for them."""

    def __init__(self, theta: Tensor, x: Tensor, support: Support, seed: int, minutes: float | None) -> None:
        self.theta, self.x, self.support, self.seed = theta, x, support, seed
        n = len(theta)
        members = 4 if n < _FEW else 3
        with seeded(mix(seed, 0) % 2**31):
            order = torch.randperm(n)
        self.parts = order.split(n // members)[:members]
        most = _HELD if n < _MANY else _HELD_OF_MANY
        self.parts = tuple(part[:most] for part in self.parts)
        self.until = None if minutes is None else time.monotonic() + 60 * minutes

    @property
    def coordinates(self) -> list[Support]:
        return self.support.coordinates(self.theta.shape[1])

    @property
    def boxed(self) -> bool:
        return all(isinstance(one, Interval) for one in self.coordinates)

    def rows(self, part: int) -> Tensor:
        """All but a part."""
        train = torch.ones(len(self.theta), dtype=torch.bool)
        train[self.parts[part]] = False
        return train.nonzero().flatten()

    def held(self, part: int) -> tuple[Tensor, Tensor]:
        """A part."""
        return self.theta[self.parts[part]], self.x[self.parts[part]]

    def linear(self, recipe: Recipe, rows: Tensor) -> Flow:
        """The linear Gaussian of some rows."""
        net = Selected(self.x.shape[1], Summary(len(recipe.keep)), recipe.keep)
        given = self.theta[rows], self.x[rows]
        return linear_gaussian(*given, support=self.support, context_net=net, sparse=recipe.linear == "sparse")

    def fit(self, recipe: Recipe, part: int, *, effort: float = 1.0, share: float) -> Flow:
        """A flow that has not seen a part; it may take a share of the time that is left."""
        rows = self.rows(part)
        if recipe.linear:
            return self.linear(recipe, rows)
        theta, x = self.theta[rows], self.x[rows]
        few = len(theta) < _FEW
        seed = mix(self.seed, part) % 2**31
        with seeded(seed):
            flow = self._flow(recipe, few=few)

        maps = [one for one in recipe.found if isinstance(one, Symmetry)]
        images = group(maps, _IMAGES)
        mirrors = group([one for one in maps if one.still], _IMAGES)

        def batch(n: int) -> tuple[Tensor, Tensor]:
            drawn = torch.randint(len(theta), (n,))
            t, y = _moved(recipe.found, theta[drawn], x[drawn])
            return (one_of_each_orbit(mirrors, t, y) if mirrors else t), y

        steps = round(effort * (_STEPS_OF_FEW if few else _STEPS if len(theta) < _MANY else _STEPS_OF_MANY))
        held, seen = self.held(part)
        left = None if self.until is None else max((self.until - time.monotonic()) / 60 * share, 1e-3)
        # What diverges, or is learned by heart, has the best weights that were evaluated, and these are compared.
        with warnings.catch_warnings(), suppress(NonFiniteError):
            warnings.filterwarnings("ignore", "the loss has grown")
            fit(
                flow,
                batch if recipe.found else (theta, x),
                validation=(one_of_each_orbit(mirrors, held, seen) if mirrors else held, seen),
                steps=steps,
                minutes=left,
                batch_size=128 if few else 256,
                lr=3e-3 if few else 4e-3,
                clip=5.0,
                validate_every=max(1, steps // 50),
                patience=15,
                seed=seed,
                progress=False,
            )
        return _averaged(flow, images) if images else flow

    def _flow(self, recipe: Recipe, *, few: bool) -> Flow:
        width = len(recipe.keep) if recipe.blocks is None else width_with(len(recipe.keep), recipe.blocks)
        summary = Summary(width) if recipe.features is None else Summary(width, recipe.features)
        net = Selected(self.x.shape[1], summary, recipe.keep, recipe.blocks)
        size, hidden = self.theta.shape[1], (64, 64) if few else (128, 128)
        layers = 2 if size <= _FEW_NUMBERS else 1
        preset = partial(presets.box, fold=recipe.fold) if self.boxed else presets.posterior
        return preset(
            size,
            context_net=net,
            support=self.support,
            hidden=hidden,
            layers=layers,
            conditional_splines=recipe.splines,
        )


def _averaged(flow: Flow, images: Sequence[Symmetry]) -> Flow:
    first = images[0]
    orders, signs, x_signs = ([getattr(one, name) for one in images] for name in ("order", "sign", "x_sign"))
    return Flow([], base=Symmetrized(flow, orders, signs, first.centre, x_signs, first.x_centre))


def _moved(found: Sequence[Symmetry | Exchange], theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """Every row by a product of symmetries, drawn by torch's generator."""
    for one in found:
        t, y = one(theta, x)
        # An exchange draws among all orders, a symmetry is its own inverse.
        moved = torch.full((len(theta), 1), isinstance(one, Exchange)) | (torch.rand(len(theta), 1) < 0.5)
        theta, x = torch.where(moved, t, theta), torch.where(moved, y, x)
    return theta, x
