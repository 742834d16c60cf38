"""``surflow inspect``: what the columns of a table are taken for, and what is doubtful about them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surflow._internal.files import write_text
from surflow.app.cli.shared import say
from surflow.app.names import split_names
from surflow.app.output import check_suffix
from surflow.errors import plain_text

if TYPE_CHECKING:
    from surflow.data import Schema


def inspect(
    data: Annotated[str, typer.Argument(help="A table: a file, a pattern of files, or a query.")],
    column: Annotated[
        list[str] | None,
        typer.Option(help="What a column is: age=count, grade=ordered(low,high), born=date(%d/%m/%Y), code=drop."),
    ] = None,
    drop: Annotated[str | None, typer.Option(help="Columns to leave out, separated by commas.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Also write it: as .toml, for train --schema, or as a page, .html."),
    ] = None,
) -> None:
    """What the columns of a table are taken for, with the evidence, and what is doubtful about the data."""
    from surflow.app.inspection import inspection, write_page_of
    from surflow.app.waiting import waiting

    if output is not None:
        check_suffix(output, (".toml", ".html"))
    with waiting(f"reading {data}"):
        found = inspection(data, column or (), split_names(drop) or ())
    _print(found.title, found.schema, found.sketches)
    if output is not None and output.suffix == ".toml":
        write_text(output, found.schema.to_toml())
    elif output is not None:
        write_page_of(found, output)
    if output is not None:
        say(f"written: {output}")


def _print(title: str, schema: Schema, sketches: dict[str, str]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(plain_text(title)))
    for head in ("column", "is", "values", "missing", "because"):
        table.add_column(head, justify="right" if head == "missing" else "left", overflow="fold")
    for column in schema:
        missing = schema.missing(column)
        kind = column.type if column.used else f"{column.type}, left out"
        cells = [column.name, kind, sketches.get(column.name, ""), missing, column.evidence]
        table.add_row(*(Text(plain_text(cell)) for cell in cells), style=None if column.used else "dim")
    # A pipe or a file gets the whole table, however narrow the terminal is thought to be.
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    for warning in schema.warnings:
        say(f"note: {warning}")
