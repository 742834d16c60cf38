"""surflow as `surflow train` has it without options: its default for the data, trained by its defaults."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

import surflow as sf
from benchmarks.race import sets
from benchmarks.race.torch_recipes import scorer, watched
from benchmarks.race.track import Rows, Score, Track
from surflow.app.config import ModelConfig
from surflow.app.kinds import kind_of
from surflow.data import Part
from surflow.training.average import averaged


def surflow(name: str, rows: Rows, track: Track) -> None:
    """Train the default on the rows of the set, synthetic ones too, though a user of those would draw afresh."""
    with track.paused():
        splits = sets.SETS[name]()
    kind = kind_of(splits)
    preset, options = kind.model("auto", fresh=False)
    with sf.seeded(0):
        model = ModelConfig(preset=preset, **options)
        flow = model.build(splits.event_shape, splits.context, kind.support(preset))
    score = scorer(flow, _log_prob(flow))
    with watched(track, lambda optimizer: _at_its_end(optimizer, score)):
        sf.fit(
            flow,
            _data(splits.train),
            validation=_data(kind.validation(preset)),
            progress=False,
            **kind.training(preset, fresh=False),
        )
    track.mark(score)


def _at_its_end(optimizer: torch.optim.Optimizer, score: Score) -> Score:
    """Scores of the average of the weights, which the run would leave if it ended now."""

    def averaged_score(x: np.ndarray, context: np.ndarray | None) -> np.ndarray:
        with averaged(optimizer):
            return score(x, context)

    return averaged_score


def _data(part: Part) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    return part.x if part.context is None else (part.x, part.context)


def _log_prob(flow: sf.Flow) -> Callable[[np.ndarray, np.ndarray | None], torch.Tensor]:
    def log_prob(x: np.ndarray, context: np.ndarray | None) -> torch.Tensor:
        events = torch.from_numpy(x).float().unflatten(1, flow.event_shape)
        return flow.elbo(events, None if context is None else torch.from_numpy(context).float())

    return log_prob
