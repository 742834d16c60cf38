"""Tables made ready to train on: the choice of columns, their values as numbers, and the context beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from surflow.data.encoding import ContextColumn, ContextEncoding
from surflow.data.findings import Findings
from surflow.data.readers.frame import Frame
from surflow.data.readers.raw import Raw
from surflow.data.tables.columns import encode
from surflow.data.tables.facts import Facts
from surflow.data.tables.names import names_of
from surflow.data.tables.numbers import spikes
from surflow.data.tables.schema import Column, ColumnKind, Schema
from surflow.data.tables.sql import text_sql
from surflow.data.tables.support import plain, support_of
from surflow.data.tables.wishes import Wish
from surflow.errors import ConfigError, DataError, unknown_name
from surflow.supports import Support, real

# A column of whole numbers with at most so many different ones is read as categories when it serves as context.
_MOST_INTEGER_CATEGORIES = 20


@dataclass
class Ready:
    """Rows as numbers, before they are split.

    Attributes:
        x: (n, columns), float64; NaN where a value is missing.
        schema: of the data columns, in their order.
        support: where the rows lie.
    """

    x: np.ndarray
    schema: Schema
    support: Support


def existing(raw: Raw, name: str) -> str:
    """The name of a column, if there is such a one; blanks about it count only where a column has them."""
    if name not in raw.columns and name.strip() in raw.columns:
        return name.strip()
    if name not in raw.columns:
        raise ConfigError(f"{unknown_name('column', name, raw.columns)} (in {raw.origin})")
    return name


def context_columns(raw: Raw, names: Sequence[str]) -> list[str]:
    """The context's columns, with "target" and "context" replaced by the targets they stand for."""
    wanted: list[str] = []
    for name in names:
        stands_for_all = name in ("target", "context") and name not in raw.columns and raw.targets
        wanted += [existing(raw, n) for n in (raw.targets if stands_for_all else (name,))]
    twice = [name for name in wanted if wanted.count(name) > 1]
    if twice:
        raise ConfigError(f"the context names the column {twice[0]!r} more than once")
    return wanted


def data_columns(raw: Raw, schema: Schema, columns: Sequence[str] | None, context: Sequence[str]) -> Schema:
    """The schema of the data columns: those named, or all that are used and are neither context nor target.

    Raises:
        ConfigError: for a column that is not there, is named twice, or is context as well.
        DataError: if none is left.
    """
    if columns is not None:
        used = [existing(raw, name) for name in columns]
        both = [name for name in used if name in context]
        if both:
            raise ConfigError(f"the column {both[0]!r} cannot be data and context at once: leave it out of one of them")
        twice = [name for name in used if used.count(name) > 1]
        if twice:
            raise ConfigError(f"the column {twice[0]!r} is selected more than once")
        refused = [c for c in (schema[name] for name in used) if not (c.kind.numeric or c.kind.named)]
        if refused:
            said = "; ".join(f"{c.name!r} is taken for {_noun(c.kind)} ({c.evidence})" for c in refused)
            raise DataError(
                f"{said}, of which there is nothing to learn: leave it out of the columns, or say what it is, such as "
                f"--column {refused[0].name}={'category' if refused[0].least is None else 'number'}"
            )
    else:
        used = [c.name for c in schema.used if c.name not in context and c.name not in raw.targets]
    if not used:
        kinds = ", ".join(f"{c.name!r}: {c.kind}" for c in schema)
        raise DataError(f"no data column is left in {raw.origin}: its columns are {kinds}")
    chosen = schema.only(used)
    return replace(chosen, warnings=list(schema.warnings))


def _noun(kind: ColumnKind) -> str:
    return {ColumnKind.IDENTIFIER: "an identifier", ColumnKind.TEXT: "free text"}.get(kind, "a constant")


def ready(frame: Frame, schema: Schema, train: np.ndarray | None) -> Ready:
    """The rows of a table as numbers, and their support.

    Which values stand out as atoms is asked of the rows of the numbers ``train`` alone; None keeps the schema's.
    """
    x = encode(frame, schema.columns)
    for i, column in enumerate(schema.columns):
        if train is not None and column.kind.numeric:
            column.atoms = spikes(column, x[train, i])
    for i, column in enumerate(schema.columns):  # holes that the schema, which may be a person's, did not count
        column.missing = max(column.missing, int(np.isnan(x[:, i]).sum()))
        column.stored = frame.types[column.name]
    return Ready(x, schema, real if plain(schema.columns) else support_of(schema.columns))


def refuse_constant(raw: Raw, schema: Schema, x: np.ndarray) -> None:
    """Raise DataError for columns of numbers that do not vary over the training rows x."""
    constant = [
        column.name
        for column, values in zip(schema.columns, x.T, strict=True)
        if column.kind.numeric and (values == values[0]).all()
    ]
    if constant:
        raise DataError(
            f"constant columns in the {len(x)} training rows of {raw.origin}: {constant}. A constant has no density: "
            "leave them out with --columns or --drop"
        )


def finite_events(raw: Raw) -> np.ndarray:
    """Events as floats, float64 where the source has them so, every value finite."""
    events = raw.events
    if events is None:
        raise DataError(f"{raw.origin} is a table, but the model was trained on arrays: pass an array of events")
    x = events.astype(np.float64 if events.dtype in (np.float64, np.int64, np.uint64) else np.float32)
    good = np.isfinite(x).reshape(len(x), -1).all(1)
    if not good.all():
        bad = np.flatnonzero(~good)
        first = raw.begin + bad[0] + 1
        raise DataError(
            f"{len(bad)} events of {raw.origin} hold NaN or infinite values, the first in row {first}: "
            "remove those rows or fill them in"
        )
    return x


# -- context --------------------------------------------------------------------------------------------


def fit_context(
    raw: Raw, schema: Schema, names: Sequence[str], train: np.ndarray
) -> tuple[ContextEncoding | None, np.ndarray | None]:
    """The encoding, fitted to the training rows, and the raw context of all rows, float64.

    Raises:
        DataError: for values that are missing, and columns that do not vary: all of them at once.
    """
    if not names:
        return None, None
    frame = raw.frame
    if frame is None:
        raise ConfigError(f"{raw.origin} has no columns: leave out the context {list(names)}")
    given = [_as_context(frame, schema[name]) for name in names]
    values = encode(frame, given)
    wrong = Findings()
    for i, column in enumerate(given):
        with wrong.gather():
            _refuse_context(raw, column, values[:, i], train)
    wrong.refuse()
    columns = []
    for i, column in enumerate(given):
        if column.kind.named:
            columns.append(ContextColumn(column.name, list(column.categories), written=column))
        else:
            seen = values[train, i]
            columns.append(ContextColumn(column.name, None, *location_and_scale(seen), written=column))
    return ContextEncoding(columns), values


def location_and_scale(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation in double precision, for numbers of any size.

    >>> location_and_scale(np.array([2.0**-1000, 3 * 2.0**-1000]))[1] == 2.0**-1000
    True
    """
    first = float(values[0])
    largest = float(np.abs(values - first).max()) or 1.0
    shares = (values - first) / largest
    return first + float(shares.mean()) * largest, float(shares.std()) * largest


def _as_context(frame: Frame, column: Column) -> Column:
    """Names as they are; whole numbers of few values become names, as they are written; other numbers stay numbers."""
    if column.kind.named:
        return column
    if column.kind is ColumnKind.IDENTIFIER and column.least is not None:  # the number of a row may be its time
        column = replace(column, kind=ColumnKind.NUMBER)
    if not column.kind.numeric:  # an identifier or a constant that a person names is what its values look like
        return names_of(
            frame, Column(column.name, ColumnKind.CATEGORY), Facts(), Wish(column.name, ColumnKind.CATEGORY)
        )
    few = column.distinct <= _MOST_INTEGER_CATEGORIES and column.step is not None and column.step >= 1
    kind = frame.types[column.name]
    if not few or kind in ("DOUBLE", "FLOAT") or kind.startswith(("DATE", "TIME")):
        return column
    text = text_sql(frame, column.name)
    odd = frame.query(f"SELECT count(*) FILTER (NOT regexp_full_match({text}, '\\s*-?\\d+\\s*')) FROM {frame.relation}")
    if odd[0][0]:
        return column
    named = names_of(frame, Column(column.name, ColumnKind.CATEGORY), Facts(), Wish(column.name, ColumnKind.CATEGORY))
    return replace(named, missing=column.missing)


def _refuse_context(raw: Raw, column: Column, values: np.ndarray, train: np.ndarray) -> None:
    """Raise for values that are missing or do not vary, and for a category that is too rare."""
    missing = np.flatnonzero(np.isnan(values))
    if len(missing):
        raise DataError(
            f"the context {column.name!r} of {raw.origin} is missing in {len(missing)} rows, first in row "
            f"{missing[0] + 1}: remove those rows or fill them in"
        )
    if not column.kind.named:
        if (values[train] == values[train][0]).all():
            raise DataError(f"the context {column.name!r} of {raw.origin} is constant in training: leave it out")
        return
    codes = values.astype(np.int64)
    if len(column.categories) == 1:
        raise DataError(
            f"the context {column.name!r} of {raw.origin} has the one category {column.categories[0]!r}: leave it out"
        )
    total = np.bincount(codes, minlength=len(column.categories))
    seen = np.bincount(codes[train], minlength=len(column.categories))
    for category, n, in_train in zip(column.categories, total, seen, strict=False):
        if n == 1 or in_train == 0:
            why = "occurs only once" if n == 1 else f"occurs {n} times, but in no training row"
            raise DataError(
                f"the category {category!r} of the context {column.name!r} {why} in {raw.origin}: merge it with "
                "another category, remove its rows, or bring more of them"
            )
