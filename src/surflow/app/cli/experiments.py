"""The experiments, which are a package of their own, by its entry points."""

from __future__ import annotations

from importlib.metadata import entry_points
from typing import Any

NO_EXPERIMENTS = "they are no part of the package: in a checkout of surflow, pip install ./experiments brings them"


def experiments() -> dict[str, Any]:
    """What the package of experiments offers by its entry points; nothing where it is not installed."""
    return {point.name: point.load() for point in entry_points(group="surflow.experiments")}
