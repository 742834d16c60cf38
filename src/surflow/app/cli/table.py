"""Figures of merit as a table in the terminal."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from surflow.errors import plain_text

if TYPE_CHECKING:
    from surflow.evaluation import Row

# Figures of one coordinate of the latent, of one column or of a pair: too many for a terminal.
_OF_ONE = re.compile(r".*_\d+")


def print_figures(rows: list[Row], which: str) -> None:
    """Print the figures of merit of a model on ``which`` rows."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    what = f"{rows[0]['case']}, {which}" if which == "held-out rows" else which
    # Texts, as names from files are no markup.
    table = Table(title=Text(plain_text(f"{rows[0]['model']} on {what}")))
    if any(row["metric"] == "entropy_gap" for row in rows):
        table.caption = "entropy_gap is paired: NLL minus the truth's NLL on the same rows"
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("± error", justify="right")
    table.add_column("unit")
    for row in rows:
        if _OF_ONE.fullmatch(row["metric"]):
            continue  # in metrics.json and in the report
        error = "" if row["error"] is None else f"{row['error']:.4f}"
        value = f"{row['value']:,.0f}" if row["unit"] == "rows" else f"{row['value']:.4f}"
        table.add_row(*(Text(plain_text(cell)) for cell in (row["metric"], value, error, row["unit"])))
    # A pipe or a file gets the whole table, however narrow the terminal is thought to be.
    Console(width=None if sys.stdout.isatty() else 100).print(table)
