"""Files: a flow as one .safetensors file, weights and architecture, written and read without pickle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from surflow._internal.files import write_tensors
from surflow._internal.version import __version__
from surflow.errors import FileError, SurflowError
from surflow.flow import Flow
from surflow.serialization.architecture import build, describe
from surflow.serialization.budget import Budget
from surflow.serialization.old_names import state_today

FORMAT = 1
_KEY = "surflow"
SUFFIX = ".safetensors"

# A header is read whole: lists in JSON take some fifty times their length. What it states has its own limit, `Budget`.
_MOST_HEADER_BYTES = 2**22
# An error may name what it got, and that may be long.
_MOST_LETTERS = 2000

# What a file may hold.
_SAVED = ("Flow", "TableModel")
# The model in the folder of a run.
_MODEL = "model.safetensors"
_DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32, "float64": torch.float64}

if TYPE_CHECKING:
    from surflow.tables.model import TableModel

__all__ = ["build", "describe", "load", "save"]


def save(flow: Flow | TableModel, path: str | Path) -> None:
    """Write ``flow`` to one .safetensors file: the weights, and in the header its architecture and the versions.

    The file appears whole or not at all. A network that two layers share is stored, and loaded, once for each.

    Raises:
        FileError: for another suffix, a folder that cannot be written, or a piece that no file can state.

    >>> import tempfile, torch, surflow as sf
    >>> flow = sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2, learned=True))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(flow, f"{folder}/flow.safetensors")
    ...     same = load(f"{folder}/flow.safetensors")
    >>> torch.equal(same.log_prob(torch.ones(1, 2)), flow.log_prob(torch.ones(1, 2)))
    True
    """
    path = Path(path)
    if path.suffix != SUFFIX:
        raise FileError(f"flows are saved as {SUFFIX} files, got {str(path)!r}: name it {path.stem + SUFFIX!r}")
    if type(flow).__name__ not in _SAVED and not isinstance(flow, Flow):
        raise FileError(f"expected a Flow to save, got {type(flow).__name__}: wrap it, Flow([...], base=...)")
    architecture = describe(flow, full=True)
    state = flow.state_dict()
    _check_rebuilds(architecture, state)
    # Clones, because tensors that share memory, as views or tied weights, cannot be stored otherwise.
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    dtypes = {name: str(b.dtype).removeprefix("torch.") for name, b in _unsaved_buffers(flow).items()}
    # One entry, because the order of several in the header would differ from file to file.
    header = {"format": FORMAT, "version": __version__, "architecture": architecture, "buffers": dtypes}
    metadata = {_KEY: json.dumps(header)}
    write_tensors(path, tensors, metadata)


def load(path: str | Path, *, trusted: bool = False) -> Flow | TableModel:
    """Read a flow or a TableModel that :func:`save` wrote, on the CPU, in its dtype, ready to score and draw.

    Runs no code from the file: only registered classes are built, from plain arguments, within limits of memory and
    work that the file's own weights set (:mod:`surflow.serialization.budget`). The global random state stays as it was.

    Args:
        path: of the file, or of the folder of a run, which holds it as model.safetensors.
        trusted: lift these limits, for a file of your own that needs more.

    Raises:
        FileError: if the file is missing, damaged, foreign, newer than the library, or does not fit.

    >>> import tempfile, torch, surflow as sf
    >>> flow = sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     flow.save(f"{folder}/flow.safetensors")
    ...     again = sf.load(f"{folder}/flow.safetensors")
    >>> torch.equal(again.log_prob(torch.ones(1, 2)), flow.log_prob(torch.ones(1, 2)))
    True
    """
    path = Path(path)
    path = path / _MODEL if path.is_dir() else path
    header = _read_header(path)
    try:
        architecture, dtypes = header["architecture"], header["buffers"]
        if not isinstance(architecture, dict) or architecture.get("class") not in _SAVED:
            raise FileError(f"{path}: expected the architecture of a Flow, got {str(architecture)[:60]!r}")
        with safe_open(path, framework="pt") as file:
            # Clones, so that the flow does not depend on the file, which is only mapped into memory.
            state = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
        budget = None if trusted else Budget(sum(tensor.numel() for tensor in state.values()), len(state))
        with torch.random.fork_rng(devices=[]), torch.device("cpu"):
            flow = cast("Flow | TableModel", build(architecture, budget))  # by its class's name
        state = state_today(flow, state)
        lines = _differences(_shapes(flow.state_dict()), _shapes(state))
        if lines:
            raise FileError(f"{path}: its tensors do not fit its architecture:\n  " + "\n  ".join(lines))
        _check_dtypes(path, flow, state)
        flow.load_state_dict(state, assign=True)
        for name, buffer in _unsaved_buffers(flow).items():
            if name in dtypes:
                module, _, leaf = name.rpartition(".")
                flow.get_submodule(module)._buffers[leaf] = buffer.to(_DTYPES[dtypes[name]])
    except FileError:
        raise
    except SurflowError as error:
        raise FileError(f"{path} does not state a flow that can be built: {_shortened(error)}") from error
    except Exception as error:  # whatever a hostile or damaged header leads to
        said = f"{type(error).__name__}: {_shortened(error)}"
        raise FileError(f"{path} is damaged or not to be trusted: {said}") from error
    return flow.eval()


def _shortened(error: Exception) -> str:
    said = str(error)
    return said if len(said) <= _MOST_LETTERS else f"{said[:_MOST_LETTERS]}..."


def _read_header(path: Path) -> dict[str, Any]:
    """What surflow wrote into a file's header, or a FileError that says what the file is instead."""
    advice = "expected a file written by flow.save(path)"
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            start = file.read(9)
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror}; {advice}") from error
    foreign = size < 9 or start[8:] != b"{"
    if foreign and (start[:2] == b"PK" or start[:1] == b"\x80"):
        raise FileError(
            f"{path} looks like a pickle (.pt, .pkl), which can run code when opened and is never read here; {advice}"
        )
    length = int.from_bytes(start[:8], "little")
    if foreign:
        raise FileError(f"{path} is not a safetensors file; {advice}")
    if length > _MOST_HEADER_BYTES:
        raise FileError(
            f"{path}: its header claims {length:,} bytes, at most {_MOST_HEADER_BYTES:,} are read; {advice}"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise FileError(
            f"{path} is damaged or cut short ({size:,} bytes; {error}): copy it again, or save the flow again"
        ) from error
    if _KEY not in metadata:
        raise FileError(
            f"{path} is a safetensors file without surflow's header, so it states no architecture; {advice}"
        )
    try:
        header = json.loads(metadata[_KEY])
        form, author = header["format"], header["version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise FileError(f"{path} has a damaged header ({type(error).__name__}: {error}); {advice}") from error
    if not isinstance(form, int) or form > FORMAT:
        raise FileError(
            f"{path} has format {str(form)[:20]}, written by surflow {str(author)[:20]}; this surflow "
            f"{__version__} reads formats up to {FORMAT}: install a newer surflow"
        )
    return header


def _unsaved_buffers(flow: nn.Module) -> dict[str, Tensor]:
    """Floating buffers that are no part of the state: constructors build them, only their dtype is kept."""
    saved = flow.state_dict().keys()
    return {name: b for name, b in flow.named_buffers() if name not in saved and b.is_floating_point()}


def _differences(expected: Mapping[str, tuple[int, ...]], got: Mapping[str, tuple[int, ...]]) -> list[str]:
    lines = [f"{name}: expected {expected[name]}, got none" for name in expected if name not in got]
    lines += [f"{name}: expected none, got {got[name]}" for name in got if name not in expected]
    lines += [
        f"{name}: expected {expected[name]}, got {got[name]}"
        for name in expected
        if name in got and expected[name] != got[name]
    ]
    return lines if len(lines) <= 10 else [*lines[:10], f"and {len(lines) - 10} more"]


def _shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _check_rebuilds(architecture: Mapping[str, object], state: Mapping[str, Tensor]) -> None:
    """What was changed after building (a layer replaced, say) is in no description: say so now, not when loading."""
    with torch.random.fork_rng(devices=[]), torch.device("cpu"):
        rebuilt = build(architecture)
    assert isinstance(rebuilt, nn.Module)
    lines = _differences(_shapes(rebuilt.state_dict()), _shapes(state))
    if lines:
        raise FileError(
            "the flow was changed after it was built, so its description does not rebuild it: build a new Flow from "
            "the changed pieces.\n  " + "\n  ".join(lines)
        )


def _check_dtypes(path: Path, flow: nn.Module, state: Mapping[str, Tensor]) -> None:
    for name, tensor in flow.state_dict().items():
        if tensor.is_floating_point() != state[name].is_floating_point():
            raise FileError(f"{path}: {name}: expected {tensor.dtype} or its like, got {state[name].dtype}")
