"""config.toml: data, model and training of a run, and any chain of layers as TOML tables."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from surflow._internal.configurable import Configurable
from surflow.data import ContextEncoding, Splits
from surflow.errors import ConfigError, FileError, unknown_name
from surflow.flow import Flow
from surflow.nets.context import ContextColumns
from surflow.nets.summary import Summary
from surflow.serialization.architecture import build, describe
from surflow.supports import Integers, Support, real

# Training where the configuration says nothing. On fresh draws nothing can be learnt by heart; a few hundred rows are,
# within a few hundred steps, so that validation must be frequent there, and what comes after the best is in vain.
_FRESH: dict[str, Any] = {"steps": 3000, "batch_size": 512, "lr": 5e-3, "clip": 5.0}
_TABLE: dict[str, Any] = {"steps": 3000, "batch_size": 256, "lr": 2e-3, "clip": 5.0}
_SMALL_TABLE: dict[str, Any] = _TABLE | {"steps": 1000, "lr": 5e-3, "validate_every": 10, "patience": 20}
_IMAGES: dict[str, Any] = {"steps": 3000, "batch_size": 128, "lr": 2e-3, "clip": 20.0}
_FEW_IMAGES: dict[str, Any] = _IMAGES | {"steps": 800, "lr": 3e-3, "patience": 10}
_MANY_IMAGES = 5000
# Transformers over all points: a row is as much work as many of a table.
_CLOUDS: dict[str, Any] = {"steps": 3000, "batch_size": 32, "lr": 2e-3, "clip": 50.0, "patience": 10}
_SIMULATIONS: dict[str, Any] = {"steps": 8000, "batch_size": 256, "lr": 4e-3}
# The model of "auto" for a small table: by validation one layer is better than two on iris, wine and diabetes, with up
# to 13 columns, and two are better than one on breast_cancer, with 30.
_SMALL_MODEL: dict[str, Any] = {"layers": 1}
_SMALL_MODEL_COLUMNS = 16

# TOML has no null; this table stands for it.
_NONE = {"none": True}


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class DataConfig(_Section):
    """[data]: what :func:`surflow.data.load` takes."""

    source: str
    columns: list[str] | None = None
    context: list[str] | None = None
    rows: int | None = Field(default=None, gt=0)
    data_dir: str | None = None

    @field_validator("context", "columns", mode="before")
    @classmethod
    def _one_name(cls, value: Any) -> Any:
        return [value] if isinstance(value, str) else value


class ModelConfig(BaseModel):
    """[model]: a preset and its options, or a chain: [[model.transforms]] and [model.base]."""

    model_config = ConfigDict(extra="allow")

    preset: str | None = None
    transforms: list[dict[str, Any]] | None = None
    base: dict[str, Any] | None = None
    context_net: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _preset_or_chain(self) -> ModelConfig:
        if self.transforms is None and self.base is None:
            self.preset = self.preset or "auto"
            if self.context_net is not None:
                raise ValueError("a preset makes its own context_net: state it with a chain of transforms only")
        elif self.preset is not None:
            raise ValueError("expected a preset or a chain of transforms, got both: remove one")
        elif self.base is None:
            raise ValueError('a chain of transforms needs a [model.base], e.g. class = "Normal", event_shape = 2')
        elif self.model_extra:
            raise ValueError(unknown_name("entry", next(iter(self.model_extra)), ["transforms", "base", "context_net"]))
        return self

    def build(
        self,
        event_shape: Sequence[int],
        encoding: ContextEncoding | None,
        levels: int | None,
        support: Support = real,
    ) -> Flow:
        """The flow for data of this shape, context, number of levels and support; checked to fit them."""
        from surflow import presets

        context_net = None if encoding is None else _network(encoding)
        shape = tuple(event_shape)
        if self.preset is not None:
            options = {key: _untable(value) for key, value in (self.model_extra or {}).items()}
            return presets.build(self.preset, shape, context_net=context_net, levels=levels, support=support, **options)
        stated = {"class": "Flow", "transforms": self.transforms or [], "base": self.base}
        if self.context_net is not None or encoding is not None:
            stated["context_net"] = self.context_net or to_table(context_net)
        flow = from_table(stated)
        if flow.event_shape != shape:
            raise ConfigError(
                f"the data have events of shape {shape}, but the chain in [model] starts from {flow.event_shape}"
            )
        if levels is not None and flow.support != Integers(levels):
            raise ConfigError(
                f"the data are integers from 0 to {levels - 1}, but the chain in [model] starts on {flow.support!r}: "
                f"begin it with Dequantize(shape, {levels})"
            )
        if flow.context_shape is not None and encoding is None:
            raise ConfigError(
                "the chain in [model] is conditional, but the data have no context: add context = [...] to [data]"
            )
        if encoding is not None and flow.context_shape != (len(encoding.columns),):
            raise ConfigError(
                f"the data's context has {len(encoding.columns)} columns, the chain's has shape {flow.context_shape}"
            )
        return flow


def _network(encoding: ContextEncoding) -> ContextColumns | Summary:
    """One-hot categories and standardised numbers; of many numbers alone a summary."""
    from surflow import presets

    size = len(encoding.columns)
    if size <= presets.WIDE_CONTEXT or any(column.categories is not None for column in encoding.columns):
        return encoding.network()
    return presets.summary(size)


def _ragged(model: ModelConfig, splits: Splits) -> ModelConfig:
    """The preset for sets of different sizes, in the box that the training points fill, and a little more."""
    if model.preset not in ("auto", "point-grid", None):
        raise ConfigError(f"{splits.name} has sets of different sizes: the preset for them is 'point-grid'")
    if model.preset is None:
        return model
    points, there = splits.train.x[:, :-1], splits.train.x[:, -1:].expand_as(splits.train.x[:, :-1]) > 0
    low, high = points[there].min().item(), points[there].max().item()
    margin = 0.02 * (high - low) or 1.0
    options = {"mask": True, "low": low - margin, "high": high + margin} | (model.model_extra or {})
    return ModelConfig(preset="point-grid", **options)


class TrainingConfig(_Section):
    """[training]: what :func:`surflow.fit` takes; what is left out is chosen by it."""

    steps: int | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    batch_size: int | None = Field(default=None, gt=0)
    lr: float | None = Field(default=None, gt=0)
    schedule: Literal["cosine", "constant", "step"] | None = None
    decay: float | None = Field(default=None, gt=0)
    decay_every: int | None = Field(default=None, gt=0)
    clip: float | None = Field(default=None, gt=0)
    patience: int | None = Field(default=None, gt=0)
    validate_every: int | None = Field(default=None, gt=0)
    importance_samples: int | None = Field(default=None, gt=0)
    compile: bool | None = None

    @field_validator("minutes", "lr", "decay", "clip", mode="before")
    @classmethod
    def _whole_number(cls, value: Any) -> Any:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    def options(self) -> dict[str, Any]:
        """The keywords for :func:`surflow.fit` that are stated."""
        return self.model_dump(exclude_none=True)


class Config(_Section):
    """A whole config.toml."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataConfig
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    def settled(self, splits: Splits) -> Config:
        """With a definite preset, and with training's entries filled in, so that the file states the whole run."""
        from surflow import presets

        model, training, rows = self.model, self.training.model_copy(), len(splits.train.x)
        if model.preset == "auto" and splits.simulator is not None:
            name = presets.choose_conditional(splits.event_shape, splits.support)
            model = ModelConfig(preset=name, **(model.model_extra or {}))
        elif splits.masked:
            model = _ragged(model, splits)
        elif model.preset == "auto" and splits.pixels is not None:
            grid = {"cells": splits.pixels, "low": -0.5, "high": splits.pixels - 0.5}
            model = ModelConfig(preset="point-grid", **(grid | (model.model_extra or {})))
        elif model.preset == "auto":
            name, options = presets.choose(splits.levels, None if self.fresh(splits) else rows, splits.event_shape)
            small = rows < presets.FEW_ROWS and math.prod(splits.event_shape) <= _SMALL_MODEL_COLUMNS
            if small and splits.levels is None and not self.fresh(splits):
                options = options | _SMALL_MODEL
            model = ModelConfig(preset=name, **(options | (model.model_extra or {})))
        if self.fresh(splits):
            defaults = _FRESH
        elif splits.simulator is not None:
            defaults = _SIMULATIONS
        elif splits.levels is None and len(splits.event_shape) == 2:
            defaults = _CLOUDS
        elif splits.levels is None:
            defaults = _SMALL_TABLE if rows < presets.FEW_ROWS else _TABLE
        else:
            defaults = _FEW_IMAGES if rows < _MANY_IMAGES else _IMAGES
        for name, value in defaults.items():
            if getattr(training, name) is None and not (name == "steps" and training.minutes is not None):
                setattr(training, name, value)
        return self.model_copy(update={"model": model, "training": training})

    def fresh(self, splits: Splits) -> bool:
        """Whether every step sees fresh rows of a known distribution, so that nothing can be learnt by heart."""
        return splits.truth is not None and self.data.rows is None

    def to_toml(self, *, without_model: bool = False) -> str:
        """The text of config.toml; :func:`read_config` reads it back."""
        return tomli_w.dumps(self.model_dump(exclude_none=True, exclude={"model"} if without_model else None))


def read_config(path: str | Path) -> Config:
    """A configuration from a TOML file.

    Raises:
        FileError: if the file is missing or is not TOML.
        ConfigError: if an entry is unknown, missing, or of another kind; the message names it.
    """
    return parse_config(read_toml(path), str(path))


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file, or FileError."""
    try:
        return tomllib.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}; expected a config.toml") from error
    except ValueError as error:  # TOMLDecodeError, UnicodeDecodeError
        raise FileError(f"{path} is not a TOML file: {error}") from error


def parse_config(content: Mapping[str, Any], origin: str = "the configuration") -> Config:
    """A configuration from tables, with errors that name the entry.

    >>> parse_config({"data": {"source": "moons"}, "training": {"step": 10}})
    Traceback (most recent call last):
    surflow.errors.ConfigError: the configuration: unknown entry 'training.step'; did you mean 'training.steps'?
    """
    try:
        return Config.model_validate(dict(content))
    except ValidationError as error:
        lines = [_explain(detail) for detail in error.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(lines)) from error


def _explain(detail: Any) -> str:
    *path, last = detail["loc"] or ("",)
    name = ".".join(map(str, [*path, last]))
    if detail["type"] == "extra_forbidden":
        section: Any = Config
        for part in path:
            section = section.model_fields[part].annotation
        return unknown_name("entry", name, [".".join([*map(str, path), field]) for field in section.model_fields])
    message = detail["msg"].removeprefix("Value error, ")
    if detail["type"] == "missing":
        return f"the entry {name!r} is missing"
    return f"{name or 'top level'}: {message}" + (
        "" if detail["type"] == "value_error" else f", got {detail['input']!r}"
    )


# -- chains as tables ---------------------------------------------------------------------------------------


def to_table(obj: Configurable | None) -> Any:
    """An object as a TOML table, ``{class = "Abs", event_shape = 2}``: class and arguments side by side.

    >>> import surflow as sf
    >>> to_table(sf.Abs(2))
    {'class': 'Abs', 'event_shape': 2}
    """
    return _table(None if obj is None else describe(obj))


def _table(value: Any) -> Any:
    if isinstance(value, Mapping):
        if "class" in value:
            value = {"class": value["class"], **value["arguments"]}
        return {key: _table(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_table(item) for item in value]
    return dict(_NONE) if value is None else value


def from_table(table: Mapping[str, Any]) -> Any:
    """The object that a table from :func:`to_table`, or written by hand, states.

    Raises:
        ConfigError: for an unknown class or argument, named with its position.
        SurflowError: what building raises, e.g. ShapeError for a chain that does not fit.

    >>> from_table({"class": "Abs", "event_shape": 2, "signs": {"class": "Bernoulli", "event_shape": 2}}).kind
    'inference surjection'
    """
    return build(_untable(table))


def _untable(value: Any) -> Any:
    if isinstance(value, Mapping):
        if value == _NONE:
            return None
        inner = {key: _untable(item) for key, item in value.items() if key != "class"}
        return {"class": value["class"], "arguments": inner} if "class" in value else inner
    return [_untable(item) for item in value] if isinstance(value, list) else value


def chain_toml(flow: Flow) -> str:
    """The [model] section that states ``flow`` layer by layer; a config.toml with it rebuilds the same chain."""
    table = to_table(flow)
    del table["class"]
    if table.get("context_net") == _NONE:
        del table["context_net"]
    return tomli_w.dumps({"model": table})
