"""An unfinished run as one .safetensors file: tensors, and all else as JSON in the header; no pickle."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from lightning.pytorch.plugins.io import CheckpointIO
from safetensors import SafetensorError, safe_open
from torch import Tensor

from surflow._internal.sealed import check_seal, save_sealed
from surflow.errors import FileError

_KEY = "surflow_checkpoint"
# From 2 on, files have a digest.
_FORMAT, _FORMATS = "2", ("1", "2")


def write(state: Any, path: Path) -> None:
    """Write nested dicts, lists, tuples, tensors, numbers, strings and None; the file appears whole or not at all."""
    tensors: dict[str, Tensor] = {}
    header = {_KEY: _FORMAT, "tree": json.dumps(_encode(state, tensors))}
    scratch = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        save_sealed(tensors, scratch, header)
        os.replace(scratch, path)
    except (OSError, SafetensorError) as error:
        scratch.unlink(missing_ok=True)
        raise FileError(f"{path} cannot be written: {error}") from error


def read(path: Path) -> Any:
    """What :func:`write` wrote, bit for bit, on the CPU.

    Raises:
        FileError: if the file is missing, damaged, or no checkpoint.
    """
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get(_KEY) not in _FORMATS:
                raise FileError(f"{path} is not a checkpoint that this surflow wrote: choose another folder")
            check_seal(path, needed=header[_KEY] != "1")
            # Clones, because the file is only mapped into memory and is replaced while the run goes on.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
            return _decode(json.loads(header["tree"]), tensors)
    except (OSError, SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"the checkpoint {path} is damaged ({error}): delete it to start the run anew") from error


def _encode(value: Any, tensors: dict[str, Tensor]) -> Any:
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


def _decode(value: Any, tensors: dict[str, Tensor]) -> Any:
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

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any | None = None) -> None:
        write(checkpoint, Path(path))

    def load_checkpoint(
        self,
        path: Any,
        map_location: Any | None = None,
        weights_only: bool | None = None,  # noqa: FBT001 -- Lightning's
    ) -> dict:
        return read(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        Path(path).unlink(missing_ok=True)
