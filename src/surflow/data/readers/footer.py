"""Sources and notes below the rows of a file that is too long to be gone through record by record."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from surflow.data.readers.dialect import Dialect
from surflow.data.readers.layout import is_footer

# Bytes at the end of a file among which footers are looked for, and how many of them there may be.
_END = 1 << 16
_MOST = 20


def cut_footer(path: Path, dialect: Dialect, columns: int, to: Path) -> list[str]:
    """Copy a file without what stands below its rows, if anything does; returns the lines that are left out.

    Only what is plain is cut: lines without quotes, of another width than the table's, that read as footers. Of
    everything else the reader finds out more slowly.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        file.seek(max(0, size - _END))
        lines = file.read().splitlines(keepends=True)
    left_out: list[str] = []
    for line in reversed(lines[1:]):
        text = line.decode("utf-8", "replace").rstrip("\r\n")
        cells = text.split(dialect.separator) if dialect.separator else [text]
        whole = bool(text.strip()) and len(cells) == columns
        if whole and left_out:
            shutil.copyfile(path, to)
            os.truncate(to, size)
            return left_out
        if whole or '"' in text or len(left_out) == _MOST:
            return []
        if text.strip():
            if not is_footer(cells, columns):
                return []
            left_out.insert(0, text)
        size -= len(line)
    return []
