"""Names of columns on the command line: how several are written, and how they are shown."""

from __future__ import annotations

import csv


def split_names(names: str | None) -> list[str] | None:
    """Names separated by commas, as a row of a CSV file: one that holds a comma is quoted.

    A blank after a comma stays, as it may belong to the name; who looks the name up does without it if it does not.

    >>> split_names('a, b,"x, m"')
    ['a', ' b', 'x, m']
    """
    if names is None:
        return None
    cells = next(csv.reader([names], skipinitialspace=', "' in names), [])
    return [cell for cell in cells if cell.strip()]
