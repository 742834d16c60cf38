"""Small files that ask for much are refused before memory is taken, whatever they are; users can raise the limits."""

from __future__ import annotations

import gzip
import io
import struct
import time
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import surflow as sf
from fuzz.run import forget, most_memory
from surflow._internal.limits import factor, most_unpacked
from surflow.app.config import parse_config, read_config
from surflow.data import load
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
