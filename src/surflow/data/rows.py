"""read_rows, read_context: further rows for a model that is already trained, as its schema reads them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from surflow.data.encoding import ContextColumn, ContextEncoding
from surflow.data.findings import Findings
from surflow.data.fresh import simulated_rows, synthetic_rows
from surflow.data.readers.arrays import ARRAYS
from surflow.data.readers.frame import Frame
from surflow.data.readers.raw import Raw
from surflow.data.sources import Source, read, simulator_of, synthetic_of
from surflow.data.splits import Part
from surflow.data.table import existing, finite_events
from surflow.data.tables.columns import encode
from surflow.data.tables.inference import infer
from surflow.data.tables.schema import Column, Schema
from surflow.errors import ConfigError, DataError
from surflow.supports import Integers, Support, real


def read_rows(
    source: Source,
    columns: Sequence[str],
    encoding: ContextEncoding | None = None,
    *,
    schema: Schema | None = None,
    support: Support = real,
    sets: bool = False,
    rows: int | None = None,
    seed: int = 0,
    data_dir: str | Path | None = None,
) -> Part:
    """All rows of a source with the columns, the context and the support of a model that is already trained.

    Args:
        source: as for :func:`load`; of a synthetic set or a simulator fresh rows, other ones than ``load``
            draws with the same seed.
        columns: the model's data columns, ``Splits.columns``; empty for images and other arrays.
        encoding: the model's context, ``Splits.context``; its columns are read from the source too.
        schema: what the data columns are, ``Splits.schema``; by default what the source's own values show.
        support: the model's; of integers, values outside are refused.
        sets: the rows of an array are sets of points, as for :func:`load`.
        rows: at most so many rows; of a synthetic set so many, by default 10,000.
        data_dir: where MNIST's files are, as for :func:`load`.

    Raises:
        ConfigError: for an unknown name or a column that the source lacks.
        FileError: for a file that is missing, damaged or of another kind.
        DataError: for values that are none of the model's: text for numbers, a missing one where there never was one,
            an unknown category of the context, a value beyond the levels.

    >>> from surflow.data import load
    >>> splits = load("iris", context="species")
    >>> read_rows("iris", splits.columns, splits.context).context.shape
    torch.Size([150, 1])
    """
    if rows is not None and rows < 1:
        raise ConfigError(f"rows expects at least one row to read, got {rows}")
    drawn = synthetic_of(source)
    if drawn is not None:
        return synthetic_rows(drawn, columns, encoding, rows, seed)
    made = simulator_of(source)
    if made is not None:
        return simulated_rows(made, columns, encoding, rows, seed)
    part = rows_of(read(source, data_dir=data_dir, sets=sets), columns, encoding, schema=schema, support=support)
    return Part(part.x[:rows], None if part.context is None else part.context[:rows])


def rows_of(
    raw: Raw, columns: Sequence[str], encoding: ContextEncoding | None, *, schema: Schema | None, support: Support
) -> Part:
    """The rows of what has been read, or of a part of it; arguments and errors are those of :func:`read_rows`."""
    if columns and raw.events is not None:
        raise DataError(f"{raw.origin} holds events of shape {raw.events.shape[1:]}: the model expects a table")
    wrong = Findings()
    with wrong.gather():
        x = torch.from_numpy(table_rows(raw, columns, schema, support) if columns else finite_events(raw))
    context = None
    if encoding is not None:
        with wrong.gather():
            context = _context(raw, encoding, {name: existing(raw, name) for name in encoding.names})
    wrong.refuse()
    if isinstance(support, Integers) and not support.contains(x).all():
        raise DataError(
            f"{raw.origin} holds values from {x.min():g} to {x.max():g}: "
            f"the model expects the integers 0 to {support.levels - 1}"
        )
    return Part(x, context)


def read_context(path: str | Path, encoding: ContextEncoding) -> Tensor:
    """The rows of a file as raw contexts for a model, by the names of the columns, or, where it has none, their order.

    Raises:
        FileError: for a file that is missing, damaged or of another kind.
        ConfigError: for a column that is not there.
        DataError: for another number of columns, or values that are no context of the model.
    """
    raw = read(path)
    if Path(path).suffix.lower() in ARRAYS:
        if raw.events is not None or len(raw.columns) != len(encoding.names):
            raise DataError(
                f"{raw.origin} expects rows of {len(encoding.names)} numbers, the context, got "
                f"{'events' if raw.events is not None else len(raw.columns)}"
            )
        sources = dict(zip(encoding.names, raw.columns, strict=True))
    else:
        sources = {name: existing(raw, name) for name in encoding.names}
    return _context(raw, encoding, sources)


def table_rows(raw: Raw, columns: Sequence[str], schema: Schema | None, support: Support) -> np.ndarray:
    """Columns of a table as numbers, (n, columns), float64; holes only where the schema has some."""
    frame = raw.frame
    if frame is None:
        raise DataError(f"{raw.origin} holds no table, and the model expects the columns {list(columns)}")
    lacking = [name for name in columns if name not in raw.columns]
    wrong = Findings()
    for name in lacking:
        with wrong.gather():
            existing(raw, name)  # says which is near
    wrong.refuse()
    known = (infer(frame) if schema is None else schema).only(columns)
    x = encode(frame, known.columns)
    never = [support == real or (schema is not None and not column.missing) for column in known]
    _refuse_missing(raw, known.columns, x, never)
    return x


def _refuse_missing(raw: Raw, columns: Sequence[Column], x: np.ndarray, never: Sequence[bool]) -> None:
    """Raise for missing values in columns of which the model knows none."""
    wrong = []
    for i, column in enumerate(columns):
        missing = np.flatnonzero(np.isnan(x[:, i]))
        if len(missing) and never[i]:
            wrong.append(
                f"{column.name!r} is missing in {len(missing)} rows, first in row {raw.begin + missing[0] + 1}"
            )
    if wrong:
        raise DataError(
            f"the model was trained on columns without holes, and in {raw.origin} {'; '.join(wrong)}: "
            "remove those rows or fill them in"
        )


def _context(raw: Raw, encoding: ContextEncoding, sources: dict[str, str]) -> Tensor:
    frame = raw.frame
    if frame is None:
        raise DataError(f"{raw.origin} has no columns: the model expects the context {encoding.names}")
    columns = [replace(column.column, name=sources[column.name]) for column in encoding.columns]
    values = encode(frame, columns)
    wrong = Findings()
    for i, column in enumerate(encoding.columns):
        with wrong.gather():
            _refuse_context(raw, frame, column, sources[column.name], values[:, i])
    wrong.refuse()
    return torch.from_numpy(values)


def _refuse_context(raw: Raw, frame: Frame, column: ContextColumn, source: str, values: np.ndarray) -> None:
    """Raise for values of a context that are missing, or that the model does not know."""
    missing = np.isnan(values)
    if missing.any():
        raise DataError(
            f"the context {column.name!r} of {raw.origin} is missing (NaN) in {missing.sum()} rows, first in row "
            f"{raw.begin + int(missing.argmax()) + 1}: remove those rows or fill them in"
        )
    if column.categories is not None and (values >= len(column.categories)).any():
        text = frame.column(source)[int((values >= len(column.categories)).argmax())]
        column.encode([str(text)])  # says which category is near
