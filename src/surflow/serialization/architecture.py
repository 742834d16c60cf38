"""Architectures as plain values: the classes and arguments that objects were built with, and back."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from contextlib import nullcontext
from importlib import import_module
from typing import Any, TypeAlias

import numpy as np
from torch import Tensor, nn

from surflow._internal.configurable import Configurable
from surflow.errors import ConfigError, FileError, SurflowError, unknown_name
from surflow.serialization.budget import Budget
from surflow.serialization.old_names import today

# What describe makes, and a file holds.
JSON: TypeAlias = bool | int | float | str | list["JSON"] | dict[str, "JSON"] | None

# Python's own recursion is what deeper nesting would exhaust.
_MOST_DEPTH = 64

# Where Configurable classes are defined that `import surflow` alone does not bring.
_HOMES = ("surflow", "surflow.data", "surflow.nets.context", "surflow.nets.selected", "surflow.tables.model")


def describe(obj: Configurable, *, full: bool = False) -> dict[str, JSON]:
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
    return _object(obj, type(obj).__name__, full=full)


def _object(obj: Configurable, where: str, *, full: bool) -> dict[str, JSON]:
    signature = inspect.signature(type(obj).__init__)
    arguments: dict[str, JSON] = {}
    for name, parameter in list(signature.parameters.items())[1:]:
        if name in obj.arguments:
            given = obj.arguments[name]
        elif full and parameter.default is not inspect.Parameter.empty:
            given = parameter.default
        else:
            continue
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            arguments |= {key: _describe(item, f"{where}.{key}", full=full) for key, item in given.items()}
        else:
            arguments[name] = _describe(given, f"{where}.{name}", full=full)
    return {"class": type(obj).__name__, "arguments": arguments}


def _describe(value: object, where: str, *, full: bool) -> JSON:
    if isinstance(value, Configurable):
        return _object(value, where, full=full)
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (list, tuple, range, nn.ModuleList)):
        return [_describe(item, f"{where}[{i}]", full=full) for i, item in enumerate(value)]
    if isinstance(value, Mapping) and "class" not in value and all(isinstance(key, str) for key in value):
        return {key: _describe(item, f"{where}[{key!r}]", full=full) for key, item in value.items()}
    if isinstance(value, nn.Module):
        raise FileError(
            f"{where} is a {type(value).__name__}, which does not remember how it was built: derive the class from "
            "surflow.Configurable too, class Net(sf.Configurable, nn.Module), and its arguments are saved with it"
        )
    if isinstance(value, Tensor | np.ndarray | np.generic):
        if value.shape == ():
            return value.item()
        raise FileError(f"{where} is a tensor of shape {tuple(value.shape)}; a file states plain lists: pass .tolist()")
    raise FileError(
        f"{where} is a {type(value).__name__}, but a file states only numbers, strings, booleans, None, lists of these "
        "and surflow's own objects"
    )


def build(description: Mapping[str, object], budget: Budget | None = None) -> Configurable:
    """The object that a description from :func:`describe` states; lists become tuples.

    Only classes in ``Configurable.registry`` are built: surflow's and those that the running program has defined.

    Args:
        description: a class and its arguments.
        budget: of memory and work, for a description from a stranger.

    Raises:
        ConfigError: for an unknown class or argument, a missing argument, values that the class cannot use, or more
            than the budget.
        SurflowError: what the class itself raises, e.g. ShapeError for a chain that does not fit.

    >>> build({"class": "Abs", "arguments": {"event_shape": [2]}}).codomain
    positive
    """
    with nullcontext() if budget is None else budget:
        return _Builder(budget).instance(description, "", 0)


class _Builder:
    """Builds nested descriptions within a budget."""

    def __init__(self, budget: Budget | None) -> None:
        self.budget = budget

    def value(self, value: object, where: str, depth: int) -> object:
        if depth > _MOST_DEPTH:
            raise ConfigError(f"{where[:100]}... is nested deeper than {_MOST_DEPTH} levels: no flow is like that")
        if self.budget is not None:
            self.budget.value()
        if isinstance(value, Mapping):
            if "class" in value:
                return self.instance(value, where, depth)
            return {str(key): self.value(item, f"{where}.{key}", depth + 1) for key, item in value.items()}
        if isinstance(value, (list, tuple)):
            return tuple(self.value(item, f"{where}[{i}]", depth + 1) for i, item in enumerate(value))
        if value is None or isinstance(value, (bool, int, float, str)):
            return value
        raise ConfigError(f"{where} is a {type(value).__name__}: expected numbers, strings, booleans, lists or tables")

    def instance(self, description: Mapping[str, Any], where: str, depth: int) -> Configurable:
        name, given = description["class"], description.get("arguments", {})
        if not isinstance(name, str):
            raise ConfigError(f"{where}: expected the name of a class, got {name!r}")
        extra = set(description) - {"class", "arguments"}
        if not isinstance(given, Mapping) or extra:
            raise ConfigError(
                f'{where or name}: expected the entries "class" and "arguments", got {sorted(description)}'
            )
        name, given = today(name, given)
        cls = _class_named(name, where)
        position = where or cls.__name__
        if self.budget is not None:
            self.budget.instance(cls)
        signature = inspect.signature(cls.__init__)
        known = dict(list(signature.parameters.items())[1:])
        collects = next((n for n, p in known.items() if p.kind is inspect.Parameter.VAR_KEYWORD), None)
        bound: dict[str, Any] = {}
        for name, item in given.items():
            value = self.value(item, f"{where}.{name}".lstrip("."), depth + 1)
            if self.budget is not None:
                self.budget.argument(cls, f"{where}.{name}".lstrip("."), value)
            if name in known:
                bound[name] = value
            elif collects is not None:
                bound.setdefault(collects, {})[name] = value
            else:
                raise ConfigError(f"{position}: {unknown_name(f'argument of {cls.__name__}', str(name), known)}")
        optional = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
        missing = [n for n, p in known.items() if n not in bound and p.default is p.empty and p.kind not in optional]
        if missing:
            raise ConfigError(f"{position}: {cls.__name__} needs the argument {', '.join(missing)}")
        in_order = {name: bound[name] for name in known if name in bound}
        call = inspect.BoundArguments(signature.replace(parameters=list(known.values())), in_order)  # type: ignore[arg-type]
        try:
            return cls(*call.args, **call.kwargs)
        except SurflowError as error:
            raise type(error)(f"{where}: {error}" if where else str(error)) from error
        except Exception as error:  # a wrong type goes wrong anywhere in a constructor
            raise ConfigError(f"{position}: {cls.__name__} cannot be built from these arguments: {error}") from error


def _class_named(name: str, where: str) -> type[Configurable]:
    registry = Configurable.registry
    if name not in registry:
        for home in _HOMES:
            import_module(home)
    if name not in registry:
        position = f"{where}: " if where else ""
        raise ConfigError(
            f"{position}{unknown_name('class', name, registry)} (only classes of surflow, and Configurable classes "
            "that the running program has defined, are built)"
        )
    return registry[name]
