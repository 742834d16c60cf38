"""Values of a file, checked against the types that a class or a dictionary states."""

from __future__ import annotations

from typing import Any, TypeVar

from surflow.errors import ConfigError

T = TypeVar("T")


def of_type(kind: type[T], values: object, where: str) -> T:
    """An object of a dataclass or a typed dictionary from plain values, converted where nothing is lost.

    Args:
        kind: the class.
        values: by name.
        where: what the values are, for the error.

    Raises:
        ConfigError: for a missing, an unknown or an unfit value, which the message names.
    """
    from pydantic import TypeAdapter, ValidationError  # a tenth of a second, which few need

    adapter: Any = TypeAdapter(kind)
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "it"
        raise ConfigError(f"{where}: {name}: {first['msg']}, got {str(first['input'])[:60]!r}") from error
