"""Tables of separated text: DuckDB reads what is regular; the rest is mended record by record, or its line named."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from surflow.data.readers import layout
from surflow.data.readers.dialect import MISSING, Cell, Dialect, Record, records, sniff
from surflow.data.readers.engine import count, internal, literal, one_path, texts
from surflow.data.readers.footer import cut_footer
from surflow.data.readers.layout import Layout
from surflow.data.readers.plain import Plain, damaged, in_encoding, plain
from surflow.errors import DataError

# Characters from which the dialect and the header are found, more where a row is longer.
_SAMPLE = 1 << 18
# Rows at the end among which sources and totals are looked for.
_TAIL = 20
_WORDS = {",": "a comma", ";": "a semicolon", "\t": "a tab", "|": "a bar", ", ": "a comma and a blank"}
# What separates nothing, for a file of one column.
_NEVER = "\x1f"


@dataclass
class Text:
    """A file of separated text that is understood, before it is read.

    Attributes:
        plain: its characters.
        dialect: how cells are separated.
        layout: where the table stands in it.
        start: the line on which the table's first row stands, from 1.
        comments: whether lines that begin with # are comments, even those that have as many cells as a row.
        regular: whether all rows of the sample are as wide as the table.
        all_quoted: whether every cell of the sample is quoted, so that quotes tell nothing.
        padded: columns with blanks around their values.
        plus: whether a plus sign is a value, so that a minus sign is one too.
        notes: what reading did, in words.
    """

    plain: Plain
    dialect: Dialect
    layout: Layout
    start: int
    comments: bool
    regular: bool
    all_quoted: bool
    padded: set[int]
    plus: bool
    notes: list[str] = field(default_factory=list)

    def rows(self) -> Iterator[Record]:
        """The rows of the table, in order; what belongs to none is left out, and noted in the end.

        Raises:
            DataError: at the first row of another width than the table's, with its line.
        """
        columns, pending, left_out = self.layout.columns, list[Record](), 0
        name = self.plain.path.name
        with self.plain.lines() as lines:
            for record in records(lines, self.dialect):
                if record.line < self.start:
                    continue
                if not record.text.strip() and columns > 1:
                    continue
                if record.why:
                    raise DataError(f"{name}, line {record.line}: {record.why}. Write quotes inside of a cell twice")
                whole = record.width == columns
                if layout.is_comment(record.text) and (self.comments or not whole):
                    left_out += 1
                    continue
                if record.width > columns and not any(cell.text.strip() for cell in record.cells[columns:]):
                    record, whole = record._replace(text=record.text[: record.cells[columns - 1].end]), True
                if not whole:
                    pending.append(record)
                    if len(pending) > _TAIL:
                        raise self._ragged(pending[0])
                    continue
                if pending:
                    raise self._ragged(pending[0])
                yield record
        for record in pending:
            if not layout.is_footer([cell.text for cell in record.cells], columns):
                raise self._ragged(record)
        if left_out:
            self._note(f"{left_out} comment line{'s' * (left_out > 1)} left out")
        if pending:
            self._note(_left_out([record.text for record in pending]))

    def _note(self, text: str) -> None:
        if text not in self.notes:
            self.notes.append(text)

    def _ragged(self, record: Record) -> DataError:
        cells, columns = record.width, self.layout.columns
        separator = _WORDS.get(self.dialect.separator, "nothing")
        return DataError(
            f"{self.plain.path.name}, line {record.line}: {cells} cell{'s' * (cells != 1)}, expected {columns} as in "
            f"the other rows (separated by {separator}): {record.text[:60]!r}. Quote cells that hold the separator, "
            "and complete rows that were cut off"
        )

    def line(self, row: int) -> int:
        """The line on which a row of the table stands."""
        return next(record.line for number, record in enumerate(self.rows()) if number == row)


def understand(path: Path, folder: Path) -> Text:
    """Find out how a text file is written.

    Raises:
        FileError: if it is no text.
        DataError: if it holds no rows, or two columns of one name.
    """
    return _understand(plain(path, folder))


def _understand(source: Plain) -> Text:
    size = _SAMPLE
    while True:
        with source.lines() as lines:
            sample = lines.read(size)
        whole = len(sample) < size
        dialect = sniff(sample, whole=whole)
        found = list(records(io.StringIO(sample, newline=""), dialect))
        if not whole:
            found.pop()
        if whole or sum(bool(record.text.strip()) for record in found) > 2:
            break
        size *= 8
    broken = next((record for record in found if record.why), None)
    if broken is not None and len(found) < 2:
        raise DataError(f"{source.path.name}, line {broken.line}: {broken.why}")
    good = [record for record in found if not record.why]
    rows = [[cell.text for cell in record.cells] for record in good]
    placed = layout.layout(rows, f"the file {source.path.name}")
    columns = placed.columns
    start = good[placed.body].line if placed.body < len(good) else good[-1].line + good[-1].text.count("\n") + 1
    if placed.header is not None and placed.body == placed.header + 1:
        start = good[placed.header].line + len(good[placed.header].text.splitlines() or [""])
    body: list[list[Cell]] = [record.cells for record in good[placed.body :] if record.text.strip()]
    cells = [cell for row in body for cell in row]
    # DuckDB skips rows where it is told to skip lines.
    broken_names = any("\n" in record.text or "\r" in record.text for record in good[: placed.body])
    notes = [*source.notes]
    if dialect.separator not in ("", ","):
        notes.append(f"separated by {_WORDS[dialect.separator]}")
    return Text(
        plain=source,
        dialect=dialect,
        layout=placed,
        start=start,
        comments=any(layout.is_comment(record.text) for record in good[: placed.body]),
        regular=broken is None and not broken_names and all(len(row) == columns for row in body),
        all_quoted=bool(cells) and all(cell.quoted for cell in cells),
        padded={j for row in body for j, cell in enumerate(row[:columns]) if cell.text != cell.text.strip()},
        plus=any(cell.text.strip() == "+" for cell in cells),
        notes=[*notes, *placed.notes],
    )


def read_text(path: Path, connection: duckdb.DuckDBPyConnection, folder: Path, table: str) -> Text:
    """Read a file of separated text into a new table, columns c0, c1, ..., all of them text.

    Raises:
        FileError, DataError: as :func:`understand`, and for a row that is broken or of another width, with its line.
    """
    text = understand(path, folder)
    if text.regular:
        short = folder / f"{table}-short"
        footer = cut_footer(text.plain.ready, text.dialect, text.layout.columns, short)
        try:
            _load(connection, text, short if footer else one_path(text.plain.ready, folder), text.start - 1, table)
        except duckdb.Error as error:
            if "unicode" in str(error).lower() and text.plain.encoding == "utf-8":
                text = _understand(in_encoding(text.plain, "cp1252", folder))
            text.regular = False
        else:
            if footer:
                text._note(_left_out(footer))
            hidden = f"{table} WHERE starts_with(c0, '#')"
            text.regular = not (text.comments and count(connection, hidden))
        finally:
            short.unlink(missing_ok=True)
    if not text.regular:
        mended = folder / f"{table}-mended"
        with mended.open("w", encoding="utf-8", newline="") as out:
            out.writelines(f"{record.text}\n" for record in text.rows())
        try:
            _load(connection, text, mended, 0, table)
        except duckdb.Error as error:
            raise damaged(path, error) from error
        finally:
            mended.unlink()
    _trim_end(connection, text, table)
    _drop_unnamed(connection, text, table)
    return text


def _load(connection: duckdb.DuckDBPyConnection, text: Text, path: Path, skip: int, table: str) -> None:
    """Read rows into a table with the dialect as it is known, so that DuckDB refuses what does not follow it."""
    # DuckDB takes no backslash among what stands for no value where it is what quotes stand behind.
    backslash = text.dialect.escape == "\\"
    missing = [t for t in MISSING if not (text.plus and t == "-") and not (backslash and "\\" in t)]
    none = "'', '\\N'" if backslash else "''"
    columns = [internal(i) for i in range(text.layout.columns)]
    given = {
        "columns": "{" + ", ".join(f"{name}: 'VARCHAR'" for name in columns) + "}",
        "auto_detect": "false",
        "header": "false",
        "skip": str(skip),
        "delim": literal(text.dialect.separator or _NEVER),
        "quote": "'\"'",
        "escape": literal(text.dialect.escape),
        "nullstr": texts(missing),
        "allow_quoted_nulls": str(text.all_quoted).lower(),
        "strict_mode": "true",
        "compression": "'none'",
    }
    # An empty text is no value, quoted or not; blanks around one that stands for no value are no part of it.
    chosen = ", ".join(
        f"CASE WHEN trim({name}) NOT IN {tuple(missing)} THEN {name} END AS {name}"
        if i in text.padded
        else f"CASE WHEN {name} NOT IN ({none}) THEN {name} END AS {name}"
        for i, name in enumerate(columns)
    )

    def load(**more: str) -> None:
        options = ", ".join(f"{key}={value}" for key, value in {**given, **more}.items())
        connection.execute(
            f"CREATE OR REPLACE TABLE {table} AS SELECT {chosen} FROM read_csv({literal(path)}, {options})"
        )

    attempts: list[Callable[[], None]] = [
        load,
        # A line break in quotes may hide from a thread that begins amid the file; a line may be longer than usual.
        lambda: load(parallel="false", max_line_size=str(min(path.stat().st_size + 1, 1 << 30))),
    ]
    try:
        attempts[0]()
    except duckdb.Error as error:
        if not any(word in str(error) for word in ("Parallel", "parallel", "Maximum line size")):
            raise
        attempts[1]()


def _trim_end(connection: duckdb.DuckDBPyConnection, text: Text, table: str) -> None:
    """Leave out rows at the end that belong to no table: blank ones, sources, sums."""
    rows, columns = count(connection, table), text.layout.columns
    last = connection.execute(f"SELECT * FROM {table} WHERE rowid >= {rows - _TAIL} ORDER BY rowid").fetchall()
    left_out: list[str] = []
    while last:
        row = ["" if value is None else value for value in last[-1]]
        there = [value for value in row if value]
        blank = not there and (columns > 1 or len(last) > 1)
        if not (blank or layout.is_footer(row, columns) or _sums(connection, row, table)):
            break
        if there:
            left_out.insert(0, text.dialect.separator.join(row))
        last.pop()
        rows -= 1
        connection.execute(f"DELETE FROM {table} WHERE rowid >= {rows}")
    if left_out:
        text._note(_left_out(left_out))


def _drop_unnamed(connection: duckdb.DuckDBPyConnection, text: Text, table: str) -> None:
    """Leave out empty columns without a name, which separators at the ends of lines make."""
    names = text.layout.names
    for i in reversed(text.layout.unnamed):
        ((values,),) = connection.execute(f"SELECT count({internal(i)}) FROM {table}").fetchall()
        if not values and len(names) > 1:
            connection.execute(f"ALTER TABLE {table} DROP COLUMN {internal(i)}")
            del names[i]
            for j in range(i, len(names)):
                connection.execute(f"ALTER TABLE {table} RENAME COLUMN {internal(j + 1)} TO {internal(j)}")
            text.notes.append(f"column {i + 1}, without a name or a value, left out")


def _sums(connection: duckdb.DuckDBPyConnection, row: list[str], table: str) -> bool:
    """Whether a last row sums up the others: it says so where no other row does."""
    at = next((i for i, value in enumerate(row) if value), None)
    if at is None or len(row) < 2 or not layout.is_total(row[at]):
        return False
    ((times,),) = connection.execute(f"SELECT count(*) FROM {table} WHERE {internal(at)} = ?", [row[at]]).fetchall()
    return times == 1


def _left_out(rows: list[str]) -> str:
    return f"{len(rows)} line{'s' * (len(rows) > 1)} below the rows left out: {rows[0][:60]!r}"
