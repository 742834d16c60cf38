"""``surflow impute``: a table with its holes filled."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surflow._internal.limits import user_path
from surflow.app.cli.shared import DefuseFormulas, Run, Seed, opened, say
from surflow.app.output import check_spares, check_suffix, write_table

if TYPE_CHECKING:
    import numpy as np


def impute(
    run: Run,
    data: Annotated[str, typer.Argument(help="A file with the model's columns, and holes in them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv or .parquet file.")],
    draws: Annotated[
        int | None,
        typer.Option(
            min=1, help="Fill every hole so many times with draws, numbered in a column draw; else with one best guess."
        ),
    ] = None,
    seed: Seed = 0,
    defuse_formulas: DefuseFormulas = False,
) -> None:
    """Fill the holes of a table: with the median or the most likely name given the rest of the row, or with --draws."""
    from surflow.data.sources import read
    from surflow.tables.libraries import fill_frame

    check_suffix(output, (".csv", ".parquet"))
    folder = opened(run)
    check_spares(output, [*folder.own_files(), user_path(data)])
    model = folder.table_model()
    raw = read(data)
    fills = model.fills(raw, draws=draws, seed=seed, progress=sys.stderr.isatty())
    frame = raw.frame
    assert frame is not None  # fills has said so
    columns = fill_frame(frame, model.columns, fills)
    if output.suffix == ".csv":
        columns = [(column, name, _as_text(values)) for column, name, values in columns]
    write_table(output, [(column, values) for column, _, values in columns], defuse_formulas=defuse_formulas)
    holes = sum(len(rows) for rows, _ in fills[0].values())
    how = "a best guess" if draws is None else f"{draws} draws"
    say(f"{holes:,} holes of {frame.rows:,} rows filled, each with {how}: {output}")


def _as_text(values: np.ma.MaskedArray) -> np.ma.MaskedArray:
    """Truth values as tables write them; all else as it is."""
    import numpy as np

    if values.dtype.kind != "b":
        return values
    names = np.where(np.ma.getdata(values), "true", "false").astype(object)
    return np.ma.masked_array(names, np.ma.getmaskarray(values))
