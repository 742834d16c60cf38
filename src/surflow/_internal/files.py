"""Files that appear whole or not at all, folders, and locks that end with their process."""

from __future__ import annotations

import errno
import os
import secrets
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from surflow._internal.sealed import seal, unsealed
from surflow.errors import FileError

# In the names of files that are being written, and what such a name fits.
PART = ".part"
_DIGITS = 8
_SCRATCH = f".{'[0-9a-f]' * _DIGITS}{PART}*"

# The file that whoever writes into a folder of a run holds locked.
LOCK = ".lock"

# Endings of files that say their format are short, those of other names may be as long as a name.
_LONGEST_ENDING = 16

# A folder on some file systems cannot be synced, or not by those who may write to it.
_NO_SYNC = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM, errno.EISDIR)


@contextmanager
def written_whole(path: str | Path) -> Iterator[Path]:
    """A new file beside ``path`` to write to: at the end it is synced, and takes the place of ``path``.

    Whatever happens, ``path`` is the older file or the new one. The new one has the permissions that the umask gives,
    and the ending of ``path``.

    Args:
        path: of the file; of a link, what it points to is written.

    Raises:
        FileError: for what the system says against it, with the path.
    """
    path = Path(path)
    try:
        target = Path(os.path.realpath(path))
        if target.exists() and not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        scratch = target.with_name(f".{secrets.token_hex(_DIGITS // 2)}{PART}{target.suffix[:_LONGEST_ENDING]}")
        try:
            scratch.open("xb").close()
            mode = scratch.stat().st_mode  # what writes to it may have opinions of its own
            yield scratch
            scratch.chmod(mode)
            _sync(scratch)
            os.replace(scratch, target)
        finally:
            with suppress(OSError):
                scratch.unlink(missing_ok=True)
        _sync_folder(target.parent)
    except OSError as error:
        kept = "; what it held before is kept" if os.path.isfile(path) else ""
        raise FileError(f"{path} cannot be written: {error.strerror or error}{kept}") from error


def write_text(path: str | Path, text: str) -> None:
    """Write a file of text, whole or not at all.

    Raises:
        FileError: if it cannot be written.
    """
    with written_whole(path) as scratch:
        scratch.write_text(text, encoding="utf-8", newline="")


def write_tensors(path: str | Path, tensors: Mapping[str, Tensor], entry: str, header: Mapping[str, object]) -> None:
    """Write a .safetensors file with its digest, whole or not at all.

    Args:
        path: of the file.
        tensors: by name.
        entry: of the metadata, that holds the header as JSON: one, because the order of several differs from file to
            file.
        header: plain values, by name.

    Raises:
        FileError: if it cannot be written.
    """
    with written_whole(path) as scratch:
        try:
            save_file(dict(tensors), scratch, {entry: unsealed(header)})
        except SafetensorError as error:  # its words for what the system says
            raise OSError(str(error)) from error
        seal(scratch)


def make_folder(path: str | Path) -> Path:
    """The folder, made with those above it if there is none.

    Raises:
        FileError: if it cannot be made.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FileError(f"the folder {path} cannot be written to: {error.strerror or error}; choose another") from error
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder, which no other process gets meanwhile; the lock ends with its process, however that ends.

    Within one process it may be held again. What others left half written when they were killed is removed, there and
    in the folders right below that no lock makes another's.

    Raises:
        FileError: if another process holds it, or it cannot be written to.
    """
    lock = FileLock(os.path.realpath(folder / LOCK), timeout=0, is_singleton=True, thread_local=False)
    try:
        lock.acquire()
    except Timeout as error:
        raise FileError(
            f"another process is writing into the folder {folder}: wait for its end, or choose another folder"
        ) from error
    except OSError as error:
        raise FileError(
            f"the folder {folder} cannot be written to: {error.strerror or error}; choose another"
        ) from error
    except NotImplementedError:
        warnings.warn(f"the file system of {folder} has no locks: let one process write there", stacklevel=3)
    try:
        for place in (folder, *(p for p in folder.iterdir() if p.is_dir() and not (p / LOCK).exists())):
            for left in place.glob(_SCRATCH):
                left.unlink(missing_ok=True)
        yield
    finally:
        lock.release()


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    if os.name == "nt":
        return  # folders are no files there
    try:
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_SYNC:
            raise
