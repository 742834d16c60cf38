"""Schemas: what columns of tables are, by their values and by what a person says, and values that come back."""

from __future__ import annotations

import datetime
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from surflow.app.output import write_table
from surflow.data import Column, ColumnKind, Schema, infer, load, read_context, read_rows, read_schema
from surflow.data.readers.frame import read_table
from surflow.data.tables.columns import codes_of, decode, encode, texts
from surflow.data.tables.wishes import wishes
from surflow.errors import ConfigError, DataError, FileError

ROWS = 60


def written(folder: Path, columns: Mapping[str, Sequence[str]], *, mark: str = ",", name: str = "a.csv") -> Path:
    """A file of cells, each as it stands in the file."""
    lines = [mark.join(columns), *(mark.join(row) for row in zip(*columns.values(), strict=True))]
    path = folder / name
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def shuffled(cells: Sequence[object]) -> list[str]:
    """Cells, repeated to fill the rows, in no order."""
    full = [str(cells[i % len(cells)]) for i in range(ROWS)]
    random.Random(0).shuffle(full)
    return full


def quoted(cells: Sequence[str]) -> list[str]:
    return [f'"{cell}"' for cell in cells]


DRAW = np.random.default_rng(0)
FULL = [repr(v) for v in DRAW.normal(size=ROWS).tolist()]
CENTS = [f"{v:.2f}" for v in DRAW.gamma(3, 1000, ROWS)]
DAYS = [datetime.datetime(2023, 1, 1) + datetime.timedelta(days=37 * i % 700, minutes=61 * i) for i in range(ROWS)]
PHRASES = [f"the {i} of {i * i} remarks that nobody repeats" for i in range(ROWS)]


def moments(form: str) -> list[str]:
    return [day.strftime(form) for day in DAYS]


# Name and cells of a column, its kind, what its schema states, and words of the evidence.
KINDS: dict[str, tuple[str, Sequence[str], ColumnKind, dict[str, object], str]] = {
    "full resolution": ("weight", FULL, ColumnKind.NUMBER, {"step": None, "low": None}, "numbers from -"),
    "cents": ("price", CENTS, ColumnKind.NUMBER, {"step": 0.01, "low": 0.0, "decimals": 2}, "on a grid of 0.01"),
    "halves": ("size", shuffled([f"{v / 2}" for v in range(-9, 91)]), ColumnKind.NUMBER, {"step": 0.5}, "of 0.5"),
    "whole": ("steps", shuffled(range(400, 450)), ColumnKind.NUMBER, {"step": 1.0, "low": 0.0}, "whole numbers from"),
    "count": ("visits", shuffled([0, 0, 1, 2, 5]), ColumnKind.COUNT, {"step": 1.0, "low": 0.0}, "from 0 to 5"),
    "category": ("city", shuffled(["Ulm", "Bonn"]), ColumnKind.CATEGORY, {"categories": ["Bonn", "Ulm"]}, "2 names"),
    "grades": (
        "grade", shuffled(["low", "high", "medium"]), ColumnKind.ORDERED,
        {"categories": ["low", "medium", "high"]}, "names with an order",
    ),
    "ranges": (
        "band", shuffled(["18-24", "65+", "25-64", "under 18"]), ColumnKind.ORDERED,
        {"categories": ["under 18", "18-24", "25-64", "65+"]}, "with an order",
    ),
    "yes and no": ("member", shuffled(["yes", "no"]), ColumnKind.BOOLEAN, {"categories": ["no", "yes"]}, "no and yes"),
    "Y and N": ("open", shuffled(["Y", "N"]), ColumnKind.BOOLEAN, {"categories": ["N", "Y"]}, "only N and Y"),
    "true": ("flag", shuffled(["TRUE", "FALSE"]), ColumnKind.BOOLEAN, {"categories": ["FALSE", "TRUE"]}, "only FALSE"),
    "zero and one": ("hit", shuffled([0, 1]), ColumnKind.BOOLEAN, {"categories": ["0", "1"]}, "only 0 and 1"),
    "one and two": ("side", shuffled([1, 2]), ColumnKind.CATEGORY, {"categories": ["1", "2"]}, "only 1 and 2"),
    "days": ("day", moments("%Y-%m-%d"), ColumnKind.DATE, {"format": "%Y-%m-%d", "step": 1.0}, "dates written as"),
    "days with points": ("day", moments("%d.%m.%Y"), ColumnKind.DATE, {"format": "%d.%m.%Y"}, "written as %d.%m.%Y"),
    "American days": ("day", moments("%m/%d/%Y"), ColumnKind.DATE, {"format": "%m/%d/%Y"}, "as %m/%d/%Y"),
    "British days": ("day", moments("%d/%m/%Y"), ColumnKind.DATE, {"format": "%d/%m/%Y"}, "as %d/%m/%Y"),
    "either": (
        "day", [f"0{1 + i % 9}/0{1 + i * 7 % 9}/2024" for i in range(ROWS)], ColumnKind.DATE,
        {"format": "%m/%d/%Y"}, "could be the other way around",
    ),
    "months in words": ("day", quoted(moments("%b %d, %Y")), ColumnKind.DATE, {"format": "%b %d, %Y"}, "dates"),
    "minutes": ("at", moments("%Y-%m-%d %H:%M"), ColumnKind.DATE, {"step": 60.0}, "%Y-%m-%d %H:%M"),
    "Zulu": ("at", moments("%Y-%m-%dT%H:%M:%SZ"), ColumnKind.DATE, {"format": "%Y-%m-%dT%H:%M:%S%z"}, "%z"),
    "zone": ("at", moments("%Y-%m-%d %H:%M:%S+05:30"), ColumnKind.DATE, {"format": "%Y-%m-%d %H:%M:%S%z"}, "%z"),
    "clock": ("at", moments("%H:%M"), ColumnKind.DATE, {"step": 60.0, "low": 0.0, "high": 86340.0}, "written as %H:%M"),
    "eight digits": ("day", moments("%Y%m%d"), ColumnKind.DATE, {"format": "%Y%m%d", "step": 1.0}, "eight digits"),
    "degrees": (
        "wind_direction", shuffled(range(0, 360, 7)), ColumnKind.ANGLE, {"period": 360.0, "low": 0.0}, "a direction",
    ),
    "radians": (
        "heading", [f"{v:.4f}" for v in np.linspace(-3.1, 3.1, ROWS)], ColumnKind.ANGLE, {"period": math.tau}, "",
    ),
    "keys": ("token", [f"k{i * 7919 % 100003:06d}" for i in range(ROWS)], ColumnKind.IDENTIFIER, {"used": False}, "60"),
    "numbered": (
        "entry", shuffled(range(1, ROWS + 1)), ColumnKind.IDENTIFIER, {"used": False}, "numbers the rows 1 to 60",
    ),
    "id": (
        "customer_id", shuffled(range(5, 10_000, 137)), ColumnKind.IDENTIFIER, {"used": False}, "of an identifier",
    ),
    "text": ("remark", PHRASES, ColumnKind.TEXT, {"used": False}, "60 different texts in 60 rows"),
    "one text": ("source", ["x"] * ROWS, ColumnKind.CONSTANT, {"used": False}, "every row is 'x'"),
    "one number": ("scale", ["1.5"] * ROWS, ColumnKind.CONSTANT, {"used": False}, "every row is 1.5"),
    "nothing": ("extra", [""] * ROWS, ColumnKind.CONSTANT, {"used": False, "missing": ROWS}, "no value in any row"),
    "tokens": (
        "dose", shuffled([f"{v / 4:.2f}" for v in range(14)] + ["unknown"]), ColumnKind.NUMBER,
        {"tokens": ["unknown"], "missing": 4, "most": 3.25}, "'unknown' (4 rows) read as missing",
    ),
    "decimal comma": (
        "price", quoted([cell.replace(".", ",") for cell in CENTS]), ColumnKind.NUMBER,
        {"decimal": ",", "thousands": "", "step": 0.01}, "decimal commas",
    ),
    "decimal comma of three digits": (
        "length", quoted([f"{v:.3f}".replace(".", ",") for v in np.linspace(0.05, 9, ROWS)]), ColumnKind.NUMBER,
        {"decimal": ",", "thousands": "", "most": 9.0}, "decimal commas",
    ),
    "thousands": (
        "sum", quoted([f"{float(cell):,.2f}" for cell in CENTS]), ColumnKind.NUMBER,
        {"decimal": ".", "thousands": ",", "step": 0.01}, "thousands separated by ','",
    ),
    "European thousands": (
        "sum", quoted([f"{float(c):,.2f}".replace(",", "x").replace(".", ",").replace("x", ".") for c in CENTS]),
        ColumnKind.NUMBER, {"decimal": ",", "thousands": "."}, "thousands separated by '.'",
    ),
    "dollars": (
        "sum", quoted([f"${float(cell):,.2f}" for cell in CENTS]), ColumnKind.NUMBER,
        {"prefix": "$", "thousands": ","}, "written with '$'",
    ),
    "minus signs": ("gain", [c.replace("-", "\u2212") for c in FULL], ColumnKind.NUMBER, {"step": None}, "numbers"),
    "euros": ("sum", [f"{cell} €" for cell in CENTS], ColumnKind.NUMBER, {"suffix": "€"}, "written with '€'"),
    "percent": (
        "share", shuffled([f"{v}.5%" for v in range(99)]), ColumnKind.NUMBER, {"suffix": "%", "high": 100.0}, "'%'",
    ),
    "codes": ("zip", shuffled(["00501", "01001", "10001"]), ColumnKind.CATEGORY, {"step": None}, "3 names"),
    "64 bits": (
        "total", shuffled([2**61 + 3 * i for i in range(1, 50)]), ColumnKind.NUMBER,
        {"offset": 2**61 + 3, "least": 0.0, "most": 144.0}, "whole numbers",
    ),
    "NA": ("region", quoted(shuffled(["NA", "EU"])), ColumnKind.CATEGORY, {"categories": ["EU", "NA"]}, "2 names"),
}  # fmt: skip


@pytest.mark.parametrize("case", KINDS)
def test_kinds_and_their_evidence(case: str, tmp_path: Path) -> None:
    name, cells, kind, stated, evidence = KINDS[case]
    column = infer(read_table(written(tmp_path, {"other": FULL, name: cells})))[name]
    assert column.kind is kind and evidence in column.evidence
    assert {key: getattr(column, key) for key in stated} == stated
    assert column.used == (kind not in (ColumnKind.IDENTIFIER, ColumnKind.TEXT, ColumnKind.CONSTANT))
    assert Column.from_dict(column.to_dict()) == column


# The numbers that cells stand for, by Python's own arithmetic.
NUMBERS = {
    "full resolution": [float(cell) for cell in FULL],
    "cents": [float(cell) for cell in CENTS],
    "minus signs": [float(cell) for cell in FULL],
    "decimal comma": [float(cell) for cell in CENTS],
    "decimal comma of three digits": [float(f"{v:.3f}") for v in np.linspace(0.05, 9, ROWS)],
    "thousands": [float(cell) for cell in CENTS],
    "European thousands": [float(cell) for cell in CENTS],
    "dollars": [float(cell) for cell in CENTS],
    "euros": [float(cell) for cell in CENTS],
    "percent": [float(cell[:-1]) for cell in KINDS["percent"][1]],
    "64 bits": [float(int(cell) - 2**61 - 3) for cell in KINDS["64 bits"][1]],
    "tokens": [math.nan if cell == "unknown" else float(cell) for cell in KINDS["tokens"][1]],
    "days": [float((day.date() - datetime.date(1970, 1, 1)).days) for day in DAYS],
    "British days": [float((day.date() - datetime.date(1970, 1, 1)).days) for day in DAYS],
    "months in words": [float((day.date() - datetime.date(1970, 1, 1)).days) for day in DAYS],
    "eight digits": [float((day.date() - datetime.date(1970, 1, 1)).days) for day in DAYS],
    "Zulu": [(day - datetime.datetime(1970, 1, 1)).total_seconds() for day in DAYS],
    "zone": [(day - datetime.datetime(1970, 1, 1)).total_seconds() - 5.5 * 3600 for day in DAYS],
    "clock": [float(day.hour * 3600 + day.minute * 60) for day in DAYS],
    "grades": [float(["low", "medium", "high"].index(cell)) for cell in KINDS["grades"][1]],
    "yes and no": [float(cell == "yes") for cell in KINDS["yes and no"][1]],
    "codes": [float(["00501", "01001", "10001"].index(cell)) for cell in KINDS["codes"][1]],
    "NA": [float(cell == '"NA"') for cell in KINDS["NA"][1]],
}


@pytest.mark.parametrize("case", NUMBERS)
def test_values_are_those_written(case: str, tmp_path: Path) -> None:
    name, cells = KINDS[case][:2]
    frame = read_table(written(tmp_path, {"other": FULL, name: cells}))
    column = infer(frame)[name]
    x = encode(frame, [column])
    assert x.dtype == np.float64 and np.array_equal(x[:, 0], np.array(NUMBERS[case]), equal_nan=True)
    # One value that a person names is the number that the file holds.
    if not np.isnan(x[0, 0]):
        assert codes_of(column, [cells[0].strip('"')])[0] == x[0, 0]


LEARNT = [case for case in KINDS if KINDS[case][3].get("used", True)]


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
@pytest.mark.slow
def test_columns_of_every_kind_come_back_from_files_to_the_bit(ending: str, tmp_path: Path) -> None:
    cells = {case: list(KINDS[case][1]) for case in LEARNT}
    for i, case in enumerate(LEARNT):
        cells[case][3 + i % 50] = ""
    frame = read_table(written(tmp_path, cells))
    wished = [f"{case}={KINDS[case][2]}" for case in LEARNT if KINDS[case][2] in (ColumnKind.ANGLE, ColumnKind.COUNT)]
    schema = infer(frame, wishes(wished, LEARNT))
    assert [c.name for c in schema.used] == LEARNT and [c.missing for c in schema if c.name != "tokens"] == [1] * (
        len(LEARNT) - 1
    )
    x = encode(frame, schema.columns)
    path = tmp_path / f"b{ending}"
    write_table(path, [(column, decode(column, x[:, i])) for i, column in enumerate(schema)])
    again = read_table(path)
    assert list(again.types) == LEARNT
    for i, column in enumerate(schema):
        assert np.array_equal(encode(again, [column])[:, 0], x[:, i], equal_nan=True), column.name
    # And without the schema kinds and values are found again.
    found = infer(again)
    for case in ("full resolution", "cents", "decimal comma", "category", "grades", "codes", "NA", "days", "64 bits"):
        i = LEARNT.index(case)
        assert found[case].kind is schema[case].kind, case
        assert np.array_equal(encode(again, [found[case]])[:, 0], x[:, i], equal_nan=True), case


def test_columns_of_typed_sources_come_back(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as parquet

    some = [i % 7 == 3 for i in range(ROWS)]
    table = pa.table(
        {
            "day": pa.array([day.date() for day in DAYS], mask=np.array(some)),
            "at": pa.array([day + datetime.timedelta(microseconds=7) for day in DAYS], pa.timestamp("us")),
            "flag": pa.array([i % 3 == 0 for i in range(ROWS)], mask=np.array(some)),
            "wide": pa.array([2**63 + 5 * (i * 17 % 59) for i in range(ROWS)], pa.uint64()),
            "x": pa.array([float(cell) for cell in FULL]),
            "grade": pa.array([("7", "NA")[i % 2] for i in range(ROWS)]).dictionary_encode(),
        }
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    frame = read_table(tmp_path / "a.parquet")
    schema = infer(frame)
    assert [str(c.kind) for c in schema] == ["date", "date", "boolean", "number", "number", "category"]
    x = encode(frame, schema.columns)
    assert x[0, 0] == (DAYS[0].date() - datetime.date(1970, 1, 1)).days and np.isnan(x[3, 0])
    assert x[:, 3].tolist() == [float(5 * (i * 17 % 59)) for i in range(ROWS)]
    for ending in (".csv", ".parquet"):
        path, columns = tmp_path / f"b{ending}", schema.columns
        if ending == ".parquet":  # days are tested below
            columns, x = columns[1:], x[:, 1:]
        write_table(path, [(column, decode(column, x[:, i])) for i, column in enumerate(columns)])
        again = read_table(path)
        back = encode(again, columns if ending == ".parquet" else infer(again).columns)
        assert np.array_equal(back, x, equal_nan=True)


def test_days_of_typed_sources_come_back_from_parquet(tmp_path: Path) -> None:
    day, x = Column("day", ColumnKind.DATE, format="date", step=1.0, missing=1), np.array([19_782.0, math.nan, -1.0])
    write_table(tmp_path / "a.parquet", [(day, decode(day, x))])
    again = read_table(tmp_path / "a.parquet")
    assert again.types == {"day": "DATE"} and np.array_equal(encode(again, [day])[:, 0], x, equal_nan=True)


def test_texts_are_cells() -> None:
    def cells(column: Column, x: list[float]) -> list[str]:
        return texts(column, decode(column, np.array(x)))

    pets = Column("pet", ColumnKind.CATEGORY, categories=['a "b"', "NA", "x,y"])
    assert cells(pets, [0, 1, 2, math.nan, 3]) == ['"a ""b"""', '"NA"', '"x,y"', "", '"(other)"']
    assert cells(Column("n", ColumnKind.COUNT, step=1.0), [3, 1e15]) == ["3", "1000000000000000"]
    assert cells(Column("n", ColumnKind.NUMBER, step=0.05), [0.15000000000000002]) == ["0.15"]
    assert cells(Column("n", ColumnKind.NUMBER), [0.1 + 0.2, 1e-300]) == ["0.30000000000000004", "1e-300"]
    assert cells(Column("d", ColumnKind.DATE, format="%d.%m.%Y"), [0, 19_782]) == ["01.01.1970", "29.02.2024"]


# -- what a person says -------------------------------------------------------------------------------------


def people(folder: Path) -> Path:
    return written(
        folder,
        {
            "age": shuffled(range(20, 60)),
            "sex": shuffled([1, 2]),
            "number": shuffled(range(ROWS)),
            "taste": shuffled(["sour", "sweet", "bitter"]),
            "born": [f"0{1 + i % 9}/0{1 + i * 7 % 9}/1990" for i in range(ROWS)],
            "weight": FULL,
        },
    )


def test_what_a_person_says_overrules_the_values(tmp_path: Path) -> None:
    stated = [
        "age=count", "sex=number", "number=number", "taste=ordered(sweet,sour,bitter)", "born=date(%d/%m/%Y)",
        "weight=drop",
    ]  # fmt: skip
    splits = load(people(tmp_path), column=stated)
    assert splits.schema is not None and splits.columns == ["age", "sex", "number", "taste", "born"]
    kinds = {column.name: (str(column.kind), column.evidence.startswith("as was said")) for column in splits.schema}
    assert kinds == {
        "age": ("count", True), "sex": ("number", True), "number": ("number", True), "taste": ("ordered", True),
        "born": ("date", True),
    }  # fmt: skip
    assert splits.schema["taste"].categories == ["sweet", "sour", "bitter"]
    frame = read_table(people(tmp_path))
    days = encode(frame, [splits.schema["born"]])[:, 0]
    assert days[1] == (datetime.date(1990, 8, 2) - datetime.date(1970, 1, 1)).days
    assert set(encode(frame, [splits.schema["sex"]])[:, 0]) == {1.0, 2.0}


@pytest.mark.parametrize(
    ("stated", "message"),
    [
        ("age", "expected NAME=KIND"),
        ("agee=count", "there is no column 'agee'; did you mean 'age'"),
        ("age=cuont", "unknown kind 'cuont'; did you mean 'count'"),
        ("age=number(1,2)", r"only ordered\(...\), category\(...\) and date\(...\) take brackets"),
        ("taste=ordered(sour,sweet)", "'taste' also holds 'bitter', which its stated categories .* lack"),
        ("taste=number", r"'taste' .*not a finite number.*first in row 1, line 2.*'(sour|sweet|bitter)'"),
        ("age=date", "'age' .*not a date written as %Y-%m-%d, first in row 1"),
    ],
)
def test_what_cannot_be_said(stated: str, message: str, tmp_path: Path) -> None:
    with pytest.raises((ConfigError, DataError), match=message):
        load(people(tmp_path), column=[stated])


def test_a_schema_is_a_file_and_may_be_edited(tmp_path: Path) -> None:
    path = people(tmp_path)
    schema = infer(read_table(path))
    assert Schema.from_toml(schema.to_toml()) == schema
    schema["age"].kind, schema["age"].high = ColumnKind.COUNT, 120.0
    (tmp_path / "schema.toml").write_text(schema.to_toml(), encoding="utf-8")
    assert read_schema(tmp_path / "schema.toml") == schema
    splits = load(path, schema=tmp_path / "schema.toml")
    assert splits.schema is not None and (splits.schema["age"].kind, splits.schema["age"].high) == ("count", 120.0)
    with pytest.raises(ConfigError, match="unknown entry of a column 'kinds'; did you mean 'kind'"):
        Schema.from_toml('[[column]]\nname = "a"\nkinds = "count"\n')
    with pytest.raises(ConfigError, match="states the column 'a' twice"):
        Schema.from_toml('[[column]]\nname = "a"\nkind = "count"\n' * 2)
    with pytest.raises(FileError, match=r"nowhere\.toml cannot be read"):
        load(path, schema=tmp_path / "nowhere.toml")
    schema.columns.append(Column("lost", ColumnKind.COUNT))
    with pytest.raises(ConfigError, match=r"states the columns \['lost'\], which the file a.csv lacks"):
        load(path, schema=schema)


def test_a_schema_with_characters_that_toml_escapes() -> None:
    schema = Schema(
        [Column('a "b"\\c\n', ColumnKind.CATEGORY, categories=["\t", "é", "'"]), Column("", ColumnKind.NUMBER)]
    )
    schema[""].atoms = [1e300, -0.0, 1e-300]
    assert Schema.from_toml(schema.to_toml()) == schema
    schema[""].atoms = [math.inf]
    with pytest.raises(ConfigError, match="column '' of the schema: bounds and atoms are finite numbers"):
        Schema.from_toml(schema.to_toml())


# -- doubts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"a": [*FULL[:30], *FULL[:30]], "b": [*CENTS[:30], *CENTS[:30]]}, "30 rows (50 %) repeat another row"),
        ({"a": FULL, "b": [repr(2.54 * float(v)) for v in FULL]}, "'a' and 'b' are one column, up to its unit"),
        ({"a": FULL, "b": [repr(3 - float(v)) for v in FULL]}, "'a' and 'b' are one column"),
        ({"a": FULL, "b": ["3.5", "4.5", *[""] * (ROWS - 2)]}, "'b' is missing in 96.7 % of the rows"),
        ({"a": FULL, "b": [*CENTS[:-1], "1e12"]}, "'b' has values far from the others, such as 1e+12"),
        (
            {"a": FULL, "b": ["-999" if i % 5 == 0 else f"{float(v) / 100:.0f}.5" for i, v in enumerate(CENTS)]},
            "'b': -999 stands apart from the other numbers and may be a code for missing values",
        ),
        ({"a": FULL, "b": [f"{i / 4}" for i in range(ROWS)]}, "'b' rises or falls with the number of the row"),
        ({"a": FULL, "b": KINDS["either"][1]}, "'b': dates written as %m/%d/%Y; day and month could be the other way"),
        ({"a": FULL, "b": KINDS["tokens"][1]}, "'b' holds texts beside its numbers: 'unknown' (4 rows)"),
        ({"a": FULL, "b": KINDS["keys"][1]}, "'b' is taken for an identifier and left out"),
        ({"a": FULL, "b": PHRASES}, "'b' is taken for free text and left out"),
    ],
)
def test_what_is_doubtful_is_said(columns: Mapping[str, Sequence[str]], said: str, tmp_path: Path) -> None:
    warnings = infer(read_table(written(tmp_path, columns))).warnings
    assert [said in warning for warning in warnings].count(True) == 1


def test_columns_that_hardly_hold_numbers_are_compared_with_none(tmp_path: Path) -> None:
    columns = {
        "a": ["", "5"] * 30,
        "b": ["", "7"] * 30,
        "c": ["1e300", "3e300", "5e299"] * 20,
        "d": ["4e-300", "1e-300"] * 30,
    }
    warnings = infer(read_table(written(tmp_path, columns))).warnings
    assert not any("one column" in said for said in warnings)


def test_nothing_is_said_of_plain_columns(tmp_path: Path) -> None:
    columns = {"a": FULL, "b": CENTS, "c": shuffled(["x", "y", "z"]), "d": shuffled(range(9))}
    assert infer(read_table(written(tmp_path, columns))).warnings == []


# -- contexts, categories, names of columns -------------------------------------------------------------------


@pytest.mark.parametrize(
    "values",
    [
        3e-200 * DRAW.normal(size=ROWS),
        4e250 * DRAW.random(ROWS),
        2460310.25 + 1e-4 * DRAW.random(ROWS),
        -1e15 + np.arange(ROWS) * 0.125,
        np.where(np.arange(ROWS) % 2 == 0, 1.0, 1.0 + 2.0**-52),
    ],
    ids=["tiny", "huge", "minutes of a Julian day", "far from zero", "neighbours"],
)
def test_a_context_that_varies_is_taken_whatever_its_size(values: np.ndarray, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=DRAW.normal(size=(ROWS, 2)), context=values)
    splits = load(tmp_path / "a.npz", context="context")
    assert splits.context is not None and splits.train.context is not None
    given = splits.train.context[:, 0]
    assert given.dtype == torch.float64 and np.isin(given.numpy(), values).all()
    column = splits.context.columns[0]
    z = splits.context.network()(given[:, None])[:, 0]
    assert (
        0 < column.scale < math.inf
        and z.mean().abs() < 1e-3 + np.spacing(abs(column.mean)) / column.scale
        and (z.std(correction=0) - 1).abs() < 1e-3
    )


def test_a_context_that_does_not_vary_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=DRAW.normal(size=(ROWS, 2)), context=np.full(ROWS, 0.1))
    with pytest.raises(DataError, match=r"the context 'context' of the file a\.npz"):
        load(tmp_path / "a.npz", context="context")


def test_the_number_of_a_row_may_be_a_context(tmp_path: Path) -> None:
    cells = [str(i * 7 % ROWS) for i in range(ROWS)]
    path = written(tmp_path, {"x": FULL, "time": cells})
    assert load(path).columns == ["x"]
    splits = load(path, context="time")
    assert splits.context is not None and splits.context.columns[0].categories is None
    given = read_rows(path, ["x"], splits.context).context
    assert given is not None and given[:, 0].tolist() == [float(cell) for cell in cells]


@pytest.mark.parametrize(
    "values",
    [
        1.7e9 + np.cumsum(DRAW.random(ROWS)),
        58849 + np.cumsum(DRAW.random(ROWS)) * 1e-6,
        2.0**40 + 3 * np.arange(ROWS)[::-1] % 177,
        1e-80 * np.exp(DRAW.normal(size=ROWS)),
        1e90 * (1 + DRAW.random(ROWS)),
    ],
    ids=["Unix seconds", "modified Julian days", "large whole numbers", "tiny", "huge"],
)
def test_numbers_of_files_keep_double_precision(values: np.ndarray, tmp_path: Path) -> None:
    cells = [repr(v) for v in values.tolist()]
    splits = load(written(tmp_path, {"t": cells, "m": FULL}))
    parts = torch.cat([splits.train.x, splits.validation.x, splits.test.x])
    assert sorted(parts[:, 0].tolist()) == sorted(values.tolist())


@pytest.mark.parametrize(
    "codes",
    [
        ["20231130", "20231201", "20240229"],
        ["33554433", "33554434", "33554435"],
        ["9007199254740993", "9007199254740994", "9007199254740995"],
        ["7.10", "7.1", "E11"],
        ["007", "7", "B"],
        ["1e3", "1000", "none"],
        ["0.30", "0.3", "mixed"],
        ["09:05", "9:05", "never"],
        ["True", "true", "maybe"],
        ["1,000", "1000", "many"],
        ["2024-05-01", "2024-05-02", "later"],
    ],
    ids=lambda codes: codes[0],
)
def test_a_category_is_what_the_file_writes_whatever_else_it_holds(codes: list[str], tmp_path: Path) -> None:
    numbers = {"x": FULL, "y": CENTS}
    given = [codes[i % 3] for i in range(ROWS)]
    path = written(tmp_path, numbers | {"code": quoted(given)})
    splits = load(path, context="code")
    assert splits.context is not None
    known = splits.context.columns[0].categories
    if known is None:  # days are numbers
        assert codes[0] == "20231130"
        days = [(datetime.datetime.strptime(code, "%Y%m%d") - datetime.datetime(1970, 1, 1)).days for code in given]
        part = read_rows(path, splits.columns, splits.context)
        assert part.context is not None and part.context[:, 0].tolist() == days
        return
    part = read_rows(path, splits.columns, splits.context)
    assert part.context is not None
    assert [known[int(i)] for i in part.context[:, 0]] == given
    for code in codes:
        for cell in (code, f'"{code}"') if "," not in code else (f'"{code}"',):
            some = written(tmp_path, {k: v[:5] for k, v in numbers.items()} | {"code": [cell] * 5}, name="some.csv")
            part = read_rows(some, splits.columns, splits.context)
            assert part.context is not None and {known[int(i)] for i in part.context[:, 0]} == {code}
            one = written(tmp_path, {"code": [cell]}, name="one.csv")
            assert known[int(read_context(one, splits.context)[0, 0])] == code


@pytest.mark.slow
def test_cells_may_hold_line_breaks_in_files_of_any_length(tmp_path: Path) -> None:
    rows = 50_000
    note = '"one, ""two""\r\nthree\n\nfour"'
    path = written(
        tmp_path,
        {
            "a": [f"{i * 7919 % 1009}.25" for i in range(rows)],
            "note": [note] * rows,
            "b": [f"{i % 13}.75" for i in range(rows)],
        },
    )
    part = read_rows(path, ["a", "b"])
    assert part.x.shape == (rows, 2)
    assert part.x[-1].tolist() == [(rows - 1) * 7919 % 1009 + 0.25, (rows - 1) % 13 + 0.75]


@pytest.mark.slow
def test_names_of_columns_are_chosen_as_they_are(tmp_path: Path) -> None:
    names = ["a ", "b, c", 'say "d"', "e=f", "(g)", "größe", "A"]
    header = ["a ", '"b, c"', '"say ""d"""', "e=f", "(g)", "größe", "A"]
    draw = np.random.default_rng(0)
    path = written(tmp_path, {h: [repr(v) for v in draw.normal(size=ROWS).tolist()] for h in header})
    assert load(path).columns == names
    for name in names:
        assert load(path, columns=[name]).columns == [name]
        splits = load(path, context=[name])
        assert splits.context is not None and splits.context.names == [name] and name not in splits.columns
        assert load(path, drop=[name]).columns == [other for other in names if other != name]
        schema = load(path, column=[f"{name}=number"]).schema
        assert schema is not None and schema[name].evidence.startswith("as was said")


@pytest.mark.parametrize("shape", [(2, 16), (3, 10), (4, 7), (12, 8), (2, 3, 4)])
def test_arrays_of_numbers_are_events_in_order_whatever_their_shape(shape: tuple[int, ...], tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, *shape)).astype(np.float32)
    np.save(tmp_path / "a.npy", x)
    splits = load(tmp_path / "a.npy")
    assert not splits.sets and splits.event_shape == shape
    assert np.array_equal(read_rows(tmp_path / "a.npy", []).x.numpy(), x)


def test_arrays_are_sets_where_it_is_said(tmp_path: Path) -> None:
    x = np.random.default_rng(0).normal(size=(40, 9, 2)).astype(np.float32)
    np.save(tmp_path / "a.npy", x)
    splits = load(tmp_path / "a.npy", sets=True)
    assert splits.sets and splits.event_shape == (2, 9)
    assert np.array_equal(read_rows(tmp_path / "a.npy", [], sets=True).x.numpy(), x.swapaxes(1, 2))
    mask = np.arange(9) < np.arange(1, 41)[:, None] % 9 + 1
    np.savez(tmp_path / "b.npz", x=x, mask=mask)
    ragged = load(tmp_path / "b.npz")
    assert ragged.sets and ragged.event_shape == (3, 9)
    assert np.array_equal(read_rows(tmp_path / "b.npz", []).x[:, -1].numpy(), mask)
    np.save(tmp_path / "t.npy", x[:, 0])
    with pytest.raises((ConfigError, DataError), match="sets"):
        load(tmp_path / "t.npy", sets=True)


def test_numbers_that_a_column_would_not_write_are_refused(tmp_path: Path) -> None:
    """12.5 is no number where points separate thousands; it is not 125."""
    path = written(tmp_path, {"sum": KINDS["European thousands"][1], "other": FULL})
    splits = load(path)
    assert splits.schema is not None
    some = written(tmp_path, {"sum": ["12.5"], "other": ["1.0"]}, name="some.csv")
    with pytest.raises(DataError, match=r"'sum' .*not a finite number \(decimal commas, thousands.*'12.5'"):
        read_rows(some, splits.columns, schema=splits.schema)
    column = splits.schema["sum"]
    assert codes_of(column, ["1.234,5", "12,5"]).tolist() == [1234.5, 12.5]
    with pytest.raises(DataError, match=r"'sum' expects a number \(decimal commas.*got '12.5'"):
        codes_of(column, ["12.5"])
    assert codes_of(replace(column, thousands=""), ["12.5", "12,5"]).tolist() == [12.5, 12.5]


def test_of_many_rows_about_as_many_as_are_asked_for_are_read_each_by_chance() -> None:
    rows = read_table({"n": np.arange(100_000), "x": np.arange(100_000) % 7})
    some = rows.some(0.1, seed=3)
    n = some.column("n")
    assert abs(some.rows - 10_000) < 5 * math.sqrt(9000) and len(n) == some.rows
    assert (np.diff(n) > 0).all() and set(some.column("x").tolist()) == set(range(7))
    assert np.array_equal(n, rows.some(0.1, seed=3).column("n"))
    assert not np.array_equal(n[:100], rows.some(0.1, seed=4).column("n")[:100])
    # Neighbours are not drawn together: of the rows behind a drawn one a tenth is drawn as well.
    assert abs((np.diff(n) == 1).mean() - 0.1) < 0.02
