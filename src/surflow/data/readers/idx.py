"""IDX files, and MNIST in them: found in a folder or the cache, else downloaded; checked byte by byte."""

from __future__ import annotations

import gzip
import hashlib
import math
import os
import struct
import zlib
from pathlib import Path

import numpy as np

from surflow._internal.files import make_folder, written_whole
from surflow._internal.limits import check_unpacked, most_unpacked
from surflow.errors import FileError

VARIABLE = "SURFLOW_DATA"

# The files of MNIST, images and labels of both parts, and the SHA-256 of each one's content, uncompressed.
_DIGESTS = {
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_MOST_AXES = 8
_GZIP = b"\x1f\x8b"


def read_idx(path: str | Path) -> np.ndarray:
    """The array in an IDX file, plain or compressed by gzip.

    Raises:
        FileError: if it is missing or damaged, is of another kind, or does not hold as many numbers as it says.
    """
    return _parse(Path(path), _content(Path(path)))


def _content(path: Path) -> bytes:
    try:
        content = path.read_bytes()
        if not content.startswith(_GZIP):
            return content
        most = most_unpacked(len(content))
        with gzip.open(path) as file:
            unpacked = file.read(int(min(most, 2**62)) + 1)
        check_unpacked(path, len(unpacked), len(content))
        return unpacked
    except (OSError, EOFError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise FileError(f"{path} cannot be read: {reason}; remove it, to get it anew") from error


def _parse(path: Path, content: bytes) -> np.ndarray:
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in _TYPES or not content[3]:
        raise FileError(f"{path} is no IDX file: it does not begin with two zeros, a type and a number of axes")
    kind, axes = np.dtype(_TYPES[content[2]]), content[3]
    begin = 4 + 4 * axes
    if len(content) < begin:
        raise FileError(f"{path} is cut off: an IDX file of {axes} axes has a header of {begin} bytes")
    shape = struct.unpack(f">{axes}I", content[4:begin])
    expected = math.prod(shape) * kind.itemsize
    if len(content) - begin != expected:
        raise FileError(
            f"{path} says it holds an array of shape {shape}, {expected:,} bytes, but has {len(content) - begin:,}"
        )
    if len(shape) > _MOST_AXES or 0 in shape:
        raise FileError(f"{path} says it holds an array of shape {shape}: expected up to {_MOST_AXES} axes, none empty")
    return np.frombuffer(content, kind, offset=begin).reshape(shape)


def mnist(data_dir: str | Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """All 70,000 images, shape (70000, 28, 28), bytes, and their digits; the last 10,000 are the test images.

    They are looked for in ``data_dir``, or its folder ``mnist``, if one is given; else in the folder that the
    environment variable SURFLOW_DATA names; else in the cache, where they go after a download by scikit-learn from
    openml.org.

    Raises:
        FileError: if they are not where they should be, are damaged, or cannot be downloaded.
    """
    named = data_dir if data_dir is not None else os.environ.get(VARIABLE)
    if named:
        folder = _folder(Path(named).expanduser())
        if folder is None:
            wanted = ", ".join(f"{name}.gz" for name in _DIGESTS)
            raise FileError(f"{named} holds no MNIST: expected {wanted}, with or without .gz, there or in its mnist/")
        return _read_all(folder)
    cache = _cache()
    if _folder(cache) is None:
        _download(cache)
    return _read_all(cache)


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "surflow" / "mnist"


def _find(folder: Path, name: str) -> Path | None:
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def _folder(start: Path) -> Path | None:
    """Where all four files are."""
    return next((f for f in (start, start / "mnist") if all(_find(f, name) for name in _DIGESTS)), None)


def _read_all(folder: Path) -> tuple[np.ndarray, np.ndarray]:
    arrays = []
    for name, digest in _DIGESTS.items():
        path = _find(folder, name)
        assert path is not None  # by _folder
        content = _content(path)
        if hashlib.sha256(content).hexdigest() != digest:
            raise FileError(f"{path} is not MNIST's {name}: its content has another SHA-256. Remove it to get it anew")
        arrays.append(_parse(path, content))
    images, labels, test_images, test_labels = arrays
    return np.concatenate([images, test_images]), np.concatenate([labels, test_labels])


def _download(cache: Path) -> None:
    from sklearn.datasets import fetch_openml

    try:
        x, y = fetch_openml("mnist_784", version=1, as_frame=False, return_X_y=True, parser="liac-arff")
    except Exception as error:  # of the network, of the server, of the file: all mean the same to the user
        raise FileError(
            f"MNIST is not in {cache} and could not be downloaded from openml.org ({type(error).__name__}: {error}). "
            f"Put its four IDX files into a folder and name it by --data-dir, data_dir= or {VARIABLE}; or use "
            "'digits', 8x8 pixels, which comes with the installation"
        ) from error
    images, labels = x.astype(np.uint8).reshape(-1, 28, 28), y.astype(np.uint8)
    parts = {"train": slice(0, 60_000), "t10k": slice(60_000, None)}
    make_folder(cache)
    for part, rows in parts.items():
        for name, array in (("images-idx3", images[rows]), ("labels-idx1", labels[rows])):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            with written_whole(cache / f"{part}-{name}-ubyte.gz") as scratch:
                scratch.write_bytes(gzip.compress(header + array.tobytes()))
