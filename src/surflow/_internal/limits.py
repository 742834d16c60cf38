"""What a file of a stranger may ask for: limits on what is unpacked and read whole, and how a user raises them all."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from surflow.errors import ConfigError, FileError

# All limits, those of models among them, are multiplied by this variable of the environment; "inf" lifts them.
VARIABLE = "SURFLOW_BUDGET"
ADVICE = f"If you know where it is from, and have the memory, raise the limit: {VARIABLE}=10 surflow ..., or inf"

# Bytes that packed data may become, and more for each byte that they are: text and images become some tens.
_FREE = 2**26
_PER_BYTE = 100
# Cells that packed text may become, each of which costs some microseconds, and more for each byte.
_FREE_CELLS = 2**19
_CELLS_PER_BYTE = 16
# Seconds that a query of a database may take, and more for each byte of its file.
_FREE_SECONDS = 30.0
_SECONDS_PER_BYTE = 1e-6
# TOML and JSON are read whole, and become some fifty times their length.
_MOST_TEXT = 2**24


def factor() -> float:
    """By what the user multiplies every limit; 1 unless the environment says otherwise.

    Raises:
        ConfigError: for something else than a number above 0.
    """
    said = os.environ.get(VARIABLE, "1")
    try:
        number = float(said)
    except ValueError:
        number = 0.0
    if not number > 0:
        raise ConfigError(f"{VARIABLE} multiplies the limits on files: expected a number above 0, got {said!r}")
    return number


def most_unpacked(packed: int) -> float:
    """How many bytes so many packed ones may become."""
    return factor() * (_FREE + _PER_BYTE * packed)


def check_unpacked(path: Path, unpacked: int, packed: int) -> None:
    """Raise FileError if a file of ``packed`` bytes asks for more memory than one so small is worth."""
    most = most_unpacked(packed)
    if unpacked > most:
        raise FileError(
            f"{path} has {packed:,} bytes and would become {unpacked:,} or more: a file of this size may become "
            f"{most:,.0f}. {ADVICE}"
        )


def most_cells(size: int) -> float:
    """How many cells a table in a file of so many bytes may have."""
    return factor() * (_FREE_CELLS + _CELLS_PER_BYTE * size)


def check_cells(path: Path, cells: int, size: int) -> None:
    """Raise FileError if a table in a file of ``size`` bytes asks for more work than one so small is worth."""
    most = most_cells(size)
    if cells > most:
        raise FileError(
            f"{path} has {size:,} bytes and would become {cells:,} cells of a table or more: a file of this size may "
            f"become {most:,.0f}. {ADVICE}"
        )


@contextmanager
def in_time(path: Path, size: int, stop: Callable[[], None]) -> Iterator[None]:
    """Within the block, call ``stop`` from another thread when a file of ``size`` bytes has had its time.

    Raises:
        FileError: if what ``stop`` ended has raised.
    """
    most, late = factor() * (_FREE_SECONDS + _SECONDS_PER_BYTE * size), threading.Event()

    def end() -> None:
        late.set()
        stop()

    timer = threading.Timer(min(most, threading.TIMEOUT_MAX), end)
    timer.daemon = True
    timer.start()
    try:
        yield
    except Exception as error:
        if not late.is_set():
            raise
        raise FileError(
            f"{path} has {size:,} bytes and was not read after {most:,.0f} seconds, as a view may be that computes "
            f"its rows without end. {ADVICE}"
        ) from error
    finally:
        timer.cancel()


def read_text(path: Path) -> str:
    """The text of a configuration, a schema or a record, in UTF-8.

    Raises:
        FileError: if it cannot be read, is no text, or is longer than any of these.
    """
    most = factor() * _MOST_TEXT
    try:
        size = path.stat().st_size
        if size > most:
            raise FileError(f"{path} has {size:,} bytes: expected at most {most:,.0f} of text. {ADVICE}")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise FileError(f"{path} is damaged: it is not text in UTF-8 (byte {error.start})") from error


def user_path(path: str | Path) -> Path:
    """A path as a person writes it, with ~ for a home.

    Raises:
        FileError: for a home that nobody has, or a name that no file can have.
    """
    try:
        found = Path(path).expanduser()
        found.exists()
    except (RuntimeError, OSError, ValueError) as error:
        raise FileError(
            f"{str(path)[:300]!r} is the path of no file: {getattr(error, 'strerror', None) or error}"
        ) from error
    return found
