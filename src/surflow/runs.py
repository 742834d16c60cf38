"""Run folders: what a training leaves behind, and reading it back."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surflow.config import Config, read_config
from surflow.data import ContextEncoding, Splits
from surflow.errors import DataError, FileError
from surflow.flow import Flow
from surflow.saving import load as load_flow


@dataclass(frozen=True)
class RunFolder:
    """A folder with config.toml, data.json, model.safetensors, log.csv, metrics.json, pictures/ and report.html.

    ``data.json`` holds what sampling and scoring need to know of the data, so that they need no data file: the
    columns' names, the event shape, the levels and the encoding of the context.
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
                run._check_takes(config, overwrite)
            run.path.mkdir(parents=True, exist_ok=True)
            run.config_path.write_text(config.to_toml(), encoding="utf-8")
        except OSError as error:
            raise FileError(
                f"the folder {run.path} cannot be written: {error.strerror or error}: choose another with --out"
            ) from error
        return run

    def _check_takes(self, config: Config, overwrite: bool) -> None:
        if not self.config_path.exists():
            raise FileError(f"{self.path} holds other files and no run: choose a new folder with --out")
        if overwrite:
            for stale in ("metrics.json", "report.html", "model.safetensors", "log.csv", "checkpoint.safetensors"):
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

    def write_data(self, splits: Splits) -> None:
        """Keep what sampling and scoring need to know of the data."""
        facts = {
            "name": splits.name,
            "columns": splits.columns,
            "event_shape": list(splits.event_shape),
            "levels": splits.levels,
            "context": None if splits.context is None else splits.context.to_dict(),
        }
        self.data_path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    def log(self) -> list[dict[str, Any]]:
        """The training log: rows with step, split, nll, learning_rate and seconds.

        Raises:
            FileError: if it is missing or damaged.
        """
        try:
            with self.log_path.open(newline="", encoding="utf-8") as file:
                rows = [{k: v if k == "split" else _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
        except (OSError, ValueError, TypeError) as error:
            raise FileError(f"{self.log_path} cannot be read: {error}") from error
        return rows

    def facts(self) -> Facts:
        """What :meth:`write_data` kept.

        Raises:
            FileError: if the file is damaged.
        """
        try:
            content = json.loads(self.data_path.read_text(encoding="utf-8"))
            context = content.pop("context")
            encoding = None if context is None else ContextEncoding.from_dict(context)
            return Facts(**(content | {"event_shape": tuple(content["event_shape"])}), context=encoding)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError) as error:
            raise FileError(f"{self.data_path} is damaged ({error}): train again, or restore it") from error


@dataclass(frozen=True)
class Facts:
    """What a run knows of its data without the data."""

    name: str
    columns: list[str]
    event_shape: tuple[int, ...]
    levels: int | None
    context: ContextEncoding | None


def _number(text: str) -> float | None:
    return float(text) if text else None


def next_folder(parent: str | Path, name: str) -> Path:
    """The first of ``parent/name-1``, ``parent/name-2``, ... that does not exist."""
    n = 1
    while (Path(parent) / f"{name}-{n}").exists():
        n += 1
    return Path(parent) / f"{name}-{n}"
