"""The SQL of a column's values: as text, and as numbers in double precision."""

from __future__ import annotations

from surflow.data.readers.frame import Frame
from surflow.data.tables.patterns import INFINITE, MINUS
from surflow.data.tables.schema import Column, ColumnKind

DAY = 86400
# Formats of dates without a time of day, which are counted in days, and of times without a day.
_CLOCK = ("%H", "%I")
_DAYS = ("%d", "%m", "%Y", "%y", "%b", "%B")


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def text_sql(frame: Frame, name: str) -> str:
    """The SQL of a column's values as text; NULL where they are missing."""
    kind = frame.types[name]
    if kind in ("DOUBLE", "FLOAT"):  # 3.0 is the category 3
        value = frame.sql(name)
        return f"CASE WHEN {value} = trunc({value}) AND abs({value}) < 1e15 THEN CAST(CAST({value} AS BIGINT) AS VARCHAR) ELSE CAST({value} AS VARCHAR) END"  # noqa: E501
    return frame.sql(name) if kind == "VARCHAR" else f"CAST({frame.sql(name)} AS VARCHAR)"


def number_sql(frame: Frame, column: Column) -> str:
    """The SQL of a column's values as numbers, DOUBLE; NULL where they are missing or are no numbers.

    Dates are days since 1970, or seconds where they have a time of day; times of day are seconds.
    """
    name, kind = frame.sql(column.name), frame.types[column.name]
    if column.kind is ColumnKind.DATE:
        return _date_sql(frame, column)
    if kind == "BOOLEAN":
        return f"CAST(CAST({name} AS TINYINT) AS DOUBLE)"
    if column.offset:
        return f"CAST({whole_sql(frame, column)} - CAST('{column.offset}' AS HUGEINT) AS DOUBLE)"
    text = _digits_sql(frame, column)
    number = f"TRY_CAST({text} AS DOUBLE)"
    # NaN in a column of floats says that a value is missing.
    return f"CASE WHEN isnan({number}) THEN NULL ELSE {number} END" if kind in ("DOUBLE", "FLOAT") else number


def whole_sql(frame: Frame, column: Column) -> str:
    """The SQL of a column's values as HUGEINT; NULL where they are not whole as they are written."""
    digits = _digits_sql(frame, column)
    if frame.types[column.name] != "VARCHAR":
        return f"CAST({digits} AS HUGEINT)"
    return f"CASE WHEN regexp_full_match({digits}, '\\s*[+-]?[0-9]+\\s*') THEN TRY_CAST({digits} AS HUGEINT) END"


def _digits_sql(frame: Frame, column: Column) -> str:
    """The SQL of a column's numbers as SQL writes them, if they are text; NULL where they are none."""
    text = frame.sql(column.name)
    if frame.types[column.name] != "VARCHAR":
        return text
    form = column.number_format
    for affix in (form.prefix, form.suffix):
        text = f"replace({text}, {quoted(affix)}, '')" if affix else text
    # Texts such as nan are names, and 1.5 is none where points separate thousands.
    number = f"regexp_full_match({text}, {quoted(f'{form.pattern}|{INFINITE}')})"
    text = f"replace({text}, {quoted(form.thousands)}, '')" if form.thousands else text
    text = f"replace({text}, ',', '.')" if form.decimal == "," else text
    return f"CASE WHEN {number} THEN replace({text}, '{MINUS}', '-') END"


def _date_sql(frame: Frame, column: Column) -> str:
    name, kind, form = frame.sql(column.name), frame.types[column.name], column.format or "%Y-%m-%d"
    if kind == "DATE":
        return f"epoch({name}) / {DAY}"
    if kind.startswith("TIMESTAMP"):
        return f"epoch_us({name}) / 1e6" if column.format != "date" else f"epoch({name}) / {DAY}"
    if kind.startswith("TIME"):
        return f"epoch({name})"
    if kind != "VARCHAR":  # 20240131
        name = f"CAST({name} AS VARCHAR)"
    text = f"trim({name})" if "%z" not in form else f"regexp_replace(trim({name}), '[Zz]$', '+00:00')"
    moment = f"try_strptime({text}, {quoted(form)})"
    if not has_clock(form):
        return f"epoch({moment}) / {DAY}"
    return f"epoch_us({moment}) / 1e6" if has_day(form) else f"(epoch({moment}) + 2208988800)"  # from 1900-01-01


def has_clock(form: str) -> bool:
    """Whether a format of dates says a time of day."""
    return form in ("timestamp", "time") or any(part in form for part in _CLOCK)


def has_day(form: str) -> bool:
    """Whether a format of dates says a day, and not a time of day alone."""
    return form in ("date", "timestamp") or any(part in form for part in _DAYS)


def typed_format(duckdb_type: str) -> str | None:
    """The format of a column whose type is that of dates or times; None for another type."""
    if duckdb_type == "DATE":
        return "date"
    if duckdb_type.startswith("TIMESTAMP"):
        return "timestamp"
    return "time" if duckdb_type.startswith("TIME") else None
