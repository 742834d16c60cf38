"""What ``surflow inspect`` shows: a schema with a sketch of every column, in the terminal or as a page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from surflow.app.page import Section, write_page
from surflow.data import Column, Schema, infer
from surflow.data.readers.frame import Frame
from surflow.data.readers.raw import Raw
from surflow.data.sources import read
from surflow.data.table import existing
from surflow.data.tables.columns import decode, encode
from surflow.data.tables.wishes import wishes
from surflow.errors import ConfigError

_BARS = "▁▂▃▄▅▆▇█"
_WIDTH = 16
_ROWS = 20_000
_NAMES = 3


@dataclass(frozen=True)
class Inspection:
    """A table's title, its schema, and a sketch of every column that has one."""

    title: str
    schema: Schema
    sketches: dict[str, str]


def inspection(source: str, column: Sequence[str] = (), drop: Sequence[str] = ()) -> Inspection:
    """What a table holds.

    Raises:
        ConfigError: for events, which have no columns.
    """
    raw = read(source)
    frame = _frame(raw)
    dropped = [f"{existing(raw, name)}=drop" for name in drop]
    schema = infer(frame, wishes([*column, *dropped], raw.columns))
    title = f"{raw.name}: {frame.rows:,} rows, {len(schema.columns)} columns of {raw.origin}"
    return Inspection(title, schema, sketches(frame, schema.columns))


def _frame(raw: Raw) -> Frame:
    if raw.frame is None or raw.events is not None:
        shape = "" if raw.events is None else f" of shape {raw.events.shape[1:]}"
        raise ConfigError(f"{raw.origin} holds events{shape}, not a table: there are no columns to inspect")
    return raw.frame


def sketches(frame: Frame, columns: Sequence[Column]) -> dict[str, str]:
    """A histogram of numbers as a line of blocks between their ends, and the most frequent names."""
    drawn = [column for column in columns if column.kind.numeric or column.kind.named]
    if not drawn:
        return {}
    x = encode(frame, drawn, most=_ROWS)
    found = {}
    for i, column in enumerate(drawn):
        values = x[np.isfinite(x[:, i]), i]
        if len(values):
            found[column.name] = _of_names(column, values) if column.kind.named else _of_numbers(column, values)
    return found


def _of_numbers(column: Column, values: np.ndarray) -> str:
    low, high = values.min(), values.max()
    ends = [_text(column, value) for value in (low, high)]
    if low == high:
        return ends[0]
    bins = min(_WIDTH, round((high - low) / column.step) + 1) if column.step else _WIDTH
    counts = np.histogram(values, max(bins, 2), (low, high))[0]
    heights = np.ceil(counts / counts.max() * len(_BARS)).astype(int)
    return f"{ends[0]} {''.join(' ' if h == 0 else _BARS[h - 1] for h in heights)} {ends[1]}"


def _text(column: Column, value: float) -> str:
    decoded = decode(column, np.asarray([value]))[0]
    return f"{decoded:.6g}" if isinstance(decoded, float) else str(decoded)


def _of_names(column: Column, values: np.ndarray) -> str:
    counts = np.bincount(values.astype(int), minlength=len(column.categories) + 1)
    order = np.argsort(-counts, kind="stable")[:_NAMES]
    names = [*column.categories, "(other)"]
    said = [f"{names[i]} {100 * counts[i] / len(values):.0f} %" for i in order if counts[i]]
    return ", ".join(said) + (", …" if (counts > 0).sum() > _NAMES else "")


def write_page_of(found: Inspection, path: Path) -> Path:
    """The inspection as a page of its own."""
    schema = found.schema
    lines = []
    for column in schema:
        missing = schema.missing(column)
        kind = column.type if column.used else f"{column.type}, left out"
        lines.append(
            [column.name, kind, found.sketches.get(column.name, ""), missing, column.unit or "", column.evidence]
        )
    head = ["column", "is", "values", "missing", "unit", "because"]
    table = {"head": head, "rows": lines, "numbers": [3]}
    sections = [Section("columns", "Columns", tables=[table])]
    if schema.warnings:
        sections.append(Section("notes", "Worth knowing", texts=list(schema.warnings)))
    sections.append(Section("schema", "As TOML", blocks=[{"title": "for train --schema", "text": schema.to_toml()}]))
    used = len(schema.used)
    return write_page(
        path,
        eyebrow="surflow · inspection of a table",
        heading="schema",
        on=found.title.split(":")[0],
        lede=found.title,
        facts=[
            {"kind": "", "text": f"{used} columns to learn"},
            {"kind": "", "text": f"{len(schema.columns) - used} left out"},
        ],
        sections=sections,
        note="Overrule a column with --column NAME=KIND, or edit the TOML and pass it as --schema.",
    )
