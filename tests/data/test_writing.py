"""Columns as people write them: odd values among dates, clock times, accounts, units, codes, orders, answers twice."""

from __future__ import annotations

import datetime
import math
import random
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from surflow.data import Column, ColumnKind, Schema, infer
from surflow.data.readers.frame import Frame, read_table
from surflow.data.tables.columns import codes_of, decode, encode, texts
from surflow.data.tables.wishes import wishes
from surflow.errors import ConfigError

ROWS = 200
DAYS = [datetime.datetime(2023, 1, 1) + datetime.timedelta(days=37 * i % 700, minutes=61 * i) for i in range(ROWS)]
OTHER = [f"{v:.2f}" for v in np.random.default_rng(0).normal(size=ROWS)]


def table(folder: Path, columns: Mapping[str, Sequence[str]], mark: str = ",") -> Frame:
    lines = [mark.join(columns), *(mark.join(row) for row in zip(*columns.values(), strict=True))]
    (folder / "a.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return read_table(folder / "a.csv")


def mixed(cells: Sequence[object]) -> list[str]:
    full = [str(cells[i % len(cells)]) for i in range(ROWS)]
    random.Random(0).shuffle(full)
    return full


def beside(cells: Sequence[str], *odd: str) -> list[str]:
    """Cells, with other ones here and there."""
    return [odd[i // 9 % len(odd)] if i % 9 == 4 else cell for i, cell in enumerate(cells)]


def days(form: str) -> list[str]:
    return [day.strftime(form) for day in DAYS]


def said(schema: Schema, name: str = "v") -> str:
    return "\n".join(warning for warning in schema.warnings if repr(name) in warning)


@pytest.mark.parametrize(
    ("cells", "odd"),
    [
        (days("%Y-%m-%d"), ["unknown"]),
        (days("%Y-%m-%d"), ["TBD", "never", "pending"]),
        (days("%Y-%m-%d"), ["0000-00-00"]),
        (days("%Y-%m-%d"), ["2023-02-30"]),
        (days("%m/%d/%Y"), ["00/00/0000"]),
        (days("%d.%m.%Y"), ["unbekannt", "00.00.0000"]),
        (days("%Y%m%d"), ["0"]),
        (days("%Y%m%d"), ["99999999"]),
        (days("%H:%M"), ["24:00", "late"]),
        (mixed([f"{v / 4}" for v in range(90)]), ["tbd", "see note"]),
    ],
)
def test_values_that_are_none_of_a_column_are_missing_and_named(
    cells: list[str], odd: list[str], tmp_path: Path
) -> None:
    frame = table(tmp_path, {"other": OTHER, "v": beside(cells, *odd)})
    plain = infer(table(tmp_path, {"other": OTHER, "v": cells}))["v"]
    column = infer(frame)["v"]
    assert column.kind is plain.kind and column.kind.numeric and sorted(column.tokens) == sorted(odd)
    assert column.missing == sum(i % 9 == 4 for i in range(ROWS))
    assert all(repr(text) in said(infer(frame)) for text in odd)
    x = encode(frame, [column])[:, 0]
    expected = encode(table(tmp_path, {"other": OTHER, "v": cells}), [plain])[:, 0]
    assert np.array_equal(x, np.where(np.arange(ROWS) % 9 == 4, np.nan, expected), equal_nan=True)


def test_eight_digits_of_typed_columns_are_days_with_holes_and_zeros() -> None:
    numbers = np.array([float(day.strftime("%Y%m%d")) for day in DAYS])
    numbers[::7], numbers[3::7] = 0.0, math.nan
    frame = read_table({"v": numbers})
    column = infer(frame)["v"]
    assert (column.kind, column.tokens) == (ColumnKind.DATE, ["0"])
    x = encode(frame, [column])[:, 0]
    assert np.array_equal(np.isnan(x), np.isnan(numbers) | (numbers == 0))
    assert x[1] == (DAYS[1] - datetime.datetime(1970, 1, 1)).days


SECONDS = [day.hour * 3600 + day.minute * 60 + day.second for day in DAYS]
SINCE = [(day - datetime.datetime(1970, 1, 1)).total_seconds() for day in DAYS]


@pytest.mark.parametrize(
    ("form", "values"),
    [
        ("%I:%M %p", SECONDS),
        ("%I:%M%p", SECONDS),
        ("%I:%M:%S %p", SECONDS),
        ("%m/%d/%Y %I:%M %p", SINCE),
        ("%d/%m/%Y %I:%M:%S %p", SINCE),
        ("%Y-%m-%d %I:%M:%S %p", SINCE),
        ("%d %b %Y %H:%M", SINCE),
        ("%a %b %d %H:%M:%S %Y", SINCE),
        ("%Y-%m-%dT%H:%MZ", SINCE),
        ("%d-%m-%Y %H:%M", SINCE),
    ],
)
@pytest.mark.parametrize("how", [str, str.lower, lambda text: text.lstrip("0")], ids=["", "small", "no zero"])
def test_times_of_day_of_twelve_hours_and_other_dates(
    form: str, values: list[float], how: object, tmp_path: Path
) -> None:
    cells = [how(cell) for cell in days(form)]  # type: ignore[operator]
    if "Z" in form:
        cells = days(form)
    frame = table(tmp_path, {"other": OTHER, "v": cells})
    column = infer(frame)["v"]
    assert column.kind is ColumnKind.DATE
    assert encode(frame, [column])[:, 0].tolist() == values
    assert codes_of(column, [cells[5]])[0] == values[5]
    again = texts(column, decode(column, np.array(values)))
    assert [cell.lstrip("0").lower() for cell in again] == [
        cell.lstrip("0").lower().replace("z", "+0000") for cell in cells
    ]


def test_a_fraction_of_a_second_may_be_left_out_where_it_is_zero(tmp_path: Path) -> None:
    moments = [day + datetime.timedelta(microseconds=250_000 * (i % 3)) for i, day in enumerate(DAYS)]
    frame = table(tmp_path, {"other": OTHER, "v": [moment.isoformat() for moment in moments]})
    column = infer(frame)["v"]
    assert encode(frame, [column])[:, 0].tolist() == [
        (moment - datetime.datetime(1970, 1, 1)).total_seconds() for moment in moments
    ]


NUMBERS = [(-1) ** (i % 3 == 0) * (i * 37 % 9000 + 0.25) for i in range(1, ROWS + 1)]


@pytest.mark.parametrize(
    "form",
    [
        lambda v: f"({-v:.2f})" if v < 0 else f"{v:.2f}",
        lambda v: f'"(${-v:,.2f})"' if v < 0 else f'"${v:,.2f}"',
        lambda v: f'"$({-v:,.2f})"' if v < 0 else f'"${v:,.2f}"',
        lambda v: f'"-${-v:,.2f}"' if v < 0 else f'"${v:,.2f}"',
        lambda v: f'"$-{-v:,.2f}"' if v < 0 else f'"$ {v:,.2f}"',
        lambda v: f'"- € {-v:,.2f}"' if v < 0 else f'"€ {v:,.2f}"',
        lambda v: f"{-v:.2f}-" if v < 0 else f"{v:.2f}",
        lambda v: f"{v:.2f} USD",
        lambda v: f"{v:.2f}\u00a0€",
        lambda v: f"{v:.2f} bhp",
        lambda v: f"{v:.2f} km/h",
        lambda v: f"({-v:.2f}%)" if v < 0 else f"{v:.2f}%",
        lambda v: f"{v:.2f}CC",
        lambda v: f"{v:.6e}",
        lambda v: f"+{v:.2f}" if v > 0 else f"{v:.2f}",
    ],
)
def test_numbers_of_accounts_and_units(form: object, tmp_path: Path) -> None:
    cells = [form(v) for v in NUMBERS]  # type: ignore[operator]
    frame = table(tmp_path, {"other": OTHER, "v": cells})
    schema = infer(frame)
    column = schema["v"]
    assert column.kind is ColumnKind.NUMBER and not said(schema)
    assert encode(frame, [column])[:, 0].tolist() == NUMBERS
    assert codes_of(column, [cells[2].strip('"')])[0] == NUMBERS[2]
    assert Column.from_dict(column.to_dict()) == column
    again = table(tmp_path, {"other": OTHER, "v": texts(column, decode(column, np.array(NUMBERS)))})
    assert encode(again, [column])[:, 0].tolist() == NUMBERS


@pytest.mark.parametrize(
    "cells",
    [
        mixed([f"({i})" for i in range(1, 30)]),
        mixed(["12A", "12", "13", "13B", "14"]),
        mixed([f"{i * 113 % 99999:05d}" for i in range(90)]),
        mixed([f"A{i}" for i in range(9)]),
    ],
)
def test_names_with_digits_are_names_as_they_are_written(cells: list[str], tmp_path: Path) -> None:
    frame = table(tmp_path, {"other": OTHER, "v": cells})
    column = infer(frame)["v"]
    assert column.kind is ColumnKind.CATEGORY
    assert decode(column, encode(frame, [column])[:, 0]).tolist() == cells


THREE = [f"{1 + i % 9},{i * 7 % 1000:03d}" for i in range(ROWS)]
WHOLE, PART = ([float(cell.replace(",", by)) for cell in THREE] for by in ("", "."))


@pytest.mark.parametrize(
    ("separator", "mark", "other", "values", "doubted"),
    [
        (",", ",", lambda i: f"{i / 4}", WHOLE, False),
        (",", ",", lambda i: f'"{i},5"', PART, False),
        (",", ",", lambda i: str(i), WHOLE, True),
        (",", ".", lambda i: str(i), PART, False),
        (",", ".", lambda i: f'"{i},5"', WHOLE, False),
        (",", ".", lambda i: f'"{i % 7 + 1}.000,5"', WHOLE, False),
        (";", ",", lambda i: f"{i},5", PART, False),
        (";", ",", lambda i: str(i), PART, True),
        (";", ",", lambda i: f"{i}.5", WHOLE, False),
        (";", ".", lambda i: f"{i},5", WHOLE, False),
        (";", ".", lambda i: f"{i}.5", PART, False),
        (";", ".", lambda i: str(i), PART, True),
    ],
)
def test_a_mark_before_three_digits_is_what_the_file_tells(
    separator: str, mark: str, other: object, values: list[float], doubted: bool, tmp_path: Path
) -> None:
    cells = [cell.replace(",", mark) for cell in THREE]
    cells = [f'"{cell}"' for cell in cells] if separator == mark else cells
    frame = table(tmp_path, {"o": [other(i) for i in range(ROWS)], "v": cells}, separator)  # type: ignore[operator]
    schema = infer(frame)
    assert encode(frame, [schema["v"]])[:, 0].tolist() == values
    assert ("could be" in said(schema)) == doubted


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        (mixed([f"{i % 24 * 100 + i * 7 % 60}" for i in range(190)]), "times of day, as 1430 for 14:30"),
        (mixed([f"{i} kg" if i % 2 else str(i) for i in range(90)]), "written with 'kg', and without it"),
        (mixed([f"{i} kg" if i % 2 else f"{i * 100} g" for i in range(90)]), "'v' is taken for names, though most"),
        (mixed([f"{i / 10}K" if i % 2 else f"{i / 10}M" for i in range(90)]), "though most of its texts"),
        (mixed([f"${i}" if i % 2 else f"€{i}" for i in range(90)]), "though most of its texts"),
        (mixed([f"{i}:{i * 7 % 60:02d}:{i % 60:02d}" for i in range(20, 90)]), "though most of its texts look like"),
        (beside(mixed(range(30)), "a", "b", "c", "d", "e"), "most of its texts are numbers, since others are not: 'a'"),
        (beside(days("%Y-%m-%d"), "a", "b", "c", "d", "e"), "most of its texts are dates, since others are not"),
        (mixed(["Male", "male", "female"]), "differ by capitals or blanks alone, such as 'Male', 'male'"),
        (mixed(["a", "a ", "b"]), "differ by capitals or blanks alone, such as 'a', 'a '"),
        (mixed(["TRUE", "FALSE", "1", "0"]), "several words for two answers: '0', '1', 'FALSE', ..."),
        (mixed(["yes", "no", "Y", "N"]), "several words for two answers"),
        (beside(mixed(range(20)), "-9"), "-9 stands apart from the other numbers"),
        (beside(mixed(range(1, 60)), "-99", "-98"), "-99 and -98 stand apart"),
        (beside(mixed(range(20, 80)), "998", "999"), "999 and 998 stand apart from the other numbers and may be codes"),
        (beside(mixed(range(20, 80)), "-1"), "-1 stands apart"),
        (beside(mixed(range(50, 180)), "0"), "0 stands apart"),
        (beside(days("%Y-%m-%d"), "9999-12-31"), "values far from the others, such as 9999-12-31"),
        (beside(days("%Y-%m-%d"), "1900-01-01"), "values far from the others, such as 1900-01-01"),
    ],
)
def test_what_is_doubtful_about_the_writing_is_said(cells: list[str], words: str, tmp_path: Path) -> None:
    assert words in said(infer(table(tmp_path, {"other": OTHER, "v": cells})))


@pytest.mark.parametrize(
    "cells",
    [
        mixed(range(-5, 30)),
        mixed([0, 1, 2, 3, -1, 5, 9]),
        mixed(range(0, 2400, 7)),
        mixed([f"{i}%" for i in range(90)]),
        mixed(["0", *(f"{i}%" for i in range(1, 90))]),
        mixed([f"{i * 113 % 99999:05d}" for i in range(90)]),
        mixed(["yes", "no", "unknown"]),
        beside(mixed(["Y", "N"]), "", "NA"),
        days("%Y-%m-%d"),
        mixed(["a", "b", "ab"]),
    ],
)
def test_nothing_is_said_of_what_is_plain(cells: list[str], tmp_path: Path) -> None:
    assert not said(infer(table(tmp_path, {"other": OTHER, "v": cells})))


@pytest.mark.parametrize("pair", [("no", "yes"), ("N", "Y"), ("f", "t"), ("FALSE", "TRUE"), ("0", "1")])
def test_two_answers_with_holes_are_booleans(pair: tuple[str, str], tmp_path: Path) -> None:
    frame = table(tmp_path, {"other": OTHER, "v": beside(mixed(pair), "", "NA", "-")})
    column = infer(frame)["v"]
    assert (column.kind, column.categories, column.missing) == (ColumnKind.BOOLEAN, list(pair), 22)


def test_categories_keep_the_order_that_their_table_says() -> None:
    pd, pl, pa = (pytest.importorskip(name) for name in ("pandas", "polars", "pyarrow"))
    names, levels = ["lo", "hi", "mid"] * 20, ["lo", "mid", "hi", "top"]
    ordered = [
        pd.DataFrame({"v": pd.Categorical(names, levels, ordered=True)}),
        pl.DataFrame({"v": pl.Series(names, dtype=pl.Enum(levels))}),
        pa.table(
            {"v": pa.DictionaryArray.from_arrays([levels.index(n) for n in names], pa.array(levels), ordered=True)}
        ),
    ]
    for source in ordered:
        frame = read_table(source)
        column = infer(frame)["v"]
        assert (column.kind, column.categories) == (ColumnKind.ORDERED, levels)
        assert encode(frame, [column])[:, 0].tolist() == [levels.index(name) for name in names]
        said_so = infer(frame, wishes(["v=category"], ["v"]))["v"]
        assert said_so.kind is ColumnKind.CATEGORY
    for source in (
        pd.DataFrame({"v": pd.Categorical(names)}),
        pl.DataFrame({"v": pl.Series(names, dtype=pl.Categorical)}),
    ):
        assert infer(read_table(source))["v"].kind is ColumnKind.CATEGORY


def test_masked_arrays_of_every_type_have_holes() -> None:
    gone = np.arange(60) % 9 == 0
    held = {
        "x": np.arange(60.0) % 7 / 2,
        "n": np.arange(60) % 7,
        "s": np.array(["a", "b"] * 30),
        "b": np.arange(60) % 2 == 0,
        "d": np.datetime64("2024-01-01") + np.arange(60) % 31,
    }
    frame = read_table({name: np.ma.masked_array(values, gone) for name, values in held.items()})
    schema = infer(frame)
    assert [str(column.kind) for column in schema] == ["number", "count", "category", "boolean", "date"]
    assert [column.missing for column in schema] == [7] * 5
    x = encode(frame, schema.columns)
    assert np.array_equal(np.isnan(x), np.repeat(gone[:, None], 5, 1))
    assert x[~gone, 0].tolist() == held["x"][~gone].tolist()


def test_a_column_without_values_is_left_out_whatever_is_said_of_it(tmp_path: Path) -> None:
    frame = table(tmp_path, {"other": OTHER, "v": [""] * ROWS})
    for kind in ("count", "category", "date", "number"):
        schema = infer(frame, wishes([f"v={kind}"], ["other", "v"]))
        assert not schema["v"].used and "as was said; no value in any row" in said(schema)


def test_a_loader_is_refused_with_what_takes_it() -> None:
    from torch.utils.data import DataLoader

    with pytest.raises(ConfigError, match=r"got DataLoader, .*train on it with surflow\.fit"):
        read_table(DataLoader([1.0, 2.0]))
