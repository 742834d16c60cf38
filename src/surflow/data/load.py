"""load: data by name, from a file or from memory, checked, split and ready to train on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from surflow._internal.limits import read_text
from surflow.data.findings import Findings
from surflow.data.fresh import load_simulated, load_synthetic
from surflow.data.groups import RowGroups
from surflow.data.readers.frame import by_chance
from surflow.data.readers.raw import Raw
from surflow.data.simulators.base import Simulator
from surflow.data.sources import Source, read, simulator_of, synthetic_of
from surflow.data.splits import Part, Splits
from surflow.data.synthetic.base import Synthetic
from surflow.data.table import (
    context_columns,
    data_columns,
    existing,
    finite_events,
    fit_context,
    ready,
    refuse_constant,
)
from surflow.data.tables.inference import infer
from surflow.data.tables.schema import Schema
from surflow.data.tables.wishes import Wish, wishes
from surflow.errors import ConfigError, DataError
from surflow.supports import Ragged, Support, real

# Parts of a table in the same order; the rest is for the test.
_TRAIN, _VALIDATION = 0.7, 0.15
_HELD_OUT = 1 - _TRAIN
_FEWEST_ROWS = 20
# Numbers of a table that are read at most, and up to which all are read whatever the rows asked for.
_MOST_NUMBERS, _FEWEST_NUMBERS = 50_000_000, 5_000_000
# How far the box of sets of points reaches beyond the training points, as a share of its side.
_MARGIN = 0.02


def load(
    source: Source,
    *,
    columns: Sequence[str] | None = None,
    context: str | Sequence[str] | None = None,
    drop: Sequence[str] = (),
    column: Sequence[str] = (),
    schema: Schema | str | Path | None = None,
    sets: bool = False,
    seed: int = 0,
    rows: int | None = None,
    data_dir: str | Path | None = None,
) -> Splits:
    """A data set, checked and split; whatever is wrong with it is said here, before any training.

    Args:
        source: name of a synthetic set, of a real one, or of a simulator; a path to a table or an array, or to a
            folder of images; a table of pandas, polars or pyarrow, or a dictionary of arrays; or a
            :class:`Synthetic` or :class:`Simulator` of your own.
        columns: data columns; by default all that are not context (and not the target of a built-in set), identifiers,
            free text or constants.
        context: the column or columns to condition on: "label" of a synthetic set, "target" of a built-in one, names.
        drop: columns to leave out.
        column: what columns are, where they are read otherwise than meant: "age=count", "grade=ordered(low,high)".
        schema: what all columns are, or a TOML file that says so, in place of what the values look like.
        sets: the rows of an array, (points, coordinates), are sets of points, in no order.
        seed: of the draws, or of the shuffling before the split.
        rows: how many rows to train on: fresh ones of a synthetic set or a simulator, otherwise at most so many of the
            training part.
        data_dir: where MNIST's files are; by default where the environment variable SURFLOW_DATA says, else the cache,
            to which they are downloaded.

    MNIST has the split that everybody uses: 50,000 training, 10,000 validation and 10,000 test images. Images in
    folders have the folders' names as "class". Of a simulator the data are the parameters, and the context is the
    observation, its numbers called x1, x2 and so on.

    The columns of a table are what their :class:`Schema` says. Names, and whole numbers of at most 20 different values,
    are categories when they serve as context. Numbers keep the double precision of the file.
    An array of 3 or more axes is taken as events in their order, rows first; uint8 makes it images, channels first, of
    256 levels, and 3 axes of uint8 are images of one channel. With ``sets``, floats of shape (rows, points,
    coordinates) are sets of points, laid out as (coordinates, points). An NPZ file may add a ``mask``, true where there
    is a point, for sets of different sizes; a last row of ones and zeros then says the same.

    Raises:
        ConfigError: for an unknown name or column.
        FileError: for a file that is missing, damaged or of another kind.
        DataError: for infinite values, columns that do not vary, too few rows, or too rare categories of a context.

    >>> splits = load("iris", context="species")
    >>> splits.event_shape, splits.train.x.shape[0], splits.context.columns[0].categories
    ((4,), 105, ['setosa', 'versicolor', 'virginica'])
    >>> load("checkerboard", rows=1000).description
    'checkerboard: 1,000 training, 5,000 validation and 10,000 test rows, drawn afresh with seed 0'
    """
    if rows is not None and rows < _FEWEST_ROWS:
        raise ConfigError(f"rows expects at least {_FEWEST_ROWS} rows to train on, got {rows}")
    wanted = [] if context is None else [context] if isinstance(context, str) else list(context)
    drawn: Synthetic | Simulator | None = synthetic_of(source) or simulator_of(source)
    if drawn is not None:
        said = [name for name, value in (("data_dir", data_dir), ("drop", drop), ("column", column)) if value]
        said += [name for name, value in (("schema", schema), ("sets", sets)) if value]
        if said:
            why = "is for MNIST" if said[0] == "data_dir" else "is for data in files"
            raise ConfigError(f"{said[0]} {why}, {drawn.name} is drawn afresh: leave it out")
        if isinstance(drawn, Synthetic):
            return load_synthetic(drawn, columns, wanted, seed, rows)
        return load_simulated(drawn, columns, wanted, seed, rows)
    raw = read(source, data_dir=data_dir, sets=sets)
    _refuse_names(raw, columns, wanted, drop, column)
    known = schema_of(raw, schema, column, drop)
    whole, share = raw, _share_in_memory(raw, rows)
    raw = _at_most(raw, rows, seed) if share is None else _in_parts(raw, share, seed)
    if raw.rows < _FEWEST_ROWS:
        few = f"{raw.origin} has {raw.rows} rows: expected at least {_FEWEST_ROWS}, to train, validate and test on"
        raise DataError(few)
    order = np.random.default_rng(seed).permutation(raw.rows) if raw.ends is None else np.arange(raw.rows)
    ends = raw.ends or (round(_TRAIN * raw.rows), round((_TRAIN + _VALIDATION) * raw.rows))
    indices = order[: ends[0]][:rows], order[ends[0] : ends[1]], order[ends[1] :]
    wanted = context_columns(raw, wanted)
    support: Support
    made, wrong = None, Findings()
    if raw.events is not None:
        if columns is not None:
            raise ConfigError(
                f"{raw.origin} holds events of shape {raw.events.shape[1:]}, not a table: "
                f"leave out columns={list(columns)}"
            )
        x, support, data = finite_events(raw), raw.support or real, None
        if (x[indices[0]] == x.flat[0]).all():
            raise DataError(f"every value of {raw.origin} is {x.flat[0]:g}: there is nothing to learn")
    else:
        chosen = data_columns(raw, known, columns, wanted)
        if raw.frame is None:
            raise DataError(f"{raw.origin} has neither events nor columns")
        with wrong.gather():
            made = ready(raw.frame, chosen, indices[0] if schema is None else None)
            refuse_constant(raw, made.schema, made.x[indices[0]])
    encoding, given = None, None
    with wrong.gather():
        encoding, given = fit_context(raw, known, wanted, indices[0])
    wrong.refuse()
    if made is not None:
        x, support, data = made.x, made.support, made.schema

    def part(index: np.ndarray) -> Part:
        return Part(torch.from_numpy(x[index]), None if given is None else torch.from_numpy(given[index]))

    parts = part(indices[0]), part(indices[1]), part(indices[2])
    how = f"shuffled with seed {seed} and split 70/15/15" if raw.ends is None else "in the usual split"
    how = how if share is None else f"drawn by chance with seed {seed}"
    sizes = [f"{len(index):,}" for index in indices]
    description = (
        f"{raw.name}: {sizes[0]} training, {sizes[1]} validation and {sizes[2]} test rows of {raw.origin}, {how}"
    )
    groups = None
    if made is not None and share is not None:
        trained = by_chance(_HELD_OUT * share, 1.0, seed)
        groups = RowGroups(whole, made.schema.names, encoding, made.schema, support, trained)
        description += f"; training goes through all others of the {whole.rows:,} rows, group by group"
    elif raw.rows < whole.rows:
        description += f"; {raw.rows:,} of {whole.rows:,} rows, drawn by chance, are all that is read"
    if isinstance(support, Ragged):
        support = _box(parts[0].x)
    names = [] if data is None else data.names
    return Splits(
        raw.name,
        *parts,
        names,
        support,
        encoding,
        description,
        schema=data,
        sets=raw.sets,
        pixels=raw.pixels,
        groups=groups,
    )


def _refuse_names(
    raw: Raw, columns: Sequence[str] | None, context: Sequence[str], drop: Sequence[str], column: Sequence[str]
) -> None:
    """Raise for names of columns that are not there: all at once, and before anything is counted."""
    if raw.frame is None or raw.events is not None:
        return
    wrong = Findings()
    with wrong.gather():
        wishes(column, raw.columns)
    for name in [*(columns or ()), *drop]:
        with wrong.gather():
            existing(raw, name)
    for name in context:
        with wrong.gather():
            context_columns(raw, [name])
    wrong.refuse()


def _at_most(raw: Raw, rows: int | None, seed: int) -> Raw:
    """A source without rows beyond what memory holds, or what is asked for: a table of some of them, in order."""
    frame = raw.frame
    if frame is None or raw.events is not None:
        return raw
    most = _MOST_NUMBERS // len(frame.types)
    if rows is not None:
        most = min(most, round(rows / _TRAIN) + _FEWEST_ROWS)
    if frame.rows <= max(most, _FEWEST_NUMBERS // len(frame.types)):
        return raw
    return replace(raw, frame=frame.some(most / frame.rows, seed))


def _share_in_memory(raw: Raw, rows: int | None) -> float | None:
    """Of a file that is trained on group by group, the share of its rows that is read beforehand; None of others."""
    frame = raw.frame
    if frame is None or raw.events is not None or rows is not None or not frame.groups:
        return None
    numbers = frame.rows * len(frame.types)
    return _FEWEST_NUMBERS / numbers if numbers > _MOST_NUMBERS else None


def _in_parts(raw: Raw, share: float, seed: int) -> Raw:
    """A share of the rows by chance: some to train on, then those to validate and those to test with."""
    assert raw.frame is not None  # it has groups
    held, half = _HELD_OUT * share, _HELD_OUT * share / 2
    frame, ends = raw.frame.parts([(held, share), (0.0, half), (half, held)], seed)
    return replace(raw, frame=frame, ends=(ends[0], ends[1]))


def schema_of(raw: Raw, schema: Schema | str | Path | None, column: Sequence[str], drop: Sequence[str]) -> Schema:
    """The schema that is stated, or the one that the values show, with what is said of single columns."""
    if raw.frame is None:
        if schema is not None or column or drop:
            raise ConfigError(f"{raw.origin} has no columns: leave out schema, column and drop")
        return Schema([])
    said = wishes(column, raw.columns)
    for name in [existing(raw, name) for name in drop]:
        if name in said:
            raise ConfigError(f"the column {name!r} is both dropped and said to be something: expected one")
        said[name] = Wish(name, None)
    if schema is None:
        return infer(raw.frame, said)
    stated = schema if isinstance(schema, Schema) else read_schema(schema)
    lacking = [name for name in stated.names if name not in raw.columns]
    if lacking:
        raise ConfigError(f"the schema states the columns {lacking}, which {raw.origin} lacks; it has {raw.columns}")
    if said:
        changed = infer(raw.frame, said)
        return Schema([changed[c.name] if c.name in said else c for c in stated], stated.rows, stated.warnings)
    return stated


def read_schema(path: str | Path) -> Schema:
    """The schema in a TOML file.

    Args:
        path: of the file, as ``surflow inspect DATA -o schema.toml`` writes it.

    Raises:
        FileError: if it cannot be read.
        ConfigError: if it states no schema.
    """
    text = read_text(Path(path))
    try:
        return Schema.from_toml(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def _box(x: torch.Tensor) -> Ragged:
    """The box of the training points, and a little more."""
    points, there = x[:, :-1], x[:, -1:].expand_as(x[:, :-1]) > 0
    low, high = points[there].min().item(), points[there].max().item()
    margin = _MARGIN * (high - low) or 1.0
    return Ragged(low - margin, high + margin)
