"""Recorded results: one tidy schema for all figures of merit, and the file that holds them."""

from __future__ import annotations

import json
import math
import os
import platform
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import TypedDict

from surflow._internal.files import make_folder, write_text
from surflow._internal.limits import read_text
from surflow.errors import FileError

_FIELDS = ("case", "model", "seed", "metric", "value", "error", "unit")


class Row(TypedDict):
    """One figure: what was modelled, by what, with which seed; the metric, its value, standard error or None, unit."""

    case: str
    model: str
    seed: int
    metric: str
    value: float
    error: float | None
    unit: str


class Machine(TypedDict):
    """The kind of machine."""

    platform: str
    processors: int | None


class Results(TypedDict):
    """What a file of results holds."""

    command: str
    versions: dict[str, str]
    machine: Machine
    rows: list[Row]


def versions() -> dict[str, str]:
    """Versions of what computed the figures."""
    found = {"surflow": _version("surflow"), "torch": _version("torch"), "lightning": _version("lightning")}
    return found | {"python": ".".join(map(str, sys.version_info[:3]))}


def machine() -> Machine:
    """The kind of machine: platform and number of processors, nothing that names it."""
    return {"platform": f"{platform.system()} {platform.machine()}", "processors": os.cpu_count()}


def write_results(path: str | Path, command: str, rows: Sequence[Row]) -> Path:
    """Write ``{"command", "versions", "machine", "rows"}`` as JSON; a number that is not finite becomes null.

    Args:
        path: of the file.
        command: that makes the rows again.
        rows: a figure each.
    """
    path = Path(path)
    make_folder(path.parent)
    plain = [{field: _finite(row[field]) for field in _FIELDS} for row in rows]  # type: ignore[literal-required]
    head = {"command": command, "versions": versions(), "machine": machine()}
    # One row a line: files that are compared and merged stay readable.
    lines = ",\n".join("  " + json.dumps(row, allow_nan=False, ensure_ascii=False) for row in plain)
    opening = json.dumps(head, allow_nan=False, ensure_ascii=False, indent=1)[:-2]
    write_text(path, f'{opening},\n "rows": [\n{lines}\n ]\n}}\n')
    return path


def read_results(path: str | Path) -> Results:
    """The dictionary that :func:`write_results` wrote; a value that was not finite is nan.

    Args:
        path: of the file.

    Raises:
        FileError: if the file is missing, is not JSON, or has another schema.
    """
    path = Path(path)
    try:
        content = json.loads(read_text(path))
    except (ValueError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"{path} is not a JSON file of results: {error}") from None
    rows = content.get("rows") if isinstance(content, dict) else None
    if not isinstance(rows, list) or not all(map(_is_row, rows)) or not isinstance(content.get("command"), str):
        raise FileError(f"{path} has another schema: expected a command, and rows with the fields {', '.join(_FIELDS)}")
    for row in rows:
        row["value"] = math.nan if row["value"] is None else row["value"]
    return content


def _is_row(row: object) -> bool:
    """Whether a value from a file has the fields of a figure, each of its type."""
    if not isinstance(row, dict) or set(row) != set(_FIELDS):
        return False
    texts = all(isinstance(row[field], str) for field in ("case", "model", "metric", "unit"))
    return texts and type(row["seed"]) is int and all(_is_number(row[field]) for field in ("value", "error"))


def _is_number(value: object) -> bool:
    """Whether a value is a number that a float can hold, or none."""
    return value is None or isinstance(value, float) or (type(value) is int and abs(value) < 2**1023)


def _finite(value: object) -> object:
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        module = sys.modules.get(package)
        return str(getattr(module, "__version__", "unknown"))
