"""Files that are computed part by part, by one process or by several, and are the same whoever computes which part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from surflow._internal.files import written_whole
from surflow._internal.random import mix
from surflow._internal.ranks import gather, meet, ranks


def seed_of(seed: int, part: int) -> int:
    """The seed of what is drawn for a part; that of the first is the command's own."""
    return seed if part == 0 else mix(seed, part) % 2**63


def sizes(n: int, size: int) -> list[tuple[int, int]]:
    """The rows of every part, from one number to another.

    >>> sizes(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(begin, min(begin + size, n)) for begin in range(0, n, size)]


def write_by_ranks(
    path: Path,
    parts: Sequence[tuple[int, int]],
    write: Callable[[Path, Sequence[int]], str],
    join: Callable[[Sequence[Path], Path], None],
) -> list[str]:
    """Write a file of parts; every process writes some, and the first puts them together in order.

    Args:
        path: of the file.
        parts: all of them, as :func:`sizes` gives them.
        write: writes the parts of these numbers to a file, and returns a word on them.
        join: puts files, of parts that follow each other, together in one.

    Returns:
        The words, on the first process; nothing on others.
    """
    known = ranks()
    if known.world == 1:
        with written_whole(path) as scratch:
            return [write(scratch, range(len(parts)))]
    cuts = [rank * len(parts) // known.world for rank in range(known.world + 1)]
    files = [path.with_name(f".{path.stem}-{rank}-of-{known.world}{path.suffix}") for rank in range(known.world)]
    own, word = files[known.rank], ""
    try:
        if cuts[known.rank] < cuts[known.rank + 1]:
            with written_whole(own) as scratch:
                word = write(scratch, range(cuts[known.rank], cuts[known.rank + 1]))
        words = gather("written", word)
        if known.rank == 0:
            with written_whole(path) as scratch:
                join([file for file, a, b in zip(files, cuts, cuts[1:], strict=False) if a < b], scratch)
        meet("joined")
    finally:
        own.unlink(missing_ok=True)
    return [said for said in words if said]
