"""What the bytes of a text file are: compressed or not, in which encoding, and whether they are text at all."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO

import duckdb

from surflow._internal.limits import check_cells, check_unpacked
from surflow.errors import FileError

_BLOCK = 1 << 20
# What a cell may end with.
_ENDS = b"\n\r,;\t|"
# How much of a file decides what it is.
_HEAD = 1 << 18
_PACKED = {b"\x1f\x8b": "gzip", b"BZh": "bzip2", b"\xfd7zXZ\x00": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",  # before UTF-16, whose mark it begins with
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
# What other kinds of files begin with, and what to do about them.
_FOREIGN = {
    b"version https://git-lfs": "is a pointer of Git LFS, not the file itself: fetch it with `git lfs pull`",
    b"PAR1": "is a Parquet file: give it the ending .parquet",
    b"ARROW1": "is an Arrow file: give it the ending .arrow",
    b"PK\x03\x04": "is a ZIP archive, or an Excel workbook: unpack it, or give it the ending .xlsx",
    b"\xd0\xcf\x11\xe0": "is an old Excel workbook: save it as .xlsx or as CSV",
    b"SQLite format 3": "is an SQLite database: give it the ending .sqlite",
    b"%PDF": "is a PDF document: expected rows of text",
    b"{\\rtf": "is a document in rich text: expected rows of plain text",
    b"\x89HDF": "is an HDF5 file: export the table as CSV or Parquet",
    b"\x93NUMPY": "is a NumPy array: give it the ending .npy",
    b"\x80\x04": "is a Python pickle, which could run code when it is read: export the table as CSV or Parquet",
    b"\x80\x05": "is a Python pickle, which could run code when it is read: export the table as CSV or Parquet",
}


@dataclass(frozen=True)
class Plain:
    """A text file as a stream of characters.

    Attributes:
        path: where the file is.
        packed: how it is compressed; empty if it is not.
        encoding: of its characters.
        ready: a file of its own with the same characters, uncompressed and in UTF-8, which DuckDB can read.
    """

    path: Path
    packed: str
    encoding: str
    ready: Path

    @property
    def notes(self) -> list[str]:
        """What a reader should know of it."""
        usual = ("utf-8", "utf-8-sig")
        return [] if self.encoding in usual else [f"encoding {self.encoding}"]

    @contextmanager
    def lines(self) -> Iterator[io.TextIOWrapper]:
        """Its lines, with their own ends."""
        encoding = "utf-8" if self.ready != self.path else self.encoding
        with io.TextIOWrapper(self.ready.open("rb"), encoding, errors="replace", newline="") as text:
            yield text


def plain(path: Path, folder: Path) -> Plain:
    """A text file that DuckDB can read; what is packed or in another encoding is written over into ``folder``.

    Raises:
        FileError: if it is empty, no text, damaged, or in no encoding.
    """
    with path.open("rb") as file:
        start = file.read(8)
    if not start:
        raise FileError(f"{path} is empty (0 bytes): expected rows of text")
    packed = next((kind for mark, kind in _PACKED.items() if start.startswith(mark)), "")
    if packed:
        path_of_bytes = folder / f"unpacked-{len(list(folder.iterdir()))}"
        with reading(path):
            _unpack(path, packed, path_of_bytes)
    else:
        path_of_bytes = path
    with path_of_bytes.open("rb") as file:
        head = file.read(_HEAD)
    _refuse_foreign(path, head)
    found = Plain(path, packed, _encoding(path, head), path_of_bytes)
    if found.encoding in ("utf-8", "utf-8-sig"):
        _refuse_zeros(path, path_of_bytes)
        return found
    return in_encoding(found, found.encoding, folder)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Errors of a damaged or unreadable file in one message."""
    try:
        yield
    except (OSError, EOFError, zlib.error, lzma.LZMAError, duckdb.Error) as error:
        raise damaged(path, error) from error


def damaged(path: Path, error: Exception) -> FileError:
    """The error for a file that a parser could not read."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return FileError(
        f"{path} cannot be read; it is damaged, cut off or of another kind ({reason}): write or download it again"
    )


def _unpack(path: Path, packed: str, to: Path) -> None:
    import pyarrow as pa  # which knows zstd, as Python does from 3.14 on

    opened: dict[str, Callable[[Path], io.BufferedIOBase]] = {
        "gzip": lambda packed: gzip.open(packed, "rb"),  # noqa: SIM115 -- closed below
        "bzip2": bz2.BZ2File,
        "xz": lzma.LZMAFile,
        "zstd": lambda packed: pa.CompressedInputStream(str(packed), "zstd"),
    }
    size, written, cells = path.stat().st_size, 0, 0
    with opened[packed](path) as file, to.open("wb") as out:
        while block := file.read(_BLOCK):
            written += out.write(block)
            check_unpacked(path, written, size)
            cells += len(block) - len(block.translate(None, _ENDS))
            check_cells(path, cells, size)


def _refuse_foreign(path: Path, head: bytes) -> None:
    for mark, reason in _FOREIGN.items():
        if head.startswith(mark):
            raise FileError(f"{path} {reason}")
    text = head[:1000].lstrip(codecs.BOM_UTF8 + b" \t\r\n").lower()
    if text.startswith((b"<!doctype", b"<html", b"<head", b"<?xml", b"<table", b"<!--")):
        raise FileError(
            f"{path} is a web page or XML, not rows of text: a download may have given an error page, "
            "or the page about the file; download the file itself"
        )


def _encoding(path: Path, head: bytes) -> str:
    for mark, name in _MARKS.items():
        if head.startswith(mark):
            return name
    if b"\0" in head:
        # UTF-16 without a mark: every other byte of Latin text is zero.
        zeros = [head[i::2].count(0) / max(1, len(head[i::2])) for i in (0, 1)]
        if zeros[1] > 0.4 and zeros[0] < 0.1:
            return "utf-16-le"
        if zeros[0] > 0.4 and zeros[1] < 0.1:
            return "utf-16-be"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "cp1252"
    return "utf-8"


def _refuse_zeros(path: Path, file_of_bytes: Path) -> None:
    """Text holds no zero bytes; a file cut off by a crash, or a binary one, does."""
    begin = 0
    with file_of_bytes.open("rb") as file:
        while block := file.read(_BLOCK):
            if 0 in block:
                raise _binary(path, 1 + _line_ends(file_of_bytes, begin + block.index(0)))
            begin += len(block)


def _line_ends(file_of_bytes: Path, end: int) -> int:
    """How many lines end before a position."""
    with file_of_bytes.open("rb") as file:
        sizes = range(end, 0, -_BLOCK)
        return sum(file.read(min(_BLOCK, left)).count(b"\n") for left in sizes)


def _binary(path: Path, line: int) -> FileError:
    return FileError(
        f"{path} holds a zero byte on line {line}, as no text does: it is a binary file, or damaged. "
        "Export the table as CSV again"
    )


def in_encoding(found: Plain, encoding: str, folder: Path) -> Plain:
    """The same file read in an encoding, written over as UTF-8.

    Raises:
        FileError: if it is in no single encoding, or holds control characters as binary files do.
    """
    to = folder / f"text-{len(list(folder.iterdir()))}"
    with found.ready.open("rb") as file, to.open("w", encoding="utf-8", newline="") as out:
        if encoding == "cp1252":
            encoding = _write_western(found.path, file, out)
        else:
            decoder = codecs.getincrementaldecoder(encoding)()
            try:
                while block := file.read(_BLOCK):
                    out.write(decoder.decode(block))
                out.write(decoder.decode(b"", final=True))
            except UnicodeDecodeError as error:
                raise damaged(found.path, error) from error
    _refuse_zeros(found.path, to)
    return replace(found, encoding=encoding, ready=to)


def _write_western(path: Path, file: IO[bytes], out: IO[str]) -> str:
    """Write bytes over as UTF-8 that are Windows' or ISO's characters for western languages."""
    utf_8 = other = 0  # the first line of each, so that neither is read as the other
    name = "cp1252"
    for number, line in enumerate(file, 1):
        if line.isascii():
            out.write(line.decode("ascii"))
            continue
        if 0 in line:
            raise _binary(path, number)
        try:
            line.decode("utf-8")
            utf_8 = utf_8 or number
        except UnicodeDecodeError:
            other = other or number
        if utf_8 and other:
            raise FileError(
                f"{path} is in two encodings: line {utf_8} is UTF-8 and line {other} is not. Save it as UTF-8"
            )
        try:
            text = line.decode("cp1252")
        except UnicodeDecodeError:
            text, name = line.decode("latin-1"), "latin-1"
        if any(c < " " and c not in "\t\r\n\f\v\x1a" for c in text):
            raise FileError(f"{path} holds control characters on line {number}: it is a binary file, or damaged")
        out.write(text)
    return name
