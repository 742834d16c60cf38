"""Rows for a trained model: those of its run again, or others."""

from __future__ import annotations

import glob
from pathlib import Path

import torch

from surflow._internal.limits import user_path
from surflow.app.runs.folder import RunFolder
from surflow.app.runs.source import fingerprint, load_splits, same_content, source_path
from surflow.app.waiting import waiting
from surflow.data import Part, Splits, read_rows
from surflow.data.readers.raw import Raw
from surflow.data.rows import rows_of
from surflow.data.sources import read, simulator_of, synthetic_of
from surflow.errors import FileError


def reload_splits(run: RunFolder) -> Splits:
    """The data of a run as it was trained on them, to evaluate it or to report on it.

    Raises:
        FileError: if their file is gone, or has changed, so that rows trained on could come to be held out.
    """
    config, trained_on = run.config(), run.facts().file
    relative = source_path(config)
    if relative is None:
        return load_splits(config)
    places = [relative] if trained_on is None else [relative, Path(trained_on["path"])]
    found = [place for place in places if place.exists() or glob.glob(str(place))]
    if not found:
        raise FileError(
            f"the data of {run.path} are needed, to hold out the same rows again, but there is no file "
            f"{' or '.join(dict.fromkeys(map(str, places)))}: bring it back; sample and score do without it"
        )
    for place in found:
        if same_content(trained_on, fingerprint(place)):
            if place == relative:
                return load_splits(config)
            data = config.data.model_copy(update={"source": str(place)})
            return load_splits(config.model_copy(update={"data": data}))
    assert trained_on is not None  # no fingerprint differs from none
    raise FileError(
        f"{found[0]} has changed since training (it had {trained_on['size']:,} bytes then and has "
        f"{fingerprint(found[0])['size']:,} now, or others): its held-out rows are no longer held out; "
        f"surflow evaluate {run.path} {found[0]} scores it as new data"
    )


def splits_without_data(run: RunFolder) -> Splits:
    """The form of a run's data with no rows in it: enough to evaluate other rows, but for the Gaussian baseline."""
    facts = run.facts()
    none = Part(torch.empty(0, *facts.event_shape), None)
    return Splits(
        facts.name, none, none, none, facts.columns, facts.support, facts.context, facts.name, schema=facts.schema
    )


def trained_on(run: RunFolder, data: str) -> bool:
    """Whether a file has the very content of the one that a run was trained on."""
    file, path = run.facts().file, user_path(data)
    return file is not None and path.exists() and same_content(file, fingerprint(path))


class OtherRows:
    """Rows of a file or data set for the model of a run, all or part by part.

    Args:
        run: the run.
        data: the file or data set.
        seed: of rows that are drawn.

    Attributes:
        raw: what the source holds; None for rows that are drawn, or made by a simulator.
        rows: how many there are.
    """

    def __init__(self, run: RunFolder, data: str, seed: int) -> None:
        self.data, self.facts, stated = data, run.facts(), run.config().data
        # Other rows of the same data are where the data are.
        data_dir = stated.data_dir if data == stated.source else None
        self.raw: Raw | None = None
        if synthetic_of(data) is None and simulator_of(data) is None:
            with waiting(f"reading {data}"):
                self.raw = read(data, data_dir=data_dir, sets=self.facts.sets)
            self.rows = self.raw.rows
        else:
            self._drawn = read_rows(data, self.facts.columns, self.facts.context, seed=seed, data_dir=data_dir)
            self.rows = len(self._drawn.x)

    def between(self, begin: int, end: int) -> Part:
        """The rows from one number to another.

        Raises:
            FileError: if events have another shape than the model's.
        """
        facts = self.facts
        if self.raw is None:
            x, context = self._drawn
            part = Part(x[begin:end], None if context is None else context[begin:end])
        else:
            raw = self.raw.between(begin, end)
            part = rows_of(raw, facts.columns, facts.context, schema=facts.schema, support=facts.support)
        if tuple(part.x.shape[1:]) != facts.event_shape:
            shape = tuple(part.x.shape[1:])
            raise FileError(f"{self.data} holds events of shape {shape}, the model's have {facts.event_shape}")
        return part


def other_rows(run: RunFolder, data: str, seed: int) -> Part:
    """All rows of a file or data set for the model of a run.

    Raises:
        FileError: if its events have another shape than the model's.
    """
    rows = OtherRows(run, data, seed)
    with waiting(f"reading {data}"):
        return rows.between(0, rows.rows)
