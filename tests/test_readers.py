"""Tables are read as they are written, or refused with the line and the reason."""

from __future__ import annotations

import bz2
import datetime
import gc
import gzip
import json
import lzma
import sqlite3
import tempfile
from decimal import Decimal
from pathlib import Path

import duckdb
import numpy as np
import pytest

from files.refused import REFUSED
from files.separated import CASES, Case
from surflow.data.readers.frame import Frame, is_table, read_table
from surflow.data.readers.text import Text
from surflow.errors import ConfigError, DataError, FileError, SurflowError


def values(frame: Frame) -> list[tuple]:
    columns = ", ".join(map(frame.sql, frame.types))
    return frame.query(f"SELECT {columns} FROM {frame.relation} ORDER BY rowid")


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_separated_text_is_read_as_it_is_written(case: Case, tmp_path: Path) -> None:
    path = tmp_path / f"people{case.suffix}"
    path.write_bytes(case.written)
    assert is_table(path)
    frame = read_table(path)
    assert list(frame.types) == case.columns
    assert set(frame.types.values()) == {"VARCHAR"}
    assert frame.written
    assert values(frame) == case.rows
    assert frame.rows == len(case.rows)
    assert frame.index == case.index
    assert (frame.name, frame.origin) == ("people", f"the file people{case.suffix}")
    said = "\n".join(frame.notes)
    assert all(note in said for note in case.notes)
    assert case.notes or not said
    if case.lines is not None:
        assert [frame.line(row) for row in range(frame.rows)] == case.lines


@pytest.mark.parametrize(("name", "suffix", "written", "said"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_holds_no_table_is_refused(
    name: str, suffix: str, written: bytes, said: list[str], tmp_path: Path
) -> None:
    path = tmp_path / f"people{suffix}"
    path.write_bytes(written)
    with pytest.raises(SurflowError) as caught:
        read_table(path)
    assert "people" in str(caught.value)
    for piece in said:
        assert piece in str(caught.value)


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz", "zst"])
@pytest.mark.parametrize("encoding", ["utf-8", "cp1252"])
def test_compressed_text_is_that_text(packed: str, encoding: str, tmp_path: Path) -> None:
    written, path = "a;b\n1,5;é\n2,5;y\n".encode(encoding), tmp_path / f"people.csv.{packed}"
    if packed == "zst":
        if encoding != "utf-8":
            pytest.skip("DuckDB unpacks it, which wants UTF-8")
        duckdb.connect().execute(
            f"COPY (SELECT * FROM (VALUES ('1,5', 'é'), ('2,5', 'y')) t(a, b)) TO '{path}' "
            "(FORMAT csv, DELIMITER ';', HEADER, COMPRESSION zstd)"
        )
    else:
        path.write_bytes({"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}[packed](written))
    frame = read_table(path)
    assert values(frame) == [("1,5", "é"), ("2,5", "y")]
    assert frame.name == "people"
    assert frame.line(1) == 3


@pytest.mark.parametrize("name", ["a*b.csv", "a[1].csv", "q?.csv", "it's.csv", "two words.csv", "größe.csv"])
def test_a_name_of_a_file_is_no_pattern(name: str, tmp_path: Path) -> None:
    (tmp_path / "aXb.csv").write_text("a\n9\n")
    (tmp_path / name).write_text("a\n1\n")
    assert values(read_table(tmp_path / name)) == [("1",)]


def test_json_lines_and_arrays_keep_numbers_and_text_apart(tmp_path: Path) -> None:
    rows = [{"a": 1, "b": "007", "c": 1.5}, {"a": 2, "b": None}]
    lines, array = tmp_path / "x.jsonl", tmp_path / "x.json"
    lines.write_text("".join(json.dumps(row) + "\n" for row in rows))
    array.write_text(json.dumps(rows))
    for path in (lines, array):
        frame = read_table(path)
        assert frame.types == {"a": "BIGINT", "b": "VARCHAR", "c": "DOUBLE"}
        assert values(frame) == [(1, "007", 1.5), (2, None, None)]
        assert not frame.written


def test_parquet_stays_in_its_file_and_keeps_types_and_names(tmp_path: Path) -> None:
    (tmp_path / "year=2020").mkdir()
    path = tmp_path / "year=2020" / "x.parquet"
    duckdb.connect().execute(
        "COPY (SELECT i AS \"a b\", 'NA' AS c, CAST(1.2 AS DECIMAL(3, 2)) AS d FROM range(3) t(i)) "
        f"TO '{path}' (FORMAT parquet)"
    )
    frame = read_table(path)
    assert frame.types == {"a b": "BIGINT", "c": "VARCHAR", "d": "DECIMAL(3,2)"}
    assert values(frame) == [(i, "NA", Decimal("1.20")) for i in range(3)]
    assert frame.query(f"SELECT count(*) FROM duckdb_tables() WHERE table_name = '{frame.relation}'") == [(0,)]
    assert frame.query(f"SELECT rowid FROM {frame.relation} WHERE {frame.sql('a b')} = 2") == [(2,)]


def test_arrow_files(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    feather = pytest.importorskip("pyarrow.feather")
    table = pa.table({"a": [1, None], "b": ["x", "y"]})
    feather.write_feather(table, str(tmp_path / "x.feather"))
    with pa.ipc.new_stream(str(tmp_path / "x.arrow"), table.schema) as stream:
        stream.write_table(table)
    for name in ("x.feather", "x.arrow"):
        assert values(read_table(tmp_path / name)) == [(1, "x"), (None, "y")]


def test_workbooks(tmp_path: Path) -> None:
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "People"
    day = datetime.datetime(2020, 1, 31, 12, 30)
    for row in (
        ["Report of 2024"],
        ["n", "x", "day", "text", "member", "mixed"],
        [1, 1.5, day, "007", True, 1],
        [2, None, day, "NA", False, "x"],
        ["Source: the office"],
    ):
        sheet.append(row)
    path = tmp_path / "x.xlsx"
    book.save(path)
    frame = read_table(path)
    assert frame.types == {
        "n": "BIGINT",
        "x": "DOUBLE",
        "day": "TIMESTAMP",
        "text": "VARCHAR",
        "member": "BOOLEAN",
        "mixed": "VARCHAR",
    }
    assert values(frame) == [(1, 1.5, day, "007", True, "1"), (2, None, day, None, False, "x")]
    assert frame.line(0) == 3
    book.create_sheet("Pets").append(["name"])
    book["Pets"].append(["Rex"])
    book.create_sheet("Empty")
    book.save(path)
    with pytest.raises(ConfigError, match="'People', 'Pets'"):
        read_table(path)
    assert values(read_table(f"{path}:Pets")) == [("Rex",)]
    with pytest.raises(ConfigError, match="did you mean 'Pets'"):
        read_table(f"{path}:Pet")


def test_databases_and_queries(tmp_path: Path) -> None:
    path = tmp_path / "x.duckdb"
    with duckdb.connect(str(path)) as base:
        base.execute("CREATE TABLE one AS SELECT 1 AS a")
    assert values(read_table(path)) == [(1,)]
    with duckdb.connect(str(path)) as base:
        base.execute("CREATE TABLE two AS SELECT 2 AS a")
    with pytest.raises(ConfigError, match="'one', 'two'"):
        read_table(path)
    assert values(read_table(f"{path}:two")) == [(2,)]
    file = tmp_path / "x.csv"
    file.write_text("a,b\n1,x\n2,y\n3,z\n")
    frame = read_table(f"SELECT b, a FROM '{file}' WHERE a > 1 ORDER BY a DESC;")
    assert values(frame) == [("z", 3), ("y", 2)]
    for query in ("SELECT 1 FROM range(2); DROP TABLE x", "WITH t AS (SELECT 1 AS a) INSERT INTO x FROM t"):
        with pytest.raises((ConfigError, DataError)):
            read_table(query)


def test_files_of_a_pattern_are_one_table(tmp_path: Path) -> None:
    (tmp_path / "part1.csv").write_text("a,b\n1,x\n2,y\n")
    (tmp_path / "part2.csv").write_text("b;a\nz;3\n")
    frame = read_table(tmp_path / "part*.csv")
    assert values(frame) == [("1", "x"), ("2", "y"), ("3", "z")]
    assert (frame.line(2), frame.where(2)) == (2, "line 2 of part2.csv")
    (tmp_path / "part3.csv").write_text("a,c\n1,x\n")
    with pytest.raises(DataError, match=r"part3.csv has no column 'b', unlike part1.csv"):
        read_table(tmp_path / "part*.csv")
    with pytest.raises(FileError, match="no file fits"):
        read_table(tmp_path / "other*.csv")


def test_arrays() -> None:
    x = np.array([1.5, np.nan], dtype=">f8")
    frame = read_table({"x": x, "n": np.array([1, 2], dtype=np.uint8), "s": np.array(["a", "NA"]), "B": [True, False]})
    assert frame.types == {"x": "DOUBLE", "n": "UTINYINT", "s": "VARCHAR", "B": "BOOLEAN"}
    assert values(frame) == [(1.5, 1, "a", True), (None, 2, "NA", False)]
    assert x.dtype == np.dtype(">f8")
    structured = np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f4")])
    assert values(read_table(structured)) == [(1, 2.5)]
    assert not is_table(np.zeros((2, 3, 4)))
    with pytest.raises(DataError, match="'b' has 3 rows, expected 2"):
        read_table({"a": [1, 2], "b": [1, 2, 3]})
    with pytest.raises(DataError, match=r"'a' has shape \(2, 2\)"):
        read_table({"a": np.zeros((2, 2))})


def test_numpy_files(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.arange(6.0).reshape(3, 2))
    assert list(read_table(tmp_path / "x.npy").types) == ["x0", "x1"]
    np.save(tmp_path / "y.npy", np.zeros((2, 3, 4)))
    assert not is_table(tmp_path / "y.npy")
    np.save(tmp_path / "z.npy", np.array([{}], dtype=object))
    with pytest.raises(FileError, match="run code"):
        read_table(tmp_path / "z.npy")


def test_pandas() -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame(
        {
            "n": pd.array([1, None], dtype="Int64"),
            "c": pd.Categorical(["x", None], categories=["y", "x"]),
            "grade": pd.Categorical([3, 1]),
            "t": pd.to_datetime(["2020-01-01", "2020-07-01"]).tz_localize("Europe/Berlin"),
            "b": pd.array([True, None], dtype="boolean"),
            "o": ["x", 3],
            "d": [Decimal("1.20"), None],
            7: [1.5, np.nan],
        }
    )
    before = table.copy(deep=True)
    frame = read_table(table)
    pd.testing.assert_frame_equal(table, before)
    utc = datetime.UTC
    assert [tuple(v.astimezone(utc) if isinstance(v, datetime.datetime) else v for v in r) for r in values(frame)] == [
        (1, "x", 3, datetime.datetime(2019, 12, 31, 23, tzinfo=utc), True, "x", Decimal("1.20"), 1.5),
        (None, None, 1, datetime.datetime(2020, 6, 30, 22, tzinfo=utc), None, "3", None, None),
    ]
    assert list(frame.types) == ["n", "c", "grade", "t", "b", "o", "d", "7"]
    late = pd.DataFrame({"o": [1] * 5000 + ["x"]})
    assert values(read_table(late))[-1] == ("x",)
    assert read_table(table.set_index("n")).notes
    with pytest.raises(DataError, match="2 columns named 'a'"):
        read_table(pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_polars_and_arrow_tables() -> None:
    pl, pa = pytest.importorskip("polars"), pytest.importorskip("pyarrow")
    held = {"a": [1, None], "A": ["x", "NA"]}
    for table in (pl.DataFrame(held), pa.table(held)):
        frame = read_table(table)
        assert list(frame.types) == ["a", "A"]
        assert values(frame) == [(1, "x"), (None, "NA")]


def test_what_is_no_table() -> None:
    assert not is_table(3)
    assert not is_table("moons")
    with pytest.raises(ConfigError, match="expected a file, a query or a table, got int"):
        read_table(3)
    with pytest.raises(FileError, match="no file"):
        read_table("nowhere.csv")


def test_nothing_stays_on_the_disk_and_nothing_is_fetched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "x.csv").write_bytes("a,b\n1,é\n".encode("utf-16"))
    frame = read_table(tmp_path / "x.csv")
    assert len(list(tmp_path.iterdir())) == 2
    with pytest.raises(FileError, match="requires the extension httpfs"):
        frame.query("SELECT * FROM 'https://localhost/x.csv'")
    del frame
    gc.collect()
    with pytest.raises(DataError):
        (tmp_path / "y.csv").write_text("a,b\n1,2\n3\n4,5\n")
        read_table(tmp_path / "y.csv")
    gc.collect()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["x.csv", "y.csv"]


def test_sqlite_files(tmp_path: Path) -> None:
    path = tmp_path / "x.sqlite"
    base = sqlite3.connect(path)
    base.execute('CREATE TABLE "my ""people" (n, "a", "b c" REAL, t TEXT, mixed, big, none)')
    rows = [(1, 1.5, 2, "007", 1, 2**62 + 1, None), (None, 2, 3.25, "NA", "x", 2**62 + 3, None)]
    base.executemany('INSERT INTO "my ""people" VALUES (?, ?, ?, ?, ?, ?, ?)', rows)
    base.commit()
    frame = read_table(path)
    assert frame.types == {
        "n": "BIGINT", "a": "DOUBLE", "b c": "DOUBLE", "t": "VARCHAR", "mixed": "VARCHAR", "big": "BIGINT",
        "none": "BIGINT",
    }  # fmt: skip
    assert values(frame) == [(1, 1.5, 2.0, "007", "1", 2**62 + 1, None), (None, 2.0, 3.25, "NA", "x", 2**62 + 3, None)]
    base.execute("CREATE TABLE other (x)")
    base.execute('CREATE VIEW seen AS SELECT n + 1 AS m FROM "my ""people"')
    base.execute("CREATE TABLE bin (b)")
    base.execute("INSERT INTO bin VALUES (?)", (b"\x00",))
    base.commit()
    base.close()
    with pytest.raises(
        ConfigError, match=r"""x.sqlite has the tables 'bin', 'my "people', 'other', 'seen': say which"""
    ):
        read_table(path)
    assert values(read_table(f"{path}:seen")) == [(2,), (None,)]
    with pytest.raises(ConfigError, match=r"unknown table of x.sqlite 'othr'; did you mean 'other'"):
        read_table(f"{path}:othr")
    with pytest.raises(DataError, match="no rows"):
        read_table(f"{path}:other")
    with pytest.raises(DataError, match=r"the column 'b' of x\.sqlite holds binary values"):
        read_table(f"{path}:bin")
    (tmp_path / "y.db").write_bytes(b"a,b\n1,2\n" * 100)
    with pytest.raises(FileError, match=r"y\.db cannot be read"):
        read_table(tmp_path / "y.db")


@pytest.mark.parametrize(
    ("footer", "quick"),
    [
        ("Source: the office\n", True),
        ("\nSource: the office, 2024\nNotes: none\n\n", True),
        ('"Source: the office"\n', False),
        ("Total 60000\n", True),
        ("", True),
    ],
)
@pytest.mark.slow
def test_footers_of_long_files_are_left_out_quickly(
    footer: str, quick: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b,c\n" + "".join(f"{i},{i % 7}.5,x{i % 3}\n" for i in range(60_000)) + footer)
    called = []
    slow = Text.rows
    monkeypatch.setattr(Text, "rows", lambda text: called.append(1) or slow(text))
    frame = read_table(path)
    assert frame.rows == 60_000 and values(frame)[-1] == ("59999", f"{59_999 % 7}.5", f"x{59_999 % 3}")
    assert any("below the rows left out" in note for note in frame.notes) == bool(footer)
    assert bool(called) != quick
    assert not list(Path(tempfile.gettempdir()).glob("surflow-*/*-short"))


def test_rows_that_were_cut_off_at_the_end_of_long_files_are_no_footers(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("a,b,c\n" + "".join(f"{i},{i % 7}.5,x{i % 3}\n" for i in range(60_000)) + "60000,3\n")
    with pytest.raises(DataError, match="line 60002: 2 cells, expected 3"):
        read_table(path)
