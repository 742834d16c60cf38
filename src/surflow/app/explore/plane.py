"""Questions to a flow in the plane: samples, its density, that of the truth, and what a grid of latents becomes."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from surflow._internal.random import seeded
from surflow.app.explore.questions import (
    Answer,
    Asked,
    Explorer,
    context_fields,
    context_of,
    heat,
    points,
    rows_of,
    short,
    whole,
)
from surflow.app.runs import DataSpec
from surflow.data.sources import synthetic_of
from surflow.distribution import Distribution
from surflow.errors import ConfigError
from surflow.evaluation.likelihood import draws, evaluating, log_probs
from surflow.flow import Flow
from surflow.plots import frame
from surflow.plots.events import top_of_mass

_POINTS, _CELLS, _CELLS_OF_BOUNDS, _SAMPLES = 1500, 120, 64, 8
# The grid of latents: lines at quantiles of the base, of so many points each.
_LINES, _ALONG, _ENDS = 15, 101, (0.02, 0.98)
_MOST_CLASSES = 12


class Plane(Explorer):
    """Asks a flow on points of the plane.

    Args:
        flow: which is asked.
        facts: of the data.
        source: of the data, whose density may be known.
    """

    kind = "plane"

    def __init__(self, flow: Flow, facts: DataSpec, source: str) -> None:
        self.flow, self.encoding = flow, facts.context
        self.columns = list(facts.columns) or ["x1", "x2"]
        self.title = f"{facts.name}: ask the model"
        self.sentence = (
            f"See what the model of {facts.name} draws, where it puts its density, and how it bends a grid of latents."
        )
        truth = synthetic_of(source)
        self.truth = truth if truth is not None and truth.has_density and self.encoding is None else None
        fields = {field["name"]: field["value"] for field in context_fields(self.encoding)}
        contexts = [fields]
        if self.encoding is not None and len(fields) == 1 and self.encoding.columns[0].categories:
            contexts = [{next(iter(fields)): name} for name in self.encoding.columns[0].categories[:_MOST_CLASSES]]
        x = torch.cat([self._draw(context_of(self.encoding, {"context": each}), 1000, 0) for each in contexts])
        self.frame = frame(x)

    def describe(self) -> Answer:
        layers = ["samples", "density"]
        layers += ["grid"] if self._bends is None else []
        layers += ["truth"] if self.truth is not None else []
        axes = {axis: self._axis(i) for i, axis in enumerate(("x", "y"))}
        context = context_fields(self.encoding)
        return {"layers": layers, "no_grid": self._bends, "context": context, "exact": self.flow.exact, **axes}

    @property
    def questions(self) -> dict[str, Callable[[Asked], Answer]]:
        return {
            "describe": lambda asked: self.describe(),
            "samples": self.samples,
            "density": lambda asked: self._density(self.flow, context_of(self.encoding, asked)),
            "truth": self._true,
            "grid": self.grid,
        }

    def _axis(self, i: int) -> Answer:
        low, high = self.frame[i]
        return {"name": self.columns[i], "low": low, "high": high, "ends": [short(low), short(high)]}

    def _draw(self, context: Tensor | None, n: int, seed: int) -> Tensor:
        with seeded(seed):
            return draws(self.flow, n, rows_of(context, n)).double()

    @property
    def _bends(self) -> str | None:
        """Why there is no grid of latents; None if there is one."""
        drawn = [type(layer).__name__ for layer in self.flow.transforms if layer.random_inverse]
        if drawn:
            return f"{drawn[0]} draws on the way from latent to point, so that no grid of latents has one picture."
        if self.flow.base.event_shape != (2,):
            return f"The latents have the shape {self.flow.base.event_shape}, and a grid lies in a plane."
        return None

    def samples(self, asked: Asked) -> Answer:
        """Points that the model draws."""
        return {"points": points(self._draw(context_of(self.encoding, asked), _POINTS, whole(asked, "seed")))}

    def _true(self, asked: Asked) -> Answer:
        if self.truth is None:
            raise ConfigError("the density that these data are from is not known")
        return self._density(self.truth, None)

    def _density(self, distribution: Distribution, context: Tensor | None) -> Answer:
        cells = _CELLS if distribution.exact else _CELLS_OF_BOUNDS
        (left, right), (low, high) = self.frame
        sides = [torch.linspace(*ends, cells + 1) for ends in ((left, right), (low, high))]
        grid = torch.cartesian_prod(*((side[1:] + side[:-1]) / 2 for side in sides))
        with seeded(0):
            log_density = log_probs(distribution, grid, rows_of(context, len(grid)), _SAMPLES)
        density = log_density.exp().nan_to_num(0, 0, 0).reshape(cells, cells).numpy()
        return {"picture": heat(density, top_of_mass(density)), "exact": distribution.exact}

    def grid(self, asked: Asked) -> Answer:
        """Lines of a grid of latents, as the model decodes them."""
        if self._bends is not None:
            raise ConfigError(self._bends)
        context = context_of(self.encoding, asked)
        with seeded(0), evaluating(self.flow):
            base = self.flow.base
            own = base._own(self.flow._embed(rows_of(context, 4000)))
            z = base._sample(4000, own).double()
            at = [torch.quantile(z[:, i], torch.linspace(*_ENDS, _LINES).double()) for i in range(2)]
            along = [torch.linspace(float(each[0]), float(each[-1]), _ALONG).double() for each in at]
            lines = [torch.stack([across.expand(_ALONG), along[1]], 1) for across in at[0]]
            lines += [torch.stack([along[0], across.expand(_ALONG)], 1) for across in at[1]]
            flat = torch.cat(lines).float()
            x = self.flow.decode(flat, rows_of(context, len(flat))).reshape(len(lines), _ALONG, 2)
        return {"lines": [points(line) for line in x]}
