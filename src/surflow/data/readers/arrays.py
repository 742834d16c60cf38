"""Arrays of NumPy's files: tables of two axes, events of more, and what an archive says beside them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from surflow.data.readers.npy import load_npy, load_npz
from surflow.data.readers.raw import Raw, frame_of
from surflow.errors import DataError
from surflow.supports import Integers, Ragged, Support

ARRAYS = (".npy", ".npz")


def read_array(path: Path, *, sets: bool = False) -> Raw:
    """The array in an NPY or NPZ file as a table (two axes or one) or as events (three or more).

    Raises:
        FileError: if it is missing, damaged, or holds Python objects or arrays under other names.
        DataError: for another type or shape than that of a table or of events.
    """
    return of_arrays(path, load_npy(path), sets=sets) if path.suffix.lower() == ".npy" else _read_npz(path, sets=sets)


def _read_npz(path: Path, *, sets: bool) -> Raw:
    held = load_npz(path, {"x", "context", "mask"}, "x")
    return of_arrays(path, held["x"], held.get("context"), held.get("mask"), sets=sets)


def of_arrays(
    path: Path, x: np.ndarray, context: np.ndarray | None = None, mask: np.ndarray | None = None, *, sets: bool = False
) -> Raw:
    """What arrays hold: rows of a table, or events with the columns of a context beside them."""
    if x.dtype.kind not in "fiub" or x.ndim == 0:
        raise DataError(f"{path} holds x of type {x.dtype} and shape {x.shape}: expected numbers of shape (rows, ...)")
    if 0 in x.shape[1:]:
        raise DataError(f"{path} holds x of shape {x.shape}, which has no numbers: expected at least one a row")
    if x.dtype.kind == "b" and x.ndim > 2:
        raise DataError(f"{path} holds true/false values: cast them to numbers, such as x.astype('float32')")
    beside: dict[str, np.ndarray] = {}
    if context is not None:
        if context.ndim not in (1, 2) or len(context) != len(x) or context.dtype.kind not in "fiubUS":
            raise DataError(
                f"{path} holds a context of type {context.dtype} and shape {context.shape} for x of shape {x.shape}: "
                f"expected numbers or strings of shape ({len(x)},) or ({len(x)}, columns)"
            )
        beside = _numbered("context", context)
    origin = f"the file {path.name}"
    if x.ndim <= 2:
        if sets:
            raise DataError(f"{path} holds a table of shape {x.shape}: sets are arrays (rows, points, coordinates)")
        table = _numbered("x", x[:, None] if x.ndim == 1 else x)
        return Raw(path.stem, origin, frame_of(table | beside, path.stem, origin), targets=tuple(beside))
    frame = frame_of(beside, path.stem, origin) if beside else None
    raw = Raw(path.stem, origin, frame, events=x, targets=tuple(beside))
    if mask is not None:
        return replace(raw, events=_masked(path, x, mask), support=Ragged(), sets=True)
    if sets:
        if x.ndim != 3 or x.dtype.kind != "f":
            raise DataError(
                f"{path} holds x of type {x.dtype} and shape {x.shape}: sets are (rows, points, coordinates)"
            )
        return replace(raw, events=x.swapaxes(1, 2), sets=True)
    if x.dtype == np.uint8:
        return _images(path, raw, x)
    return raw


def _images(path: Path, raw: Raw, x: np.ndarray) -> Raw:
    support: Support = Integers(256)
    if x.ndim == 4 and x.shape[3] in (1, 3, 4) and x.shape[1] not in (1, 3, 4):
        raise DataError(
            f"{path} holds images of shape {x.shape}: expected (rows, channels, height, width). "
            "Move the channels with numpy.moveaxis(x, -1, 1)"
        )
    return replace(raw, events=x[:, None] if x.ndim == 3 else x, support=support)


def _masked(path: Path, x: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Sets of points (n, points, coordinates) with which there are, as (n, coordinates + 1, points)."""
    if x.ndim != 3 or x.dtype.kind != "f" or mask.shape != x.shape[:2] or mask.dtype.kind != "b":
        raise DataError(
            f"{path} holds x of type {x.dtype} and shape {x.shape} and a mask of type {mask.dtype} and shape "
            f"{mask.shape}: expected points of shape (rows, points, coordinates) and true where there is one, of shape "
            "(rows, points)"
        )
    there = np.where(mask[..., None], x, 0.0)
    return np.concatenate([there, mask[..., None].astype(x.dtype)], 2).swapaxes(1, 2)


def _numbered(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8", "replace")
    if values.dtype.kind == "U":
        values = values.astype(object)
    if values.ndim == 1:
        return {name: values}
    if values.shape[1] == 1 and name == "context":
        return {name: values[:, 0]}
    return {f"{name}{i}": values[:, i] for i in range(values.shape[1])}
