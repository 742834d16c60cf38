"""``surflow sample``: draws of a model in a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surflow._internal.files import written_whole
from surflow.app.cli.shared import DefuseFormulas, Run, Seed, say
from surflow.app.output import check_spares, check_suffix, number_column, write_grid, write_table
from surflow.errors import ConfigError, FileError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from surflow.app.runs import DataSpec, RunFolder
    from surflow.data import Column, ContextEncoding

# Columns of a context that are worth listing.
_MOST_NAMED = 12


def sample(
    run: Run,
    output: Annotated[Path, typer.Option("--output", "-o", help="A .csv, .parquet or .npy file; .png for images.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many samples.")] = 1000,
    context: Annotated[
        list[str] | None,
        typer.Option(
            help="What to condition on: a value, column=value once per column, or a file of one row, or one a draw."
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            help="Of a table: what is known of the rows, such as sex=F, region=north,south, 'age>=60', '60<=age<70', "
            "'income is missing' or 'income is not missing'; once for every column."
        ),
    ] = None,
    seed: Seed = 0,
    defuse_formulas: DefuseFormulas = False,
) -> None:
    """Draw samples of a trained model into a file; with --context of one trained so, with --given of a table's."""
    from surflow._internal.random import seeded
    from surflow.app.runs import RunFolder
    from surflow.evaluation import draws
    from surflow.tables.model import FEW

    kinds = (".csv", ".parquet", ".npy", ".png")
    check_suffix(output, kinds)
    folder = RunFolder.open(run)
    check_spares(output, folder.own_files())
    facts = folder.facts()
    if output.suffix == ".png" and (len(facts.event_shape) != 3 or facts.event_shape[0] not in (1, 3)):
        raise FileError(f"{output}: the samples are no images, they have shape {facts.event_shape}: write .csv or .npy")
    of = _context(context or [], facts.context, n)
    if given:
        x, effective = _given(folder, given, n, seed)
    else:
        with seeded(seed):
            x, effective = draws(folder.flow(), n, of), 1.0
    if output.suffix == ".npy":
        import numpy as np

        with written_whole(output) as scratch:
            np.save(scratch, x.numpy())
    elif output.suffix == ".png":
        write_grid(output, x, facts.support)
    else:
        columns = [*_columns(x.flatten(1), facts), *_context_columns(of, facts.context)]
        write_table(output, columns, defuse_formulas=defuse_formulas)
    say(f"{n:,} samples: {output}")
    if effective < 1:
        few = "; samples may repeat or be off: state fewer or wider ranges" if effective < FEW else ""
        say(f"  drawn by importance weights, of which an effective {effective:.1%} count{few}")


def _given(folder: RunFolder, stated: list[str], n: int, seed: int) -> tuple[Tensor, float]:
    """Rows given what the command line says, and the effective share of their proposals."""
    from surflow.tables.given import parse_given

    model = folder.table_model()
    return model.sample_rows(n, given=parse_given(stated, model.columns), seed=seed)


def _columns(x: Tensor, facts: DataSpec) -> list[tuple[Column, np.ma.MaskedArray]]:
    """The columns of samples, as their schema has them."""
    from surflow.data.tables.columns import decode

    if facts.schema is not None:
        known = facts.schema.columns
    else:
        known = [number_column(name) for name in facts.columns or [f"x{i}" for i in range(x.shape[1])]]
    return [(column, decode(column, x[:, i].double().numpy())) for i, column in enumerate(known)]


def _context_columns(given: Tensor | None, encoding: ContextEncoding | None) -> list[tuple[Column, np.ma.MaskedArray]]:
    """The columns of a raw context, categories by name."""
    from surflow.data.tables.columns import decode

    if given is None or encoding is None:
        return []
    values = given.double().numpy()
    return [(column.column, decode(column.column, values[:, i])) for i, column in enumerate(encoding.columns)]


def _context(values: list[str], encoding: ContextEncoding | None, n: int) -> Tensor | None:
    """``n`` rows of raw context from what the command line says."""
    if encoding is None:
        if values:
            raise ConfigError("the model was trained without a context: leave out --context")
        return None
    known = {c.name: "a number" if c.categories is None else " | ".join(c.categories) for c in encoding.columns}
    expected = ", ".join(f"--context {name}=({what})" for name, what in known.items())
    if len(known) > _MOST_NAMED:
        first, *_, last = known
        expected = f"--context FILE, a table of one row, or of one a draw, with the {len(known)} columns "
        expected += f"{first} to {last}"
    if not values:
        raise ConfigError(f"the model is conditional: expected {expected}")
    if len(values) == 1 and "=" not in values[0] and Path(values[0]).suffix and Path(values[0]).expanduser().is_file():
        return _context_rows(Path(values[0]).expanduser(), encoding, n)
    given = {}
    for value in values:
        name, equals, rest = value.partition("=")
        sole = encoding.columns[0] if len(known) == 1 else None
        if sole is not None and (not equals or value in (sole.categories or [])):
            name, rest = sole.name, value
        elif not equals:
            raise ConfigError(f"--context {value!r} names no column: expected {expected}")
        if name not in known:
            raise ConfigError(unknown_name("context column", name, known))
        if name in given:
            raise ConfigError(f"--context gives {name!r} more than once: expected one value for each column")
        given[name] = rest
    return encoding.encode(given).expand(n, -1)


def _context_rows(path: Path, encoding: ContextEncoding, n: int) -> Tensor:
    """The contexts in a file: one for all draws, or one for each."""
    from surflow.data import read_context

    given = read_context(path, encoding)
    if len(given) not in (1, n):
        raise ConfigError(
            f"{path} expects one row, the context of all {n:,} draws, or one a draw, got {len(given):,}: pass "
            f"-n {len(given)} to draw once for each"
        )
    return given.expand(n, -1)
