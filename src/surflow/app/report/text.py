"""Numbers and shapes as the report words them."""

from __future__ import annotations

import numpy as np

from surflow.app.page import plus_minus
from surflow.data import Column
from surflow.data.tables.columns import decode
from surflow.evaluation.results import Row


def card(what: str, row: Row, note: str, tag: str = "") -> dict[str, str]:
    """A figure of merit as a card at the head of a section."""
    value, error = plus_minus(row["value"], row["error"])
    return {"what": what, "value": value, "error": error, "note": note, "tag": tag}


def joined(row: Row) -> str:
    """Value ± error."""
    return " ± ".join(filter(None, plus_minus(row["value"], row["error"])))


def shape_text(shape: tuple[int, ...]) -> str:
    """A shape, such as 1 × 28 × 28."""
    return " × ".join(map(str, shape)) if shape else "one number"


def percent(row: Row) -> str:
    """A share and its error in per cent.

    >>> percent(Row(case="", model="", seed=0, metric="", value=0.581, error=0.0123, unit=""))
    '58.1 ± 1.2 %'
    """
    error = None if row["error"] is None else 100 * row["error"]
    return " ± ".join(filter(None, plus_minus(100 * row["value"], error))) + " %"


def value_text(column: Column, value: float) -> str:
    """A number of a column as a person reads it: a name, a date, six digits, or that it is missing.

    >>> from surflow.data import ColumnKind
    >>> value_text(Column("pet", ColumnKind.CATEGORY, categories=["cat", "dog"]), 1.0)
    'dog'
    """
    if np.isnan(value):
        return "missing"
    decoded = decode(column, np.asarray([value]))[0]
    if isinstance(decoded, float):
        text = f"{decoded:.6g}" if abs(decoded) < 1e6 else f"{decoded:,.0f}"
        return text.replace("-", "−")
    return str(decoded)
