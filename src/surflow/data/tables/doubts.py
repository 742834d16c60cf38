"""What is doubtful about a table, in words: repeated rows, copies, leaks of row numbers, outliers, holes, codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations

import numpy as np

from surflow.data.readers.frame import Frame
from surflow.data.tables.columns import decode
from surflow.data.tables.facts import Facts
from surflow.data.tables.schema import Column, ColumnKind
from surflow.data.tables.sql import number_sql
from surflow.data.tables.writing import doubts_of_writing

_MANY_MISSING = 0.9
_NEAR_CONSTANT = 0.995
_ROW_NUMBER = 0.999
# Distances from the quartiles, in distances between them, from which a number is far out.
_FAR = 50.0
# Numbers that stand for no value in files of surveys and instruments, largest first.
_CODES_ABOVE = [10.0**digits - end for digits in (5, 4, 3, 2) for end in (1, 2, 3, 4)]
_CODES_BELOW = [-99999.0, -9999.0, -999.0, -998.0, -99.0, -98.0, -9.0, -8.0, -1.0]
_ROWS, _COMPARED, _COLUMNS = 20_000_000, 20_000, 60
_FEWEST, _FEW = 20, 4


def doubts(frame: Frame, columns: Sequence[Column], facts: Mapping[str, Facts]) -> list[str]:
    """One sentence for everything that a person should know before training."""
    found = []
    for column in columns:
        found += _of_column(column, facts[column.name], frame.rows)
    found += _repeated(frame)
    found += _copies(frame, [column for column in columns if column.used and column.kind.numeric])
    return found


def _of_column(column: Column, facts: Facts, rows: int) -> list[str]:
    name, said = repr(column.name), []
    if column.kind is ColumnKind.IDENTIFIER:
        said.append(f"{name} is taken for an identifier and left out ({column.evidence})")
    if column.kind is ColumnKind.TEXT:
        said.append(f"{name} is taken for free text and left out ({column.evidence})")
    if column.kind is ColumnKind.CONSTANT:
        said.append(f"{name} says nothing and is left out: {column.evidence}")
    said += doubts_of_writing(column, facts)
    if not column.used:
        return said
    if column.missing >= _MANY_MISSING * rows:
        said.append(f"{name} is missing in {100 * column.missing / rows:.1f} % of the rows")
    if column.tokens:
        said.append(f"{name} holds texts beside its numbers: {column.evidence}")
    if "could be" in column.evidence:
        said.append(f"{name}: {column.evidence}")
    most = facts.texts.most_common(1)
    shown = sum(facts.texts.values())
    if most and most[0][1] > _NEAR_CONSTANT * shown and facts.distinct > 1:
        said.append(f"{name} hardly varies: {100 * most[0][1] / shown:.1f} % of its values are {most[0][0]!r}")
    if column.offset and facts.high >= 2.0**53:
        said.append(f"{name} has whole numbers that double precision cannot tell apart: is it an identifier?")
    if facts.numeric and facts.infinite:
        said.append(f"{name} has {facts.infinite:,} infinite values")
    if facts.numeric and abs(facts.rank) > _ROW_NUMBER and facts.distinct > 0.9 * rows:
        said.append(f"{name} rises or falls with the number of the row: what it tells may be the order of the file")
    if facts.numeric and facts.spread > 0:
        far = max(facts.high - facts.median, facts.median - facts.low) / facts.spread
        if far > _FAR:
            value = facts.high if facts.high - facts.median > facts.median - facts.low else facts.low
            said.append(
                f"{name} has values far from the others, such as {_shown(column, value)}; its middle is "
                f"{_shown(column, facts.median)}"
            )
    if facts.numeric and column.kind in (ColumnKind.NUMBER, ColumnKind.COUNT):
        codes = _codes(facts)
        if codes:
            listed = " and ".join(f"{code:g}" for code in codes)
            stands, code = ("stands", "a code") if len(codes) == 1 else ("stand", "codes")
            said.append(f"{name}: {listed} {stands} apart from the other numbers and may be {code} for missing values")
    return said


def _shown(column: Column, value: float) -> str:
    return str(decode(column, np.asarray([value]))[0]) if column.kind is ColumnKind.DATE else f"{value:g}"


def _codes(facts: Facts) -> list[float]:
    """Numbers at the ends that stand apart from all others and are codes elsewhere, as 999, -9 and 0 are."""
    others = sorted(facts.numbers)
    found: list[float] = []
    if len(others) <= _FEW:
        return []
    while len(others) > _FEW and others[-1] in _CODES_ABOVE:
        found.append(others.pop())
    if not found or found[-1] - others[-1] <= 0.5 * (others[-1] - others[0]):
        others, found = sorted(facts.numbers), []
    below = [number for number in others if number < 0]
    rest = others[len(below) :]
    if len(rest) > _FEW and 0 < len(below) <= _FEW and set(below) <= set(_CODES_BELOW) and rest[0] - below[-1] > 1:
        return [*found, *below]  # the only negative numbers
    low = others[0]
    if len(others) > _FEW and low in _CODES_BELOW and others[1] - low > 0.5 * (others[-1] - others[1]):
        return [*found, low]
    often = low == 0 and facts.numbers[0.0] > 0.01 * facts.numbers.total()
    if len(others) > _FEWEST and often and others[1] > 0.15 * (others[-1] - others[1]) + 2 * (others[2] - others[1]):
        return [*found, low]
    return found


def _repeated(frame: Frame) -> list[str]:
    if frame.rows > _ROWS or frame.rows < 2:
        return []
    names = ", ".join(frame.sql(name) for name in frame.types)
    answer = frame.query(f"SELECT count(DISTINCT hash({names})) FROM {frame.relation}")
    repeated = frame.rows - int(answer[0][0])
    if repeated == 0:
        return []
    share = 100 * repeated / frame.rows
    return [f"{repeated:,} rows ({share:.2g} %) repeat another row in every column: held-out rows may be known already"]


def _copies(frame: Frame, numeric: Sequence[Column]) -> list[str]:
    """Pairs of numeric columns that are one another, up to a scale and a shift."""
    numeric = [column for column in numeric if not column.offset][:_COLUMNS]
    if len(numeric) < 2:
        return []
    selected = ", ".join(f"{number_sql(frame, column)} AS v{i}" for i, column in enumerate(numeric))
    values = frame.arrays(f"SELECT {selected} FROM {frame.relation} LIMIT {_COMPARED}")
    x = np.stack([np.ma.filled(values[f"v{i}"].astype(float), np.nan) for i in range(len(numeric))], 1)
    x[~np.isfinite(x)] = np.nan
    enough = np.isfinite(x).sum(0) >= _FEWEST
    with np.errstate(all="ignore"):
        x[:, enough] -= np.nanmean(x[:, enough], 0)
        extent = np.nanmax(np.abs(x), 0, initial=0.0)
        varies = enough & np.isfinite(extent) & (extent > 0)
        x = x[:, varies] / extent[varies]  # squares of tiny and huge numbers are none
        x = x / np.nanstd(x, 0)
    numeric = [column for column, some in zip(numeric, varies, strict=True) if some]
    said = []
    for i, j in combinations(range(len(numeric)), 2):
        both = np.isfinite(x[:, i]) & np.isfinite(x[:, j])
        if both.sum() < _FEWEST:
            continue
        sign = np.sign((x[both, i] * x[both, j]).sum())
        if np.abs(x[both, i] - sign * x[both, j]).max() < 1e-6:
            said.append(f"{numeric[i].name!r} and {numeric[j].name!r} are one column, up to its unit")
    return said
