"""load: a data set by name or from a file, checked, split and ready to train on; read_rows: further rows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from surflow.data.checks import (
    context_columns,
    data_columns,
    events,
    existing,
    fit_context,
    refuse_constant,
    values_of,
)
from surflow.data.encoding import ContextColumn, ContextEncoding
from surflow.data.readers.builtin import read_named, table_names
from surflow.data.readers.folders import read_folder
from surflow.data.readers.tables import Raw, read_file
from surflow.data.simulators.base import Simulator, simulations
from surflow.data.simulators.names import simulator, simulator_names
from surflow.data.simulators.priors import support_of
from surflow.data.synthetic.base import Synthetic
from surflow.data.synthetic.names import synthetic_names, synthetic_set
from surflow.errors import ConfigError, DataError, ShapeError, unknown_name
from surflow.supports import Support, real

# Fresh rows of a synthetic set: to train on, to validate with, to test with.
_SYNTHETIC_ROWS = (20_000, 5_000, 10_000)
_SIMULATED_ROWS = (20_000, 1_000, 1_000)
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
        truth: the distribution the data are from, where it is known and has a density.
        context: what the columns of the context mean, or None.
        description: one sentence: what, how many rows, from where.
        simulator: what the rows were simulated by, parameters as data and observations as the context; or None.
        masked: events are sets of points whose last row says which there are.
        pixels: events are sets of points in the pixels of images of so many rows and columns, the first about (0, 0).
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
    simulator: Simulator | None = None
    masked: bool = False
    pixels: int | None = None

    @property
    def support(self) -> Support:
        """What rows of continuous data lie in, by their distribution: a prior's support, or else real."""
        return real if self.simulator is None else support_of(self.simulator.prior)

    @property
    def event_shape(self) -> tuple[int, ...]:
        return tuple(self.train.x.shape[1:])


def load(
    source: str | Path | Synthetic | Simulator,
    *,
    columns: Sequence[str] | None = None,
    context: str | Sequence[str] | None = None,
    seed: int = 0,
    rows: int | None = None,
    data_dir: str | Path | None = None,
) -> Splits:
    """A data set, checked and split; whatever is wrong with it is said here, before any training.

    Args:
        source: name of a synthetic set, of a real one, or of a simulator, a path to a CSV, Parquet, NPY or NPZ file or
            to a folder of images, or a :class:`Synthetic` or :class:`Simulator` of your own.
        columns: data columns; by default all that are not context (and not the target of a built-in set).
        context: the column or columns to condition on: "label" of a synthetic set, "target" of a built-in one, names.
        seed: of the draws, or of the shuffling before the split.
        rows: how many rows to train on: fresh ones of a synthetic set or a simulator, otherwise at most so many of the
            training part.
        data_dir: where MNIST's files are; by default where the environment variable SURFLOW_DATA says, else the cache,
            to which they are downloaded.

    MNIST has the split that everybody uses: 50,000 training, 10,000 validation and 10,000 test images. Images in
    folders have the folders' names as "class". Of a simulator the data are the parameters, and the context is the
    observation, its numbers called x1, x2 and so on.

    Text, booleans and integers of at most 20 different values are categories when they serve as context.
    An array of 3 or more axes is taken as events, rows first; uint8 makes it images, channels first, of 256 levels,
    and 3 axes of uint8 are images of one channel. Floats of shape (rows, points, 2 or 3) are sets of points, laid out
    as (coordinates, points). An NPZ file may add a ``mask``, true where there is a point, for sets of different sizes;
    a last row of ones and zeros then says the same.

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
    law = _law(source)
    if data_dir is not None and (law is not None or _simulator(source) is not None):
        raise ConfigError(f"data_dir is for MNIST, {source} is drawn afresh: leave it out")
    if law is not None:
        return _load_synthetic(law, columns, wanted, seed, rows)
    made = _simulator(source)
    if made is not None:
        return _load_simulated(made, columns, wanted, seed, rows)
    raw = _read(source, data_dir=data_dir)
    wanted = context_columns(raw, wanted)
    used = data_columns(raw, columns, wanted)
    x = events(raw, used)
    n = len(x)
    if n < _FEWEST_ROWS:
        raise DataError(f"{raw.origin} has {n} rows: expected at least {_FEWEST_ROWS}, to train, validate and test on")
    order = np.random.default_rng(seed).permutation(n) if raw.ends is None else np.arange(n)
    ends = raw.ends or (round(_TRAIN * n), round((_TRAIN + _VALIDATION) * n))
    train, validation, test = order[: ends[0]][:rows], order[ends[0] : ends[1]], order[ends[1] :]
    refuse_constant(raw, used, x[train])
    encoding, given = fit_context(raw, wanted, train)

    def part(index: np.ndarray) -> Part:
        return Part(torch.from_numpy(x[index]), None if given is None else torch.from_numpy(given[index]))

    how = f"shuffled with seed {seed} and split 70/15/15" if raw.ends is None else "in the usual split"
    description = (
        f"{raw.name}: {len(train):,} training, {len(validation):,} validation and {len(test):,} test rows "
        f"of {raw.origin}, {how}"
    )
    parts = part(train), part(validation), part(test)
    return Splits(raw.name, *parts, used, raw.levels, None, encoding, description, masked=raw.masked, pixels=raw.pixels)


def read_rows(
    source: str | Path | Synthetic | Simulator,
    columns: Sequence[str],
    encoding: ContextEncoding | None = None,
    *,
    levels: int | None = None,
    rows: int | None = None,
    seed: int = 0,
    data_dir: str | Path | None = None,
) -> Part:
    """All rows of a source with the columns, the context and the levels of a model that is already trained.

    Args:
        source: as for :func:`load`; of a synthetic set or a simulator fresh rows, other ones than ``load``
            draws with the same seed.
        columns: the model's data columns, ``Splits.columns``; empty for images and other arrays.
        encoding: the model's context, ``Splits.context``; its columns are read from the source too.
        levels: the model's levels; values outside are refused.
        rows: at most so many rows; of a synthetic set so many, by default 10,000.
        data_dir: where MNIST's files are, as for :func:`load`.

    Raises:
        ConfigError: for an unknown name or a column that the source lacks.
        FileError: for a file that is missing, damaged or of another kind.
        DataError: for NaN, infinite values, text, no rows, an unseen category or a value beyond the levels.

    >>> splits = load("iris", context="species")
    >>> read_rows("iris", splits.columns, splits.context).context.shape
    torch.Size([150, 1])
    """
    if rows is not None and rows < 1:
        raise ConfigError(f"rows expects at least one row to read, got {rows}")
    law = _law(source)
    names = [] if encoding is None else encoding.names
    if law is not None:
        _check_synthetic(law, list(columns), names)
        # Far from the seeds that people choose, so that no row is one that load drew.
        drawn, labels = law.sample_labelled(_SYNTHETIC_ROWS[2] if rows is None else rows, seed=seed + 2**40)
        return Part(drawn, None if encoding is None else encoding.encode({"label": labels}))
    made = _simulator(source)
    if made is not None:
        if list(columns) != made.parameters or names != _numbers(made):
            raise ConfigError(f"{made.name} has other parameters and observations than the model was trained on")
        return Part(*made.sample(_SIMULATED_ROWS[2] if rows is None else rows, seed=seed + 2**40))
    raw = _read(source, fewest=1, data_dir=data_dir)
    raw.fixed = True
    if raw.events is None and not columns:
        raise DataError(f"{raw.origin} is a table, but the model was trained on arrays: pass an array of events")
    used = data_columns(raw, columns or None, names)
    x = events(raw, used)[:rows]
    if levels is not None and (x.min() < 0 or x.max() >= levels or (x != np.floor(x)).any()):
        raise DataError(
            f"{raw.origin} holds values from {x.min():g} to {x.max():g}: "
            f"the model expects the integers 0 to {levels - 1}"
        )
    if encoding is None:
        return Part(torch.from_numpy(x), None)
    fields = [raw.fields[existing(raw, name)] for name in names]
    values = [values_of(raw, name, f)[:rows] for name, f in zip(names, fields, strict=True)]
    return Part(torch.from_numpy(x), encoding.encode(dict(zip(names, values, strict=True))))


def read_context(path: str | Path, encoding: ContextEncoding) -> Tensor:
    """The rows of a file as raw contexts for a model, by the names of the columns, or, where it has none, their order.

    Raises:
        FileError: for a file that is missing, damaged or of another kind.
        ConfigError: for a column that is not there.
        DataError: for another number of columns, or values that are no context of the model.
    """
    raw = read_file(Path(path))
    columns = list(raw.fields)
    if Path(path).suffix.lower() in (".npy", ".npz"):
        if raw.events is not None or len(columns) != len(encoding.names):
            raise DataError(
                f"{raw.origin} expects rows of {len(encoding.names)} numbers, the context, got "
                f"{'events' if raw.events is not None else len(columns)}"
            )
        sources = dict(zip(encoding.names, columns, strict=True))
    else:
        sources = {name: existing(raw, name) for name in encoding.names}
    return encoding.encode({name: values_of(raw, name, raw.fields[column]) for name, column in sources.items()})


# -- sources ----------------------------------------------------------------------------------------


def _names(context: str | Sequence[str] | None) -> list[str]:
    if context is None:
        return []
    return [context] if isinstance(context, str) else list(context)


def _law(source: str | Path | Synthetic | Simulator) -> Synthetic | None:
    if isinstance(source, Synthetic):
        return source
    return synthetic_set(str(source)) if str(source) in synthetic_names() else None


def _simulator(source: str | Path | Synthetic | Simulator) -> Simulator | None:
    if isinstance(source, Simulator):
        return source
    return simulator(str(source)) if str(source) in simulator_names() else None


def _read(
    source: str | Path | Synthetic | Simulator, fewest: int = _FEWEST_ROWS, data_dir: str | Path | None = None
) -> Raw:
    name = str(source)
    if name in table_names():
        raw = read_named(name, data_dir)
    elif data_dir is not None:
        raise ConfigError(f"data_dir is for MNIST, {name!r} is found without: leave it out")
    else:
        path = Path(name).expanduser()
        if not path.exists() and not path.suffix and len(path.parts) == 1:
            known = [*synthetic_names(), *table_names(), *simulator_names()]
            raise ConfigError(
                f"{unknown_name('data set', name, known)} (or pass the path of a .csv, .parquet, .npy or .npz file, or "
                "of a folder of images)"
            )
        raw = read_folder(path) if path.is_dir() else read_file(path)
    if _length(raw) == 0:
        raise DataError(f"{raw.origin} has no rows: expected at least {fewest}")
    return raw


def _length(raw: Raw) -> int:
    if raw.events is not None:
        return len(raw.events)
    for f in raw.fields.values():
        return len(f.numbers if f.numbers is not None else f.codes)  # type: ignore[arg-type]
    return 0


# -- synthetic sets -----------------------------------------------------------------------------------


def _check_synthetic(law: Synthetic, columns: Sequence[str] | None, context: list[str]) -> None:
    if columns is not None and list(columns) != ["x", "y"]:
        raise ConfigError(f"{law.name} has the data columns ['x', 'y'] and is used whole, got columns={list(columns)}")
    for name in context:
        if law.classes is None:
            raise ConfigError(f"{law.name} has no labels: leave out the context {name!r}")
        if name != "label":
            raise ConfigError(f"{unknown_name('context column', name, ['label'])} (of {law.name})")


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


# -- simulators ---------------------------------------------------------------------------------------


def _numbers(made: Simulator) -> list[str]:
    """Names of an observation's numbers."""
    return [f"x{i + 1}" for i in range(made.x_shape[0])]


def _load_simulated(
    made: Simulator, columns: Sequence[str] | None, context: list[str], seed: int, rows: int | None
) -> Splits:
    if columns is not None and list(columns) != made.parameters:
        raise ConfigError(f"{made.name} has the parameters {made.parameters} and is used whole, got {list(columns)}")
    if context and context != _numbers(made):
        raise ConfigError(f"the context of {made.name} is its observation: leave out the context {context}")
    sizes = [rows or _SIMULATED_ROWS[0], *_SIMULATED_ROWS[1:]]
    theta, x = simulations(*made.sample(sum(sizes), seed=seed), made.prior)
    if x.shape[1:] != made.x_shape:
        raise ShapeError(f"{made.name} states observations of shape {made.x_shape} and makes {tuple(x.shape[1:])}")
    theta, x = theta.float(), x.float()
    train, validation, test = (Part(*pair) for pair in zip(theta.split(sizes), x.split(sizes), strict=True))
    means, scales = train.context.mean(0), train.context.std(0).clamp(min=1e-12)  # type: ignore[union-attr]
    numbers = zip(_numbers(made), means.tolist(), scales.tolist(), strict=True)
    encoding = ContextEncoding([ContextColumn(name, None, mean, scale) for name, mean, scale in numbers])
    description = (
        f"{made.name}: parameters given observations of {made.x_shape[0]} numbers, {sizes[0]:,} training, "
        f"{sizes[1]:,} validation and {sizes[2]:,} test simulations with seed {seed}"
    )
    return Splits(made.name, train, validation, test, made.parameters, None, None, encoding, description, made)
