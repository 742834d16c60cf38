"""Damage to files: bytes flipped, cut, spliced and overstated, and plain values replaced by values of other kinds."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

# What stands in place of a value, a number in a text, or a word: extremes, other kinds, and what steers a terminal.
_VALUES: list[object] = [
    *(None, True, False, 0, -1, 1, 2, 3, 7, 2**20, 2**31, 2**40, 2**63, -(2**63), 10**30, 0.5, -0.0, 1e-320, 1e308),
    *("", "a", "x" * 300, "\x1b[2J", "=1+1", "NaN", "%d", "%Y%", "\u00e9", "a\nb", "Flow", "Normal", "real"),
    *([], [None], [[]], [1, 2], ["a"], {}, {"class": "Normal"}, {"class": "Flow", "arguments": {}}, {"none": True}),
]
_INFINITE: list[object] = [float("nan"), float("inf"), float("-inf")]
_WORDS = [
    *(b"0", b"-1", b"1e999", b"NaN", b"9" * 5000, b"9" * 19, b"0x10", b"null", b"true", b'""', b"[]", b"{}", b'"a"'),
    *(
        b"[" * 3000,
        b"{" * 600,
        b"a." * 600,
        b"(" * 600,
        b'"',
        b"'",
        b",",
        b"\n",
        b"\r",
        b";",
        b"\t",
        b"#",
        b"\\",
        b"\0",
    ),
    *(b"\xff", b"\xef\xbb\xbf", b"\xff\xfe", b"\x1b[2J", b"=1+1", b"1,5", b"1.5", b"2020-02-31", b"31/12/1999", b"- "),
]
_SIZES = [0, 1, 2, 2**7, 2**8 - 1, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63]

Operation = Callable[[bytes, bytes, Random], bytes]


def _span(good: bytes, random: Random, most: int = 64) -> tuple[int, int]:
    begin = random.randrange(len(good) + 1)
    return begin, min(len(good), begin + random.randint(1, most))


def _flip(good: bytes, _: bytes, random: Random) -> bytes:
    if not good:
        return good
    bit = random.randrange(8 * len(good))
    out = bytearray(good)
    out[bit // 8] ^= 1 << bit % 8
    return bytes(out)


def _overwrite(good: bytes, _: bytes, random: Random) -> bytes:
    begin, end = _span(good, random, 8)
    return good[:begin] + random.randbytes(end - begin) + good[end:]


def _cut(good: bytes, _: bytes, random: Random) -> bytes:
    return good[: random.randrange(len(good) + 1)]


def _delete(good: bytes, _: bytes, random: Random) -> bytes:
    begin, end = _span(good, random)
    return good[:begin] + good[end:]


def _repeat(good: bytes, _: bytes, random: Random) -> bytes:
    begin, end = _span(good, random)
    return good[:end] + good[begin:end] * random.choice([1, 2, 100]) + good[end:]


def _insert(good: bytes, _: bytes, random: Random) -> bytes:
    at = random.randrange(len(good) + 1)
    return good[:at] + random.randbytes(random.randint(1, 16)) + good[at:]


def _splice(good: bytes, other: bytes, random: Random) -> bytes:
    at, begin = random.randrange(len(good) + 1), random.randrange(len(other) + 1)
    return (
        good[:at] + other[begin : begin + random.choice([8, 64, len(other)])] + good[at + random.choice([0, 8, 64]) :]
    )


def _size(good: bytes, _: bytes, random: Random) -> bytes:
    """Another number where a length may stand, of 1 to 8 bytes, at the ends of the file more often than amid it."""
    width, at = random.choice([1, 2, 4, 8]), random.randrange(len(good) + 1)
    where = random.choice(["anywhere", "begin", "end"])
    at = min(at, random.randrange(128)) if where == "begin" else at
    at = max(0, len(good) - random.randrange(256)) if where == "end" else at
    number = (random.choice(_SIZES) % 2 ** (8 * width)).to_bytes(width, random.choice(["little", "big"]))
    return good[:at] + number + good[at + width :]


def _word(good: bytes, _: bytes, random: Random) -> bytes:
    """Another word in place of a number or a word of a text."""
    found = list(re.finditer(rb"-?[0-9][0-9.e+-]*|[A-Za-z_]+|\"[^\"\n]*\"|[\[\]{}=:,;]", good))
    if not found:
        return _insert(good, b"", random)
    place = random.choice(found)
    return good[: place.start()] + random.choice(_WORDS) + good[place.end() :]


def _lines(good: bytes, _: bytes, random: Random) -> bytes:
    """A line moved, doubled or lost."""
    lines = good.splitlines(keepends=True)
    if not lines:
        return good
    line = lines.pop(random.randrange(len(lines)))
    for _i in range(random.randrange(3)):
        lines.insert(random.randrange(len(lines) + 1), line)
    return b"".join(lines)


_OPERATIONS: list[Operation] = [_flip, _flip, _overwrite, _cut, _delete, _repeat, _insert, _splice, _size, _size]
_OF_TEXT: list[Operation] = [_flip, _overwrite, _cut, _delete, _repeat, _insert, _splice, _word, _word, _word, _lines]


def mutated(good: bytes, other: bytes, random: Random, *, text: bool = False) -> bytes:
    """A file with one to four damages, some by pieces of another."""
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        good = random.choice(_OF_TEXT if text else _OPERATIONS)(good, other, random)
    return good


def replaced(value: object, random: Random, *, finite: bool = False) -> object:
    """Nested lists and dictionaries with one to three values replaced, lost, doubled, or under another name."""
    for _ in range(random.choice([1, 1, 2, 3])):
        value = _replaced(value, random, _VALUES if finite else _VALUES + _INFINITE)
    return value


def _replaced(value: object, random: Random, values: list[object]) -> object:
    if isinstance(value, dict) and value and random.random() < 0.97:
        key = random.choice(list(value))
        kind = random.randrange(20)
        if kind == 0:
            return {k: v for k, v in value.items() if k != key}
        if kind == 1:
            return value | {random.choice(["a", "", *value, "class"]): random.choice(values)}
        if kind == 2:
            return {("other" if k == key else k): v for k, v in value.items()}
        return value | {key: _replaced(value[key], random, values)}
    if isinstance(value, list) and value and random.random() < 0.95:
        at = random.randrange(len(value))
        kind = random.randrange(12)
        if kind == 0:
            return value[:at] + value[at + 1 :]
        if kind == 1:
            return value[:at] + [value[at]] * 2 + value[at + 1 :]
        return [*value[:at], _replaced(value[at], random, values), *value[at + 1 :]]
    if isinstance(value, int) and not isinstance(value, bool) and random.random() < 0.3:
        return random.choice([value + 1, value - 1, -value, 2 * value, float(value), str(value)])
    return random.choice(values)
