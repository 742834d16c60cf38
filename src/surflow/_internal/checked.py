"""Values of a file, checked against the types that a class or a dictionary states."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from surflow.errors import ConfigError

if TYPE_CHECKING:
    from pydantic import TypeAdapter

T = TypeVar("T")

# One for each class: making it takes hundredths of a second, and a wide table has a value for each column.
_ADAPTERS: dict[type, TypeAdapter[Any]] = {}


def of_type(kind: type[T], values: object, where: str) -> T:
    """An object of a dataclass or a typed dictionary from plain values, converted where nothing is lost.

    Args:
        kind: the class.
        values: by name.
        where: what the values are, for the error.

    Raises:
        ConfigError: for a missing, an unknown or an unfit value, which the message names.
    """
    from pydantic import ValidationError  # a tenth of a second, which few need

    try:
        return _adapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(map(str, first["loc"])) or "it"
        raise ConfigError(f"{where}: {name}: {first['msg']}, got {str(first['input'])[:60]!r}") from error


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    from pydantic import TypeAdapter

    if kind not in _ADAPTERS:
        _ADAPTERS[kind] = TypeAdapter(kind)
    return _ADAPTERS[kind]
