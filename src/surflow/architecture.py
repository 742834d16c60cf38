"""Architectures as plain values: the classes and arguments that objects were built with, and back."""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from surflow.configurable import Configurable
from surflow.errors import ConfigError, FileError, SurflowError, unknown_name

# Limits on what a description may ask for, so that a small file cannot take all memory or time.
_MOST_DEPTH = 64
_MOST_PIECES = 100_000
_LARGEST_INTEGER = 2**24

# Where Configurable classes are defined that `import surflow` alone does not bring.
_HOMES = ("surflow", "surflow.data", "surflow.nets.context")


def describe(obj: Configurable, *, full: bool = False) -> dict[str, Any]:
    """The class and the arguments that ``obj`` was built with, as JSON-able values; :func:`build` inverts it.

    Args:
        obj: a flow, layer, distribution, network or support.
        full: state the arguments left at their defaults too, as files do, so that a later default changes no file.

    Raises:
        FileError: if an argument is not plain: numbers, strings, booleans, None, lists of these, or Configurables.

    >>> import surflow as sf
    >>> describe(sf.Abs(2, signs=sf.Bernoulli(2, learned=True)))["arguments"]["signs"]
    {'class': 'Bernoulli', 'arguments': {'event_shape': 2, 'learned': True}}
    """
    return _describe(obj, type(obj).__name__, full)


def _describe(value: Any, where: str, full: bool) -> Any:
    if isinstance(value, Configurable):
        signature = inspect.signature(type(value).__init__)
        arguments: dict[str, Any] = {}
        for name, parameter in list(signature.parameters.items())[1:]:
            if name in value.arguments:
                given = value.arguments[name]
            elif full and parameter.default is not inspect.Parameter.empty:
                given = parameter.default
            else:
                continue
            if parameter.kind is inspect.Parameter.VAR_KEYWORD:
                arguments |= {key: _describe(item, f"{where}.{key}", full) for key, item in given.items()}
            else:
                arguments[name] = _describe(given, f"{where}.{name}", full)
        return {"class": type(value).__name__, "arguments": arguments}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, nn.ModuleList)):
        return [_describe(item, f"{where}[{i}]", full) for i, item in enumerate(value)]
    if isinstance(value, Mapping) and "class" not in value and all(isinstance(key, str) for key in value):
        return {key: _describe(item, f"{where}[{key!r}]", full) for key, item in value.items()}
    if isinstance(value, nn.Module):
        raise FileError(
            f"{where} is a {type(value).__name__}, which does not remember how it was built: derive the class from "
            "surflow.Configurable too, class Net(sf.Configurable, nn.Module), and its arguments are saved with it"
        )
    if isinstance(value, Tensor) or hasattr(value, "__array__"):
        if getattr(value, "shape", None) == ():
            return value.item()
        raise FileError(f"{where} is a tensor of shape {tuple(value.shape)}; a file states plain lists: pass .tolist()")
    raise FileError(
        f"{where} is a {type(value).__name__}, but a file states only numbers, strings, booleans, None, lists of these "
        "and surflow's own objects"
    )


def build(description: Mapping[str, Any]) -> Any:
    """The object that a description from :func:`describe` states; lists become tuples.

    Only classes in ``Configurable.registry`` are built: surflow's and those that the running program has defined.

    Raises:
        ConfigError: for an unknown class or argument, a missing argument, or values that the class cannot use.
        SurflowError: what the class itself raises, e.g. ShapeError for a chain that does not fit.

    >>> build({"class": "Abs", "arguments": {"shape": [2]}}).codomain
    positive
    """
    return _Builder().value(description, "", 0)


class _Builder:
    """Builds nested descriptions; counts pieces, so that a small file cannot ask for endless work."""

    def __init__(self) -> None:
        self.pieces = 0

    def value(self, value: Any, where: str, depth: int) -> Any:
        self.pieces += 1
        if depth > _MOST_DEPTH or self.pieces > _MOST_PIECES:
            raise ConfigError(
                f"{where or 'the architecture'} is nested deeper than {_MOST_DEPTH} levels, or has more than "
                f"{_MOST_PIECES:,} values: no flow is like that"
            )
        if isinstance(value, Mapping):
            if "class" in value:
                return self.object(value, where, depth)
            return {str(key): self.value(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return tuple(self.value(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value))
        if value is None or isinstance(value, (bool, float, str)):
            return value
        if isinstance(value, int):
            if abs(value) > _LARGEST_INTEGER:
                raise ConfigError(f"{where} is {value}: integers up to {_LARGEST_INTEGER:,} are accepted")
            return value
        raise ConfigError(f"{where} is a {type(value).__name__}: expected numbers, strings, booleans, lists or tables")

    def object(self, description: Mapping[str, Any], where: str, depth: int) -> Any:
        cls = _class_named(description["class"], where)
        given = description.get("arguments", {})
        place = where or cls.__name__
        extra = set(description) - {"class", "arguments"}
        if not isinstance(given, Mapping) or extra:
            raise ConfigError(f'{place}: expected the entries "class" and "arguments", got {sorted(description)}')
        signature = inspect.signature(cls.__init__)
        known = dict(list(signature.parameters.items())[1:])
        collects = next((n for n, p in known.items() if p.kind is inspect.Parameter.VAR_KEYWORD), None)
        bound: dict[str, Any] = {}
        for name, item in given.items():
            value = self.value(item, f"{where}.{name}".lstrip("."), depth + 1)
            if str(name).endswith("shape") and isinstance(value, tuple):
                _check_size(value, f"{where}.{name}".lstrip("."))
            if name in known:
                bound[name] = value
            elif collects is not None:
                bound.setdefault(collects, {})[name] = value
            else:
                raise ConfigError(f"{place}: {unknown_name(f'argument of {cls.__name__}', str(name), known)}")
        optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        missing = [n for n, p in known.items() if n not in bound and p.default is p.empty and p.kind not in optional]
        if missing:
            raise ConfigError(f"{place}: {cls.__name__} needs the argument {', '.join(missing)}")
        in_order = {name: bound[name] for name in known if name in bound}
        call = inspect.BoundArguments(signature.replace(parameters=list(known.values())), in_order)  # type: ignore[arg-type]
        try:
            return cls(*call.args, **call.kwargs)
        except SurflowError as error:
            raise type(error)(f"{where}: {error}" if where else str(error)) from error
        except Exception as error:  # a wrong type goes wrong anywhere in a constructor
            raise ConfigError(f"{place}: {cls.__name__} cannot be built from these arguments: {error}") from error


def _check_size(shape: tuple[Any, ...], where: str) -> None:
    if all(isinstance(n, int) for n in shape) and math.prod(shape) > _LARGEST_INTEGER:
        raise ConfigError(
            f"{where} has {math.prod(shape):,} entries: shapes of up to {_LARGEST_INTEGER:,} are accepted"
        )


class Budget(TorchFunctionMode):
    """Refuses, before memory is taken, to build more than so many elements in all.

    Every call is first made on the meta device, where tensors have shapes and no memory.
    """

    def __init__(self, elements: int) -> None:
        super().__init__()
        self.left = elements

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        try:
            with torch.device("meta"):
                outline = func(*map(_on_meta, args), **{k: _on_meta(v) for k, v in kwargs.items()})
        except Exception:  # a call that needs values, such as tolist; its own errors appear below
            outline = None
        made = outline if isinstance(outline, (tuple, list)) else [outline]
        self.left -= sum(x.numel() for x in made if isinstance(x, Tensor))
        if self.left < 0:
            raise ConfigError(
                "the architecture asks for far more memory than its weights account for: not to be trusted"
            )
        return func(*args, **kwargs)


def _on_meta(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.to("meta")
    if type(value) in (tuple, list):
        return type(value)(_on_meta(item) for item in value)
    return value


def _class_named(name: Any, where: str) -> type[Configurable]:
    registry = Configurable.registry
    if not isinstance(name, str):
        raise ConfigError(f"{where}: expected the name of a class, got {name!r}")
    if name not in registry:
        for home in _HOMES:
            import_module(home)
    if name not in registry:
        place = f"{where}: " if where else ""
        raise ConfigError(
            f"{place}{unknown_name('class', name, registry)} (only classes of surflow, and Configurable classes that "
            "the running program has defined, are built)"
        )
    return registry[name]
