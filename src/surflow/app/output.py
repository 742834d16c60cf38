"""Files of samples and scores that the command line writes."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from surflow._internal.files import written_whole
from surflow.app.names import split_names
from surflow.data.tables.columns import texts
from surflow.data.tables.schema import Column, ColumnKind
from surflow.errors import ConfigError, FileError
from surflow.supports import Integers, Support

if TYPE_CHECKING:
    from torch import Tensor

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


def write_table(
    path: Path, columns: Sequence[tuple[Column, np.ma.MaskedArray]], *, defuse_formulas: bool = False
) -> None:
    """Columns with their decoded values as CSV or Parquet, which read back to the same values.

    In CSV, names are quoted, so that a category "NA" is no missing value, and numbers have the digits of their grid.
    With ``defuse_formulas``, names that a spreadsheet would compute, in CSV, begin with an apostrophe.
    """
    with written_whole(path) as scratch:
        if path.suffix == ".csv":
            _write_csv(scratch, columns, defuse_formulas=defuse_formulas)
        else:
            _write_parquet(scratch, columns)


def number_column(name: str) -> Column:
    """A column of numbers of full resolution."""
    return Column(name, ColumnKind.NUMBER)


def own_columns(source: str, names: str) -> list[tuple[Column, np.ma.MaskedArray]]:
    """Columns of a table as it writes them, to stand beside what is computed of its rows.

    Args:
        source: the table.
        names: of the columns, separated by commas; "all" for all.

    Raises:
        ConfigError: for a column that is not there, or a source without columns.
    """
    from surflow.data.sources import read
    from surflow.data.table import existing

    raw = read(source)
    if raw.frame is None:
        raise ConfigError(f"{raw.origin} has no columns to write beside the scores")
    wanted = raw.columns if names == "all" else [existing(raw, name) for name in split_names(names) or []]
    found = []
    for name in wanted:
        values = raw.frame.column(name)
        data, missing = np.ma.getdata(values), np.ma.getmaskarray(values)
        kind = ColumnKind.CATEGORY if data.dtype.kind == "O" else ColumnKind.NUMBER
        step = 1.0 if data.dtype.kind in "iub" else None
        found.append((Column(name, kind, step=step), np.ma.masked_array(data, missing)))
    return found


def _write_csv(path: Path, columns: Sequence[tuple[Column, np.ma.MaskedArray]], *, defuse_formulas: bool) -> None:
    cells = [texts(column, values) for column, values in columns]
    names = [column.name for column, _ in columns]
    if defuse_formulas:
        names = [f"'{name}" if name.startswith(_FORMULAS) else name for name in names]
        cells = [[f'"\'{cell[1:]}' if cell[:1] == '"' and cell[1:].startswith(_FORMULAS) else cell for cell in column]
                 for column in cells]  # fmt: skip
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerow(names)
        file.writelines(",".join(row) + "\n" for row in zip(*cells, strict=True))


def _write_parquet(path: Path, columns: Sequence[tuple[Column, np.ma.MaskedArray]]) -> None:
    import duckdb

    source: dict[str, np.ndarray] = {}
    selected = []
    for i, (column, values) in enumerate(columns):
        data = np.ma.getdata(values)
        days = data.dtype == np.dtype("datetime64[D]")  # DuckDB takes moments from NumPy, and no days
        data = data.astype("datetime64[us]") if days else data
        source[f"v{i}"] = np.asarray([str(v) for v in data], dtype=object) if data.dtype.kind == "O" else data
        source[f"m{i}"] = np.ma.getmaskarray(values)
        name = column.name.replace('"', '""')
        value = f"CAST(v{i} AS DATE)" if days else f"v{i}"
        selected.append(f'CASE WHEN m{i} THEN NULL ELSE {value} END AS "{name}"')
    with duckdb.connect() as connection:
        connection.register("source", source)
        target = str(path).replace("'", "''")
        try:
            connection.execute(f"COPY (SELECT {', '.join(selected)} FROM source) TO '{target}' (FORMAT parquet)")
        except duckdb.IOException as error:  # its words for what the system says
            raise OSError(str(error)) from error


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
