"""Files of samples and scores that the command line writes."""

from __future__ import annotations

import csv
import math
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TextIO

import numpy as np

from surflow._internal.files import written_whole
from surflow.app.names import split_names
from surflow.data.tables.columns import texts
from surflow.data.tables.schema import Column, ColumnKind
from surflow.errors import ConfigError, FileError
from surflow.supports import Integers, Support

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

    from surflow.data.readers.raw import Raw

# What a spreadsheet takes for the beginning of a formula.
_FORMULAS = ("=", "+", "-", "@", "\t", "\r")


def check_suffix(path: Path, kinds: tuple[str, ...]) -> None:
    """Raise FileError unless the file is of one of the kinds and its folder exists: before work, not after."""
    if path.suffix not in kinds:
        raise FileError(f"{path} ends in {path.suffix or 'no extension'!r}: expected one of {', '.join(kinds)}")
    if not path.parent.is_dir():
        raise FileError(f"{path} cannot be written: there is no folder {path.parent}")


def check_spares(path: Path, kept: Iterable[Path]) -> None:
    """Raise FileError if the file is one of those to be kept, by whatever name, or in a folder that is."""
    for other in kept:
        same = path.samefile(other) if path.exists() and other.exists() else path.resolve() == other.resolve()
        if same or (other.is_dir() and path.resolve().is_relative_to(other.resolve())):
            raise FileError(f"{path} is a file of the run or its data and would be lost: write to another")


Written = Sequence[tuple[Column, np.ma.MaskedArray]]


def write_table(path: Path, columns: Written, *, defuse_formulas: bool = False) -> None:
    """Columns with their decoded values as CSV or Parquet, which read back to the same values.

    In CSV, names are quoted, so that a category "NA" is no missing value, and numbers have the digits of their grid.
    With ``defuse_formulas``, names that a spreadsheet would compute, in CSV, begin with an apostrophe.
    """
    with written_whole(path) as scratch, table_writer(scratch, defuse_formulas=defuse_formulas) as write:
        write(columns)


@contextmanager
def table_writer(path: Path, *, defuse_formulas: bool = False) -> Iterator[Callable[[Written], None]]:
    """Gives what writes rows, part after part, below each other; a part is a group of rows in Parquet."""
    if path.suffix == ".csv":
        with path.open("w", encoding="utf-8", newline="") as file:

            def write_csv(columns: Written) -> None:
                _write_csv(file, columns, defuse_formulas=defuse_formulas)

            yield write_csv
        return
    import pyarrow.parquet as pq

    with ExitStack() as stack:
        writers: list[pq.ParquetWriter] = []

        def write_parquet(columns: Written) -> None:
            table = _arrow(columns)
            if not writers:
                writers.append(stack.enter_context(pq.ParquetWriter(path, table.schema)))
            writers[0].write_table(table.cast(writers[0].schema), row_group_size=max(1, table.num_rows))

        yield write_parquet


def join_tables(parts: Sequence[Path], path: Path) -> None:
    """Tables, as :func:`table_writer` writes them, one below the other."""
    if path.suffix == ".csv":
        with path.open("wb") as file:
            for number, part in enumerate(parts):
                with part.open("rb") as rows:
                    if number:
                        _skip_header(rows)
                    shutil.copyfileobj(rows, file, 2**20)
        return
    import pyarrow.parquet as pq

    with pq.ParquetWriter(path, pq.read_schema(parts[0])) as writer:
        for part in parts:
            with pq.ParquetFile(part) as rows:
                for group in range(rows.num_row_groups):
                    table = rows.read_row_group(group).cast(writer.schema)
                    writer.write_table(table, row_group_size=max(1, table.num_rows))


@contextmanager
def array_writer(path: Path, n: int) -> Iterator[Callable[[int, np.ndarray], None]]:
    """Gives what writes rows of an NPY file of n rows, from a number on."""
    wholes: list[np.memmap] = []

    def write(begin: int, rows: np.ndarray) -> None:
        if not wholes:
            wholes.append(np.lib.format.open_memmap(path, "w+", rows.dtype, (n, *rows.shape[1:])))
        wholes[0][begin : begin + len(rows)] = rows

    yield write
    for whole in wholes:
        whole.flush()


def join_arrays(parts: Sequence[Path], path: Path) -> None:
    """Arrays in NPY files, one below the other."""
    arrays = [np.load(part, mmap_mode="r", allow_pickle=False) for part in parts]
    begin = 0
    with array_writer(path, sum(map(len, arrays))) as write:
        for array in arrays:
            write(begin, array)
            begin += len(array)


def number_column(name: str) -> Column:
    """A column of numbers of full resolution."""
    return Column(name, ColumnKind.NUMBER)


def own_columns(raw: Raw, names: Sequence[str]) -> list[tuple[Column, np.ma.MaskedArray]]:
    """Columns of a table as it writes them, to stand beside what is computed of its rows.

    Args:
        raw: the table, or a part of its rows.
        names: of the columns, as :func:`own_names` gives them.
    """
    found = []
    for name in names:
        assert raw.frame is not None  # it has columns
        values = raw.frame.column(name)
        data, missing = np.ma.getdata(values), np.ma.getmaskarray(values)
        kind = ColumnKind.CATEGORY if data.dtype.kind == "O" else ColumnKind.NUMBER
        step = 1.0 if data.dtype.kind in "iub" else None
        found.append((Column(name, kind, step=step), np.ma.masked_array(data, missing)))
    return found


def own_names(raw: Raw | None, names: str) -> list[str]:
    """The columns of a table that a person means.

    Args:
        raw: the table; None for rows that are drawn.
        names: of the columns, separated by commas; "all" for all.

    Raises:
        ConfigError: for a column that is not there, or a source without columns.
    """
    from surflow.data.table import existing

    if raw is None or raw.frame is None:
        raise ConfigError(f"{'data drawn afresh' if raw is None else raw.origin} has no columns to write beside scores")
    return raw.columns if names == "all" else [existing(raw, name) for name in split_names(names) or []]


def _skip_header(file: BinaryIO) -> None:
    """Go on behind the first record of a CSV file, in whose names there may be ends of lines."""
    line, quotes = b"", 0
    while (line := file.readline()) and (quotes := quotes + line.count(b'"')) % 2:
        pass


def _write_csv(file: TextIO, columns: Written, *, defuse_formulas: bool) -> None:
    cells = [texts(column, values) for column, values in columns]
    names = [column.name for column, _ in columns]
    if defuse_formulas:
        names = [f"'{name}" if name.startswith(_FORMULAS) else name for name in names]
        cells = [[f'"\'{cell[1:]}' if cell[:1] == '"' and cell[1:].startswith(_FORMULAS) else cell for cell in column]
                 for column in cells]  # fmt: skip
    if file.tell() == 0:
        csv.writer(file, lineterminator="\n").writerow(names)
    file.writelines(",".join(row) + "\n" for row in zip(*cells, strict=True))


def _arrow(columns: Written) -> pa.Table:
    import pyarrow as pa

    arrays, names = [], []
    for column, values in columns:
        data, missing = np.ma.getdata(values), np.ma.getmaskarray(values)
        if data.dtype.kind == "O":
            data = np.asarray([str(value) for value in data], dtype=object)
        arrays.append(pa.array(data, type=pa.string() if data.dtype.kind == "O" else None, mask=missing))
        names.append(column.name)
    return pa.table(arrays, names=names)


def write_grid(path: Path, images: Tensor, support: Support) -> None:
    """Images (n, channels, height, width) side by side, n rounded down to whole rows, as one PNG."""
    import matplotlib.image

    across = math.isqrt(len(images))
    images = images[: across * (len(images) // across)]
    integers = isinstance(support, Integers)
    low, high = (0.0, float(support.largest)) if integers else (images.min().item(), images.max().item())
    share = ((images - low) / max(high - low, 1e-12)).clamp(0, 1)
    n, channels, height, width = share.shape
    grid = share.reshape(n // across, across, channels, height, width).permute(0, 3, 1, 4, 2)
    grid = grid.reshape(n // across * height, across * width, channels).expand(-1, -1, 3)
    with written_whole(path) as scratch:
        matplotlib.image.imsave(scratch, grid.numpy(), format="png")
