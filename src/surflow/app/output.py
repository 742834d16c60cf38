"""Files of samples and scores that the command line writes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from surflow.errors import FileError
from surflow.supports import Integers, Support

if TYPE_CHECKING:
    from torch import Tensor


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


def writing(path: Path, write: Callable[[], object]) -> None:
    """Call ``write``; what the system says against it becomes a FileError."""
    try:
        write()
    except OSError as error:
        raise FileError(f"{path} cannot be written: {error.strerror or error}") from error


def write_table(path: Path, columns: Mapping[str, Any]) -> None:
    """Named columns, numpy arrays of one length, as CSV or Parquet."""
    import pyarrow as pa

    table = pa.table(dict(columns))
    if path.suffix == ".csv":
        from pyarrow import csv

        writing(path, lambda: csv.write_csv(table, path))
    else:
        from pyarrow import parquet

        writing(path, lambda: parquet.write_table(table, path))


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
    matplotlib.image.imsave(path, grid.numpy(), format="png")
