"""Tables in files that say themselves what their columns are: Parquet, JSON, Arrow, NumPy, databases; and queries."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import duckdb

from surflow._internal.limits import check_unpacked
from surflow.data.readers import objects
from surflow.data.readers.engine import count, internal, literal, one_path
from surflow.data.readers.npy import load_npy
from surflow.data.readers.plain import damaged, reading
from surflow.errors import ConfigError, DataError, unknown_name

# JSON of one row may be as long as this, in bytes.
_LONGEST = 1 << 28


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
    source = (
        f"read_json({literal(one_path(path, folder))}, sample_size=-1, maximum_object_size={_LONGEST}, "
        "records=true, convert_strings_to_integers=false)"
    )
    with reading(path):
        names = names_of(connection, f"SELECT * FROM {source}")
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM {source} AS t({renamed(names)})")
    return names


def read_arrow(path: Path, connection: duckdb.DuckDBPyConnection, table: str) -> tuple[list[str], dict[str, list[str]]]:
    """An Arrow or Feather file, which pyarrow reads; also the categories that have an order, by column."""
    if importlib.util.find_spec("pyarrow") is None:
        raise ConfigError(f"{path} is an Arrow file, which pyarrow reads: pip install pyarrow, or save it as Parquet")
    import pyarrow as pa
    from pyarrow import feather

    try:
        held = feather.read_table(path)
    except (pa.ArrowException, OSError):
        try:
            with pa.OSFile(str(path)) as file, pa.ipc.open_stream(file) as stream:
                held = stream.read_all()
        except (pa.ArrowException, OSError) as error:
            raise damaged(path, error) from error
    names, _, orders = objects.read_object(held, connection, table)
    return names, orders


def read_numpy(path: Path, connection: duckdb.DuckDBPyConnection, table: str) -> list[str]:
    """An array of one or two axes, or a structured one, from an NPY file."""
    return objects.read_object(load_npy(path), connection, table)[0]


def read_database(
    path: Path, name: str | None, connection: duckdb.DuckDBPyConnection, folder: Path, table: str
) -> list[str]:
    """A table of a DuckDB database file."""
    with reading(path):
        connection.execute(f"ATTACH {literal(one_path(path, folder))} AS source (READ_ONLY)")
        found = connection.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_catalog = 'source' ORDER BY table_name"
        ).fetchall()
        chosen = the_table(path, name, [found_name for (found_name,) in found])
        quoted = '"' + chosen.replace('"', '""') + '"'
        names = names_of(connection, f"SELECT * FROM source.{quoted}")
        connection.execute(f"CREATE TABLE {table} AS SELECT * FROM source.{quoted} AS t({renamed(names)})")
        connection.execute("DETACH source")
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
