"""``surflow evaluate``: figures of merit of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surflow._internal.limits import user_path
from surflow.app.cli.shared import Run, Seed, command_line, opened, say
from surflow.app.cli.table import print_figures
from surflow.app.output import check_spares, check_suffix
from surflow.errors import FileError


def evaluate(
    run: Run,
    data: Annotated[
        str | None, typer.Argument(help="Other data with the same columns; by default the held-out rows.")
    ] = None,
    seed: Seed = 0,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Also write them to a JSON file.")] = None,
) -> None:
    """Figures of merit of a trained model on held-out rows, with standard errors."""
    from dataclasses import replace

    from surflow.app import runs

    if output is not None:
        check_suffix(output, (".json",))
    folder = opened(run)
    if output is not None:
        check_spares(output, [*folder.own_files(), *([] if data is None else [user_path(data)])])
    config, flow = folder.config(), folder.flow()
    if data is None:
        rows = runs.evaluate(flow, runs.reload_splits(folder), config, seed, output, command_line())
        print_figures(rows, "held-out rows")
        return
    test = runs.other_rows(folder, data, seed)
    if runs.trained_on(folder, data):
        say(
            f"note: {data} is what the model was trained on: most of its rows are no held-out ones, and figures on "
            f"them flatter it; surflow evaluate {run} alone takes the held-out rows",
            err=True,
        )
    try:
        splits = runs.reload_splits(folder)
    except FileError as error:
        say(f"without the Gaussian baseline, which is fitted to the training rows: {error}", err=True)
        splits = runs.splits_without_data(folder)
    # What is known of the training data's distribution holds for fresh rows of it alone.
    same = data == splits.name
    truth, simulator = (splits.truth, splits.simulator) if same else (None, None)
    splits = replace(splits, name=Path(data).stem, test=test, truth=truth, simulator=simulator)
    print_figures(runs.evaluate(flow, splits, config, seed, output, command_line()), Path(data).name)
