"""Raw data by name or from a file: named fields or arrays of events, checked for what no file should hold."""

from __future__ import annotations

import difflib
import zipfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from surflow.errors import DataError, FileError, unknown_name

# An integer column with at most so many different values is read as categories when it serves as context.
_MOST_INTEGER_CATEGORIES = 20


@dataclass
class Field:
    """One column: numbers (float64, NaN where missing), or labels as indices (-1 where missing) into categories."""

    numbers: np.ndarray | None = None
    codes: np.ndarray | None = None
    categories: list[str] = field(default_factory=list)
    integer: bool = False

    @staticmethod
    def of(values: np.ndarray) -> Field:
        """A field of a numpy array of numbers, booleans or strings."""
        if values.dtype.kind in "USb":
            categories, codes = np.unique(values.astype(str), return_inverse=True)
            return Field(codes=codes.reshape(-1), categories=categories.tolist())
        return Field(numbers=values.astype(np.float64), integer=values.dtype.kind in "iu")

    def as_context(self) -> Field:
        """Labels as they are; integers of few values become labels; other numbers stay numbers."""
        if self.numbers is None or not self.integer or not np.isfinite(self.numbers).all():
            return self
        values, codes = np.unique(self.numbers, return_inverse=True)
        if len(values) > _MOST_INTEGER_CATEGORIES:
            return self
        return Field(codes=codes.reshape(-1), categories=[str(int(v)) for v in values])


@dataclass
class Raw:
    """Everything a source holds, before columns are chosen.

    Attributes:
        name, origin: what it is called, and where it is from, for the report.
        fields: columns by name.
        events: events of any shape (n, *event) instead of data columns, or None.
        targets: fields that serve as context only and are not data by default; "target" stands for all of them.
        levels: number of integer levels of the events, or None for continuous data.
    """

    name: str
    origin: str
    fields: dict[str, Field]
    events: np.ndarray | None = None
    targets: tuple[str, ...] = ()
    levels: int | None = None


# -- files -------------------------------------------------------------------------------------------


def read_file(path: Path) -> Raw:
    """Read a CSV, Parquet, NPY or NPZ file.

    Raises:
        FileError: if it is missing, damaged, of another kind, or holds Python objects.
        DataError: if its columns have no proper names.
    """
    readers: dict[str, Callable[[Path], Raw]] = {
        ".csv": _read_csv,
        ".parquet": _read_parquet,
        ".npy": _read_npy,
        ".npz": _read_npz,
    }
    if path.is_dir():
        raise FileError(f"{path} is a folder: expected a file, one of {', '.join(readers)}")
    if not path.exists():
        raise FileError(_missing(path))
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise FileError(
            f"{path} ends in {path.suffix or 'no extension'!r}: expected one of {', '.join(readers)}. "
            "Export the data as CSV, or save an array with numpy.save"
        )
    if path.stat().st_size == 0:
        raise FileError(f"{path} is empty (0 bytes): expected a {path.suffix} file with data")
    return reader(path)


def _missing(path: Path) -> str:
    if not path.parent.is_dir():
        return f"no file {path}: the folder {path.parent} does not exist"
    names = [p.name for p in path.parent.iterdir() if p.is_file()]
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.5)
    return f"no file {path}; " + (f"did you mean {near[0]!r}?" if near else "check the name and the folder")


def _damaged(path: Path, error: Exception) -> FileError:
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return FileError(
        f"{path} cannot be read as {path.suffix.lower()}; it is damaged, cut off or of another kind ({reason}): "
        "write or download it again"
    )


def _read_csv(path: Path) -> Raw:
    import pyarrow as pa
    import pyarrow.csv as csv

    try:
        table = csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    names = table.column_names
    if len(names) == 1 and any(mark in names[0] for mark in ";\t|"):
        raise DataError(f"{path} has one column named {names[0]!r}: expected columns that are separated by commas")
    if names and all(_is_number(name) for name in names):
        raise DataError(
            f"{path} has no column names: its first row is {', '.join(names[:4])}. Expected names in the first row"
        )
    return _from_arrow(path, table)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> Raw:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    try:
        # One file as it is: a dataset would read further columns out of the folders' names.
        table = parquet.ParquetFile(path).read()
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _damaged(path, error) from error
    return _from_arrow(path, table)


def _from_arrow(path: Path, table: Any) -> Raw:
    twice = [name for name, count in Counter(table.column_names).items() if count > 1]
    if twice:
        raise DataError(f"{path} has more than one column named {twice[0]!r}: give every column a name of its own")
    fields = {name: _arrow_field(table.column(name)) for name in table.column_names}
    return Raw(path.stem, f"the file {path.name}", fields)


def _arrow_field(column: Any) -> Field:
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = column.type
    if pa.types.is_null(kind):
        return Field(numbers=np.full(len(column), np.nan))
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        numbers = pc.cast(column, pa.float64(), safe=False)
        values = numbers.to_numpy(zero_copy_only=False) if isinstance(numbers, pa.Array) else numbers.to_numpy()
        return Field(numbers=values.astype(np.float64), integer=pa.types.is_integer(kind))
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        try:
            column = pc.cast(column, pa.string())
        except pa.ArrowException:  # lists, structures: neither numbers nor labels
            column = pa.chunked_array([[str(value) for value in column.to_pylist()]])
    values = np.asarray(["" if value is None else value for value in column.to_pylist()], dtype=str)
    missing = np.asarray(column.is_null())
    if missing.all():
        return Field(numbers=np.full(len(column), np.nan))
    categories, inverse = np.unique(values[~missing], return_inverse=True)
    codes = np.full(len(values), -1)
    codes[~missing] = inverse.reshape(-1)
    return Field(codes=codes, categories=categories.tolist())


def _read_npy(path: Path) -> Raw:
    return _from_arrays(path, {"x": _load_numpy(path)})


def _read_npz(path: Path) -> Raw:
    arrays = _load_numpy(path)
    if "x" not in arrays:
        raise FileError(
            f"{path} holds the arrays {sorted(arrays)}: expected one named 'x', and 'context' if there is one"
        )
    return _from_arrays(path, arrays)


def _load_numpy(path: Path) -> Any:
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            return {name: loaded[name] for name in loaded.files if name in ("x", "context")} or dict.fromkeys(
                loaded.files
            )
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, KeyError) as error:
        if "allow_pickle" in str(error) and "Object arrays" in str(error):
            raise FileError(
                f"{path} holds Python objects, which could run code when they are read: "
                "save an array of numbers instead, such as x.astype('float32')"
            ) from error
        raise _damaged(path, error) from error


def _from_arrays(path: Path, arrays: dict[str, np.ndarray]) -> Raw:
    x = arrays["x"]
    if x.dtype.kind not in "fiub" or x.ndim == 0:
        raise DataError(f"{path} holds x of type {x.dtype} and shape {x.shape}: expected numbers of shape (rows, ...)")
    fields = {}
    context = arrays.get("context")
    if context is not None:
        if len(context) != len(x) or context.ndim > 2 or context.dtype.kind not in "fiubUS":
            raise DataError(
                f"{path} holds a context of type {context.dtype} and shape {context.shape} for x of shape {x.shape}: "
                f"expected numbers or strings of shape ({len(x)},) or ({len(x)}, columns)"
            )
        fields = _numbered("context", context)
    targets = tuple(fields)
    origin = f"the file {path.name}"
    if x.ndim <= 2:
        return Raw(
            path.stem,
            origin,
            {**_numbered("x", x.reshape(len(x), -1) if x.size else x[:, None]), **fields},
            targets=targets,
        )
    levels = None
    if x.dtype == np.uint8:
        levels = 256
        if x.ndim == 3:
            x = x[:, None]
        elif x.ndim == 4 and x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
            raise DataError(
                f"{path} holds images of shape {x.shape}: expected (rows, channels, height, width). "
                "Move the channels with numpy.moveaxis(x, -1, 1)"
            )
    return Raw(path.stem, origin, fields, events=x, targets=targets, levels=levels)


def _numbered(name: str, values: np.ndarray) -> dict[str, Field]:
    if values.ndim == 1:
        return {name: Field.of(values)}
    if values.shape[1] == 1 and name == "context":
        return {name: Field.of(values[:, 0])}
    return {f"{name}{i}": Field.of(values[:, i]) for i in range(values.shape[1])}


# -- sets that come with scikit-learn -------------------------------------------------------------------

# Name: what its target is called. The names of the classes, where it has any, become the categories.
_TARGETS = {
    "iris": "species",
    "wine": "cultivar",
    "breast_cancer": "diagnosis",
    "diabetes": "progression",
    "linnerud": "",  # three targets with names of their own
    "digits": "digit",
}


def table_names() -> list[str]:
    """Names of the real data sets that come with the installation.

    >>> table_names()
    ['breast_cancer', 'diabetes', 'digits', 'iris', 'linnerud', 'wine']
    """
    return sorted(_TARGETS)


def read_named(name: str) -> Raw:
    """A data set that comes with scikit-learn, in its natural units; nothing is downloaded."""
    from sklearn import datasets

    if name not in _TARGETS:
        raise DataError(unknown_name("data set", name, _TARGETS))
    # Diabetes would come rescaled.
    bunch = getattr(datasets, f"load_{name}")(**({"scaled": False} if name == "diabetes" else {}))
    target = np.asarray(bunch.target)
    if target.ndim == 2:
        targets = {t: Field(numbers=target[:, i].astype(np.float64)) for i, t in enumerate(bunch.target_names)}
    elif "target_names" in bunch:
        names = [str(c) for c in bunch.target_names]
        targets = {_TARGETS[name]: Field(codes=target.astype(np.int64), categories=names)}
    else:
        targets = {_TARGETS[name]: Field(numbers=target.astype(np.float64))}
    origin = f"scikit-learn's load_{name}"
    if name == "digits":
        events = bunch.images[:, None].astype(np.float32)
        return Raw(name, origin, dict(targets), events=events, targets=tuple(targets), levels=17)
    data = np.asarray(bunch.data, dtype=np.float64)
    fields = {str(c): Field(numbers=data[:, i]) for i, c in enumerate(bunch.feature_names)}
    return Raw(name, origin, {**fields, **targets}, targets=tuple(targets))
