"""Questions to a flow of parameters given an observation: the posterior, beside the exact one where it is known."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from surflow._internal.random import seeded
from surflow.app.explore.frames import Frame
from surflow.app.explore.questions import Answer, Asked, Explorer, numbers, points, shares, short, whole
from surflow.app.output import number_column
from surflow.app.runs import DataSpec
from surflow.data.simulators.base import Simulator
from surflow.errors import DataError
from surflow.evaluation.likelihood import draws_given
from surflow.flow import Flow

_DRAWS, _POINTS, _PRIOR = 2000, 600, 4000
# Between which quantiles of the posterior its picture lies, and how much wider it is.
_ENDS, _MARGIN = (0.005, 0.995), 0.15
# Observations of more numbers than this are moved by their parameters alone.
_MOST_FIELDS = 12


class Posteriors(Explorer):
    """Asks a flow that was trained on simulations.

    Args:
        flow: of parameters, given observations.
        simulator: which made both.
        facts: of the data.
    """

    kind = "posterior"

    def __init__(self, flow: Flow, simulator: Simulator, facts: DataSpec) -> None:
        self.flow, self.simulator = flow, simulator
        self.title = f"{facts.name}: ask the model"
        beside = ", beside the exact one" if simulator.has_posterior else ""
        self.sentence = (
            f"Move the observation of {facts.name}, and see what the model then believes of its parameters{beside}."
        )
        with seeded(0):
            prior = simulator.prior.sample((_PRIOR,)).double()
        ends = torch.quantile(prior, torch.tensor([0.005, 0.995]).double(), dim=0)
        self.frames = [Frame(number_column(name), *ends[:, i].tolist()) for i, name in enumerate(simulator.parameters)]
        self.middle = prior.median(0).values

    def describe(self) -> Answer:
        parameters = [
            {"name": shown.column.name, "start": float(f"{start:.4g}")} | shown.describe()
            for shown, start in zip(self.frames, self.middle.tolist(), strict=True)
        ]
        size = self.simulator.x_shape[0]
        return {
            "parameters": parameters,
            "size": size,
            "fields": size <= _MOST_FIELDS,
            "exact": self.simulator.has_posterior,
            "bound": not self.flow.exact,
        }

    @property
    def questions(self) -> dict[str, Callable[[Asked], Answer]]:
        return {"describe": lambda asked: self.describe(), "simulate": self.simulate, "posterior": self.posterior}

    def simulate(self, asked: Asked) -> Answer:
        """An observation that parameters would leave."""
        theta = torch.tensor([numbers(asked, "theta", len(self.frames))])
        x = self.simulator.simulate(theta, seed=whole(asked, "seed"))
        if not bool(x.isfinite().all()):
            raise DataError("the simulator gives no finite observation for these parameters: move them")
        return {"observation": [float(f"{value:.5g}") for value in x[0].tolist()]}

    def posterior(self, asked: Asked) -> Answer:
        """The parameters given an observation."""
        x = torch.tensor([numbers(asked, "observation", self.simulator.x_shape[0])], dtype=torch.float64)
        drawn = draws_given(self.flow, _DRAWS, x)[:, 0].double()
        drawn = drawn[drawn.isfinite().all(1)]
        if not len(drawn):
            raise DataError("the model draws nothing finite for this observation: it is far from all that it has seen")
        exact, answer = None, Answer(draws=_DRAWS, points=points(drawn[:_POINTS]))
        if self.simulator.has_posterior:
            try:
                posterior = self.simulator.posterior(x)
                exact = posterior.sample(_DRAWS)[:, 0].double()
                answer |= {"exact_points": points(exact[:_POINTS])}
                answer["efficiency"] = round(float(posterior.efficiency[0]), 4)
            except DataError as error:
                answer["no_exact"] = str(error)
        both = drawn if exact is None else torch.cat([drawn, exact])
        ends = torch.quantile(both, torch.tensor(_ENDS).double(), dim=0).T
        frames = [Frame(shown.column, *pair) for shown, pair in zip(self.frames, _wider(ends), strict=True)]
        answer["axes"] = [frame.describe() for frame in frames]
        answer["model"] = self._shown(drawn, frames)
        return answer if exact is None else answer | {"exact": self._shown(exact, frames)}

    def _shown(self, drawn: Tensor, frames: list[Frame]) -> list[Answer]:
        found = []
        for i, shown in enumerate(frames):
            column = drawn[:, i].contiguous()
            mass = torch.bincount(shown.bar_of(column), minlength=len(shown.centres)).double() / max(len(column), 1)
            low, middle, high = torch.quantile(column, torch.tensor([0.05, 0.5, 0.95]).double()).tolist()
            found.append({"mass": shares(mass), "middle": [short(v) for v in (low, middle, high)]})
        return found


def _wider(ends: Tensor) -> list[list[float]]:
    """Ends (parameters, 2) with a margin."""
    margin = (ends[:, 1] - ends[:, 0]).clamp(min=1e-9) * _MARGIN
    return torch.stack([ends[:, 0] - margin, ends[:, 1] + margin], 1).tolist()
