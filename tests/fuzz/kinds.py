"""The kinds of files that surflow reads: good ones, how they are damaged, and what reads them as a person would."""

from __future__ import annotations

import gzip
import io
import json
import struct
import tomllib
import zipfile
from collections.abc import Callable
from contextlib import closing, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import tomli_w
import torch
from safetensors import safe_open

import surflow as sf
from fuzz.mutations import mutated, replaced
from surflow.app.cli.sample import sample
from surflow.app.cli.score import score
from surflow.app.cli.table import print_figures
from surflow.app.config import parse_config, read_config
from surflow.app.report import _facts
from surflow.app.runs import RunFolder, load_splits
from surflow.data import load
from surflow.data.load import read_schema
from surflow.data.readers.idx import read_idx
from surflow.evaluation import read_results, write_results
from surflow.training import checkpoints

Damage = Callable[[bytes, bytes, Random], bytes]


@dataclass
class Kind:
    """Good files of one kind, by what they are called in the folder; how one is damaged, and what reads it there."""

    files: list[str]
    damage: Damage
    read: Callable[[Path], object]


def good_files(folder: Path) -> None:
    """Write a good file of every kind into a folder."""
    random = np.random.default_rng(0)
    rows = [
        f"{i},{random.normal():.2f},{random.integers(5)},{'red' if i % 3 else 'blue'},2020-01-{i + 1:02d},"
        f"{'' if i % 7 == 3 else i % 2 == 0},{random.normal()!r}"
        for i in range(30)
    ]
    text = "\n".join(["id,size,count,colour,day,flag,weight", *rows, ""])
    (folder / "a.csv").write_text(text)
    (folder / "b.csv").write_text(
        "# made\n" + text.replace(",", ";").replace(".", ",").replace("red", '"r;""e"'), encoding="cp1252"
    )
    _tables(folder, text)
    _arrays(folder, random)
    _run(folder)


def _tables(folder: Path, text: str) -> None:
    import duckdb
    import openpyxl
    from PIL import Image

    (folder / "a.csv.gz").write_bytes(gzip.compress(text.encode(), mtime=0))
    with duckdb.connect() as connection:
        source = f"read_csv('{folder / 'a.csv'}')"
        for name, options in {
            "a.parquet": "FORMAT parquet",
            "b.parquet": "FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 2048",
            "a.json": "FORMAT json",
            "b.json": "FORMAT json, ARRAY true",
            "a.csv.zst": "FORMAT csv, COMPRESSION zstd",
        }.items():
            connection.execute(f"COPY (SELECT * FROM {source}) TO '{folder / name}' ({options})")
        arrow = connection.sql(f"SELECT * FROM {source}").to_arrow_table()
    import sqlite3

    from pyarrow import feather

    with closing(sqlite3.connect(folder / "a.sqlite")) as base:
        base.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, size REAL, colour TEXT, flag)")
        base.executemany("INSERT INTO rows VALUES (?, ?, ?, ?)", [(i, i / 7, "ab"[i % 2], i % 3) for i in range(30)])
        base.commit()
    with duckdb.connect(folder / "a.duckdb") as connection:
        connection.execute(f"CREATE TABLE rows AS SELECT * FROM {source}")

    feather.write_feather(arrow, folder / "a.arrow", compression="lz4")
    book = openpyxl.Workbook()
    sheet = book.active
    assert sheet is not None
    for i, line in enumerate(text.splitlines()):
        sheet.append([float(cell) if i and j in (0, 1, 2, 6) else cell for j, cell in enumerate(line.split(","))])
    book.save(folder / "a.xlsx")
    random = np.random.default_rng(0)
    (folder / "pictures").mkdir()
    for i in range(24):
        pixels = random.integers(0, 256, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / "pictures" / f"{i:02d}.png")
    for suffix in ("jpg", "bmp", "gif", "tiff", "webp"):
        Image.fromarray(pixels).save(folder / f"a.{suffix}")
    Image.fromarray(pixels).save(folder / "a.png")


def _arrays(folder: Path, random: np.random.Generator) -> None:
    np.save(folder / "a.npy", random.normal(size=(30, 3)).astype(np.float32))
    np.save(folder / "b.npy", random.integers(0, 256, (30, 1, 4, 4), dtype=np.uint8))
    x = random.normal(size=(30, 4, 2))
    np.savez(folder / "a.npz", x=x, mask=np.arange(4) < random.integers(1, 5, (30, 1)))
    np.savez_compressed(folder / "b.npz", x=random.normal(size=(30, 3)), context=random.normal(size=30))
    header = struct.pack(">HBBIII", 0, 8, 3, 30, 4, 4)
    (folder / "a.idx").write_bytes(header + random.bytes(30 * 16))
    (folder / "b.idx").write_bytes(gzip.compress(header + random.bytes(30 * 16), mtime=0))


def _run(folder: Path) -> None:
    """A run as ``surflow train`` leaves it, without the training."""
    (folder / "run").mkdir()
    config = parse_config(
        {
            "data": {"source": str(folder / "a.csv"), "context": ["colour"]},
            "model": {"preset": "table", "width": 8, "heads": 2, "layers": 1, "components": 2, "orders": 2},
        }
    )
    splits = load_splits(config)
    config = config.settled(splits)
    run = RunFolder(folder / "run")
    run.begin(config, splits)
    from surflow.app.runs import build

    flow = build(config, splits)
    flow.initialize(splits.train.x, splits.train.context)
    flow.save(run.model_path)
    run.log_path.write_text(
        "step,split,nll,learning_rate,seconds\n0,train,3.5,0.001,0.0\n10,train,2.5,0.001,1.5\n10,validation,2.75,,1.6\n"
    )
    write_results(
        run.metrics_path,
        "surflow train a.csv",
        [
            {"case": "a", "model": "table", "seed": 0, "metric": "nll", "value": 1.5, "error": 0.1, "unit": "nats"},
            {"case": "a", "model": "table", "seed": 0, "metric": "rows", "value": 5, "error": None, "unit": "rows"},
        ],
    )
    assert splits.schema is not None
    (folder / "schema.toml").write_text(splits.schema.to_toml())
    small = sf.Flow(
        [
            sf.Abs(2, signs=sf.Bernoulli(2, learned=True)),
            sf.Log(2),
            sf.Coupling(2, map=sf.SplineMap(bins=4), hidden=(8,)),
        ],
        base=sf.Normal(2, learned=True),
    )
    small.save(folder / "a.safetensors")
    chain = {"data": {"source": "moons"}, "model": _chain(small), "training": {"steps": 10, "lr": 0.001}}
    (folder / "chain.toml").write_text(tomli_w.dumps(chain))
    preset = {"data": {"source": "moons"}, "seed": 3, "model": {"preset": "spline", "layers": 2, "hidden": [8, 8]}}
    (folder / "preset.toml").write_text(tomli_w.dumps(preset))
    torch.manual_seed(0)
    history = {"settings": {"steps": 5}, "rows": [[1, "train", 2.0, 0.1, 0.5]], "best": small.state_dict()}
    state = {"state_dict": small.state_dict(), "callbacks": {"Record": history}, "optimizer_states": [{"step": 3}]}
    checkpoints.write(state, folder / "a.checkpoint")


def _chain(flow: sf.Flow) -> dict[str, Any]:
    from surflow.app.config import chain_toml

    return tomllib.loads(chain_toml(flow))["model"]


# -- damage ---------------------------------------------------------------------------------------------------------


def _text(good: bytes, other: bytes, random: Random) -> bytes:
    return mutated(good, other, random, text=True)


def _bytes(good: bytes, other: bytes, random: Random) -> bytes:
    return mutated(good, other, random)


def _json(good: bytes, other: bytes, random: Random) -> bytes:
    """Values of JSON replaced, or its text damaged."""
    if random.random() < 0.3:
        return _text(good, other, random)
    return json.dumps(replaced(json.loads(good), random)).encode()


def _toml(good: bytes, other: bytes, random: Random) -> bytes:
    if random.random() < 0.4:
        return _text(good, other, random)
    while True:
        try:
            return tomli_w.dumps(replaced(tomllib.loads(good.decode()), random)).encode()
        except (TypeError, AttributeError, UnicodeError):  # None, or what is no table: no TOML
            pass


def _packed(good: bytes, other: bytes, random: Random) -> bytes:
    """What a gzip file holds, damaged before it was packed."""
    if not good.startswith(b"\x1f\x8b"):
        return _bytes(good, other, random)
    if random.random() < 0.5:
        return _bytes(good, other, random)
    return gzip.compress(mutated(gzip.decompress(good), good, random), 1, mtime=0)


def _zipped(good: bytes, other: bytes, random: Random) -> bytes:
    """A member of a ZIP archive, damaged before it was packed."""
    if random.random() < 0.4:
        return _bytes(good, other, random)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = random.choice([name for name, content in members.items() if content])
    members[name] = mutated(members[name], other, random, text=name.endswith((".xml", ".rels")))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def _described(good: bytes, other: bytes, random: Random) -> bytes:
    """A model or a checkpoint whose description was changed by somebody who can compute a digest."""
    if random.random() < 0.4:
        return _bytes(good, other, random)
    return resealed(good, lambda values: replaced(values, random))


def resealed(good: bytes, change: Callable[[Any], Any]) -> bytes:
    """A safetensors file of surflow with what its header states changed."""
    import tempfile

    from safetensors.torch import save_file

    from surflow._internal.files import write_tensors

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        path.write_bytes(good)
        with safe_open(path, framework="pt") as file:
            ((entry, text),) = file.metadata().items()
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        header = change({key: value for key, value in json.loads(text).items() if key != "sha256"})
        if isinstance(header, dict):
            write_tensors(path, tensors, entry, header)
        else:
            save_file(tensors, path, {entry: json.dumps(header)})
        return path.read_bytes()


# -- reading --------------------------------------------------------------------------------------------------------


def _config(path: Path) -> object:
    config = read_config(path)
    return config.model.build((2,), None)


def _metrics(path: Path) -> None:
    rows = read_results(path)["rows"] or [
        {"case": "", "model": "", "metric": "", "value": 0.0, "error": None, "unit": ""}
    ]
    with redirect_stdout(io.StringIO()):
        print_figures(rows, "held-out rows")


def _log(path: Path) -> object:
    flow = sf.Flow([], base=sf.Normal(2, learned=True))
    return _facts(flow, ["a", "b"], RunFolder(path.parent).log())


def _facts_used(path: Path) -> None:
    """The facts of a run, used as sampling and scoring do."""
    run = path.parent
    with redirect_stdout(io.StringIO()):
        sample(run, run / "out.csv", 3, ["red"])
        score(run, str(run.parent / "a.csv"), run / "out.csv", importance_samples=1)


def _checkpoint(path: Path) -> object:
    state = checkpoints.read(path)
    return state


def _pictures(path: Path) -> object:
    """A folder of images of which one is the damaged file."""
    import shutil

    folder = path.parent / "pictures"
    target = folder / f"23{path.suffix}"
    (folder / "23.png").unlink(missing_ok=True)
    try:
        shutil.copyfile(path, target)
        return load(folder)
    finally:
        target.unlink(missing_ok=True)


def _with_schema(path: Path) -> object:
    read_schema(path)
    return load(path.parent / "a.csv", schema=path)


KINDS: dict[str, Kind] = {
    "models": Kind(["a.safetensors"], _described, sf.load),
    "checkpoints": Kind(["a.checkpoint"], _described, _checkpoint),
    "config": Kind(["chain.toml", "preset.toml", "run/config.toml"], _toml, _config),
    "metrics": Kind(["run/metrics.json"], _json, _metrics),
    "log": Kind(["run/log.csv"], _text, _log),
    "data.json": Kind(["run/data.json"], _json, _facts_used),
    "schema": Kind(["schema.toml"], _toml, _with_schema),
    "CSV": Kind(["a.csv", "b.csv"], _text, load),
    "packed CSV": Kind(["a.csv.gz", "a.csv.zst"], _packed, load),
    "JSON": Kind(["a.json", "b.json"], _text, load),
    "Parquet": Kind(["a.parquet", "b.parquet"], _bytes, load),
    "Arrow": Kind(["a.arrow"], _bytes, load),
    "SQLite": Kind(["a.sqlite"], _bytes, load),
    "DuckDB": Kind(["a.duckdb"], _bytes, load),
    "Excel": Kind(["a.xlsx"], _zipped, load),
    "NPY": Kind(["a.npy", "b.npy"], _bytes, load),
    "NPZ": Kind(["a.npz", "b.npz"], _zipped, load),
    "IDX": Kind(["a.idx", "b.idx"], _packed, read_idx),
    "images": Kind(["a.png", "a.jpg", "a.bmp", "a.gif", "a.tiff", "a.webp"], _bytes, _pictures),
}
