"""A changed bit of a model or a checkpoint is found; files without a digest, of older versions, load."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import surflow as sf
from surflow.training import checkpoints


def _model(path: Path) -> Callable[[Path], Any]:
    sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2, learned=True)).save(path)
    return sf.load


def _checkpoint(path: Path) -> Callable[[Path], Any]:
    checkpoints.write({"weights": torch.arange(4.0), "steps": [1, 2.5, "x", None]}, path)
    return checkpoints.read


@pytest.mark.parametrize("make", [_model, _checkpoint])
def test_a_flipped_bit_of_any_byte_is_found(make: Callable[[Path], Callable[[Path], Any]], tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    read = make(path)
    read(path)
    good = path.read_bytes()
    for bit in range(0, 8 * len(good), 9):
        damaged = bytearray(good)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(sf.FileError, match=str(path)):
            read(path)


@pytest.mark.parametrize("make", [_model, _checkpoint])
def test_the_same_content_is_the_same_file(make: Callable[[Path], Callable[[Path], Any]], tmp_path: Path) -> None:
    made = set()
    for i in range(8):
        make(tmp_path / f"{i}.safetensors")
        made.add((tmp_path / f"{i}.safetensors").read_bytes())
    assert len(made) == 1


def test_a_text_that_looks_like_a_digest_is_none(tmp_path: Path) -> None:
    path, zeros = tmp_path / "x.safetensors", "0" * 64
    for text in (f'":"{{"sha256": "{zeros}"', f'{{"sha256": "{zeros}"', f'{{\\"sha256\\": \\"{zeros}\\"'):
        checkpoints.write({text: text}, path)
        assert checkpoints.read(path) == {text: text}


def test_a_lost_digest_is_found(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    _model(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["surflow"])
    del header["sha256"]
    save_file(load_file(path), path, {"surflow": json.dumps(header)})
    with pytest.raises(sf.FileError, match="has lost its digest"):
        sf.load(path)


def test_checkpoints_without_a_digest_are_read(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    state = {"dict": [["weights", {"tensor": "0"}]]}
    save_file({"0": torch.ones(2)}, path, {"surflow_checkpoint": "1", "tree": json.dumps(state)})
    assert torch.equal(checkpoints.read(path)["weights"], torch.ones(2))
