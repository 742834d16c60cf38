"""load: a data set by name or from a file, checked, split and ready to train on; read_rows: further rows of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surflow.data.encoding import ContextColumn, ContextEncoding
from surflow.data.synthetic import Synthetic
from surflow.data.tables import Field, Raw, read_file, read_named, table_names
from surflow.data.toys import synthetic_names, synthetic_set
from surflow.errors import ConfigError, DataError, unknown_name

# Fresh rows of a synthetic set: to train on, to validate with, to test with.
_SYNTHETIC_ROWS = (20_000, 5_000, 10_000)
# Parts of a table in the same order; the rest is for the test.
_TRAIN, _VALIDATION = 0.7, 0.15
_FEWEST_ROWS = 20


class Part(NamedTuple):
    """Rows of data: x (n, *event), and the raw context (n, columns) or None."""

    x: Tensor
    context: Tensor | None


@dataclass
class Splits:
    """A data set in three parts.

    Attributes:
        name: what it is called.
        train, validation, test: the parts.
        columns: names of the data columns; empty for images and other arrays.
        levels: the data are integers 0, ..., levels - 1; None for continuous data.
        truth: the law the data are from, where it is known and has a density.
        context: what the columns of the context mean, or None.
        description: one sentence: what, how many rows, from where.
    """

    name: str
    train: Part
    validation: Part
    test: Part
    columns: list[str]
    levels: int | None
    truth: Synthetic | None
    context: ContextEncoding | None
    description: str

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.train.x.shape[1:])


def load(
    source: str | Path | Synthetic,
    *,
    columns: Sequence[str] | None = None,
    context: str | Sequence[str] | None = None,
    seed: int = 0,
    rows: int | None = None,
) -> Splits:
    """A data set, checked and split; whatever is wrong with it is said here, before any training.

    Args:
        source: name of a synthetic set or of a real one that comes with the installation, a path to a CSV, Parquet,
            NPY or NPZ file, or a :class:`Synthetic` of your own.
        columns: data columns; by default all that are not context (and not the target of a built-in set).
        context: the column or columns to condition on: "label" of a synthetic set, "target" of a built-in one, or names.
        seed: of the draws, or of the shuffling before the split.
        rows: how many rows to train on: fresh ones of a synthetic set, otherwise at most so many of the training part.

    A file's integer columns of at most 20 different values are categories when they serve as context, and so are text
    and booleans. An array of 3 or more axes is taken as events, rows first; uint8 makes it images of 256 levels.

    Raises:
        ConfigError: for an unknown name or column.
        FileError: for a file that is missing, damaged or of another kind.
        DataError: for NaN or infinite values, constant or text columns, too few rows, or too rare categories.

    >>> splits = load("iris", context="species")
    >>> splits.event_shape, splits.train.x.shape[0], splits.context.columns[0].categories
    ((4,), 105, ['setosa', 'versicolor', 'virginica'])
    >>> load("checkerboard", rows=1000).description
    'checkerboard: 1,000 training, 5,000 validation and 10,000 test rows, drawn afresh with seed 0'
    """
    if rows is not None and rows < _FEWEST_ROWS:
        raise ConfigError(f"rows expects at least {_FEWEST_ROWS} rows to train on, got {rows}")
    wanted = _names(context)
    law = source if isinstance(source, Synthetic) else None
    if law is None and str(source) in synthetic_names():
        law = synthetic_set(str(source))
    if law is not None:
        return _load_synthetic(law, columns, wanted, seed, rows)
    raw = _read(source)
    used = _data_columns(raw, columns, wanted := _context_columns(raw, wanted))
    x = _events(raw, used)
    n = len(x)
    if n < _FEWEST_ROWS:
        raise DataError(f"{raw.origin} has {n} rows: expected at least {_FEWEST_ROWS}, to train, validate and test on")
    order = np.random.default_rng(seed).permutation(n)
    ends = round(_TRAIN * n), round((_TRAIN + _VALIDATION) * n)
    train, validation, test = order[: ends[0]][:rows], order[ends[0] : ends[1]], order[ends[1] :]
    _refuse_constant(raw, used, x[train])
    encoding, given = _fit_context(raw, wanted, train)

    def part(index: np.ndarray) -> Part:
        return Part(torch.from_numpy(x[index]), None if given is None else torch.from_numpy(given[index]))

    description = (
        f"{raw.name}: {len(train):,} training, {len(validation):,} validation and {len(test):,} test rows "
        f"of {raw.origin}, shuffled with seed {seed} and split 70/15/15"
    )
    return Splits(raw.name, part(train), part(validation), part(test), used, raw.levels, None, encoding, description)


def read_rows(
    source: str | Path | Synthetic,
    columns: Sequence[str],
    encoding: ContextEncoding | None = None,
    *,
    levels: int | None = None,
    rows: int | None = None,
    seed: int = 0,
) -> Part:
    """All rows of a source with the columns, the context and the levels of a model that is already trained.

    Args:
        source: as for :func:`load`; of a synthetic set fresh rows, other ones than ``load`` draws with the same seed.
        columns: the model's data columns, ``Splits.columns``; empty for images and other arrays.
        encoding: the model's context, ``Splits.context``; its columns are read from the source too.
        levels: the model's levels; values outside are refused.
        rows: at most so many rows; of a synthetic set so many, by default 10,000.

    Raises:
        ConfigError: for an unknown name or a column that the source lacks.
        FileError: for a file that is missing, damaged or of another kind.
        DataError: for NaN, infinite values, text, no rows, an unseen category or a value beyond the levels.

    >>> splits = load("iris", context="species")
    >>> read_rows("iris", splits.columns, splits.context).context.shape
    torch.Size([150, 1])
    """
    law = source if isinstance(source, Synthetic) else None
    if law is None and str(source) in synthetic_names():
        law = synthetic_set(str(source))
    names = [] if encoding is None else encoding.names
    if law is not None:
        _check_synthetic(law, list(columns), names)
        # Far from the seeds that people choose, so that no row is one that load drew.
        drawn, labels = law.sample_labelled(_SYNTHETIC_ROWS[2] if rows is None else rows, seed=seed + 2**40)
        return Part(drawn, None if encoding is None else encoding.encode({"label": labels}))
    raw = _read(source)
    if raw.events is None and not columns:
        raise DataError(f"{raw.origin} is a table, but the model was trained on arrays: pass an array of events")
    used = _data_columns(raw, columns or None, names)
    x = _events(raw, used)[:rows]
    if levels is not None and (x.min() < 0 or x.max() >= levels or (x != np.floor(x)).any()):
        raise DataError(
            f"{raw.origin} holds values from {x.min():g} to {x.max():g}: the model expects the integers 0 to {levels - 1}"
        )
    if encoding is None:
        return Part(torch.from_numpy(x), None)
    fields = [raw.fields[_existing(raw, name)] for name in names]
    values = [_values(raw, name, f)[:rows] for name, f in zip(names, fields, strict=True)]
    return Part(torch.from_numpy(x), encoding.encode(dict(zip(names, values, strict=True))))


# -- synthetic sets -----------------------------------------------------------------------------------


def _check_synthetic(law: Synthetic, columns: Sequence[str] | None, context: list[str]) -> None:
    if columns is not None and list(columns) != ["x", "y"]:
        raise ConfigError(f"{law.name} has the data columns ['x', 'y'] and is used whole, got columns={list(columns)}")
    for name in context:
        if law.classes is None or name != "label":
            known = [] if law.classes is None else ["label"]
            raise ConfigError(
                unknown_name(f"context of {law.name}:", name, known)
                if known
                else f"{law.name} has no labels: leave out the context {name!r}"
            )


def _load_synthetic(
    law: Synthetic, columns: Sequence[str] | None, context: list[str], seed: int, rows: int | None
) -> Splits:
    _check_synthetic(law, columns, context)
    sizes = [rows or _SYNTHETIC_ROWS[0], *_SYNTHETIC_ROWS[1:]]
    x, labels = law.sample_labelled(sum(sizes), seed=seed)
    encoding = None
    given: list[Tensor | None] = [None] * 3
    if context:
        assert law.classes is not None  # _check_synthetic has seen to it
        encoding = ContextEncoding([ContextColumn("label", [str(c) for c in range(law.classes)])])
        given = list(labels.to(torch.float32)[:, None].split(sizes))
    train, validation, test = (Part(*pair) for pair in zip(x.split(sizes), given, strict=True))
    description = (
        f"{law.name}: {sizes[0]:,} training, {sizes[1]:,} validation and {sizes[2]:,} test rows, "
        f"drawn afresh with seed {seed}"
    )
    truth = law if law.has_density else None
    return Splits(law.name, train, validation, test, ["x", "y"], None, truth, encoding, description)


# -- tables and arrays --------------------------------------------------------------------------------


def _names(context: str | Sequence[str] | None) -> list[str]:
    if context is None:
        return []
    return [context] if isinstance(context, str) else list(context)


def _read(source: str | Path | Synthetic) -> Raw:
    name = str(source)
    if name in table_names():
        raw = read_named(name)
    else:
        path = Path(name).expanduser()
        if not path.exists() and not path.suffix and len(path.parts) == 1:
            known = [*synthetic_names(), *table_names()]
            raise ConfigError(
                f"{unknown_name('data set', name, known)} (or pass the path of a .csv, .parquet, .npy or .npz file)"
            )
        raw = read_file(path)
    if _length(raw) == 0:
        raise DataError(f"{raw.origin} has no rows: expected at least {_FEWEST_ROWS}")
    return raw


def _length(raw: Raw) -> int:
    if raw.events is not None:
        return len(raw.events)
    for f in raw.fields.values():
        return len(f.numbers if f.numbers is not None else f.codes)  # type: ignore[arg-type]
    return 0


def _existing(raw: Raw, name: str) -> str:
    if name not in raw.fields:
        raise ConfigError(f"{unknown_name('column', name, raw.fields)} (in {raw.origin})")
    return name


def _context_columns(raw: Raw, names: list[str]) -> list[str]:
    """The context's columns, with "target" replaced by the targets it stands for."""
    wanted: list[str] = []
    for name in names:
        stands_for = raw.targets if name == "target" and name not in raw.fields and raw.targets else (name,)
        wanted += [_existing(raw, n) for n in stands_for]
    twice = [name for name in wanted if wanted.count(name) > 1]
    if twice:
        raise ConfigError(f"the context names the column {twice[0]!r} more than once")
    return wanted


def _data_columns(raw: Raw, columns: Sequence[str] | None, context: list[str]) -> list[str]:
    if raw.events is not None:
        if columns is not None:
            raise ConfigError(
                f"{raw.origin} holds events of shape {raw.events.shape[1:]}, not a table: leave out columns={list(columns)}"
            )
        return []
    if columns is None:
        used = [name for name in raw.fields if name not in context and name not in raw.targets]
    else:
        used = [_existing(raw, name) for name in columns]
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


def _text_column(raw: Raw, name: str) -> str:
    categories = raw.fields[name].categories
    words = ", ".join(repr(c) for c in categories[:3]) + (", ..." if len(categories) > 3 else "")
    return (
        f"the column {name!r} of {raw.origin} holds text ({words}), not numbers: "
        "pass it as --context, or leave it out with --columns (context= and columns= in Python)"
    )


def _events(raw: Raw, used: list[str]) -> np.ndarray:
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
        assert numbers is not None  # _data_columns has seen to it
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
            "remove those rows, fill them in, or leave the column out with --columns"
        )
    return values


def _refuse_constant(raw: Raw, used: list[str], x: np.ndarray) -> None:
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


def _values(raw: Raw, name: str, f: Field) -> np.ndarray:
    """A context column as numbers, or as names of categories; nothing is missing."""
    if f.numbers is not None:
        return _finite(raw, name, f.numbers)
    assert f.codes is not None
    missing = np.flatnonzero(f.codes < 0)
    if len(missing):
        raise DataError(
            f"the context {name!r} of {raw.origin} is missing in {len(missing)} rows, the first is row {missing[0] + 1}: "
            "remove those rows or fill them in"
        )
    return np.asarray(f.categories)[f.codes]


def _fit_context(raw: Raw, names: list[str], train: np.ndarray) -> tuple[ContextEncoding | None, np.ndarray | None]:
    """The encoding, fitted to the training rows, and the raw context of all rows."""
    if not names:
        return None, None
    columns, values = [], []
    for name in names:
        f = raw.fields[name].as_context()
        given = _values(raw, name, f)
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
