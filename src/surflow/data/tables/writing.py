"""What is doubtful about how a column is written: units left out, mixed units, clock times as numbers, names twice."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection

from surflow.data.tables import dates, numerals, patterns
from surflow.data.tables.facts import Facts
from surflow.data.tables.schema import Column, ColumnKind

# 1.5 kg, ~3, 20:05:03, $1.2M: texts that begin as quantities do.
_QUANTITY = re.compile(r"[^\w\s]{0,2}(?:[A-Z]{2,3} ?)?\d+(?:[.,:]\d+)*[^\w\s]?\s?[^\W\d_]{0,8}[*+°'\"]?")
_MOSTLY, _FEWEST = 0.5, 20
# So many different times of day under 100 that none ends in 60 to 99 by chance.
_FEWEST_TIMES = 30
_SHOWN = 3
_YES, _NO = {"true", "t", "yes", "y", "1", "1.0", "on"}, {"false", "f", "no", "n", "0", "0.0", "off"}


def doubts_of_writing(column: Column, facts: Facts) -> list[str]:
    """One sentence for everything that is doubtful about how a column is written."""
    name = repr(column.name)
    if column.evidence.startswith("as was said"):
        return []
    if column.kind in (ColumnKind.CATEGORY, ColumnKind.IDENTIFIER, ColumnKind.TEXT) and column.least is None:
        unread = "" if patterns.names_an_id(column.name) else _unread(list(facts.texts))
        return [f"{name} {said}" for said in (unread, _twice(facts.texts) if column.used else "") if said]
    if not facts.numeric or column.kind is ColumnKind.DATE:
        return []
    said = []
    form = column.number_format
    for affix in (form.prefix, form.suffix):
        bare = [t for t in facts.texts if affix and affix not in t and form.reads(t) and float(form.plain(t))]
        if bare:
            said.append(
                f"{name} is written with {affix!r}, and without it in other rows, such as {bare[0]!r}: are they of one "
                "unit?"
            )
    if _clock(facts) and column.kind.numeric:
        said.append(f"{name} may hold times of day, as 1430 for 14:30: none of its numbers ends in 60 to 99")
    return said


def _unread(texts: list[str]) -> str:
    """Of names that are mostly numbers, dates or quantities: which are not, or that they are of several units."""
    if len(texts) < _FEWEST or numerals.leading_zeros(texts):
        return ""
    form = numerals.number_format(texts[:2000], _MOSTLY)
    seen = dates.date_format(texts[:1000], len(texts[:1000]) // 2)
    if form is not None:
        odd, what = [text for text in texts if not form.reads(text)], "numbers"
    elif seen is not None:
        odd, what = [text for text in texts if not dates.parses(text.strip(), seen[0])], "dates"
    else:
        quantities = [text for text in texts if _QUANTITY.fullmatch(text.strip())]
        units = {re.sub(r"[\d.,\s]+", "", text) for text in quantities}
        if len(quantities) < 0.8 * len(texts) or len(units) > 0.5 * len(texts):
            return ""
        return (
            f"is taken for names, though most of its texts look like numbers: {_listed(quantities)}. If they are, "
            "write all of them in one way, as plain numbers of one unit"
        )
    return (
        f"is taken for names, though most of its texts are {what}, since others are not: {_listed(odd)}. "
        "Mend them, or state those that stand for no value as tokens of the column in a schema"
    )


def _twice(texts: Collection[str]) -> str:
    """Names that differ by capitals or blanks alone."""
    same = defaultdict(list)
    for text in texts:
        same[" ".join(text.split()).casefold()].append(text)
    found = next((sorted(written) for written in same.values() if len(written) > 1), None)
    if found is None and len(same) > 2 and same.keys() <= _YES | _NO:
        return f"has several words for two answers: {_listed(sorted(texts))}"
    return "" if found is None else f"has names that differ by capitals or blanks alone, such as {_listed(found)}"


def _clock(facts: Facts) -> bool:
    """Whether whole numbers are all times of day without their colon."""
    if not (facts.whole and facts.low >= 0 and 1000 <= facts.high <= 2400):
        return False
    late = [number for number in facts.numbers if number >= 100]
    return len(late) >= _FEWEST_TIMES and all(number % 100 < 60 for number in facts.numbers)


def _listed(texts: list[str]) -> str:
    return ", ".join(map(repr, texts[:_SHOWN])) + (", ..." if len(texts) > _SHOWN else "")
