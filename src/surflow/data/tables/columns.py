"""Values as they are written become numbers in double precision, by SQL, and come back as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import numpy as np

from surflow.data.findings import Findings
from surflow.data.readers.frame import Frame
from surflow.data.tables.dates import DAY, has_clock, has_day, moment
from surflow.data.tables.numerals import PLAIN
from surflow.data.tables.schema import OTHER, Column, ColumnKind
from surflow.data.tables.sql import missing_sql, number_sql, quoted, text_sql
from surflow.errors import DataError

_EPOCH = datetime(1970, 1, 1)


def encode(frame: Frame, columns: Sequence[Column], *, most: int | None = None) -> np.ndarray:
    """The rows as float64 (n, columns): numbers, indices of categories, NaN where a value is missing.

    A category that the schema does not know has the index behind the last, :data:`OTHER`. With ``most``, so many rows
    drawn from all, in no order.

    Raises:
        DataError: for values that are no numbers where numbers are expected, infinite ones, or unknown answers of a
            boolean: all columns at once, each with its first row.
    """
    selected, wrong = [], Findings()
    for i, column in enumerate(columns):
        missing = _missing_sql(frame, column)
        value = number_sql(frame, column) if column.kind.numeric else _index_sql(frame, column, i)
        selected.append(f"CASE WHEN {missing} THEN 'nan'::DOUBLE ELSE coalesce({value}, 'inf'::DOUBLE) END AS v{i}")
    which = f"USING SAMPLE reservoir({most} ROWS) REPEATABLE (0)" if most is not None and most < frame.rows else ""
    columns_of = frame.arrays(f"SELECT {', '.join(selected)} FROM {frame.relation} {which or 'ORDER BY rowid'}")
    out = np.empty((len(columns_of["v0"]) if columns else frame.rows, len(columns)))
    for i, column in enumerate(columns):
        out[:, i] = np.ma.filled(columns_of.pop(f"v{i}"), np.nan)
        bad = np.flatnonzero(np.isinf(out[:, i]))
        if len(bad):
            with wrong.gather():
                raise DataError(_complaint(frame, column, bad))
    wrong.refuse()
    return out


def _missing_sql(frame: Frame, column: Column) -> str:
    missing = missing_sql(frame, column.name)
    if column.tokens:
        missing += f" OR {text_sql(frame, column.name)} IN ({', '.join(map(quoted, column.tokens))})"
    return missing


def _index_sql(frame: Frame, column: Column, i: int) -> str:
    """The SQL of the index of a category."""
    listed = ", ".join(map(quoted, column.categories))
    frame.connection.execute(f"DROP TYPE IF EXISTS categories{i}")
    frame.connection.execute(f"CREATE TYPE categories{i} AS ENUM ({listed})")
    other = len(column.categories) if column.kind is not ColumnKind.BOOLEAN else "'inf'::DOUBLE"
    code = f"enum_code(TRY_CAST({text_sql(frame, column.name)} AS categories{i}))"
    return f"coalesce(CAST({code} AS DOUBLE), {other})"


def _complaint(frame: Frame, column: Column, rows: np.ndarray) -> str:
    value = frame.query(
        f"SELECT {text_sql(frame, column.name)}, rowid FROM {frame.relation} ORDER BY rowid LIMIT 1 OFFSET {rows[0]}"
    )
    row = int(value[0][1])  # of a part of a table another than its position in it
    line = frame.line(row)
    where = f"row {row + 1}" + ("" if line is None else f", line {line},")
    many = "1 value that is" if len(rows) == 1 else f"{len(rows):,} values that are"
    expected = "one of " + " / ".join(column.categories) if column.kind is ColumnKind.BOOLEAN else _expected(column)
    return (
        f"the column {column.name!r} of {frame.origin} has {many} not {expected}, first in {where} of the data: "
        f"{value[0][0]!r}. Mend them, or say what the column is: --column "
        f"{column.name}=category, or --column {column.name}=drop"
    )


def _expected(column: Column) -> str:
    if column.kind is ColumnKind.DATE:
        return f"a date written as {column.format}"
    words = column.number_format.words
    return "a finite number" + (f" ({words})" if words else "")


# -- back ---------------------------------------------------------------------------------------------------


def decode(column: Column, x: np.ndarray) -> np.ma.MaskedArray:
    """The values that the numbers of one column stand for, masked where they are missing.

    Names of categories are texts, whole numbers int64, others float64 rounded to the step; dates are texts in their
    format, or datetime64 where the format is that of a typed file.

    >>> decode(Column("fruit", ColumnKind.CATEGORY, categories=["fig", "pear"]), np.array([1.0, np.nan])).tolist()
    ['pear', None]
    """
    missing = np.isnan(x)
    values = np.where(missing, 0.0 if column.low is None else column.low, x)
    if column.kind.named:
        names = np.asarray([*column.categories, OTHER], dtype=object)
        return np.ma.masked_array(names[values.astype(np.int64).clip(0, len(names) - 1)], missing)
    if column.kind is ColumnKind.DATE:
        return np.ma.masked_array(_moments(column, values), missing)
    if column.step is None:
        return np.ma.masked_array(values, missing)
    if float(column.step).is_integer() and np.abs(values).max(initial=0.0) < 2.0**53:
        whole = np.rint(values).astype(np.int64)
        beyond = column.offset.bit_length() > 62  # the sum may be no int64
        return np.ma.masked_array((whole.astype(object) if beyond else whole) + column.offset, missing)
    return np.ma.masked_array(np.round(values, column.decimals), missing)


def _moments(column: Column, values: np.ndarray) -> np.ndarray:
    form = column.format or "%Y-%m-%d"
    days = not has_clock(form)
    micro = np.rint(values * (DAY * 1e6 if days else 1e6)).astype(np.int64)
    moments = micro.astype("datetime64[us]")
    if form in ("date", "timestamp"):
        return moments.astype("datetime64[D]") if form == "date" else moments
    if form == "time":
        form = "%H:%M:%S"
    python = form.replace("%z", "+0000")
    return np.asarray([(_EPOCH + timedelta(microseconds=int(m))).strftime(python) for m in micro], dtype=object)


def texts(column: Column, values: np.ma.MaskedArray) -> list[str]:
    """Decoded values as a CSV file has them: names quoted, so that "NA" stays a name; empty where missing.

    >>> texts(Column("price", ColumnKind.NUMBER, step=0.01, decimal=","), np.ma.masked_array([1.5, 0.0], [False, True]))
    ['"1,50"', '']
    """
    missing = np.ma.getmaskarray(values)
    raw = np.ma.getdata(values)
    if column.kind.named or column.kind is ColumnKind.DATE:
        quote = column.kind.named
        cells = [f'"{str(v).replace(chr(34), chr(34) * 2)}"' if quote or "," in str(v) else str(v) for v in raw]
    elif raw.dtype.kind in "iuO":
        cells = [str(v) for v in raw.tolist()]
    elif column.step is None:
        cells = [repr(v) for v in raw.tolist()]
    else:
        cells = [f"{v:.{column.decimals}f}" for v in raw.tolist()]
    if column.decimal == "," and not column.kind.named:
        cells = [f'"{cell.replace(".", ",")}"' if "." in cell else cell for cell in cells]
    return ["" if gone else cell for gone, cell in zip(missing.tolist(), cells, strict=True)]


def codes_of(column: Column, values: Sequence[object]) -> np.ndarray:
    """Single values, as a person names them, as the numbers of a column.

    Raises:
        DataError: for an unknown category, or what is no number or date.
    """
    if column.kind.named:
        index: Mapping[str, int] = {name: i for i, name in enumerate(column.categories)}
        found = []
        for value in values:
            name = category_name(value)
            if name not in index:
                known = ", ".join(map(repr, column.categories[:8])) + (", ..." if len(column.categories) > 8 else "")
                raise DataError(f"{column.name!r} has no category {name!r}: there are {known}")
            found.append(float(index[name]))
        return np.asarray(found)
    return np.asarray([number_of(column, value) for value in values])


def number_of(column: Column, value: object) -> float:
    """One value of a numeric column as its number."""
    if column.kind is ColumnKind.DATE and not isinstance(value, int | float):
        form = column.format or "%Y-%m-%d"
        python = {"date": "%Y-%m-%d", "timestamp": "%Y-%m-%d %H:%M:%S", "time": "%H:%M:%S"}.get(form, form)
        at = value if isinstance(value, datetime) else moment(str(value).strip(), python)
        if at is None:
            raise DataError(f"{column.name!r} expects a date written as {python}, got {value!r}")
        at = at if at.tzinfo is None else at.astimezone(UTC)
        since = at.replace(tzinfo=None) - (_EPOCH if has_day(form) else datetime(1900, 1, 1))
        return since.total_seconds() / (1 if has_clock(form) else DAY)
    if isinstance(value, str):
        value = _number_in(column, value)
    elif not isinstance(value, int | float):
        raise DataError(f"{column.name!r} expects a number, got {value!r}")
    if not np.isfinite(value):
        raise DataError(f"{column.name!r} expects a finite number, got {value!r}")
    return float(value - column.offset)


def _number_in(column: Column, text: str) -> int | float:
    """The number that a text is, as the column writes it, or, where that can be no other number, as programs do."""
    form = column.number_format
    if not form.reads(text) and form.thousands != ".":
        form = PLAIN
    if not form.reads(text):
        words = f" ({form.words})" if form.words else ""
        raise DataError(f"{column.name!r} expects a number{words}, got {text!r}")
    plain = form.plain(text)
    return int(plain) if column.offset and plain.lstrip("+-").isdigit() else float(plain)


def category_name(value: object) -> str:
    """How a category is written: 3, 3.0 and "3" are one, and so are True and "true".

    >>> category_name(3.0), category_name("setosa")
    ('3', 'setosa')
    """
    value = value.item() if hasattr(value, "item") else value
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value)
