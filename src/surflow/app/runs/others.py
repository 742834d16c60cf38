"""A run on several processes: the first one reads the data and holds the folder, the others train along."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from surflow._internal.ranks import hear, ranks, tell
from surflow.app.config import Config
from surflow.app.runs.fit import build, fit
from surflow.app.runs.folder import RunFolder
from surflow.app.runs.source import load_splits
from surflow.data import Part, Splits
from surflow.data.groups import RowGroups, row_groups
from surflow.data.sources import simulator_of, synthetic_of
from surflow.errors import NonFiniteError

_TOPIC = "run"


def tell_none() -> None:
    """Tell other processes, if there are any, that there is nothing to train."""
    tell(_TOPIC, "")


@contextmanager
def shared(run: RunFolder, splits: Splits, config: Config) -> Iterator[None]:
    """Within the block, what other processes need to train along lies in the folder, and they are told."""
    from surflow.training.checkpoints import write

    if ranks().world == 1 and config.training.devices in (None, 1):
        yield
        return
    parts = {"train": splits.train, "validation": splits.validation}
    try:
        if not _drawn(config):
            given: dict[str, object] = {name: [part.x, part.context] for name, part in parts.items()}
            groups = splits.groups
            given["groups"] = [groups.chosen, list(groups.sizes)] if isinstance(groups, RowGroups) else None
            write(given, run.shared_path)
        tell(_TOPIC, str(run.path.absolute()))
        # In processes that are yet to be started: they say in words what torch would show as a stack.
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        yield
    finally:
        run.shared_path.unlink(missing_ok=True)


def train_along() -> None:
    """What a process that is not the first does: it trains along, and leaves everything else to the first.

    Where all processes stop or diverge together, the first one says so.
    """
    from surflow.training.checkpoints import read

    where = hear(_TOPIC)
    if not where:
        return
    warnings.simplefilter("ignore")  # the first process has the same to say
    run = RunFolder(Path(where))
    config, facts = run.config(), run.facts()
    if _drawn(config):
        splits = load_splits(config)
    else:
        given = read(run.shared_path)
        parts = {name: Part(*given[name]) for name in ("train", "validation")}
        groups = None
        if given["groups"] is not None:
            what = facts.columns, facts.context, facts.schema, facts.support
            groups = row_groups(config.data.source, *what, *given["groups"])
        none = Part(torch.empty(0, *facts.event_shape), None)
        splits = Splits(
            facts.name, parts["train"], parts["validation"], none, facts.columns, facts.support, facts.context,
            facts.name, schema=facts.schema, sets=facts.sets, groups=groups,
        )  # fmt: skip
    with suppress(NonFiniteError):
        fit(run, build(config, splits), splits, config, progress=False)


def _drawn(config: Config) -> bool:
    """Whether the data are drawn afresh, by every process alike."""
    source = config.data.source
    return synthetic_of(source) is not None or simulator_of(source) is not None
