"""Arrays in NumPy's files, of which no memory is taken for more than the file holds."""

from __future__ import annotations

import math
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from surflow._internal.limits import check_unpacked
from surflow.errors import FileError, SurflowError


@contextmanager
def reading_numpy(path: Path) -> Iterator[None]:
    """Whatever NumPy makes of a damaged file, in one message; it raises errors of every kind."""
    try:
        yield
    except SurflowError:
        raise
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "Object arrays" in reason or "Python objects" in reason:
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


def load_npy(path: Path) -> np.ndarray:
    """The array in an NPY file.

    Raises:
        FileError: if it is damaged, shorter than it says, or holds Python objects.
    """
    with reading_numpy(path):
        # Mapped first: a header that states more than the file holds is refused by the system, without memory.
        x = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(x, np.ndarray):
            raise FileError(f"{path} holds several arrays: name it with the extension .npz")
        return np.array(x)


def load_npz(path: Path, expected: set[str], only: str) -> dict[str, np.ndarray]:
    """The arrays in an NPZ file by name; if it is one alone, under the name ``only``.

    Raises:
        FileError: if it is damaged, would become far more than it is, or holds others than those expected.
    """
    # Opened here, because NumPy leaves a damaged archive open.
    with reading_numpy(path), path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        names = archive.files
        if len(names) != 1 and (only not in names or set(names) - expected):
            beside = ", ".join(repr(name) for name in sorted(expected - {only}))
            raise FileError(
                f"{path} holds the arrays {sorted(names)}: expected one array, or one named {only!r} and others named "
                f"{beside}"
            )
        members = archive.zip.infolist()
        check_unpacked(path, sum(member.file_size for member in members), path.stat().st_size)
        for member in members:
            _check_member(path, archive.zip, member)
        return {only if len(names) == 1 else name: archive[name] for name in names}


def _check_member(path: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    """Raise FileError if the header of an array states another length than its member of the archive has."""
    with archive.open(member) as file:
        version = np.lib.format.read_magic(file)
        read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
        if read is None:
            raise FileError(f"{path} holds an array with names of fields: expected numbers")
        shape, _, kind = read(file)
        stated = math.prod(shape) * kind.itemsize
        if not kind.hasobject and stated != member.file_size - file.tell():
            raise FileError(f"{path} says it holds an array of shape {shape}, {stated:,} bytes, and holds another")
