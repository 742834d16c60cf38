"""``surflow score``: the log-density of the rows of a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from surflow.app.cli.shared import Run, Seed
from surflow.app.output import check_spares, check_suffix, write_table


def score(
    run: Run,
    data: Annotated[str, typer.Argument(help="A file or data set with the model's columns.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv or .parquet file.")],
    importance_samples: Annotated[
        int, typer.Option(min=1, help="For a model with a bound: draws per row; more are tighter.")
    ] = 100,
    seed: Seed = 0,
) -> None:
    """Log-density in nats of every row of a file; its lower bound, marked so, where the model has only a bound."""
    import numpy as np

    from surflow._internal.random import seeded
    from surflow.app.runs import RunFolder, other_rows
    from surflow.evaluation import log_probs

    check_suffix(output, (".csv", ".parquet"))
    folder = RunFolder.open(run)
    check_spares(output, [*folder.own_files(), Path(data).expanduser()])
    flow = folder.flow()
    part = other_rows(folder, data, seed)
    with seeded(seed):
        log_prob = log_probs(flow, part.x, part.context, importance_samples=importance_samples).numpy()
    kind = "exact" if flow.exact else "bound"
    write_table(output, {"log_prob": log_prob, "kind": np.full(len(log_prob), kind)})
    what = "log-density" if flow.exact else f"lower bound of the log-density with {importance_samples} draws"
    typer.echo(f"mean {what}: {log_prob.mean():.4f} nats over {len(log_prob):,} rows: {output}")
