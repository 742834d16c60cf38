"""IDX files, MNIST and folders of images."""

from __future__ import annotations

import gzip
import hashlib
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import surflow as sf
from surflow.data.readers import builtin, idx


def _idx(array: np.ndarray) -> bytes:
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.mark.parametrize("compress", [gzip.compress, bytes])
def test_idx_files_are_read_plain_and_compressed(tmp_path: Path, compress) -> None:
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "x").write_bytes(compress(_idx(array)))
    assert np.array_equal(idx.read_idx(tmp_path / "x"), array)


def test_idx_files_of_other_numbers(tmp_path: Path) -> None:
    array = np.asarray([1.5, -2.0], dtype=">f4")
    (tmp_path / "x").write_bytes(struct.pack(">HBBI", 0, 13, 1, 2) + array.tobytes())
    assert idx.read_idx(tmp_path / "x").tolist() == [1.5, -2.0]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no IDX file"),
        (b"\x00\x00\x07\x01\x00\x00\x00\x00", "no IDX file"),
        (b"\x89PNG....", "no IDX file"),
        (b"\x00\x00\x08\x03\x00\x00", "cut off"),
        (_idx(np.zeros((2, 3), np.uint8))[:-1], r"shape \(2, 3\), 6 bytes, but has 5"),
        (_idx(np.zeros((2, 3), np.uint8)) + b"x", "but has 7"),
        # no time of day in the archive: parallel workers must collect the same test
        (gzip.compress(_idx(np.zeros(9, np.uint8)), mtime=0)[:-6], "cannot be read"),
        (b"\x00\x00\x08\xff" + b"\x00" * 1020, "expected up to 8 axes"),
        (b"\x00\x00\x08\x03" + b"\xff" * 8 + b"\x00" * 4, "expected up to 8 axes, none empty"),
    ],
)
def test_damaged_idx_files(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x").write_bytes(content)
    with pytest.raises(sf.FileError, match=message):
        idx.read_idx(tmp_path / "x")


@pytest.fixture
def small_mnist(tmp_path: Path, monkeypatch) -> Path:
    """Files as MNIST's, of 120 and 40 images, with digests of their own."""
    rng = np.random.default_rng(0)
    digests = {}
    for part, n in (("train", 120), ("t10k", 40)):
        images = rng.integers(0, 256, (n, 28, 28)).astype(np.uint8)
        labels = (np.arange(n) % 10).astype(np.uint8)
        for name, array in ((f"{part}-images-idx3-ubyte", images), (f"{part}-labels-idx1-ubyte", labels)):
            digests[name] = hashlib.sha256(_idx(array)).hexdigest()
            (tmp_path / f"{name}.gz").write_bytes(gzip.compress(_idx(array)))
    monkeypatch.setattr(idx, "_DIGESTS", digests)
    monkeypatch.setattr(builtin, "_MNIST_ENDS", (100, 120))
    monkeypatch.delenv(idx.VARIABLE, raising=False)
    return tmp_path


def test_mnist_has_the_usual_split_and_parts_never_mix(small_mnist: Path, monkeypatch) -> None:
    splits = sf.data.load("mnist", context="digit", data_dir=small_mnist, seed=5)
    assert [len(part.x) for part in (splits.train, splits.validation, splits.test)] == [100, 20, 40]
    assert splits.event_shape == (1, 28, 28) and splits.support == sf.Integers(256)
    raw = idx.read_idx(small_mnist / "t10k-images-idx3-ubyte.gz")
    assert np.array_equal(splits.test.x[:, 0].numpy(), raw)
    assert splits.test.context[:11, 0].tolist() == [*range(10), 0]
    rows = {tuple(x.flatten().tolist()) for x in splits.train.x}
    assert not rows & {tuple(x.flatten().tolist()) for x in [*splits.validation.x, *splits.test.x]}
    monkeypatch.setenv(idx.VARIABLE, str(small_mnist))
    assert torch.equal(sf.data.load("mnist").train.x, splits.train.x)


def test_mnist_that_is_missing_or_damaged(small_mnist: Path, tmp_path: Path, monkeypatch) -> None:
    with pytest.raises(sf.FileError, match=r"holds no MNIST: expected train-images-idx3-ubyte.gz"):
        sf.data.load("mnist", data_dir=small_mnist / "nowhere")
    path = small_mnist / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(gzip.compress(_idx(np.zeros(40, np.uint8))))
    with pytest.raises(sf.FileError, match="has another SHA-256"):
        sf.data.load("mnist", data_dir=small_mnist)
    with pytest.raises(sf.ConfigError, match="data_dir is for MNIST"):
        sf.data.load("digits", data_dir=small_mnist)

    def offline(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr("sklearn.datasets.fetch_openml", offline)
    with pytest.raises(sf.FileError, match=r"could not be downloaded.*--data-dir.*SURFLOW_DATA.*'digits'"):
        sf.data.load("mnist")


def test_what_is_downloaded_is_kept_and_checked(small_mnist: Path, tmp_path: Path, monkeypatch) -> None:
    images, labels = idx.mnist(small_mnist)
    whole = np.concatenate([np.zeros((0, 784)), images.reshape(len(images), -1)])
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    calls = []

    def download(*args, **kwargs):
        calls.append(args)
        return whole, labels.astype(str)

    monkeypatch.setattr("sklearn.datasets.fetch_openml", download)
    # openml's table has the 60,000 training images first; this one has other ends, so that the digests do not fit.
    with pytest.raises(sf.FileError, match="SHA-256"):
        idx.mnist()
    assert len(calls) == 1


def _picture(path: Path, size: tuple[int, int], mode: str, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, size, value if mode == "L" else (value, 0, 255)).save(path)


def test_folders_of_images_grey_and_colour(tmp_path: Path) -> None:
    for i in range(30):
        _picture(tmp_path / "grey" / f"{i:02}.png", (6, 4), "L", i)
        _picture(tmp_path / "colour" / ("a" if i % 2 else "b") / f"{i:02}.png", (6, 4), "RGB", i)
    grey = sf.data.load(tmp_path / "grey")
    assert grey.event_shape == (1, 4, 6) and grey.support == sf.Integers(256) and len(grey.train.x) == 21
    colour = sf.data.load(tmp_path / "colour", context="class")
    assert colour.event_shape == (3, 4, 6) and colour.context.columns[0].categories == ["a", "b"]
    assert (colour.train.x[:, 2] == 255).all() and (colour.train.x[:, 1] == 0).all()
    # Odd pictures are of class a.
    odd = colour.train.x[:, 0, 0, 0] % 2 == 1
    assert torch.equal(colour.train.context[:, 0] == 0, odd)


def test_folders_that_are_refused(tmp_path: Path) -> None:
    with pytest.raises(sf.FileError, match="without images"):
        sf.data.load(tmp_path)
    for i in range(20):
        _picture(tmp_path / f"{i}.png", (4, 4), "L", i)
    _picture(tmp_path / "z.png", (4, 5), "L", 0)
    with pytest.raises(sf.DataError, match=r"differ: .* has shape \(4, 4\), z.png \(5, 4\)"):
        sf.data.load(tmp_path)
    Image.fromarray(np.full((4, 4), 4096, np.uint16)).save(tmp_path / "z.png")
    with pytest.raises(sf.DataError, match=r"z.png has pixels of the kind 'I;16': expected 8 bits"):
        sf.data.load(tmp_path)
    (tmp_path / "z.png").write_bytes(b"no picture")
    with pytest.raises(sf.FileError, match=r"z.png cannot be read as an image"):
        sf.data.load(tmp_path)
    (tmp_path / "z.png").rename(tmp_path / "._z.png")  # as some systems leave them
    assert len(sf.data.load(tmp_path).train.x) == 14
    _picture(tmp_path / "class" / "0.png", (4, 4), "L", 0)
    with pytest.raises(sf.DataError, match="put every image into one"):
        sf.data.load(tmp_path)
