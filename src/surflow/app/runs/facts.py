"""What a run knows of its data without the data, and keeps in data.json."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from surflow._internal.configurable import Configurable
from surflow.app.config import Section
from surflow.data import ContextEncoding, Schema
from surflow.errors import ConfigError
from surflow.serialization.architecture import build
from surflow.serialization.budget import Budget
from surflow.supports import Integers, Support, real


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
        """The inverse of what :meth:`RunFolder.begin` writes; whatever is wrong raises an error of any kind."""
        context, schema = content.pop("context"), content.pop("schema", None)
        encoding = None if context is None else ContextEncoding.from_dict(context)
        levels = content.pop("levels", None)  # of the first round, when only integers were told from other numbers
        stated = content.pop("support", None)
        plain = _PlainFacts.model_validate(content)
        support: Configurable = real if levels is None else Integers(levels)
        if stated is not None:
            support = build(stated, Budget(0, 0))
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
