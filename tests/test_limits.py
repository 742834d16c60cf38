"""Small files that ask for much are refused before memory is taken, whatever they are; users can raise the limits."""

from __future__ import annotations

import gzip
import io
import sqlite3
import struct
import time
import zipfile
import zlib
from contextlib import closing
from pathlib import Path

import duckdb
import numpy as np
import pytest
from PIL import Image

import surflow as sf
from fuzz.run import forget, most_memory
from surflow._internal import limits
from surflow._internal.limits import factor, most_unpacked
from surflow.app.config import parse_config, read_config
from surflow.data import load
from surflow.data.readers.frame import read_table
from surflow.data.readers.idx import read_idx

_MUCH = 100_000_000


def _refused(path: Path, said: str, read: object = load) -> None:
    forget()
    held = most_memory()
    with pytest.raises(sf.SurflowError, match=said) as caught:
        read(path)  # type: ignore[operator]
    assert path.name in str(caught.value)
    assert most_memory() - held < 300e6


def test_packed_text(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a,b\n" + b"1,2\n" * (_MUCH // 2), 1))
    _refused(path, "would become .* raise the limit: SURFLOW_BUDGET=10")


@pytest.mark.slow
def test_rows_of_two_bytes(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"a\n" + b"1\n" * 25_000_000))
    _refused(path, "cells of a table or more.*SURFLOW_BUDGET=10")
    rows = np.random.default_rng(0).integers(0, 2, (60_000, 12))  # as few bits a cell as there are
    text = "".join(",".join(map(str, row)) + "\n" for row in rows.tolist())
    path.write_bytes(gzip.compress(f"{','.join('abcdefghijkl')}\n{text}".encode(), 9))
    assert load(path).event_shape == (12,)


def test_packed_by_zstd(tmp_path: Path) -> None:
    import pyarrow as pa

    path = tmp_path / "rows.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as out:
        for _ in range(3 * _MUCH // 4_000_000):
            out.write(b"1,2\n" * 1_000_000)
    _refused(path, "would become")


def test_packed_json(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1, "b": 2}\n' * 4_000_000, 1))
    _refused(path, "would become .* SURFLOW_BUDGET=10")
    path.write_bytes(gzip.compress(b"".join(b'{"a": %d, "b": 2.5}\n' % i for i in range(3000))))
    assert read_table(path).column("a").tolist() == list(range(3000))


def test_json_of_a_key_a_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(f'{{"k{i}": 1}}\n' for i in range(5000)))
    _refused(path, "25,000,000 cells")
    path.write_text("".join(f'{{"k{i}": {i}, "k{(i + 1) % 300}": 1.5}}\n' for i in range(300)))
    assert len(read_table(path).types) == 300  # columns, however few rows have each


def test_arrow_of_values_without_bytes(tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import feather

    path = tmp_path / "rows.arrow"
    table = pa.table({"a": pa.nulls(_MUCH), "b": pa.nulls(_MUCH)})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    _refused(path, "200,000,000 cells")
    feather.write_feather(pa.table({"a": np.zeros(_MUCH // 10)}), str(path), compression="zstd")
    _refused(path, "would become")


@pytest.mark.parametrize(
    ("view", "said"),
    [
        ("WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x, 1.5 * x AS y FROM c", "cells"),
        ("SELECT hex(zeroblob(900000000)) AS x, 1 AS y", "too big"),
        ("SELECT sum(x) AS x, 1 AS y FROM (WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
         "SELECT x FROM c)", "after 1 seconds, as a view may be"),
    ],
    ids=["rows", "length", "time"],
)  # fmt: skip
def test_views_of_sqlite(view: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_FREE_SECONDS", 1.0)
    path = tmp_path / "base.sqlite"
    with closing(sqlite3.connect(path)) as base:
        base.execute(f"CREATE VIEW v AS {view}")
        base.commit()
    started = time.monotonic()
    _refused(path, said, read_table)
    assert time.monotonic() - started < 20


def test_columns_that_sqlite_computes_are_columns(tmp_path: Path) -> None:
    path = tmp_path / "base.sqlite"
    with closing(sqlite3.connect(path)) as base:
        base.execute("CREATE TABLE t (a REAL, b REAL AS (2 * a), c TEXT AS (printf('%d', a)) STORED)")
        base.executemany("INSERT INTO t (a) VALUES (?)", [(0.5 * i,) for i in range(30)])
        base.commit()
    frame = read_table(path)
    assert list(frame.types) == ["a", "b", "c"]
    assert frame.column("b").tolist() == [float(i) for i in range(30)]


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("TABLE t AS SELECT 1 AS x, 2 AS y FROM range(10000000)", "20,000,000 cells"),
        ("VIEW t AS SELECT range AS x, range * 2.0 AS y FROM range(100000000000)", "cells"),
        ("VIEW t AS SELECT sum(a.range * b.range) AS x, 1 AS y FROM range(1000000) a, range(1000000) b", "a view may"),
        ("VIEW t AS SELECT * FROM read_csv('{path}.csv')", "disabled"),
    ],
    ids=["constants", "rows", "time", "other files"],
)
def test_tables_and_views_of_duckdb(made: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "_FREE_SECONDS", 1.0)
    path = tmp_path / "base.duckdb"
    Path(f"{path}.csv").write_text("a,b\n1,2\n")
    with duckdb.connect(str(path)) as base:
        base.execute(f"CREATE {made.format(path=path)}")
    started = time.monotonic()
    _refused(path, said, read_table)
    assert time.monotonic() - started < 20


def test_views_of_a_database_are_read(tmp_path: Path) -> None:
    path = tmp_path / "base.duckdb"
    with duckdb.connect(str(path)) as base:
        base.execute("CREATE TABLE t AS SELECT range AS a, CAST('x' || range % 3 AS TEXT) AS b FROM range(50)")
        base.execute("CREATE VIEW v AS SELECT b, a * 0.5 AS half FROM t ORDER BY a")
    frame = read_table(f"{path}:v")
    assert frame.column("half").tolist() == [i / 2 for i in range(50)]
    assert frame.column("b").tolist() == [f"x{i % 3}" for i in range(50)]


def test_packed_idx(tmp_path: Path) -> None:
    path = tmp_path / "images.idx.gz"
    path.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, 2 * _MUCH) + bytes(2 * _MUCH), 1))
    _refused(path, "would become", read_idx)


def test_arrays_that_are_not_there(tmp_path: Path) -> None:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": "<f8", "fortran_order": False, "shape": (10**12, 3)})
    path = tmp_path / "x.npy"
    path.write_bytes(out.getvalue() + bytes(100))
    _refused(path, "cannot be read as .npy")
    for name, content, said in [
        ("stated", out.getvalue() + bytes(100), "says it holds an array of shape"),
        ("packed", out.getvalue() + bytes(_MUCH), "would become"),
    ]:
        path = tmp_path / f"{name}.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x.npy", content)
        _refused(path, said)


@pytest.mark.parametrize(
    ("cell", "said"),
    [(b'<c r="XFD1048576"><v>1</v></c>', "would become"), (b" " * _MUCH, "would become")],
    ids=["a cell far out", "blanks"],
)
@pytest.mark.slow
def test_workbooks(cell: bytes, said: str, tmp_path: Path) -> None:
    import openpyxl

    book, path = openpyxl.Workbook(), tmp_path / "book.xlsx"
    for i in range(30):
        book.active.append([i, 1.5 * i])  # type: ignore[union-attr]
    book.save(path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content.replace(b"</row>", cell + b"</row>", 1) if "sheet1" in name else content)
    _refused(path, said)


def test_cells_that_hold_nothing_may_be_anywhere(tmp_path: Path) -> None:
    import openpyxl
    from openpyxl.styles import Font

    book, path = openpyxl.Workbook(), tmp_path / "book.xlsx"
    for i in range(30):
        book.active.append([i, 1.5 * i])  # type: ignore[union-attr]
    book.active["XFD30"].font = Font(bold=True)  # type: ignore[union-attr,index]
    book.active.row_dimensions[1_000_000].height = 20  # type: ignore[union-attr]
    book.save(path)
    assert load(path).event_shape == (1,)


def test_images(tmp_path: Path) -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    path = tmp_path / "pictures" / "wide.png"
    path.parent.mkdir()
    pixels = zlib.compress(bytes(13000 * 13001), 1)
    header = struct.pack(">IIBBBBB", 13000, 13000, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b""))
    _refused(path, "would become", lambda path: load(path.parent))


def test_what_only_programs_read_is_no_image(tmp_path: Path) -> None:
    path = tmp_path / "pictures" / "a.png"
    path.parent.mkdir()
    out = io.BytesIO()
    Image.new("L", (8, 8)).save(out, "EPS")
    path.write_bytes(out.getvalue())
    _refused(path, "cannot be read as an image", lambda path: load(path.parent))


@pytest.mark.slow
def test_configurations(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text("[" * 600)
    _refused(path, "not a TOML file", read_config)
    path.write_bytes(b"# " + b"x" * 2**25)
    _refused(path, "expected at most", read_config)
    parse_config({"data": {"source": "moons"}, "model": {"preset": "spline"}}).model.build((2,), None)
    for entry in ("layers = 1000000000", "hidden = [100000, 100000]", "layers = 100000"):
        model = parse_config({"data": {"source": "moons"}, "model": {"preset": "spline"}}).model
        name, _, value = entry.partition(" = ")
        setattr(model, name, eval(value))
        started = time.process_time()
        with pytest.raises(sf.ConfigError, match="a configuration for these data may"):
            model.build((2,), None)
        assert time.process_time() - started < 2


def test_limits_are_raised_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flow = sf.Flow([sf.Exp(2**22), sf.Log(2**22)], base=sf.Normal(2**22))
    flow.save(tmp_path / "x.safetensors")
    with pytest.raises(sf.FileError, match="SURFLOW_BUDGET=10"):
        sf.load(tmp_path / "x.safetensors")
    before = most_unpacked(10)
    monkeypatch.setenv("SURFLOW_BUDGET", "10")
    assert most_unpacked(10) == 10 * before
    assert sf.load(tmp_path / "x.safetensors").event_shape == (2**22,)
    monkeypatch.setenv("SURFLOW_BUDGET", "inf")
    assert factor() == float("inf")
    for wrong in ("0", "-1", "many", "nan"):
        monkeypatch.setenv("SURFLOW_BUDGET", wrong)
        with pytest.raises(sf.ConfigError, match="expected a number above 0"):
            factor()


@pytest.mark.parametrize("name", ["~nobody-of-this-name/x.csv", "a" * 300 + ".csv", "a\0b.csv"])
def test_names_that_no_file_can_have(name: str) -> None:
    with pytest.raises(sf.FileError):
        load(name)


def test_names_from_files_do_not_steer_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("x,y\n" + "1,\x1b[2J\u202e\n" * 30)
    with pytest.raises(sf.SurflowError) as caught:
        load(path, columns=["\x1b[2J"])
    assert "\x1b" not in str(caught.value)
