"""The report of a run: one self-contained HTML page with figures of merit, pictures and what made them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from surflow._internal.random import seeded
from surflow.app.page import PictureWriter, Section, duration, write_page
from surflow.app.report import tables
from surflow.app.report.merit import merit
from surflow.app.report.model import account_of_nats, latent, training
from surflow.app.report.origin import data, made
from surflow.app.report.samples import posterior, samples
from surflow.app.report.text import shape_text
from surflow.app.report.verdict import verdict
from surflow.data import Splits
from surflow.evaluation.results import Row
from surflow.flow import Flow

__all__ = ["write_report"]


def write_report(
    folder: str | Path,
    *,
    flow: Flow,
    splits: Splits,
    rows: Sequence[Row],
    log: Sequence[Mapping[str, Any]],
    command: str,
    config_text: str,
    seed: int = 0,
) -> Path:
    """Write ``folder/report.html`` and ``folder/pictures/*.png``; returns the path of the page.

    Args:
        folder: the run's folder.
        flow: the trained flow.
        splits: its data, :class:`surflow.data.Splits`.
        rows: what :func:`surflow.evaluation.evaluate` returned.
        log: training log, rows with step, split ("train" or "validation"), nll, learning_rate and seconds.
        command: the command that made the run.
        config_text: its configuration.
        seed: of the draws that are shown.
    """
    folder = Path(folder)
    show = PictureWriter(folder / "pictures")
    # Runs of the first versions recorded the figures of latents as code_*.
    rows = [row | {"metric": re.sub("^code_", "latent_", row["metric"])} for row in rows]  # type: ignore[misc]
    figures = {row["metric"]: row for row in rows}
    with seeded(seed):
        sections = [
            verdict(splits, figures),
            merit(flow, splits, rows, figures, show),
            training(flow, log, figures, show),
            samples(flow, splits, show),
            tables.ranges(splits, figures),
            tables.association(splits, figures, show),
            tables.detection(splits, figures),
            tables.useful(splits, figures),
            tables.memory(splits, figures),
            tables.odd(flow, splits),
            posterior(flow, splits, show),
            latent(flow, splits, figures, show),
            account_of_nats(flow, splits, show),
            Section("model", "Model", blocks=[{"title": "", "text": flow.summary()}]),
            data(splits),
            made(command, config_text),
        ]
    return write_page(
        folder / "report.html",
        eyebrow="surflow · report of a run",
        heading=rows[0]["model"] if rows else "flow",
        on=splits.name,
        lede=splits.description,
        facts=_facts(flow, splits.columns, log),
        sections=[section for section in sections if section is not None],
        note="Errors are standard errors over the held-out rows.",
    )


def _facts(flow: Flow, columns: Sequence[str], log: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    layers = f"{len(flow.transforms)} layers, " if flow.transforms else ""
    parameters = sum(p.numel() for p in flow.parameters())
    facts = [
        {"kind": "exact", "text": "exact density"} if flow.exact else {"kind": "bound", "text": "bound on the density"},
        {"kind": "", "text": f"{len(columns)} columns" if columns else f"event shape {shape_text(flow.event_shape)}"},
        {"kind": "", "text": f"{layers}{parameters:,} parameters"},
    ]
    if flow.context_shape is not None:
        facts.append({"kind": "", "text": "conditional"})
    if log:
        seconds = max(float(row.get("seconds") or 0.0) for row in log)
        steps = [int(row["step"]) for row in log]
        count = max(steps) + (min(steps) == 0)  # steps may be counted from 0 or from 1
        facts.append({"kind": "", "text": f"{count:,} steps in {duration(seconds)}"})
    return facts
