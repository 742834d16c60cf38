"""What a person says of single columns, such as ``--column age=count``."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass

from surflow.data.findings import Findings
from surflow.data.tables.schema import ColumnKind
from surflow.errors import ConfigError, unknown_name


@dataclass(frozen=True)
class Wish:
    """What a person says of one column: its kind, or that it is left out, and entries that go with it."""

    name: str
    kind: ColumnKind | None
    categories: tuple[str, ...] = ()
    format: str | None = None


def wishes(stated: Sequence[str], names: Sequence[str]) -> dict[str, Wish]:
    """What ``--column age=count`` and the like say, by column.

    Forms: ``name=kind`` for every kind, ``name=drop``, ``name=ordered(low,medium,high)``, ``name=date(%d/%m/%Y)``.

    Raises:
        ConfigError: for columns that are not there, unknown kinds, or a column named twice: all of them at once.

    >>> wishes(["age=count", "grade=ordered(low,high)"], ["age", "grade"])["grade"].categories
    ('low', 'high')
    """
    found: dict[str, Wish] = {}
    wrong = Findings()
    for text in stated:
        with wrong.gather():
            wish = _wish(text, names)
            if wish.name in found:
                raise ConfigError(f"--column says two things of {wish.name!r}: expected one")
            found[wish.name] = wish
    wrong.refuse()
    return found


def _wish(text: str, names: Sequence[str]) -> Wish:
    kinds = [*map(str, ColumnKind), "drop"]
    name, equals, said = text.rpartition("=") if "(" not in text else text.partition("=")
    if not equals:
        raise ConfigError(f"--column {text!r}: expected NAME=KIND, with a kind of {', '.join(kinds)}")
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f": there are {', '.join(map(repr, names[:12]))}"
        raise ConfigError(f"--column {text!r}: there is no column {name!r}{hint}")
    kind, bracket, inner = said.strip().partition("(")
    if kind not in kinds:
        raise ConfigError(f"--column {text!r}: {unknown_name('kind', kind, kinds)}")
    inside = inner.removesuffix(")") if bracket else ""
    if inside and kind not in ("ordered", "category", "date"):
        raise ConfigError(f"--column {text!r}: only ordered(...), category(...) and date(...) take brackets")
    return Wish(
        name,
        None if kind == "drop" else ColumnKind(kind),
        tuple(part.strip() for part in inside.split(",")) if inside and kind != "date" else (),
        inside if inside and kind == "date" else None,
    )
