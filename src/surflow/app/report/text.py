"""Numbers and shapes as the report words them."""

from __future__ import annotations

from surflow.app.page import plus_minus
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
