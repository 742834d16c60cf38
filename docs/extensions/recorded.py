"""Directive ``{recorded}``: numbers of docs/results/*.json as tables, so that no figure of the site is typed."""

from __future__ import annotations

import json
import statistics
import subprocess
from collections import defaultdict
from pathlib import Path
from typing import ClassVar

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

RESULTS = Path(__file__).parent.parent / "results"


def split(text: str) -> list[str]:
    """Names between commas."""
    return [part.strip() for part in text.split(",")]


def digits(value: float) -> str:
    """A number with the digits that a reader can use."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}" if abs(value) >= 10 else f"{value:.3f}"


class Recorded(SphinxDirective):
    """A table of one file: a row for each case and model, a column for each metric; medians of seeds with spans."""

    required_arguments = 1
    option_spec: ClassVar = {"metrics": split, "cases": split, "models": split}

    def run(self) -> list[nodes.Node]:
        path = RESULTS / f"{self.arguments[0]}.json"
        self.env.note_dependency(str(path))
        known = json.loads(path.read_text())
        metrics, cases, models = (self.options.get(name) for name in ("metrics", "cases", "models"))
        values: dict[tuple[str, str], dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        units: dict[str, str] = {}
        for row in known["rows"]:
            asked = row["metric"] in metrics and (not cases or row["case"] in cases)
            if asked and (not models or row["model"] in models) and row["value"] is not None:
                values[row["case"], row["model"]][row["metric"]].append(float(row["value"]))
                units[row["metric"]] = row["unit"]
        if not values:
            raise self.error(f"{path.name} has no such rows")
        titles = [f"{m.replace('_', ' ')}{'' if units[m] in ('1', 'numbers') else f', {units[m]}'}" for m in metrics]
        body = [
            [case, model, *(shown(found.get(metric, [])) for metric in metrics)]
            for (case, model), found in values.items()
        ]
        versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
        said = nodes.paragraph("", "", nodes.Text("Recorded by "), nodes.literal("", known["command"]))
        said += nodes.Text(f"{changed(path)}, with {versions}.")
        return [table(["case", "model", *titles], body), said]


def changed(path: Path) -> str:
    """When a file was recorded, where the history is at hand."""
    command = ["git", "log", "-1", "--format=%cs", "--", path.name]
    try:
        day = subprocess.run(command, cwd=path.parent, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""
    return day and f" on {day}"


def shown(values: list[float]) -> str:
    """A value, or the median of the seeds and their span."""
    if not values:
        return ""
    if len(values) == 1:
        return digits(values[0])
    return f"{digits(statistics.median(values))} ({digits(min(values))} to {digits(max(values))})"


def table(head: list[str], body: list[list[str]]) -> nodes.Node:
    """A table of texts."""
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=1) for _ in head]
    group += nodes.thead("", row_of(head))
    group += nodes.tbody("", *(row_of(cells) for cells in body))
    return nodes.table("", group)


def row_of(cells: list[str]) -> nodes.row:
    """A row of texts."""
    return nodes.row("", *(nodes.entry("", nodes.paragraph("", cell)) for cell in cells))


def setup(app: Sphinx) -> dict[str, bool]:
    """Make the directive known."""
    app.add_directive("recorded", Recorded)
    return {"parallel_read_safe": True}
