"""Raw data by name or from a file: named fields or arrays of events, checked for what no file should hold."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from surflow.errors import DataError, FileError, SurflowError
from surflow.supports import Integers, Ragged, Support

# An integer column with at most so many different values is read as categories when it serves as context.
_MOST_INTEGER_CATEGORIES = 20
# Arrays (rows, n, so many) are sets of n points.
_COORDINATES = (2, 3)


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
        if values.dtype.kind == "b":
            return Field(codes=values.astype(np.int64), categories=["false", "true"])
        if values.dtype.kind == "S":
            values = np.char.decode(values, "utf-8", "replace")
        if values.dtype.kind == "U":
            categories, codes = np.unique(values, return_inverse=True)
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
        targets: fields that are not data by default; as context, "target" or "context" stands for all of them.
        support: of the events: integers, or sets of points of different sizes; None for real numbers.
        fixed: its columns are those of a trained model, so that none can be left out.
        ends: where its training and its validation rows end, in a set whose split is everybody's; or None.
        pixels: events are sets of points in the pixels of images of so many rows and columns, the first about (0, 0).
    """

    name: str
    origin: str
    fields: dict[str, Field]
    events: np.ndarray | None = None
    targets: tuple[str, ...] = ()
    support: Support | None = None
    fixed: bool = False
    ends: tuple[int, int] | None = None
    pixels: int | None = None


# -- files -------------------------------------------------------------------------------------------


def read_file(path: Path) -> Raw:
    """Read a CSV, Parquet, NPY or NPZ file.

    Raises:
        FileError: if it is missing, damaged, of another kind, or holds Python objects.
        DataError: if its columns have no proper names.
    """
    if not path.exists():
        raise FileError(_missing(path))
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise FileError(
            f"{path} ends in {path.suffix or 'no extension'!r}: expected one of {', '.join(READERS)}. "
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


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    """Whatever a parser makes of a damaged file, in one message; parsers raise errors of every kind."""
    try:
        yield
    except SurflowError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "Object arrays" in reason:
            raise FileError(
                f"{path} holds Python objects, which could run code when they are read: "
                "save an array of numbers instead, such as x.astype('float32')"
            ) from error
        elif "pickle" in reason:  # NumPy's guess at any file that is not its own
            reason = "it does not begin as a NumPy file does"
        raise FileError(
            f"{path} cannot be read as {path.suffix.lower()}; it is damaged, cut off or of another kind ({reason}): "
            "write or download it again"
        ) from error


def _read_csv(path: Path) -> Raw:
    import pyarrow as pa
    import pyarrow.csv as csv

    with path.open("rb") as file:
        head = file.readline()
    _refuse_other_separators(path, head)
    try:
        with _reading(path):
            table = csv.read_csv(path, convert_options=csv.ConvertOptions(strings_can_be_null=True))
        names = table.column_names
    except UnicodeDecodeError as error:
        raise FileError(_not_utf8(path)) from error
    # Text that is not UTF-8 is read as bytes.
    if any(pa.types.is_binary(kind) for kind in table.schema.types):
        raise FileError(_not_utf8(path))
    counted = [[str(i + first) for i in range(len(names))] for first in (0, 1)]  # names that pandas gives arrays
    if names and all(is_number(name) for name in names) and names not in counted:
        raise DataError(
            f"{path} has no column names: its first row is {', '.join(names[:4])}. Expected names in the first row"
        )
    return _from_arrow(path, table)


def _not_utf8(path: Path) -> str:
    return f"{path} is not UTF-8: save it as UTF-8"


def _refuse_other_separators(path: Path, head: bytes) -> None:
    """Raise for a file whose first row has other separators than commas, as spreadsheets of many countries write."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise FileError(_not_utf8(path))
    unquoted = re.sub(rb'"[^"]*"', b"", head)
    for mark, name in ((b";", "semicolons"), (b"\t", "tabs"), (b"|", "bars")):
        if unquoted.count(mark) > unquoted.count(b","):
            raise DataError(
                f"{path} has columns separated by {name}: expected columns separated by commas, and decimal points"
            )


def is_number(text: str) -> bool:
    """Whether a text reads as a number."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path) -> Raw:
    import pyarrow.parquet as parquet

    with _reading(path):
        # One file as it is: a dataset would read further columns out of the folders' names.
        table = parquet.ParquetFile(path).read()
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
        numbers = pc.cast(column, pa.float64(), safe=False).to_numpy()
        return Field(numbers=numbers.astype(np.float64), integer=pa.types.is_integer(kind))
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
    with _reading(path):
        x = np.load(path, allow_pickle=False)
        if not isinstance(x, np.ndarray):
            raise FileError(f"{path} holds several arrays: name it with the extension .npz")
    return _from_arrays(path, x)


def _read_npz(path: Path) -> Raw:
    # Opened here, because NumPy leaves a damaged archive open.
    with _reading(path), path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        names = archive.files
        if len(names) != 1 and ("x" not in names or set(names) - {"x", "context", "mask"}):
            raise FileError(
                f"{path} holds the arrays {sorted(names)}: expected one array, or one named 'x' and others named "
                "'context' and, for sets of points, 'mask'"
            )
        x = archive["x" if len(names) > 1 else names[0]]
        context, mask = (archive[name] if name in names and len(names) > 1 else None for name in ("context", "mask"))
    return _from_arrays(path, x, context, mask)


def _from_arrays(path: Path, x: np.ndarray, context: np.ndarray | None = None, mask: np.ndarray | None = None) -> Raw:
    if x.dtype.kind not in "fiub" or x.ndim == 0:
        raise DataError(f"{path} holds x of type {x.dtype} and shape {x.shape}: expected numbers of shape (rows, ...)")
    if x.dtype.kind == "b" and x.ndim > 2:
        raise DataError(f"{path} holds true/false values: cast them to numbers, such as x.astype('float32')")
    fields = {}
    if context is not None:
        if context.ndim not in (1, 2) or len(context) != len(x) or context.dtype.kind not in "fiubUS":
            raise DataError(
                f"{path} holds a context of type {context.dtype} and shape {context.shape} for x of shape {x.shape}: "
                f"expected numbers or strings of shape ({len(x)},) or ({len(x)}, columns)"
            )
        fields = _numbered("context", context)
    targets = tuple(fields)
    origin = f"the file {path.name}"
    if x.ndim <= 2:
        table = _numbered("x", x[:, None] if x.ndim == 1 else x)
        return Raw(path.stem, origin, {**table, **fields}, targets=targets)
    support: Support | None = None
    if mask is not None:
        x, support = _masked(path, x, mask), Ragged()
    elif x.ndim == 3 and x.dtype.kind == "f" and x.shape[2] in _COORDINATES and x.shape[1] > x.shape[2]:
        x = x.swapaxes(1, 2)
    elif x.dtype == np.uint8:
        support = Integers(256)
        if x.ndim == 3:
            x = x[:, None]
        elif x.ndim == 4 and x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
            raise DataError(
                f"{path} holds images of shape {x.shape}: expected (rows, channels, height, width). "
                "Move the channels with numpy.moveaxis(x, -1, 1)"
            )
    return Raw(path.stem, origin, fields, events=x, targets=targets, support=support)


def _masked(path: Path, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Sets of points (n, points, coordinates) with which there are, as (n, coordinates + 1, points)."""
    if x.ndim != 3 or x.dtype.kind != "f" or mask.shape != x.shape[:2] or mask.dtype.kind != "b":
        raise DataError(
            f"{path} holds x of type {x.dtype} and shape {x.shape} and a mask of type {mask.dtype} and shape "
            f"{mask.shape}: expected points of shape (rows, points, coordinates) and true where there is one, of shape "
            "(rows, points)"
        )
    there = np.where(mask[..., None], x, 0.0)
    return np.concatenate([there, mask[..., None].astype(x.dtype)], 2).swapaxes(1, 2)


def _numbered(name: str, values: np.ndarray) -> dict[str, Field]:
    if values.ndim == 1:
        return {name: Field.of(values)}
    if values.shape[1] == 1 and name == "context":
        return {name: Field.of(values[:, 0])}
    return {f"{name}{i}": Field.of(values[:, i]) for i in range(values.shape[1])}


# Kinds of files by the endings of their names.
READERS: dict[str, Callable[[Path], Raw]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".npy": _read_npy,
    ".npz": _read_npz,
}
