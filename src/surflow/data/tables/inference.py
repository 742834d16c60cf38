"""infer: the schema of a table from its values, with the evidence in words."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from surflow.data.findings import Findings
from surflow.data.readers.frame import Frame
from surflow.data.tables import dates, numerals, patterns
from surflow.data.tables.doubts import doubts
from surflow.data.tables.facts import Facts
from surflow.data.tables.names import counts_of, names_of
from surflow.data.tables.numbers import MOST_DIGITS, codes, numbers_of
from surflow.data.tables.schema import Column, ColumnKind, Schema
from surflow.data.tables.sql import missing_sql, number_sql, text_sql, whole_sql
from surflow.data.tables.wishes import Wish
from surflow.errors import DataError

# What a column looks like is asked of so many rows, drawn from all; what it is, of every row.
_SAMPLE_ROWS = 20_000
_SAMPLE_VALUES = 4_000_000
# Up to so many rows different values are counted exactly, beyond them to about two percent.
_COUNTED_ROWS = 2_000_000
# Texts beside numbers or dates, such as "unknown", are read as missing up to so many different ones, or more where they
# are a small share of the rows.
_MOST_TOKENS, _MOST_RARE, _RARE = 3, 10, 0.1
_FEWEST_NUMBERS = 10
_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


def infer(frame: Frame, said: Mapping[str, Wish] | None = None) -> Schema:
    """The schema of a table.

    Args:
        frame: its rows as they are written.
        said: what a person says of columns, :func:`surflow.data.tables.schema.wishes`.

    Raises:
        DataError: for a table without columns.

    >>> from surflow.data.readers.frame import read_table
    >>> rows = {"age": np.array([3, 4, 5, 3] * 10), "pet": np.array(["cat", "dog"] * 20, dtype=object)}
    >>> [column.type for column in infer(read_table(rows))]
    ['number, step 1', 'category of 2']
    """
    said = said or {}
    if not frame.types:
        raise DataError(f"{frame.origin} has no columns")
    samples = _sample(frame)
    guesses = {name: _guess(frame, name, samples[name], said.get(name)) for name in frame.types}
    _settle_marks(frame, guesses, samples)
    facts = _count(frame, guesses, samples, {name for name, wish in said.items() if wish.kind is not None})
    columns, wrong = [], Findings()
    for name, guess in guesses.items():
        wish, found = said.get(name), facts[name]
        if wish is None and name in frame.index:
            evidence = "only numbers the rows, as pandas writes its index"
            columns.append(replace(guess, kind=ColumnKind.IDENTIFIER, used=False, evidence=evidence))
        elif found.filled == 0 and guess.kind is not ColumnKind.TEXT:
            evidence = "; ".join(filter(None, (guess.evidence, "no value in any row")))
            columns.append(replace(guess, kind=ColumnKind.CONSTANT, used=False, categories=[], evidence=evidence))
        elif found.numeric:
            columns.append(numbers_of(guess, found, frame.rows, wish))
        else:
            with wrong.gather():
                guess = names_of(frame, guess, found, wish)
            columns.append(guess)
        column = columns[-1]
        if found.numeric and column.kind.named and not column.categories:
            column.categories = codes(column, counts_of(frame, name))
        column.missing, column.distinct = frame.rows - found.filled, found.distinct
        column.unit = patterns.unit_of(name)
        if wish is not None and wish.kind is None:
            column.used, column.evidence = False, "left out, as was said"
    wrong.refuse()
    return Schema(columns, frame.rows, [*frame.notes, *doubts(frame, columns, facts)])


def _sample(frame: Frame) -> dict[str, Facts]:
    """The values of some rows as text, by column."""
    selected = ", ".join(f"{text_sql(frame, name)} AS t{i}" for i, name in enumerate(frame.types))
    values = frame.arrays(f"SELECT {selected} FROM {_some(frame)}")
    found = {}
    for i, name in enumerate(frame.types):
        column = values[f"t{i}"]
        there = np.ma.getdata(column)[~np.ma.getmaskarray(column)]
        found[name] = Facts(Counter(there.tolist()), len(there))
    return found


def _guess(frame: Frame, name: str, sample: Facts, wish: Wish | None) -> Column:
    """What a column looks like, before all rows are asked: numbers or dates, and how they are written, or names."""
    kind, texts = frame.types[name], list(sample.texts)
    if wish is not None and wish.kind is not None:
        form = wish.format or dates.typed_format(kind)
        if wish.kind is ColumnKind.DATE and form is None:
            seen = dates.date_format(texts, _MOST_TOKENS) or dates.date_format(texts, len(texts) // 2)
            form = seen[0] if seen else "%Y-%m-%d"
        column = Column(name, wish.kind, evidence="as was said", format=form if wish.kind is ColumnKind.DATE else None)
        written = wish.kind.numeric and wish.kind is not ColumnKind.DATE and kind == "VARCHAR"
        return _written(column, texts, 0.5) if written else column
    if kind == "BOOLEAN":
        return Column(name, ColumnKind.BOOLEAN, categories=["false", "true"])
    if dates.typed_format(kind):
        return Column(name, ColumnKind.DATE, format=dates.typed_format(kind), evidence=f"values of the type {kind}")
    plain = kind in _INTEGERS or kind in ("DOUBLE", "FLOAT") or kind.startswith("DECIMAL")
    if (plain or kind == "VARCHAR") and dates.eight_digits(texts, _odd(texts)):
        return Column(name, ColumnKind.DATE, format=dates.EIGHT_DIGITS, evidence="eight digits that are days")
    if plain:
        return Column(name, ColumnKind.NUMBER)
    if kind != "VARCHAR" and not kind.startswith("ENUM"):
        return Column(name, ColumnKind.TEXT, used=False, evidence=f"values of the type {kind}")
    if not texts or {text.lower() for text in texts} in patterns.PAIRS:
        return Column(name, ColumnKind.CATEGORY)
    if not numerals.leading_zeros(texts) and kind == "VARCHAR":
        finite = [text for text in texts if not numerals.infinite(text)]
        column = _written(Column(name, ColumnKind.NUMBER), finite, 1 - _MOST_TOKENS / max(len(finite), 4))
        numbers = sum(column.number_format.reads(text) for text in finite)
        if finite and (numbers == len(finite) or numbers >= max(_FEWEST_NUMBERS, 0.5 * len(finite))):
            return column
    seen = dates.date_format(texts[:1000], _odd(texts[:1000]))
    if seen is not None:
        form, either = seen
        said = "; day and month could be the other way around: --column NAME=date(%d/%m/%Y)" if either else ""
        return Column(name, ColumnKind.DATE, format=form, evidence=f"dates written as {form}{said}")
    return Column(name, ColumnKind.CATEGORY)


def _settle_marks(frame: Frame, guesses: Mapping[str, Column], samples: Mapping[str, Facts]) -> None:
    """Whether 7,125 is seven thousand or seven and an eighth: as the other columns write numbers, or as rows are."""
    written = [c for c in guesses.values() if c.kind.numeric and c.kind is not ColumnKind.DATE]
    either: dict[str, str] = {}
    shown: set[str] = set()
    for column in written:
        if frame.types[column.name] != "VARCHAR":
            continue
        form, texts = column.number_format, list(samples[column.name].texts)
        mark = numerals.either_mark(form, texts)
        if mark is not None:
            either[column.name] = mark
        else:
            shown |= numerals.shown_decimals(form, texts)
    for name, mark in either.items():
        column, sure = guesses[name], len(shown) == 1
        if mark == "." and (shown == {"."} or (not sure and frame.separator != ";")):
            continue  # as programs write numbers
        text = next(text for text in samples[name].texts if mark in text)
        decimal = shown.copy().pop() if sure else mark if frame.separator == ";" else "."
        before = column.number_format
        column.decimal, column.thousands = decimal, "" if mark == decimal else mark
        form, other = column.number_format, "," if decimal == "." else "."
        said = f"{text.strip()} is {form.plain(text)}"
        if sure:
            said += f", as other columns have decimal {'commas' if decimal == ',' else 'points'}"
        else:
            swapped = replace(form, decimal=other, thousands="" if mark == other else mark)
            said += f" and could be {swapped.plain(text)}: state decimal and thousands in a schema"
        evidence = column.evidence.removesuffix(before.words).removesuffix("; ")
        column.evidence = "; ".join(filter(None, (evidence, form.words, said)))


def _odd(texts: list[str]) -> int:
    """How many different texts of a column of dates may be none: a few where many are."""
    return _MOST_TOKENS if len(texts) >= _FEWEST_NUMBERS + _MOST_TOKENS else 0


def _written(column: Column, texts: list[str], least: float) -> Column:
    """The column with the format of its numbers; as it is where there is none."""
    form = numerals.number_format(texts[:2000], least)
    if form is None:
        return column
    return replace(
        column, decimal=form.decimal, thousands=form.thousands, prefix=form.prefix, suffix=form.suffix,
        negative=form.negative, evidence="; ".join(filter(None, (column.evidence, form.words))),
    )  # fmt: skip


def _count(frame: Frame, guesses: dict[str, Column], samples: dict[str, Facts], said: set[str]) -> dict[str, Facts]:
    """What all rows say; a guess that they refute, unless a person made it, becomes a column of names."""
    _ask(frame, guesses, samples)
    large = {name: guess for name, guess in guesses.items() if _set_offset(frame, guess, samples[name])}
    _ask(frame, large, samples)
    refuted = []
    for name, guess in guesses.items():
        good = samples[name].sampled  # of numeric columns: values that are numbers, as _ask left it
        if not samples[name].numeric or good == samples[name].filled:
            continue
        rows = frame.query(
            f"SELECT {text_sql(frame, name)} AS t, count(*) AS n FROM {frame.relation} "
            f"WHERE NOT {missing_sql(frame, name)} AND ({number_sql(frame, guess)}) IS NULL "
            f"GROUP BY t ORDER BY n DESC LIMIT {_MOST_RARE + 1}"
        )
        tokens = [str(text) for text, _ in rows]
        if guess.kind is ColumnKind.DATE and name in said:
            continue
        most = _MOST_RARE if good >= (1 - _RARE) * samples[name].filled else _MOST_TOKENS
        if len(tokens) <= most and good >= 0.5 * samples[name].filled:
            listed = ", ".join(f"{text!r} ({n:,} rows)" for text, n in rows)
            guess.tokens, guess.evidence = tokens, f"{guess.evidence}; {listed} read as missing".removeprefix("; ")
            samples[name].filled = good
        elif name not in said:
            guesses[name] = Column(name, ColumnKind.CATEGORY)
            samples[name].numeric = False
            refuted.append(name)
    if refuted:
        _ask(frame, {name: guesses[name] for name in refuted}, samples)
    return samples


def _set_offset(frame: Frame, guess: Column, facts: Facts) -> bool:
    """Whether a column holds whole numbers that double precision does not, which are counted from the smallest then."""
    kind = frame.types[guess.name]
    if not facts.numeric or guess.kind is ColumnKind.DATE or kind not in (*_INTEGERS, "VARCHAR"):
        return False
    if not max(abs(facts.low), abs(facts.high)) >= 2.0**53:
        return False
    whole = whole_sql(frame, guess)
    ((smallest, n),) = frame.query(f"SELECT min({whole}), count({whole}) FROM {frame.relation}")
    guess.offset = smallest if n == facts.sampled else 0
    return guess.offset != 0


def _ask(frame: Frame, guesses: Mapping[str, Column], facts: dict[str, Facts]) -> None:
    """One pass over all rows, and one over a sample, for the facts of some columns."""
    exact = frame.rows <= _COUNTED_ROWS
    selected, sampled = list[str](), list[str]()
    asked = {}
    for i, (name, guess) in enumerate(guesses.items()):
        if guess.kind is ColumnKind.TEXT and not guess.used:
            facts[name].filled = frame.rows
            continue
        asked[i] = name
        numeric = guess.kind.numeric
        value = number_sql(frame, guess) if numeric else text_sql(frame, name)
        different = f"count(DISTINCT {value})" if exact else f"approx_count_distinct({value})"
        selected += [f"count(*) FILTER (NOT {missing_sql(frame, name)}) AS filled{i}", f"{different} AS distinct{i}"]
        if numeric:
            facts[name].decimals = digits = _decimals(guess, facts[name])
            selected += [f"count({value}) AS good{i}", f"min({value}) AS low{i}", f"max({value}) AS high{i}"]
            if digits <= MOST_DIGITS and frame.types[name] not in _INTEGERS:
                selected.append(f"count(*) FILTER ({value} <> round({value}, {digits})) AS off{i}")
            sampled += [
                f"corr({value}, rowid) FILTER (isfinite({value})) AS rank{i}",
                f"quantile_cont({value}, [0.25, 0.5, 0.75]) AS quartiles{i}",
            ]
    answer = _answers(frame, selected, frame.relation) | _answers(frame, sampled, _some(frame))
    for i, name in asked.items():
        guess, found = guesses[name], facts[name]
        found.filled, found.distinct = answer[f"filled{i}"], answer[f"distinct{i}"]
        if not guess.kind.numeric or found.filled == 0:
            continue
        found.numeric, found.sampled = True, answer[f"good{i}"]
        if answer[f"low{i}"] is None:
            continue
        found.low, found.high = answer[f"low{i}"], answer[f"high{i}"]
        if math.isinf(found.low) or math.isinf(found.high):
            value = number_sql(frame, guess)
            ((found.infinite,),) = frame.query(f"SELECT count(*) FROM {frame.relation} WHERE isinf({value})")
        found.decimals = None if answer.get(f"off{i}") else found.decimals
        found.whole, found.rank = found.decimals == 0, answer[f"rank{i}"] or 0.0
        if not math.isfinite(found.rank):
            found.rank = 0.0
        first, found.median, third = answer[f"quartiles{i}"] or (found.low, found.low, found.low)
        found.spread = third - first
        _read_sample(frame, guess, found)


def _answers(frame: Frame, selected: list[str], relation: str) -> dict[str, Any]:
    """What a query of aggregates gives, by their names."""
    if not selected:
        return {}
    (values,) = frame.query(f"SELECT {', '.join(selected)} FROM {relation}")
    return dict(zip((text.rsplit(" AS ", 1)[1] for text in selected), values, strict=True))


def _some(frame: Frame) -> str:
    """A table of some rows, drawn from all, and of all where they are few."""
    most = max(1000, min(_SAMPLE_ROWS, _SAMPLE_VALUES // len(frame.types)))
    if frame.rows <= most:
        return frame.relation
    columns = ", ".join(map(frame.sql, frame.types))
    return f"(SELECT {columns}, rowid FROM {frame.relation} USING SAMPLE reservoir({most} ROWS) REPEATABLE (0))"


def _decimals(guess: Column, facts: Facts) -> int:
    """Digits after the point that hold the sample's numbers, at most 15."""
    if guess.kind is ColumnKind.DATE:
        return 6 if guess.format in ("timestamp", "time") or "%f" in (guess.format or "") else 0
    form = guess.number_format
    return min(15, numerals.decimals(form.plain(text) for text in facts.texts))


def _read_sample(frame: Frame, guess: Column, facts: Facts) -> None:
    """The sample's texts as numbers."""
    form = guess.number_format
    if guess.kind is ColumnKind.DATE:
        value = number_sql(frame, guess)
        rows = frame.query(
            f"SELECT v, count(*) AS n FROM (SELECT {value} AS v FROM {_some(frame)}) WHERE v IS NOT NULL "
            "GROUP BY v ORDER BY n DESC, v"
        )
        facts.numbers = Counter(dict(rows))
        return
    facts.numbers = Counter()
    for text, n in facts.texts.items():
        if form.reads(text) or numerals.infinite(text):
            plain = text if numerals.infinite(text) else form.plain(text)
            facts.numbers[float(int(plain) - guess.offset) if guess.offset else float(plain)] += n
