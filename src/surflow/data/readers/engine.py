"""DuckDB as the engine of all tables: a database of one's own that spills to disk and reaches nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

# DuckDB may fetch extensions that a query seems to need; a table never does.
_SETTINGS: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
    "allow_community_extensions": False,
    "preserve_insertion_order": True,
}


def connect() -> tuple[duckdb.DuckDBPyConnection, Path]:
    """A database in memory, and the folder to which it spills, which goes when the connection does."""
    folder = Path(tempfile.mkdtemp(prefix="surflow-"))
    try:
        connection = duckdb.connect(config={**_SETTINGS, "temp_directory": str(folder / "spilled")})
        # Half of the memory: the other half is for what is done with the rows.
        settings = [f"threads = {_processors()}", "memory_limit = '50%'", "TimeZone = 'UTC'"]
        for setting in (*settings, "enable_progress_bar = false"):
            connection.execute(f"SET {setting}")
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    weakref.finalize(connection, shutil.rmtree, folder, ignore_errors=True)
    return connection, folder


@contextmanager
def apart(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection to a database file of a stranger, whose views read no other file and get a share of the memory."""
    with duckdb.connect(str(path), read_only=True, config={**_SETTINGS, "enable_external_access": False}) as connection:
        for setting in ("memory_limit = '25%'", "TimeZone = 'UTC'"):
            connection.execute(f"SET {setting}")
        yield connection


def _processors() -> int:
    """How many this process may use: DuckDB takes all of the machine, and threads that wait for a turn cost time."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def internal(index: int) -> str:
    """The name of a column in SQL, which does not tell "a" from "A" and has no empty names."""
    return f"c{index}"


def literal(text: str | Path) -> str:
    """A text as SQL writes it."""
    return "'" + str(text).replace("'", "''") + "'"


def one_path(path: Path, folder: Path) -> Path:
    """A path that DuckDB takes for one file: it reads a name with a * or a [ as a pattern of names."""
    path = path.resolve()
    if not set("*?[") & set(str(path)):
        return path
    link = folder / f"link-{len(list(folder.iterdir()))}{path.suffix}"
    link.symlink_to(path)
    return link


def texts(values: list[str]) -> str:
    """A list of texts as SQL writes it."""
    return "[" + ", ".join(map(literal, values)) + "]"


def count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    """The number of rows of a table, a view or a query in brackets."""
    ((rows,),) = connection.execute(f"SELECT count(*) FROM {relation}").fetchall()
    return rows
