"""Names of columns on the command line: how several are told, and how they are shown."""

from __future__ import annotations

import csv


def split_names(names: str | None) -> list[str] | None:
    """Names separated by commas, as a row of a CSV file: one that holds a comma or ends in a blank is quoted.

    >>> split_names('a, b,"x, m"')
    ['a', 'b', 'x, m']
    """
    if names is None:
        return None
    cells = next(csv.reader([names], skipinitialspace=True), [])
    return [cell for cell in cells if cell]


def plain_text(text: str) -> str:
    r"""A text from a file as a terminal may show it: without the characters that would steer it.

    >>> plain_text("a\x1b[2Jb")
    'a�[2Jb'
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in text)
