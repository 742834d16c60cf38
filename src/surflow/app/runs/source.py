"""Where the data of a run are from, and what tells their file from any other."""

from __future__ import annotations

import glob
import hashlib
from pathlib import Path
from typing import Any

from surflow._internal.limits import user_path
from surflow.app.config import Config
from surflow.app.waiting import waiting
from surflow.data import Splits, simulator_names, synthetic_names, table_names
from surflow.data import load as load_data
from surflow.data.readers.folders import image_files
from surflow.data.readers.formats import is_query
from surflow.errors import FileError

# Bytes of a file that are read at once.
_BLOCK = 2**20


def load_splits(config: Config) -> Splits:
    """The data that a configuration names."""
    data = config.data
    with waiting(f"reading {data.source}"):
        return load_data(
            data.source,
            columns=data.columns,
            context=data.context,
            drop=data.drop or (),
            column=data.column or (),
            schema=data.schema_file,
            sets=bool(data.sets),
            seed=config.seed,
            rows=data.rows,
            data_dir=data.data_dir,
        )


def source_path(config: Config) -> Path | None:
    """The file that the data are from, or the pattern of several; None for data that have a name, and for queries."""
    source = config.data.source
    if source in (*synthetic_names(), *table_names(), *simulator_names()) or is_query(source):
        return None
    path = user_path(source)
    file, colon, _ = source.rpartition(":")  # a sheet of a workbook
    return Path(file).expanduser() if colon and not path.exists() and Path(file).expanduser().is_file() else path


def fingerprint(path: Path) -> dict[str, Any]:
    """Where a file or a folder of images is, and what tells its content from any other."""
    try:
        several = [] if path.exists() else sorted(map(Path, glob.glob(str(path))))
        files = image_files(path) if path.is_dir() else several or [path]
        digest = hashlib.sha256()
        for part in files:
            if path.is_dir() or several:
                digest.update(f"{part.relative_to(path) if path.is_dir() else part.name}\0".encode())
            with part.open("rb") as file:
                while block := file.read(_BLOCK):
                    digest.update(block)
        size = sum(part.stat().st_size for part in files)
        return {"path": str(path.absolute()), "size": size, "sha256": digest.hexdigest()}
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error


def same_content(a: dict[str, Any] | None, b: dict[str, Any] | None) -> bool:
    """Whether two fingerprints, if there are two, are of one content."""
    return a is None or b is None or (a["size"], a["sha256"]) == (b["size"], b["sha256"])
