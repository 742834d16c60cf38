"""Tables in files that say themselves what their columns are: Parquet, JSON, Arrow, NumPy, databases; and queries."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from surflow._internal.limits import check_cells, check_unpacked, in_time, most_cells
from surflow.data.readers import objects
from surflow.data.readers.engine import apart, count, internal, literal, one_path
from surflow.data.readers.npy import load_npy
from surflow.data.readers.plain import damaged, plain, reading
from surflow.errors import ConfigError, DataError, unknown_name

if TYPE_CHECKING:
    import pyarrow as pa

# JSON of one row may be as long as this, in bytes; the shortest row is {}, and a comma.
_LONGEST, _SHORTEST = 1 << 28, 3
# Rows that come from another connection at once.
_AT_ONCE = 1 << 16


def names_of(connection: duckdb.DuckDBPyConnection, read: str) -> list[str]:
    """Names of the columns that a query gives."""
    return [row[0] for row in connection.execute(f"DESCRIBE {read}").fetchall()]


def renamed(names: list[str]) -> str:
    """The internal names of columns, for an alias of a table."""
    return ", ".join(map(internal, range(len(names))))


def read_parquet(path: Path, connection: duckdb.DuckDBPyConnection, folder: Path, table: str) -> list[str]:
    """A view of a file, of which a query reads the columns and the groups of rows that it needs."""
    # One file as it is: no further columns out of the folders' names.
    source = f"read_parquet({literal(one_path(path, folder))}, hive_partitioning=false"
    with reading(path):
        names = names_of(connection, f"SELECT * FROM {source})")
        inner = f"SELECT * FROM {source}, file_row_number=true) AS t({renamed(names)}, rowid)"
        connection.execute(f"CREATE VIEW {table} AS {inner}")
        held = connection.execute(
            f"SELECT name FROM parquet_schema({literal(one_path(path, folder))}) WHERE num_children IS NULL"
        ).fetchall()
        # Encodings of runs may state any number of values in a few bytes.
        check_unpacked(path, 8 * count(connection, table) * len(names), path.stat().st_size)
    # SQL renames "A" beside "a"; the file's own names are as many where no column is nested.
    own = [name for (name,) in held]
    return own if len(own) == len(names) else names


def row_groups(path: Path, connection: duckdb.DuckDBPyConnection, folder: Path) -> tuple[int, ...]:
    """How many rows each group of a Parquet file has."""
    with reading(path):
        found = connection.execute(
            "SELECT row_group_id, any_value(row_group_num_rows) "
            f"FROM parquet_metadata({literal(one_path(path, folder))}) GROUP BY ALL ORDER BY ALL"
        ).fetchall()
    return tuple(rows for _, rows in found)


def read_json(path: Path, connection: duckdb.DuckDBPyConnection, folder: Path, table: str) -> list[str]:
    """JSON lines, or an array of objects, one a row; kinds of values are found in all rows."""
    ready = plain(path, folder).ready
    size = ready.stat().st_size
    # However many keys there are, and however few of them in a row, each is a column.
    source = (
        f"read_json({literal(one_path(ready, folder))}, sample_size=-1, maximum_object_size={_LONGEST}, "
        "records=true, convert_strings_to_integers=false, map_inference_threshold=-1, format='auto')"
    )
    with reading(path):
        names = names_of(connection, f"SELECT * FROM {source}")
        if len(names) * size / _SHORTEST > most_cells(size):
            check_cells(path, len(names) * count(connection, source), size)
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM {source} AS t({renamed(names)})")
    return names


def read_arrow(path: Path, connection: duckdb.DuckDBPyConnection, table: str) -> tuple[list[str], dict[str, list[str]]]:
    """An Arrow or Feather file, which pyarrow reads; also the categories that have an order, by column."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(f"{path} is an Arrow file, which pyarrow reads: pip install pyarrow, or save it as Parquet")
    import pyarrow as pa
    from pyarrow import feather

    with path.open("rb") as file:
        first_version = file.read(4) == b"FEA1"
    try:
        held = feather.read_table(path) if first_version else pa.Table.from_batches(*_batches(path))
    except (pa.ArrowException, OSError) as error:
        raise damaged(path, error) from error
    names, _, orders = objects.read_object(held, connection, table)
    return names, orders


def _batches(path: Path) -> tuple[list[pa.RecordBatch], pa.Schema]:
    """What an Arrow file or stream holds, counted batch by batch: they may be packed, or state values of no bytes."""
    import pyarrow as pa

    size, unpacked, cells, found = path.stat().st_size, 0, 0, []
    with pa.memory_map(str(path)) as file:
        try:
            reader = pa.ipc.open_file(file)
            batches = (reader.get_batch(i) for i in range(reader.num_record_batches))
        except pa.ArrowInvalid:
            file.seek(0)
            reader = pa.ipc.open_stream(file)
            batches = iter(reader)
        for batch in batches:
            cells, unpacked = cells + batch.num_rows * batch.num_columns, unpacked + batch.nbytes
            check_cells(path, cells, size)
            check_unpacked(path, unpacked, size)
            batch.validate(full=True)  # positions of values beyond the file would end the process
            found.append(batch)
        return found, reader.schema


def read_numpy(path: Path, connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """An array of one or two axes, or a structured one, from an NPY file."""
    return objects.read_object(load_npy(path), connection, table)[0]


def read_database(
    path: Path, name: str | None, connection: duckdb.DuckDBPyConnection, folder: Path, table: str
) -> list[str]:
    """A table of a DuckDB database file."""
    source, size = one_path(path, folder), path.stat().st_size
    with reading(path):
        connection.execute(f"ATTACH {literal(source)} AS source (READ_ONLY)")
        found = connection.execute(
            "SELECT table_name, table_type FROM information_schema.tables WHERE table_catalog = 'source' ORDER BY ALL"
        )
        held = dict(found.fetchall())
        chosen = the_table(path, name, list(held))
        quoted = '"' + chosen.replace('"', '""') + '"'
        if held[chosen] == "VIEW":
            connection.execute("DETACH source")
            return _read_view(source, quoted, path, connection, table)
        names = names_of(connection, f"SELECT * FROM source.{quoted}")
        check_cells(path, len(names) * count(connection, f"source.{quoted}"), size)
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM source.{quoted} AS t({renamed(names)})")
        connection.execute("DETACH source")
    return names


def _read_view(source: Path, quoted: str, path: Path, connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """A view, which is a query of whoever made the file: it sees nothing but the file, and ends."""
    size = path.stat().st_size
    with apart(source) as own, in_time(path, size, own.interrupt):
        names = names_of(own, f"SELECT * FROM {quoted}")
        most = min(most_cells(size) // max(1, len(names)) + 1, 2**62)
        rows = own.sql(f"SELECT * FROM {quoted} AS t({renamed(names)}) LIMIT {most:.0f}").to_arrow_table(_AT_ONCE)
    check_cells(path, rows.num_rows * len(names), size)
    connection.register("_view", rows)
    connection.execute(f"CREATE TABLE {table} AS SELECT * FROM _view")
    connection.unregister("_view")
    return names


def the_table(path: Path, name: str | None, tables: list[str]) -> str:
    """The table of a database that a person means: the one named, or the only one."""
    if not tables:
        raise DataError(f"{path} holds no tables")
    if name is None and len(tables) > 1:
        raise ConfigError(
            f"{path.name} has the tables {', '.join(map(repr, tables))}: say which one, such as "
            f"{str(path) + ':' + tables[0]!r}"
        )
    if name is not None and name not in tables:
        raise ConfigError(unknown_name(f"table of {path.name}", name, tables))
    return name or tables[0]


def is_query(source: str) -> bool:
    """Whether a text is a query in SQL: it begins as one, and selects from something."""
    words = source.lower().split()
    return bool(words) and words[0].lstrip("(") in ("select", "from", "with") and "from" in words


def read_query(query: str, connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """What a query gives, read by DuckDB; statements that write are refused."""
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type != duckdb.StatementType.SELECT:
            raise ConfigError(f"expected one SELECT, got several statements, or one that writes: {query[:60]!r}")
        query = statements[0].query.strip().rstrip(";")
        names = names_of(connection, query)
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM ({query}) AS t({renamed(names)})")
    except duckdb.Error as error:
        raise DataError(f"the query cannot be run: {str(error).splitlines()[0]}\n  {query}") from error
    return names
