"""``surflow sample``: draws of a model in a file."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from surflow.app.cli.shared import DefuseFormulas, Run, Seed, opened, say
from surflow.app.output import (
    array_writer,
    check_spares,
    check_suffix,
    join_arrays,
    join_tables,
    number_column,
    table_writer,
    write_grid,
)
from surflow.app.parts import seed_of, sizes, write_by_ranks
from surflow.errors import ConfigError, FileError, unknown_name

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from surflow.app.runs import DataSpec, RunFolder
    from surflow.data import Column, ContextEncoding

# Rows that are drawn, with a seed of their own, and written at once, whoever does it.
_PART = 2**16

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
    import torch

    from surflow._internal.ranks import join, ranks

    join()
    kinds = (".csv", ".parquet", ".npy", ".png")
    check_suffix(output, kinds)
    folder = opened(run)
    check_spares(output, folder.own_files())
    facts = folder.facts()
    if output.suffix == ".png" and (len(facts.event_shape) != 3 or facts.event_shape[0] not in (1, 3)):
        raise FileError(f"{output}: the samples are no images, they have shape {facts.event_shape}: write .csv or .npy")
    of = _context(context or [], facts.context, n)
    draw = _drawing(folder, given, seed)
    parts = sizes(n, _PART)
    if output.suffix == ".png":
        if ranks().rank == 0:  # pictures are of few
            drawn = [
                draw(end - begin, None if of is None else of[begin:end], i) for i, (begin, end) in enumerate(parts)
            ]
            write_grid(output, torch.cat([x for x, _ in drawn]), facts.support)
            _say_drawn(n, output, [drawn[i][1] * (end - begin) for i, (begin, end) in enumerate(parts)])
        return

    def write(path: Path, numbers: Sequence[int]) -> str:
        counted, begin_of_file = [], parts[numbers[0]][0]
        with _writer(path, parts[numbers[-1]][1] - begin_of_file, facts, defuse_formulas=defuse_formulas) as write_rows:
            for number in numbers:
                begin, end = parts[number]
                context = None if of is None else of[begin:end]
                x, effective = draw(end - begin, context, number)
                write_rows(begin - begin_of_file, x, context)
                counted.append(effective * (end - begin))
        return repr(math.fsum(counted))

    totals = write_by_ranks(output, parts, write, join_arrays if output.suffix == ".npy" else join_tables)
    if ranks().rank == 0:
        _say_drawn(n, output, list(map(float, totals)))


def _say_drawn(n: int, output: Path, effective: list[float]) -> None:
    from surflow.tables.model import FEW

    say(f"{n:,} samples: {output}")
    share = math.fsum(effective) / n
    if share < 1:
        few = "; samples may repeat or be off: state fewer or wider ranges" if share < FEW else ""
        say(f"  drawn by importance weights, of which an effective {share:.1%} count{few}")


def _drawing(
    folder: RunFolder, given: list[str] | None, seed: int
) -> Callable[[int, Tensor | None, int], tuple[Tensor, float]]:
    """Draws so many rows with so many contexts, as the part of a number, and gives the effective share of proposals."""
    if given:
        from surflow.tables.given import parse_given

        model = folder.table_model()
        parsed = parse_given(given, model.columns)
        return lambda n, _, number: model.sample_rows(n, given=parsed, seed=seed_of(seed, number))
    from surflow._internal.random import seeded
    from surflow.evaluation import draws

    flow = folder.flow()

    def draw(n: int, context: Tensor | None, number: int) -> tuple[Tensor, float]:
        with seeded(seed_of(seed, number)):
            return draws(flow, n, context), 1.0

    return draw


@contextmanager
def _writer(
    path: Path, n: int, facts: DataSpec, *, defuse_formulas: bool
) -> Iterator[Callable[[int, Tensor, Tensor | None], None]]:
    """Gives what writes rows, from a number on, with their contexts."""
    if path.suffix == ".npy":
        with array_writer(path, n) as write_array:
            yield lambda begin, x, _: write_array(begin, x.numpy())
        return
    with table_writer(path, defuse_formulas=defuse_formulas) as write:
        yield lambda _, x, of: write([*_columns(x.flatten(1), facts), *_context_columns(of, facts.context)])


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
