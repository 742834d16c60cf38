"""What is right and wrong with raw data: the choice of columns, their values, and the fit of a context's encoding."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from surflow.data.encoding import ContextColumn, ContextEncoding
from surflow.data.readers.tables import Field, Raw, is_number
from surflow.errors import ConfigError, DataError, unknown_name

# What an index becomes that pandas writes along: a CSV column without a name, a Parquet column with this beginning.
_INDEX = "__index_level_"


def existing(raw: Raw, name: str) -> str:
    """The name of a column, if there is such a one."""
    if name not in raw.fields:
        raise ConfigError(f"{unknown_name('column', name, raw.fields)} (in {raw.origin})")
    return name


def context_columns(raw: Raw, names: list[str]) -> list[str]:
    """The context's columns, with "target" and "context" replaced by the targets they stand for."""
    wanted: list[str] = []
    for name in names:
        stands_for_all = name in ("target", "context") and name not in raw.fields and raw.targets
        wanted += [existing(raw, n) for n in (raw.targets if stands_for_all else (name,))]
    twice = [name for name in wanted if wanted.count(name) > 1]
    if twice:
        raise ConfigError(f"the context names the column {twice[0]!r} more than once")
    return wanted


def data_columns(raw: Raw, columns: Sequence[str] | None, context: list[str]) -> list[str]:
    """The names of the data columns, all of numbers; none for events."""
    if raw.events is not None:
        if columns is not None:
            raise ConfigError(
                f"{raw.origin} holds events of shape {raw.events.shape[1:]}, not a table: "
                f"leave out columns={list(columns)}"
            )
        return []
    if columns is None:
        used = [name for name in raw.fields if name not in context and name not in raw.targets]
        index = [name for name in used if name == "" or name.startswith(_INDEX)]
        if index:
            raise DataError(
                f"{raw.origin} has a column named {index[0]!r}, which looks like a row index: "
                "write the file without it (index=False in pandas), or name the data columns with --columns"
            )
    else:
        used = [existing(raw, name) for name in columns]
        both = [name for name in used if name in context]
        if both:
            raise ConfigError(f"the column {both[0]!r} cannot be data and context at once: leave it out of one of them")
        twice = [name for name in used if used.count(name) > 1]
        if twice:
            raise ConfigError(f"the column {twice[0]!r} is selected more than once")
    if not used:
        raise DataError(f"no data column is left in {raw.origin}: its columns are {list(raw.fields)}")
    for name in used:
        if raw.fields[name].numbers is None:
            raise DataError(_text_column(raw, name))
    return used


def _without(raw: Raw, name: str) -> str:
    """Advice to do without a column, where one can."""
    return "" if raw.fixed else f", or leave {name} out with --columns"


def _text_column(raw: Raw, name: str) -> str:
    f = raw.fields[name]
    categories = f.categories
    if set(categories) <= {"false", "true"}:
        cure = "" if raw.fixed else " or pass the column as context"
        return f"the column {name!r} of {raw.origin} holds true/false values: cast them to numbers{cure}"
    odd = [i for i, category in enumerate(categories) if not is_number(category)]
    if f.codes is not None and len(odd) == 1 and len(categories) > 2:
        row = int(np.flatnonzero(f.codes == odd[0])[0]) + 1
        return (
            f"the column {name!r} of {raw.origin} holds numbers, but also {categories[odd[0]]!r}, first in row {row}: "
            f"write a number there or remove the row{_without(raw, 'the column')}"
        )
    words = ", ".join(repr(c) for c in categories[:3]) + (", ..." if len(categories) > 3 else "")
    cure = (
        "the model expects numbers there"
        if raw.fixed
        else "pass it as --context, or leave it out with --columns (context= and columns= in Python)"
    )
    return f"the column {name!r} of {raw.origin} holds text ({words}), not numbers: {cure}"


def events(raw: Raw, used: list[str]) -> np.ndarray:
    """Data as float32, (n, *event), every value finite."""
    if raw.events is not None:
        x = raw.events.astype(np.float32)
        good = np.isfinite(x).reshape(len(x), -1).all(1)
        if not good.all():
            bad = np.flatnonzero(~good)
            raise DataError(
                f"{len(bad)} events of {raw.origin} hold NaN or infinite values, the first in row {bad[0] + 1}: "
                "remove those rows or fill them in"
            )
        return x
    columns = []
    for name in used:
        numbers = raw.fields[name].numbers
        assert numbers is not None  # data_columns has seen to it
        columns.append(_finite(raw, name, numbers))
    return np.stack(columns, 1)


def _finite(raw: Raw, name: str, numbers: np.ndarray) -> np.ndarray:
    with np.errstate(over="ignore"):
        values = numbers.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(values))
    if len(bad):
        missing = int(np.isnan(values).sum())
        what = " and ".join(
            f"{count} {kind}"
            for count, kind in ((missing, "missing (NaN)"), (len(bad) - missing, "infinite or beyond float32"))
            if count
        )
        raise DataError(
            f"the column {name!r} of {raw.origin} has {what} values, the first in row {bad[0] + 1}: "
            f"remove those rows or fill them in{_without(raw, 'the column')}"
        )
    return values


def refuse_constant(raw: Raw, used: list[str], x: np.ndarray) -> None:
    """Raise DataError for columns, or events, that do not vary over the training rows x."""
    if raw.events is not None:
        if (x == x.flat[0]).all():
            raise DataError(f"every value of {raw.origin} is {x.flat[0]:g}: there is nothing to learn")
        return
    constant = [name for name, column in zip(used, x.T, strict=True) if (column == column[0]).all()]
    if constant:
        raise DataError(
            f"constant columns in the {len(x)} training rows of {raw.origin}: {constant}. A constant has no density: "
            "leave them out with --columns"
        )


# -- context --------------------------------------------------------------------------------------------


def values_of(raw: Raw, name: str, f: Field) -> np.ndarray:
    """A context column as numbers, or as names of categories; nothing is missing."""
    if f.numbers is not None:
        return _finite(raw, name, f.numbers)
    assert f.codes is not None
    missing = np.flatnonzero(f.codes < 0)
    if len(missing):
        raise DataError(
            f"the context {name!r} of {raw.origin} is missing in {len(missing)} rows, first in row {missing[0] + 1}: "
            "remove those rows or fill them in"
        )
    return np.asarray(f.categories)[f.codes]


def fit_context(raw: Raw, names: list[str], train: np.ndarray) -> tuple[ContextEncoding | None, np.ndarray | None]:
    """The encoding, fitted to the training rows, and the raw context of all rows."""
    if not names:
        return None, None
    columns, values = [], []
    for name in names:
        f = raw.fields[name].as_context()
        given = values_of(raw, name, f)
        if f.numbers is not None:
            mean, scale = float(given[train].mean()), float(given[train].std())
            if not (scale > 0 and math.isfinite(scale)):
                raise DataError(f"the context {name!r} of {raw.origin} is constant in training: leave it out")
            columns.append(ContextColumn(name, None, mean, scale))
            values.append(given)
            continue
        assert f.codes is not None
        _refuse_rare(raw, name, f, train)
        columns.append(ContextColumn(name, list(f.categories)))
        values.append(f.codes.astype(np.float32))
    return ContextEncoding(columns), np.stack(values, 1)


def _refuse_rare(raw: Raw, name: str, f: Field, train: np.ndarray) -> None:
    assert f.codes is not None
    total = np.bincount(f.codes, minlength=len(f.categories))
    seen = np.bincount(f.codes[train], minlength=len(f.categories))
    if len(f.categories) == 1:
        raise DataError(f"the context {name!r} of {raw.origin} has the one category {f.categories[0]!r}: leave it out")
    for category, n, in_train in zip(f.categories, total, seen, strict=True):
        if n == 1 or in_train == 0:
            why = "occurs only once" if n == 1 else f"occurs {n} times, but in no training row"
            raise DataError(
                f"the category {category!r} of the context {name!r} {why} in {raw.origin}: merge it with another "
                "category, remove its rows, or bring more of them"
            )
