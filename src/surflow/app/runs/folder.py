"""The folder of a run: its files, and what they keep."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surflow._internal.limits import read_text
from surflow.app.config import Config, Section, read_config
from surflow.app.runs.source import fingerprint, same_content, source_path
from surflow.data import ContextEncoding, Schema, Splits
from surflow.errors import ConfigError, FileError, SurflowError
from surflow.flow import Flow
from surflow.serialization.architecture import build as build_object
from surflow.serialization.architecture import describe
from surflow.serialization.budget import Budget
from surflow.serialization.files import load as load_flow
from surflow.supports import Integers, Support, real

# What a run consists of, beside its pictures and its config.toml.
_OWN = ("metrics.json", "report.html", "model.safetensors", "log.csv", "data.json")


@dataclass(frozen=True)
class RunFolder:
    """A folder with config.toml, data.json, model.safetensors, log.csv, metrics.json, pictures/ and report.html.

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
    def trained(self) -> bool:
        """Whether training came to its end."""
        return self.model_path.exists()

    @property
    def finished(self) -> bool:
        """Whether evaluation came to its end too."""
        return self.metrics_path.exists()

    @classmethod
    def create(cls, path: str | Path, config: Config, *, overwrite: bool = False) -> RunFolder:
        """A folder to write a run into: made, proved writable and given its config.toml, before any training.

        A run that was cut off is taken up again where its checkpoint stands, if the configuration is the same.

        Raises:
            FileError: if it cannot be written, or holds something else: a finished run, or an unfinished one of another
                configuration (unless ``overwrite``), or files that are no run's.
        """
        run = cls(Path(path))
        try:
            if run.path.is_dir() and any(run.path.iterdir()):
                run._check_takes(config, overwrite=overwrite)
            run.path.mkdir(parents=True, exist_ok=True)
            run.config_path.write_text(config.to_toml(), encoding="utf-8")
        except OSError as error:
            raise FileError(
                f"the folder {run.path} cannot be written: {error.strerror or error}: choose another with --out"
            ) from error
        return run

    def _check_takes(self, config: Config, *, overwrite: bool) -> None:
        if not self.config_path.exists():
            raise FileError(f"{self.path} holds other files and no run: choose a new folder with --out")
        if overwrite:
            for stale in (*_OWN, "checkpoint.safetensors"):
                (self.path / stale).unlink(missing_ok=True)
        elif self.finished:
            raise FileError(f"{self.path} holds a finished run: choose another folder with --out, or pass --overwrite")
        elif read_config(self.config_path) != config:
            raise FileError(
                f"{self.path} holds an unfinished run of another configuration: repeat its command to resume it, "
                "choose another folder with --out, or pass --overwrite"
            )
        elif self.log_path.exists() and not (self.path / "checkpoint.safetensors").exists() and not self.trained:
            self.log_path.unlink()  # cut off between training and saving: begin again

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
        return load_flow(self.model_path)

    def write_data(self, splits: Splits, config: Config) -> None:
        """Keep what sampling and scoring need to know of the data, and which file they are from.

        Raises:
            FileError: if the run was cut off and its file has changed since.
        """
        path = source_path(config)
        file = None if path is None else fingerprint(path)
        if path is not None and self.data_path.exists() and not same_content(self.facts().file, file):
            raise FileError(f"{path} has changed since {self.path} was begun: pass --overwrite to begin it again")
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
        self.data_path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    def own_files(self) -> list[Path]:
        """The files of the run, and the file it was trained on: nothing that samples or scores may replace."""
        own = [self.config_path, *(self.path / name for name in _OWN), *(self.path / "pictures").glob("*")]
        source, file = source_path(self.config()), self.facts().file
        return own + ([] if source is None else [source]) + ([] if file is None else [Path(file["path"])])

    def log(self) -> list[dict[str, Any]]:
        """The training log: rows with step, split, nll, learning_rate and seconds.

        Raises:
            FileError: if it is missing or damaged.
        """
        try:
            with self.log_path.open(newline="", encoding="utf-8") as file:
                rows = [_log_row(row) for row in csv.DictReader(file)]
        except (OSError, ValueError, TypeError, KeyError, csv.Error) as error:
            reason = getattr(error, "strerror", None) or error
            raise FileError(f"{self.log_path} cannot be read; it is damaged or cut off: {reason}") from error
        return rows

    def facts(self) -> DataSpec:
        """What :meth:`write_data` kept.

        Raises:
            FileError: if the file is damaged.
        """
        try:
            return DataSpec.from_dict(json.loads(read_text(self.data_path)))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError, SurflowError) as error:
            raise FileError(f"{self.data_path} is damaged ({error}): train again, or restore it") from error


class _File(Section):
    """The file that the data are from."""

    path: str
    size: int
    sha256: str


class _PlainFacts(Section):
    """The entries of data.json that are plain values."""

    name: str
    columns: list[str]
    event_shape: list[int]
    sets: bool = False
    file: _File | None = None


@dataclass(frozen=True)
class DataSpec:
    """What a run knows of its data without the data."""

    name: str
    columns: list[str]
    event_shape: tuple[int, ...]
    support: Support
    context: ContextEncoding | None
    schema: Schema | None = None
    sets: bool = False
    file: dict[str, Any] | None = None

    @classmethod
    def from_dict(cls, content: dict[str, Any]) -> DataSpec:
        """The inverse of what :meth:`RunFolder.write_data` writes; whatever is wrong raises an error of any kind."""
        context, schema = content.pop("context"), content.pop("schema", None)
        encoding = None if context is None else ContextEncoding.from_dict(context)
        levels = content.pop("levels", None)  # of the first round, when only integers were told from other numbers
        stated = content.pop("support", None)
        plain = _PlainFacts.model_validate(content)
        support = real if levels is None else Integers(levels)
        if stated is not None:
            support = build_object(stated, Budget(0, 0))
        if not isinstance(support, Support):
            raise ConfigError(f"expected a support, got a {type(support).__name__}")
        known = None if schema is None else Schema.from_dict(schema)
        shape, columns = tuple(plain.event_shape), plain.columns
        if any(size < 1 for size in shape):
            raise ConfigError(f"expected an event shape of positive numbers, got {shape}")
        if (known is not None and known.names != columns) or (columns and shape != (len(columns),)):
            raise ConfigError(f"columns {columns}, schema and event shape {shape} do not fit each other")
        support.check_shape(shape)
        file = None if plain.file is None else plain.file.model_dump()
        return cls(plain.name, columns, shape, support, encoding, known, plain.sets, file)


def _log_row(row: dict[str, str]) -> dict[str, Any]:
    """One row of the log; a damaged one raises an error of any kind."""
    if set(row) != {"step", "split", "nll", "learning_rate", "seconds"} or row["split"] not in ("train", "validation"):
        raise ValueError(f"expected step, split, nll, learning_rate and seconds, got {list(row.values())}")
    values = {name: float(text) if text else None for name, text in row.items() if name != "split"}
    step, seconds = values["step"], values["seconds"]
    if step is None or not step.is_integer() or seconds is None or not math.isfinite(seconds) or values["nll"] is None:
        raise ValueError(f"expected a step, nll and seconds, got {list(row.values())}")
    return {"split": row["split"], **values}


def next_folder(parent: str | Path, name: str) -> Path:
    """The first of ``parent/name-1``, ``parent/name-2``, ... that does not exist."""
    n = 1
    while (Path(parent) / f"{name}-{n}").exists():
        n += 1
    return Path(parent) / f"{name}-{n}"
