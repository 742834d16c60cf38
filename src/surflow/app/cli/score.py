"""``surflow score``: the log-density of the rows of a file."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surflow._internal.limits import user_path
from surflow.app.cli.shared import DefuseFormulas, Run, Seed, opened, say
from surflow.app.output import (
    check_spares,
    check_suffix,
    join_tables,
    number_column,
    own_columns,
    own_names,
    table_writer,
)
from surflow.app.parts import seed_of, sizes, write_by_ranks
from surflow.app.waiting import waiting

if TYPE_CHECKING:
    import numpy as np

    from surflow.data import Column, Part
    from surflow.flow import Flow
    from surflow.tables.model import TableModel

# Rows that are scored, with a seed of their own, and written at once, whoever does it.
_PART = 2**17


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
    from surflow._internal.ranks import join, ranks
    from surflow.app.runs import OtherRows

    join()
    check_suffix(output, (".csv", ".parquet"))
    folder = opened(run)
    check_spares(output, [*folder.own_files(), user_path(data)])
    scorer = _Scorer(folder.flow(), folder.table_model() if explain else None, importance_samples, seed)
    rows = OtherRows(folder, data, seed)
    names = None if beside is None else own_names(rows.raw, beside)
    parts = sizes(rows.rows, _PART)

    def write(path: Path, numbers: Sequence[int]) -> str:
        total = []
        with table_writer(path, defuse_formulas=defuse_formulas) as write_rows:
            for number in numbers:
                with waiting(f"scoring rows from {parts[number][0] + 1:,} of {rows.rows:,}"):
                    scores = scorer.scores(rows.between(*parts[number]), number)
                own = [] if names is None or rows.raw is None else own_columns(rows.raw.between(*parts[number]), names)
                write_rows([*own, *scores])
                total.append(float(scores[0][1].sum()))
        return repr(math.fsum(total))

    totals = write_by_ranks(output, parts, write, join_tables)
    if ranks().rank == 0:
        what = "log-density"
        if not scorer.flow.exact:
            what = f"lower bound of the log-density with {importance_samples} draws"
        mean = math.fsum(map(float, totals)) / rows.rows
        say(f"mean {what}: {mean:.4f} nats over {rows.rows:,} rows: {output}")


class _Scorer:
    """Scores of rows, part by part."""

    def __init__(self, flow: Flow, model: TableModel | None, importance_samples: int, seed: int) -> None:
        self.flow, self.model, self.importance_samples, self.seed = flow, model, importance_samples, seed

    def scores(self, part: Part, number: int) -> list[tuple[Column, np.ma.MaskedArray]]:
        import numpy as np

        from surflow._internal.random import seeded
        from surflow.data import Column, ColumnKind
        from surflow.evaluation import log_probs

        with seeded(seed_of(self.seed, number)):
            log_prob = log_probs(self.flow, part.x, part.context, importance_samples=self.importance_samples).numpy()
        kind = np.full(len(log_prob), "exact" if self.flow.exact else "bound", dtype=object)
        scores = [
            (number_column("log_prob"), np.ma.masked_array(log_prob.astype(float))),
            (Column("kind", ColumnKind.CATEGORY), np.ma.masked_array(kind)),
        ]
        if self.model is not None:
            _, *more = self.model.explained(part.x, progress=sys.stderr.isatty())
            scores += [(_text_or_number(name, values), values) for name, values in more]
        return scores


def _text_or_number(name: str, values: np.ma.MaskedArray) -> Column:
    from surflow.data import Column, ColumnKind

    return Column(name, ColumnKind.CATEGORY) if values.dtype.kind == "O" else number_column(name)
