"""From a configuration and its data to a model, and to its training."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from surflow._internal.random import seeded
from surflow.app.config import Config
from surflow.app.runs.folder import RunFolder
from surflow.data import Part, Splits
from surflow.data.synthetic.base import Synthetic
from surflow.flow import Flow

if TYPE_CHECKING:
    from surflow.training import History
    from surflow.training.sources import Data


def build(config: Config, splits: Splits) -> Flow:
    """The model that a configuration states, for its data; drawn from its seed."""
    from surflow.app.kinds import kind_of  # brings the plots, which sampling and scoring do without

    with seeded(config.seed):
        return config.model.build(splits.event_shape, splits.context, kind_of(splits).support(config.model.preset))


def fit(run: RunFolder, flow: Flow, splits: Splits, config: Config, *, progress: bool) -> History:
    """Train ``flow`` in the folder of a run."""
    from surflow.app.kinds import kind_of
    from surflow.training.fitting import fit as train  # brings Lightning, which sampling and scoring do without

    truth = splits.truth if config.fresh(splits) else None
    data: Data = splits.groups or _pair(splits.train)
    if truth is not None:
        data = _fresh(truth, labelled=splits.context is not None)
    options = config.training.options() | {"seed": config.seed, "folder": run.path, "progress": progress}
    return train(flow, data, validation=_pair(kind_of(splits).validation(config.model.preset)), **options)


def _fresh(truth: Synthetic, *, labelled: bool) -> Synthetic | Callable[[int], tuple[Tensor, Tensor]]:
    """Batches of the distribution itself, as rows of data and raw context."""
    if not labelled:
        return truth

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x, labels = truth.sample_labelled(n)
        return x, labels[:, None].to(x.dtype)

    return draw


def _pair(part: Part) -> Tensor | tuple[Tensor, Tensor]:
    return part.x if part.context is None else (part.x, part.context)
