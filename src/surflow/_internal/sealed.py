"""Safetensors files with a digest in their header, by which every changed bit is found."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path

from surflow.errors import FileError

# The digest is that of the file with zeros in its place. It is where an entry of the header begins, and nothing inside
# of one looks like this, because quotes have a backslash before them there.
_NONE = "0" * 64
_SEAL = re.compile(rb'":"\{\\"sha256\\": \\"([0-9a-f]{64})\\"')
_BLOCK = 2**20

# A header is read whole, and a list in JSON takes some fifty times its length.
MOST_HEADER_BYTES = 2**22


def unsealed(header: Mapping[str, object]) -> str:
    """The text of a header, in JSON, with the place for the digest."""
    return json.dumps({"sha256": _NONE, **header})


def seal(path: Path) -> None:
    """Write the digest of a safetensors file into its place."""
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
