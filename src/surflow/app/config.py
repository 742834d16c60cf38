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
from surflow._internal.limits import read_text
from surflow.data import ContextEncoding, Splits
from surflow.errors import ConfigError, FileError, unknown_name
from surflow.flow import Flow
from surflow.nets.context import ContextColumns
from surflow.nets.summary import Summary
from surflow.serialization.architecture import JSON, build, describe
from surflow.serialization.budget import Budget
from surflow.supports import Integers, Support, real

# What a configuration may ask for is what a file with so many weights may, and more for each number of an event.
_WEIGHTS, _WEIGHTS_PER_NUMBER = 2**22, 2**14

# Entries of [training] that say where a run is computed, and not what: it goes on elsewhere.
PLACE = ("accelerator", "devices", "num_nodes", "strategy")

# TOML has no null; this table stands for it.
_NONE: dict[str, JSON] = {"none": True}


class Section(BaseModel):
    """A table of a file: no unknown entries, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class DataConfig(Section):
    """[data]: what :func:`surflow.data.load` takes."""

    source: str
    columns: list[str] | None = None
    context: list[str] | None = None
    drop: list[str] | None = None
    column: list[str] | None = None
    schema_file: str | None = Field(default=None, alias="schema")
    sets: bool | None = None
    rows: int | None = Field(default=None, gt=0)
    data_dir: str | None = None

    @field_validator("context", "columns", "drop", "column", mode="before")
    @classmethod
    def _one_name(cls, value: object) -> object:
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
        support: Support = real,
    ) -> Flow:
        """The flow for data of this shape, context and support; checked to fit them.

        Raises:
            ConfigError: for what asks for more memory or work than a configuration may, or states no flow.
        """
        from surflow import presets

        context_net = None if encoding is None else _network(encoding)
        shape = tuple(event_shape)
        budget = Budget(_WEIGHTS + _WEIGHTS_PER_NUMBER * math.prod(shape), 0, "a configuration for these data")
        if self.preset is not None:
            options: dict[str, Any] = {key: _untable(value) for key, value in (self.model_extra or {}).items()}
            for given in [option for option in options if option in presets.HEAD]:
                raise ConfigError(
                    f"[model] has no entry {given!r}: the data decide it, and the seed stands above [data]"
                )
            with budget:
                for option, value in options.items():
                    budget.argument(Flow, option, value)
                return presets.build(self.preset, shape, context_net=context_net, support=support, **options)
        stated: dict[str, object] = {"class": "Flow", "transforms": self.transforms or [], "base": self.base}
        if self.context_net is not None or encoding is not None:
            stated["context_net"] = self.context_net or to_table(context_net)
        flow = build(_stated(stated), budget)
        assert isinstance(flow, Flow)  # as stated
        if flow.event_shape != shape:
            raise ConfigError(
                f"the data have events of shape {shape}, but the chain in [model] starts from {flow.event_shape}"
            )
        if isinstance(support, Integers) and flow.support != support:
            raise ConfigError(
                f"the data are integers from 0 to {support.levels - 1}, but the chain in [model] starts on "
                f"{flow.support!r}: begin it with Dequantize(event_shape, levels={support.levels})"
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


class TrainingConfig(Section):
    """[training]: what :func:`surflow.fit` takes; what is left out is chosen by it."""

    steps: int | None = Field(default=None, gt=0)
    minutes: float | None = Field(default=None, gt=0)
    batch_size: int | None = Field(default=None, gt=0)
    lr: float | None = Field(default=None, gt=0)
    schedule: Literal["cosine", "constant", "root", "step"] | None = None
    decay: float | None = Field(default=None, gt=0)
    decay_every: int | None = Field(default=None, gt=0)
    clip: float | None = Field(default=None, gt=0)
    patience: int | None = Field(default=None, gt=0)
    validate_every: int | None = Field(default=None, gt=0)
    importance_samples: int | None = Field(default=None, gt=0)
    compile: bool | None = None
    accelerator: str | None = None
    devices: int | str | None = None
    num_nodes: int | None = Field(default=None, gt=0)
    strategy: str | None = None
    precision: str | None = None

    @field_validator("minutes", "lr", "decay", "clip", mode="before")
    @classmethod
    def _whole_number(cls, value: object) -> object:
        return float(value) if isinstance(value, int) and not isinstance(value, bool) else value

    def options(self) -> dict[str, Any]:
        """The keywords for :func:`surflow.fit` that are stated."""
        return self.model_dump(exclude_none=True)


class Config(Section):
    """A whole config.toml."""

    seed: int = Field(default=0, ge=0, lt=2**32)
    data: DataConfig
    model: ModelConfig = Field(default_factory=ModelConfig)
    training: TrainingConfig = Field(default_factory=TrainingConfig)

    def settled(self, splits: Splits) -> Config:
        """With a definite preset, and with training's entries filled in, so that the file states the whole run."""
        from surflow.app.kinds import kind_of  # brings the plots, which sampling and scoring do without

        kind, fresh, training = kind_of(splits), self.fresh(splits), self.training.model_copy()
        model = self.model
        if model.preset is not None:
            name, options = kind.model(model.preset, fresh=fresh)
            model = ModelConfig(preset=name, **(options | (model.model_extra or {})))
        for name, value in kind.training(model.preset, fresh=fresh).items():
            if getattr(training, name) is None and not (name == "steps" and training.minutes is not None):
                setattr(training, name, value)
        return self.model_copy(update={"model": model, "training": training})

    def fresh(self, splits: Splits) -> bool:
        """Whether every step sees fresh rows of a known distribution, so that nothing can be learnt by heart."""
        return splits.truth is not None and self.data.rows is None

    def same_run(self, other: Config) -> bool:
        """Whether both state one run, wherever it is computed."""
        nowhere = dict.fromkeys(PLACE)
        ours, theirs = (
            config.model_copy(update={"training": config.training.model_copy(update=nowhere)})
            for config in (self, other)
        )
        return ours == theirs

    def to_toml(self, *, without_model: bool = False) -> str:
        """The text of config.toml; :func:`read_config` reads it back."""
        return tomli_w.dumps(
            self.model_dump(exclude_none=True, by_alias=True, exclude={"model"} if without_model else None)
        )


def read_config(path: str | Path) -> Config:
    """A configuration from a TOML file.

    Raises:
        FileError: if the file is missing or is not TOML.
        ConfigError: if an entry is unknown, missing, or of another kind; the message names it.
    """
    return parse_config(read_toml(path), str(path))


def read_toml(path: str | Path) -> dict[str, Any]:
    """The tables of a TOML file, or FileError."""
    text = read_text(Path(path))
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
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
        lines = [_explain(detail["loc"], detail["type"], detail["msg"], detail["input"]) for detail in error.errors()]
        raise ConfigError(f"{origin}: " + "; ".join(lines)) from error


def _explain(where: tuple[int | str, ...], kind: str, message: str, given: object) -> str:
    *path, last = where or ("",)
    name = ".".join(map(str, [*path, last]))
    if kind == "extra_forbidden":
        section: Any = Config
        for part in path:
            section = section.model_fields[part].annotation
        return unknown_name("entry", name, [".".join([*map(str, path), field]) for field in section.model_fields])
    if kind == "missing":
        return f"the entry {name!r} is missing"
    message = message.removeprefix("Value error, ")
    return f"{name or 'top level'}: {message}" + ("" if kind == "value_error" else f", got {given!r}")


# -- chains as tables ---------------------------------------------------------------------------------------


def to_table(obj: Configurable | None) -> dict[str, JSON]:
    """An object as a TOML table, ``{class = "Abs", event_shape = 2}``: class and arguments side by side.

    >>> import surflow as sf
    >>> to_table(sf.Abs(2))
    {'class': 'Abs', 'event_shape': 2}
    """
    return dict(_NONE) if obj is None else _table(describe(obj))


def _table(values: dict[str, JSON]) -> dict[str, JSON]:
    match values:
        case {"class": name, "arguments": dict(arguments)}:
            values = {"class": name, **arguments}
    return {key: _entry(value) for key, value in values.items()}


def _entry(value: JSON) -> JSON:
    if isinstance(value, dict):
        return _table(value)
    if isinstance(value, list):
        return [_entry(item) for item in value]
    return dict(_NONE) if value is None else value


def from_table(table: Mapping[str, object]) -> Configurable:
    """The object that a table from :func:`to_table`, or written by hand, states.

    Raises:
        ConfigError: for an unknown class or argument, named with its position.
        SurflowError: what building raises, e.g. ShapeError for a chain that does not fit.

    >>> from_table({"class": "Abs", "event_shape": 2, "signs": {"class": "Bernoulli", "event_shape": 2}}).kind
    'inference surjection'
    """
    return build(_stated(table))


def _stated(table: Mapping[str, object]) -> dict[str, object]:
    inner = {key: _untable(item) for key, item in table.items() if key != "class"}
    return {"class": table["class"], "arguments": inner} if "class" in table else inner


def _untable(value: object) -> object:
    if isinstance(value, Mapping):
        return None if value == _NONE else _stated(value)
    return [_untable(item) for item in value] if isinstance(value, list) else value


def chain_toml(flow: Flow) -> str:
    """The [model] section that states ``flow`` layer by layer; a config.toml with it rebuilds the same chain."""
    table = to_table(flow)
    del table["class"]
    if table.get("context_net") == _NONE:
        del table["context_net"]
    return tomli_w.dumps({"model": table})
