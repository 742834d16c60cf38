"""Safetensors files with a digest in their header, by which every changed bit is found."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from surflow.errors import FileError

# The digest is that of the file with zeros in its place. Quotes inside of the header's texts have a backslash before
# them, so that nothing else in a header looks like this.
KEY = "sha256"
_NONE = "0" * 64
_SEAL = re.compile(rb'"sha256":"([0-9a-f]{64})"')
_BLOCK = 2**20

# A header is read whole, and a list in JSON takes some fifty times its length.
MOST_HEADER_BYTES = 2**22


def save_sealed(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors and texts to a safetensors file, with its digest among the texts.

    Args:
        tensors: by name.
        path: of the file.
        metadata: the texts, by name.
    """
    save_file(dict(tensors), path, {**metadata, KEY: _NONE})
    _, digest, at = _digests(path)
    with path.open("r+b") as file:
        file.seek(at)
        file.write(digest.encode())


def check_seal(path: Path, *, needed: bool) -> None:
    """Raise FileError unless the content of a safetensors file is what its digest says.

    Args:
        path: of the file.
        needed: whether it has to have a digest: files of older versions have none.
    """
    stated, digest, at = _digests(path)
    if at < 0 and needed:
        raise FileError(f"{path} is damaged, it has lost its digest: copy it again, or save it again")
    if at >= 0 and stated != digest:
        raise FileError(
            f"{path} is damaged: it is not what the SHA-256 in its header says. Copy it again, or save it again"
        )


def _digests(path: Path) -> tuple[str, str, int]:
    """The digest that a file states, that of its content, and where the first stands; -1 if nowhere."""
    with path.open("rb") as file:
        start = file.read(8)
        head = file.read(min(int.from_bytes(start, "little"), MOST_HEADER_BYTES))
        found = _SEAL.search(head)
        if found is None:
            return "", "", -1
        digest = hashlib.sha256(start + head[: found.start(1)] + _NONE.encode() + head[found.end(1) :])
        while block := file.read(_BLOCK):
            digest.update(block)
    return found[1].decode(), digest.hexdigest(), 8 + found.start(1)
