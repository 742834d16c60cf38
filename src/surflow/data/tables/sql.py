"""The SQL of a column's values: as text, and as numbers in double precision."""

from __future__ import annotations

from surflow.data.readers.frame import Frame
from surflow.data.tables.dates import DAY, has_clock, has_day, readings
from surflow.data.tables.numerals import BLANKS, INFINITE, MINUS
from surflow.data.tables.schema import Column, ColumnKind


def quoted(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def missing_sql(frame: Frame, name: str) -> str:
    """The SQL of whether a column has no value."""
    missing = f"{frame.sql(name)} IS NULL"
    # NaN in a column of floats says that a value is missing.
    return f"({missing} OR isnan({frame.sql(name)}))" if frame.types[name] in ("DOUBLE", "FLOAT") else missing


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
    # Texts such as nan are names, and 1.5 is none where points separate thousands.
    number = f"regexp_full_match({text}, {quoted(f'{form.pattern}|{INFINITE}')})"
    for affix in (form.prefix, form.suffix, *(BLANKS if form.dressed else "")):
        text = f"replace({text}, {quoted(affix)}, '')" if affix else text
    if form.negative == "(1)":
        text = f"replace(replace({text}, '(', '-'), ')', '')"
    if form.negative == "1-":
        text = f"regexp_replace({text}, '^(.*)-$', '-\\1')"
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
    text = f"trim({text_sql(frame, column.name)})"  # of numbers, 20240131
    text = f"regexp_replace({text}, '[Zz]$', '+00:00')" if "%z" in form else text
    moment = f"try_strptime({text}, [{', '.join(map(quoted, readings(form)))}])"
    if not has_clock(form):
        return f"epoch({moment}) / {DAY}"
    since = "" if has_day(form) else " + 2208988800000000"  # from 1900-01-01
    return f"(epoch_us({moment}){since}) / 1e6"
