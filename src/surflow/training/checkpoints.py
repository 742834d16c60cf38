"""An unfinished run as one .safetensors file: tensors, and all else as JSON in the header; no pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from torch import Tensor

from surflow._internal.files import write_tensors
from surflow._internal.sealed import check_seal
from surflow.errors import FileError

_KEY = "surflow_checkpoint"
# From 2 on, files have a digest, and one entry in the header; those of format 1 have the format in it, and another.
_FORMAT = 2


def write(state: object, path: Path) -> None:
    """Write nested dicts, lists, tuples, tensors, numbers, strings and None; the file appears whole or not at all."""
    tensors: dict[str, Tensor] = {}
    tree = _encode(state, tensors)
    write_tensors(path, tensors, _KEY, {"format": _FORMAT, "tree": tree})


def read(path: Path) -> dict[str, Any]:
    """What :func:`write` wrote, bit for bit, on the CPU.

    Raises:
        FileError: if the file is missing, damaged, or no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            header = json.loads(metadata.get(_KEY, "null"))
            if header == 1:
                header = {"format": 1, "tree": json.loads(metadata["tree"])}
            if not isinstance(header, dict) or header.get("format") not in (1, _FORMAT):
                raise FileError(f"{path} is not a checkpoint that this surflow wrote: choose another folder")
            check_seal(path, needed=header["format"] != 1)
            # Clones, because the file is only mapped into memory and is replaced while the run goes on.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            state = _decode(header["tree"], tensors)
            if not isinstance(state, dict):
                raise TypeError(f"it holds a {type(state).__name__}")
            return state
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"the checkpoint {path} is damaged ({error}): choose another folder to train anew") from error


def _encode(value: object, tensors: dict[str, Tensor]) -> object:
    """Plain JSON: a bare scalar stands for itself, everything else is a one-entry object that says what it is."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Tensor):
        name = str(len(tensors))
        tensors[name] = value.detach().cpu().contiguous().clone()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[_encode(key, tensors), _encode(item, tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {type(value).__name__: [_encode(item, tensors) for item in value]}
    raise FileError(f"a checkpoint cannot hold a {type(value).__name__}")


def _decode(value: object, tensors: dict[str, Tensor]) -> object:
    if not isinstance(value, dict):
        return value
    ((kind, content),) = value.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {_decode(key, tensors): _decode(item, tensors) for key, item in content}
    items = [_decode(item, tensors) for item in content]
    return {"list": list, "tuple": tuple}[kind](items)


class SafetensorsIO(CheckpointIO):
    """Lightning's checkpoints through :func:`write` and :func:`read`."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: object = None) -> None:
        write(checkpoint, Path(path))

    def load_checkpoint(
        self,
        path: str | Path,
        map_location: object = None,
        weights_only: bool | None = None,  # noqa: FBT001 -- Lightning's
    ) -> dict[str, Any]:
        return read(Path(path))

    def remove_checkpoint(self, path: str | Path) -> None:
        Path(path).unlink(missing_ok=True)
