"""The folder of a run: its files, and what they keep."""

from __future__ import annotations

import csv
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surflow._internal.files import LOCK, PART, locked, make_folder, write_text
from surflow._internal.limits import read_text
from surflow.app.config import Config, read_config
from surflow.app.runs.facts import DataSpec
from surflow.app.runs.source import fingerprint, same_content, source_path
from surflow.data import Splits
from surflow.errors import ConfigError, FileError, SurflowError
from surflow.evaluation.results import read_results
from surflow.flow import Flow
from surflow.serialization.architecture import describe
from surflow.serialization.files import load as load_flow
from surflow.tables.model import TableModel

# What a run consists of, beside its pictures and its config.toml.
_OWN = ("metrics.json", "report.html", "model.safetensors", "log.csv", "data.json", "diverged.txt")

# What `fit` leaves in its folder, named here because importing it brings Lightning.
CHECKPOINT = "checkpoint.safetensors"


@dataclass(frozen=True)
class RunFolder:
    """A folder with config.toml, data.json, model.safetensors, log.csv, metrics.json, pictures/ and report.html.

    Where training diverged, ``diverged.txt`` says how, and the model has the best weights that were evaluated finite.

    ``data.json`` holds what sampling and scoring need to know of the data, so that they need no data file: the
    columns' names, the event shape, the support and the encoding of the context. It also says where the file of the
    data was, how long and with which SHA-256, so that no evaluation takes another file for it.
    """

    path: Path

    @property
    def config_path(self) -> Path:
        return self.path / "config.toml"

    @property
    def data_path(self) -> Path:
        return self.path / "data.json"

    @property
    def model_path(self) -> Path:
        return self.path / "model.safetensors"

    @property
    def metrics_path(self) -> Path:
        return self.path / "metrics.json"

    @property
    def log_path(self) -> Path:
        return self.path / "log.csv"

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    @property
    def diverged_path(self) -> Path:
        return self.path / "diverged.txt"

    @property
    def checkpoint_path(self) -> Path:
        return self.path / CHECKPOINT

    @property
    def shared_path(self) -> Path:
        """What the first of several processes leaves for the others while they train."""
        return self.path / ".shared.safetensors"

    @property
    def trained(self) -> bool:
        """Whether training came to its end."""
        return self.model_path.exists()

    @property
    def diverged(self) -> str:
        """What went wrong in training; empty if nothing did.

        Raises:
            FileError: if that cannot be read.
        """
        try:
            return self.diverged_path.read_text(encoding="utf-8").strip()
        except FileNotFoundError:
            return ""
        except (OSError, ValueError) as error:
            raise FileError(f"{self.diverged_path} cannot be read: {error}") from error

    @property
    def begun(self) -> bool:
        """Whether there is something that training has made."""
        return self.trained or self.checkpoint_path.exists()

    @property
    def evaluated(self) -> bool:
        """Whether the figures of the model are there, and whole."""
        try:
            read_results(self.metrics_path)
        except FileError:
            return False
        return self.trained

    @property
    def finished(self) -> bool:
        """Whether the report, which comes last, is there too."""
        return self.report_path.exists() and self.evaluated

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the folder, made if there is none, while a run is written into it; what begins badly leaves the old one.

        Raises:
            FileError: if it cannot be written, holds files that are no run's, or another process writes a run there.
        """
        make_folder(self.path)
        if not self.config_path.exists() and not self._aside.exists() and any(not _own(p) for p in self.path.iterdir()):
            raise FileError(f"{self.path} holds other files and no run: choose a new folder with --out")
        with locked(self.path):
            self._put_back()
            try:
                yield
            finally:
                self._put_back()

    def begin(self, config: Config, splits: Splits, *, overwrite: bool = False) -> None:
        """Take the folder for a run, or take up the one in it: config.toml and data.json are there before training.

        A run of the same configuration that was cut off goes on where it was. With ``overwrite``, another run makes
        room, and so does a finished one: what surflow wrote of it is kept until the new model is there.

        Raises:
            FileError: if it cannot be written, or holds another run, or a finished one, or one of other data.
        """
        before, said = self._stated(config)
        same = before is not None and before.same_run(config)
        path = source_path(config)
        file = None if path is None else fingerprint(path)
        changed = same and not same_content(self._file_before(), file)
        if self.config_path.exists() and (not same or changed or self.finished):
            ours = self.begun or self.data_path.exists()
            if not same and not ours:
                raise FileError(f"{said or f'{self.config_path} is of no run'}: choose another folder with --out")
            if overwrite:
                self._set_aside()
            elif before is None:
                raise FileError(f"{said}: choose another folder with --out")
            elif changed:
                raise FileError(
                    f"{path} has changed since the run in {self.path} was begun: bring the file back, or choose "
                    "another folder with --out"
                )
            elif not same and self.begun:
                kind = "a finished run" if self.finished else "an unfinished run"
                ends = "" if self.finished else f", surflow train --model {self.config_path} --out {self.path} ends it"
                raise FileError(f"{self.path} holds {kind} of another configuration: choose another with --out{ends}")
        if not self.trained:  # figures of a model that is gone are no longer anyone's
            for stale in (self.metrics_path, self.report_path, self.diverged_path):
                stale.unlink(missing_ok=True)
            if not self.checkpoint_path.exists():
                self.log_path.unlink(missing_ok=True)
        if before != config or not self.config_path.exists():
            write_text(self.config_path, config.to_toml())
        facts = {
            "name": splits.name,
            "columns": splits.columns,
            "event_shape": list(splits.event_shape),
            "support": describe(splits.support),
            "context": None if splits.context is None else splits.context.to_dict(),
            "schema": None if splits.schema is None else splits.schema.to_dict(),
            "sets": splits.sets,
            "file": file,
        }
        write_text(self.data_path, json.dumps(facts, indent=1) + "\n")

    def keep(self, flow: Flow | TableModel, diverged: str = "") -> None:
        """Save the model, and before it what went wrong; only then the checkpoint and the run before go."""
        if diverged:
            write_text(self.diverged_path, diverged + "\n")
        flow.save(self.model_path)
        self.settle()

    def settle(self) -> None:
        """Remove what the model makes needless."""
        self.checkpoint_path.unlink(missing_ok=True)
        self.shared_path.unlink(missing_ok=True)
        self._drop_aside()

    def waits_for(self, config: Config) -> bool:
        """Whether the folder holds a run of this configuration that is not finished, and that nobody is at."""
        try:
            if self.finished or not read_config(self.config_path).same_run(config):
                return False
            with locked(self.path):
                return True
        except (FileError, ConfigError):
            return False

    def _stated(self, config: Config) -> tuple[Config | None, str]:
        """The configuration that the folder states, or None and why; a part of the one asked for is that one."""
        try:
            text = self.config_path.read_text(encoding="utf-8")
            if not self.begun and config.to_toml().startswith(text):
                return config, ""
            return read_config(self.config_path), ""
        except FileNotFoundError:
            return config, ""
        except (OSError, ValueError) as error:  # FileError and ConfigError among them
            return None, f"{self.config_path} states no run: {error}"

    def _file_before(self) -> dict[str, Any] | None:
        try:
            return self.facts().file
        except FileError:  # missing or damaged: it is written anew
            return None

    # -- the run that makes room -----------------------------------------------------------------------------

    @property
    def _aside(self) -> Path:
        return self.path / ".replaced"

    def _set_aside(self) -> None:
        """Move what surflow wrote; what training has made goes first, so that a kill in between is seen."""
        make_folder(self._aside)
        for name in (CHECKPOINT, self.model_path.name, *_OWN, self.config_path.name):
            if (self.path / name).exists():
                os.replace(self.path / name, self._aside / name)

    def _put_back(self) -> None:
        """Bring back what was to be replaced, if the new run has not begun."""
        if self._aside.exists() and not self.begun:
            for kept in self._aside.iterdir():
                os.replace(kept, self.path / kept.name)
            self._aside.rmdir()

    def _drop_aside(self) -> None:
        if self._aside.exists():
            for kept in self._aside.iterdir():
                kept.unlink()
            self._aside.rmdir()

    @classmethod
    def open(cls, path: str | Path) -> RunFolder:
        """A folder that ``surflow train`` wrote.

        Raises:
            FileError: if there is none, or it holds no trained model.
        """
        run = cls(Path(path))
        if not run.path.is_dir():
            raise FileError(f"there is no folder {run.path}: expected a run made by 'surflow train'")
        missing = [p.name for p in (run.config_path, run.data_path, run.model_path) if not p.exists()]
        if missing:
            raise FileError(
                f"{run.path} holds no finished training, {', '.join(missing)} missing: expected a run made by "
                "'surflow train'"
            )
        return run

    def config(self) -> Config:
        return read_config(self.config_path)

    def flow(self) -> Flow:
        """The model, on tensors."""
        model = load_flow(self.model_path)
        return model.flow if isinstance(model, TableModel) else model

    def table_model(self) -> TableModel:
        """The model, by the names of a table's columns.

        Raises:
            ConfigError: if the run is none of the preset ``table``, or has a context.
        """
        model = load_flow(self.model_path)
        if not isinstance(model, TableModel):
            has = "has a context" if model.context_shape is not None else "is no model of mixed columns"
            raise ConfigError(
                f"the model of {self.path} {has}: train the table with --model table, and without --context, and any "
                "columns can be given afterwards"
            )
        return model

    def own_files(self) -> list[Path]:
        """The files of the run, and the file it was trained on: nothing that samples or scores may replace."""
        own = [
            self.config_path,
            self.checkpoint_path,
            *(self.path / name for name in _OWN),
            *(self.path / "pictures").glob("*"),
        ]
        source, file = source_path(self.config()), self.facts().file
        return own + ([] if source is None else [source]) + ([] if file is None else [Path(file["path"])])

    def log(self) -> list[dict[str, Any]]:
        """The training log: rows with step, split, nll, learning_rate and seconds.

        Raises:
            FileError: if it is missing or damaged.
        """
        try:
            text = read_text(self.log_path)
            whole = text[: text.rfind("\n") + 1]  # a last line that was cut off is none
            rows = [_log_row(row) for row in csv.DictReader(whole.splitlines())]
        except (ValueError, TypeError, KeyError, csv.Error) as error:
            if isinstance(error, FileError):
                raise
            raise FileError(f"{self.log_path} cannot be read; it is damaged: {error}") from error
        return rows

    def facts(self) -> DataSpec:
        """What :meth:`begin` kept.

        Raises:
            FileError: if the file is damaged.
        """
        try:
            return DataSpec.from_dict(json.loads(read_text(self.data_path)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SurflowError) as error:
            raise FileError(f"{self.data_path} is damaged ({error}): train again, or restore it") from error


def _log_row(row: dict[str, str]) -> dict[str, Any]:
    """One row of the log; a damaged one raises an error of any kind."""
    if set(row) != {"step", "split", "nll", "learning_rate", "seconds"} or row["split"] not in ("train", "validation"):
        raise ValueError(f"expected step, split, nll, learning_rate and seconds, got {list(row.values())}")
    values = {name: float(text) if text else None for name, text in row.items() if name != "split"}
    step, seconds = values["step"], values["seconds"]
    if step is None or not step.is_integer() or seconds is None or not math.isfinite(seconds) or values["nll"] is None:
        raise ValueError(f"expected a step, nll and seconds, got {list(row.values())}")
    return {"split": row["split"], **values}


def _own(path: Path) -> bool:
    """Whether a file is, by its name, a lock or half written: of a run that has no other files yet."""
    return path.name.startswith(".") and (path.name == LOCK or PART in path.name)


def next_folder(parent: str | Path, name: str, config: Config) -> Path:
    """The first of ``parent/name-1``, ``parent/name-2``, ... that does not exist, or waits for this very run."""
    n = 1
    while (folder := Path(parent) / f"{name}-{n}").exists() and not RunFolder(folder).waits_for(config):
        n += 1
    return folder
