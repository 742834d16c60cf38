"""``surflow score``: the log-density of the rows of a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surflow._internal.limits import user_path
from surflow.app.cli.shared import DefuseFormulas, Run, Seed, say
from surflow.app.output import check_spares, check_suffix, number_column, own_columns, write_table

if TYPE_CHECKING:
    import numpy as np

    from surflow.data import Column


def score(
    run: Run,
    data: Annotated[str, typer.Argument(help="A file or data set with the model's columns.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv or .parquet file.")],
    beside: Annotated[
        str | None,
        typer.Option(help="Columns of the file to write beside, separated by commas, such as an id; or all."),
    ] = None,
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Of a table: the oddest value of every row, what was expected there, nats a column."
        ),
    ] = False,
    importance_samples: Annotated[
        int, typer.Option(min=1, help="For a model with a bound: draws per row; more are tighter.")
    ] = 100,
    seed: Seed = 0,
    defuse_formulas: DefuseFormulas = False,
) -> None:
    """Log-density in nats of every row of a file; its lower bound, marked so, where the model has only a bound."""
    import numpy as np

    from surflow._internal.random import seeded
    from surflow.app.runs import RunFolder, other_rows
    from surflow.data import Column, ColumnKind
    from surflow.evaluation import log_probs

    check_suffix(output, (".csv", ".parquet"))
    folder = RunFolder.open(run)
    check_spares(output, [*folder.own_files(), user_path(data)])
    flow = folder.flow()
    model = folder.table_model() if explain else None
    if beside is not None:
        own_columns(data, beside)  # before the work
    part = other_rows(folder, data, seed)
    with seeded(seed):
        log_prob = log_probs(flow, part.x, part.context, importance_samples=importance_samples).numpy()
    kind = np.full(len(log_prob), "exact" if flow.exact else "bound", dtype=object)
    scores = [
        (number_column("log_prob"), np.ma.masked_array(log_prob.astype(float))),
        (Column("kind", ColumnKind.CATEGORY), np.ma.masked_array(kind)),
    ]
    if model is not None:
        _, *more = model.explained(part.x, progress=sys.stderr.isatty())
        scores += [(_text_or_number(name, values), values) for name, values in more]
    columns = [*([] if beside is None else own_columns(data, beside)), *scores]
    write_table(output, columns, defuse_formulas=defuse_formulas)
    what = "log-density" if flow.exact else f"lower bound of the log-density with {importance_samples} draws"
    say(f"mean {what}: {log_prob.mean():.4f} nats over {len(log_prob):,} rows: {output}")


def _text_or_number(name: str, values: np.ma.MaskedArray) -> Column:
    from surflow.data import Column, ColumnKind

    return Column(name, ColumnKind.CATEGORY) if values.dtype.kind == "O" else number_column(name)
