"""Runs: the folder that a training leaves behind, and the steps that fill it: train, evaluate, report."""

from __future__ import annotations

import csv
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from surflow import evaluation
from surflow._internal.random import seeded
from surflow.app.config import Config, read_config
from surflow.app.output import writing
from surflow.data import ContextEncoding, Part, Splits, simulator_names, synthetic_names, table_names
from surflow.data import load as load_data
from surflow.data.readers.folders import image_files
from surflow.errors import DataError, FileError
from surflow.flow import Flow
from surflow.serialization.architecture import build as build_object
from surflow.serialization.architecture import describe
from surflow.serialization.files import load as load_flow
from surflow.supports import Integers, Support, real

# Bytes of a file that are read at once.
_BLOCK = 2**20
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
        file = None if path is None else _fingerprint(path)
        if path is not None and self.data_path.exists() and not _same(self.facts().file, file):
            raise FileError(f"{path} has changed since {self.path} was begun: pass --overwrite to begin it again")
        facts = {
            "name": splits.name,
            "columns": splits.columns,
            "event_shape": list(splits.event_shape),
            "support": describe(splits.support),
            "context": None if splits.context is None else splits.context.to_dict(),
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
                rows = [{k: v if k == "split" else _number(v) for k, v in row.items()} for row in csv.DictReader(file)]
        except (OSError, ValueError, TypeError) as error:
            raise FileError(f"{self.log_path} cannot be read: {error}") from error
        return rows

    def facts(self) -> DataSpec:
        """What :meth:`write_data` kept.

        Raises:
            FileError: if the file is damaged.
        """
        try:
            content = json.loads(self.data_path.read_text(encoding="utf-8"))
            context = content.pop("context")
            encoding = None if context is None else ContextEncoding.from_dict(context)
            content["event_shape"] = tuple(content["event_shape"])
            levels = content.pop("levels", None)  # of the first round, when only integers were told from other numbers
            stated = content.pop("support", None)
            support = real if levels is None else Integers(levels)
            return DataSpec(**content, context=encoding, support=support if stated is None else build_object(stated))
        except (OSError, ValueError, KeyError, TypeError, AttributeError, DataError) as error:
            raise FileError(f"{self.data_path} is damaged ({error}): train again, or restore it") from error


@dataclass(frozen=True)
class DataSpec:
    """What a run knows of its data without the data."""

    name: str
    columns: list[str]
    event_shape: tuple[int, ...]
    support: Support
    context: ContextEncoding | None
    file: dict[str, Any] | None = None


def _number(text: str) -> float | None:
    return float(text) if text else None


def next_folder(parent: str | Path, name: str) -> Path:
    """The first of ``parent/name-1``, ``parent/name-2``, ... that does not exist."""
    n = 1
    while (Path(parent) / f"{name}-{n}").exists():
        n += 1
    return Path(parent) / f"{name}-{n}"


# -- the steps of a run -----------------------------------------------------------------------------------------


def load_splits(config: Config) -> Splits:
    """The data that a configuration names."""
    data = config.data
    return load_data(
        data.source,
        columns=data.columns,
        context=data.context,
        seed=config.seed,
        rows=data.rows,
        data_dir=data.data_dir,
    )


def source_path(config: Config) -> Path | None:
    """The file that the data are from, or None for data that have a name."""
    source = config.data.source
    return None if source in (*synthetic_names(), *table_names(), *simulator_names()) else Path(source).expanduser()


def _fingerprint(path: Path) -> dict[str, Any]:
    """Where a file or a folder of images is, and what tells its content from any other."""
    try:
        files = image_files(path) if path.is_dir() else [path]
        digest = hashlib.sha256()
        for part in files:
            if path.is_dir():
                digest.update(f"{part.relative_to(path)}\0".encode())
            with part.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        size = sum(part.stat().st_size for part in files)
        return {"path": str(path.absolute()), "size": size, "sha256": digest.hexdigest()}
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def _same(a: dict[str, Any] | None, b: dict[str, Any] | None) -> bool:
    """Whether two fingerprints, if there are two, are of one content."""
    return a is None or b is None or (a["size"], a["sha256"]) == (b["size"], b["sha256"])


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
    found = [place for place in places if place.exists()]
    if not found:
        raise FileError(
            f"the data of {run.path} are needed, to hold out the same rows again, but there is no file "
            f"{' or '.join(dict.fromkeys(map(str, places)))}: bring it back; sample and score do without it"
        )
    for place in found:
        if _same(trained_on, _fingerprint(place)):
            data = config.data.model_copy(update={"source": str(place)})
            return load_splits(config.model_copy(update={"data": data}))
    assert trained_on is not None  # no fingerprint differs from none
    raise FileError(
        f"{found[0]} has changed since training (it had {trained_on['size']:,} bytes then and has "
        f"{_fingerprint(found[0])['size']:,} now, or others): its held-out rows are no longer held out; "
        f"surflow evaluate {run.path} {found[0]} scores it as new data"
    )


def splits_without_data(run: RunFolder) -> Splits:
    """The form of a run's data with no rows in it: enough to evaluate other rows, but for the Gaussian baseline."""
    facts = run.facts()
    none = Part(torch.empty(0, *facts.event_shape), None)
    return Splits(facts.name, none, none, none, facts.columns, facts.support, facts.context, facts.name)


def build(config: Config, splits: Splits) -> Flow:
    """The model that a configuration states, for its data; drawn from its seed."""
    with seeded(config.seed):
        return config.model.build(splits.event_shape, splits.context, splits.support)


def train(run: RunFolder, flow: Flow, splits: Splits, config: Config, *, progress: bool = False) -> Flow:
    """Train ``flow`` and save it in the run; a run that has its model already is only read."""
    from surflow.training.fitting import fit  # brings Lightning, which sampling and scoring do without

    if run.trained:
        return run.flow()
    data = _fresh(splits) if config.fresh(splits) else _pair(splits.train)
    options = config.training.options() | {"seed": config.seed, "folder": run.path, "progress": progress}
    history = fit(flow, data, validation=_pair(splits.validation), **options)
    if history.stopped == "interrupted":
        raise KeyboardInterrupt  # the checkpoint is kept: the same call goes on from there
    flow.save(run.model_path)
    return flow


def evaluate(
    flow: Flow, splits: Splits, config: Config, seed: int, path: Path | None, command: str
) -> list[evaluation.Row]:
    """Figures of merit on the held-out rows, also written to ``path`` if there is one."""
    rows = evaluation.evaluate(flow, splits, model=config.model.preset or "chain", seed=seed)
    if path is not None:
        writing(path, lambda: evaluation.write_results(path, command, rows))
    return rows


def report(run: RunFolder) -> Path:
    """Write the pictures and report.html of a finished run; returns the page.

    Raises:
        FileError: if the run was not evaluated yet.
    """
    from surflow.app.report import write_report  # brings matplotlib and a template engine

    if not run.finished:
        raise FileError(
            f"{run.path} has no metrics.json: its training did not finish, repeat the command that began it"
        )
    content, config = evaluation.read_results(run.metrics_path), run.config()
    return write_report(
        run.path,
        flow=run.flow(),
        splits=reload_splits(run),
        rows=content["rows"],
        log=run.log(),
        command=content["command"],
        config_text=run.config_path.read_text(encoding="utf-8"),
        seed=config.seed,
    )


def _fresh(splits: Splits) -> Any:
    """Batches of the distribution itself, as rows of data and raw context."""
    law = splits.truth
    if splits.context is None or law is None:
        return law

    def draw(n: int) -> tuple[Tensor, Tensor]:
        x, labels = law.sample_labelled(n)
        return x, labels[:, None].to(x.dtype)

    return draw


def _pair(part: Part) -> Any:
    return part.x if part.context is None else (part.x, part.context)
