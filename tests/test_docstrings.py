"""Docstrings are complete: every argument of every constructor, of today, and an example of everything public."""

from __future__ import annotations

import inspect
import re

import pytest

import surflow as sf
from surflow import data, evaluation, plots, presets

PUBLIC = {name: getattr(sf, name) for name in sf.__all__ if callable(getattr(sf, name))}
CLASSES = {name: value for name, value in PUBLIC.items() if inspect.isclass(value)}
FUNCTIONS = {
    f"{module.__name__.split('.')[-1]}.{name}": getattr(module, name)
    for module in (data, evaluation, plots, presets)
    for name in module.__all__
    if inspect.isfunction(getattr(module, name))
} | {name: value for name, value in PUBLIC.items() if inspect.isfunction(value)}

# What is exported and has no example of its own.
WITHOUT_EXAMPLE = {name for name, value in CLASSES.items() if issubclass(value, sf.SurflowError)}  # raised, not built

# Functions whose arguments are explained in sentences.
IN_PROSE = {
    "data.read_context",
    "data.read_rows",
    "evaluation.fit_gaussian",
    "evaluation.gaussian_scores",
    "presets.choose_conditional",
    "presets.summary",
}


def own_doc(value: object) -> str:
    """The docstring of a class or a function, not that of a class above it."""
    return (vars(value).get("__doc__") if inspect.isclass(value) else value.__doc__) or ""


def entries(value: object, section: str) -> set[str]:
    """The names that a section of a docstring explains."""
    doc = inspect.cleandoc(own_doc(value))
    found = re.search(rf"^{section}:\n((?: +.*\n?)+)", doc, re.MULTILINE)
    lines = re.findall(r"^    (\**\w+(?:, \**\w+)*): ", found[1], re.MULTILINE) if found else []
    return {name.strip("* ") for line in lines for name in line.split(",")}


def parameters(value: type) -> set[str]:
    """The arguments of a constructor, which an exception and a class that is only a contract do not have."""
    if value.__init__ is object.__init__ or issubclass(value, Exception):
        return set()
    names = list(inspect.signature(value.__init__).parameters.values())[1:]
    return {p.name for p in names if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)}


@pytest.mark.parametrize("name", CLASSES)
def test_constructors_document_their_arguments_and_no_others(name: str) -> None:
    wanted, stated = parameters(CLASSES[name]), entries(CLASSES[name], "Args")
    assert wanted == stated, f"not documented: {wanted - stated}; documented, and no argument: {stated - wanted}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_document_their_arguments_and_no_others(name: str) -> None:
    wanted, stated = set(inspect.signature(FUNCTIONS[name]).parameters), entries(FUNCTIONS[name], "Args")
    assert stated <= wanted
    assert wanted == stated or name in IN_PROSE, f"not documented: {wanted - stated}"


def test_everything_exported_shows_an_example() -> None:
    without = {name for name, value in PUBLIC.items() if ">>>" not in own_doc(value)}
    assert without == WITHOUT_EXAMPLE
