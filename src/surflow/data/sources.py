"""What a person may call data: a name, a path, a table in memory, or a set or a simulator of their own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import numpy as np

from surflow._internal.limits import user_path
from surflow.data.readers.arrays import ARRAYS, read_array
from surflow.data.readers.builtin import read_named, table_names
from surflow.data.readers.folders import read_folder
from surflow.data.readers.frame import is_table, no_file, read_table
from surflow.data.readers.raw import Raw
from surflow.data.simulators.base import Simulator
from surflow.data.simulators.names import simulator, simulator_names
from surflow.data.synthetic.base import Synthetic
from surflow.data.synthetic.names import synthetic_names, synthetic_set
from surflow.errors import ConfigError, DataError, FileError, unknown_name

# Tables of other libraries are whatever offers its columns as Arrow or NumPy do; object says no more.
Source: TypeAlias = str | Path | Synthetic | Simulator | Mapping[str, np.ndarray] | object


def synthetic_of(source: Source) -> Synthetic | None:
    """The synthetic set that a source is or names."""
    if isinstance(source, Synthetic):
        return source
    named = isinstance(source, str | Path) and str(source) in synthetic_names()
    return synthetic_set(str(source)) if named else None


def simulator_of(source: Source) -> Simulator | None:
    """The simulator that a source is or names."""
    if isinstance(source, Simulator):
        return source
    return simulator(str(source)) if isinstance(source, str | Path) and str(source) in simulator_names() else None


def read(source: Source, *, data_dir: str | Path | None = None, sets: bool = False) -> Raw:
    """All that a source holds.

    Raises:
        ConfigError: for a name that is none of a data set.
        FileError: for a file that is missing, damaged or of another kind.
        DataError: for one without rows.
    """
    if isinstance(source, str | Path) and str(source) in table_names():
        raw = read_named(str(source), data_dir)
    elif data_dir is not None:
        raise ConfigError(f"data_dir is for MNIST, {source!r} is found without: leave it out")
    else:
        raw = _read_own(source, sets=sets)
    if sets and not raw.sets:
        raise ConfigError(f"{raw.origin} holds no sets of points: leave out sets")
    if raw.rows == 0:
        raise DataError(f"{raw.origin} has no rows: expected at least one")
    return raw


def _read_own(source: Source, *, sets: bool) -> Raw:
    if isinstance(source, str | Path):
        path = user_path(source)
        if path.is_dir():
            return read_folder(path)
        if path.suffix.lower() in ARRAYS:
            if not path.exists():
                raise FileError(no_file(path))
            return read_array(path, sets=sets)
        if not path.exists() and not path.suffix and len(path.parts) == 1 and not is_table(source):
            known = [*synthetic_names(), *table_names(), *simulator_names()]
            raise ConfigError(
                f"{unknown_name('data set', str(source), known)} (or pass the path of a table, an array, or a folder "
                "of images)"
            )
    elif isinstance(source, np.ndarray):
        raise DataError("an array has no column names: save it with numpy.save, or pass a dictionary of columns")
    frame = read_table(source)
    return Raw(frame.name, frame.origin, frame)
