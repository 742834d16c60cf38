"""The models of the point clouds: the presets, what the study built, and a sort whose density leaks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import surflow as sf
from surflow.presets.point_sets import couplings
from surflow_experiments.digits import DIGITS

SHAPE = (2, 50)


class LeakySort(sf.Sort):
    """A sort that says it lands on the whole space: flows behind it give mass to what is not in order.

    As the paper has it. The density is right where it is and integrates to less than one: the rest of the mass, up to
    log n! nats of it, lies where no data can be.
    """

    def __init__(self, shape: sf.distribution.Shape, by: int) -> None:
        super().__init__(shape, by=by)
        self.codomain = sf.real


def _preset(name: str) -> Callable[..., sf.Flow]:
    return lambda **options: sf.presets.build(name, SHAPE, context_net=sf.ContextColumns([DIGITS]), **options)


def leaky_sort(steps: int = 4, width: int = 64, layers: int = 2) -> sf.Flow:
    """The preset ``sort-flow`` without the map between the ordered cone and the whole space."""
    chain = [LeakySort(SHAPE, by=0), sf.Standardize(SHAPE)]
    chain += couplings(SHAPE, DIGITS, steps, width, layers, 0.0, exchangeable=False)
    return sf.Flow(chain, base=sf.Normal(SHAPE), context_net=sf.ContextColumns([DIGITS]))


def study(steps: int = 8, hidden: Sequence[int] = (200, 200)) -> sf.Flow:
    """Couplings over coordinates, then over points, with perceptrons; 32 steps in the study.

    The study's permutation swapped x and y of all points and left their order as it was; here it permutes points.
    """
    chain: list[sf.Transform] = [sf.RandomPermutation(SHAPE), sf.ActNorm(SHAPE)]
    for _ in range(steps):
        chain += [
            sf.Coupling(SHAPE, DIGITS, hidden=hidden),
            sf.Reverse(SHAPE),
            sf.Coupling(SHAPE, DIGITS, axis=1, hidden=hidden),
            sf.RandomPermutation(SHAPE),
        ]
    return sf.Flow(chain, base=sf.Normal(SHAPE), context_net=sf.ContextColumns([DIGITS]))


MODELS: dict[str, Callable[..., Any]] = {
    "point-grid": _preset("point-grid"),
    "sort-flow": _preset("sort-flow"),
    "leaky-sort": leaky_sort,
    "permute-flow": _preset("permute-flow"),
    "study": study,
}
