"""Columns of names: categories, in an order or in none, two answers, identifiers and free text."""

from __future__ import annotations

import re

from surflow.data.readers.frame import Frame
from surflow.data.tables import patterns
from surflow.data.tables.facts import Facts
from surflow.data.tables.schema import Column, ColumnKind
from surflow.data.tables.sql import text_sql
from surflow.data.tables.wishes import Wish
from surflow.errors import DataError

_MOST_CATEGORIES = 20_000
# Names that hardly repeat are identifiers, or text if they have so many words.
_UNIQUE, _OFTEN_UNIQUE, _WORDS = 0.95, 0.5, 3.0
_FEW = 50
_TEXT_WORDS, _TEXT_DISTINCT = 6.0, 0.2
_STRONG_ID = re.compile(r"(^|[_\s.])(id|uuid|guid|ssn|isbn|hash)$|[a-z](Id|ID)$", re.IGNORECASE)


def names_of(frame: Frame, column: Column, facts: Facts, wish: Wish | None) -> Column:
    """The column settled: kind, categories in their order, and the evidence.

    Raises:
        DataError: where a person's list of categories leaves out some that occur.
    """
    said = wish is not None and wish.kind is not None
    if column.kind is ColumnKind.TEXT or (said and not column.kind.named):
        column.used = False
        return column
    order = frame.orders.get(column.name)
    if order is not None and column.kind.named and not (wish is not None and wish.categories):
        column.categories = order
        return column if said else _as(column, ColumnKind.ORDERED, f"{len(order)} names in the order of the table")
    if not said and column.kind is ColumnKind.CATEGORY:
        decided = _too_many(column, facts, frame.rows)
        if decided is not None:
            return decided
    counts = counts_of(frame, column.name)
    if wish is not None and wish.categories:
        unknown = [name for name in counts if name not in wish.categories]
        if unknown:
            raise DataError(
                f"the column {column.name!r} also holds {', '.join(map(repr, unknown[:5]))}, which its stated "
                f"categories {list(wish.categories)} lack: state all of them"
            )
        column.categories = list(wish.categories)
        return column
    names = sorted(counts)
    if column.kind is ColumnKind.BOOLEAN and not said:
        column.categories = column.categories or names
        column.evidence = f"only {' and '.join(names)}"
        return column if len(names) > 1 or facts.filled < frame.rows else _as(
            column, ColumnKind.CONSTANT, f"every row is {names[0]!r}"
        )  # fmt: skip
    if len(names) == 1 and facts.filled == frame.rows and not said:
        return _as(column, ColumnKind.CONSTANT, f"every row is {names[0]!r}")
    column.categories = names
    if said:
        column.categories = patterns.order_of(names) or names if column.kind is ColumnKind.ORDERED else names
        return column
    if {name.lower() for name in names} in patterns.PAIRS:
        return _as(column, ColumnKind.BOOLEAN, f"only {' and '.join(names)}")
    ordered = patterns.order_of(names)
    if ordered is not None:
        column.categories = ordered
        return _as(column, ColumnKind.ORDERED, f"{len(names)} names with an order: {', '.join(ordered[:6])}")
    return _as(column, ColumnKind.CATEGORY, f"{len(names):,} names in {facts.filled:,} rows")


def _too_many(column: Column, facts: Facts, rows: int) -> Column | None:
    """An identifier or free text, or None for a column whose names repeat enough to be learnt."""
    words = sum(len(text.split()) * n for text, n in facts.texts.items()) / max(facts.sampled, 1)
    share = facts.distinct / max(facts.filled, 1)
    what = f"{facts.distinct:,} different texts in {facts.filled:,} rows"
    if facts.distinct > _FEW or facts.filled >= 20:
        if share >= _UNIQUE or (share > _OFTEN_UNIQUE and facts.distinct > _FEW):
            kind = ColumnKind.TEXT if words >= _WORDS else ColumnKind.IDENTIFIER
            return _as(column, kind, what)
        if words >= _TEXT_WORDS and share > _TEXT_DISTINCT:
            return _as(column, ColumnKind.TEXT, f"{what}, of {words:.0f} words")
    if facts.distinct > _MOST_CATEGORIES:
        return _as(column, ColumnKind.IDENTIFIER, f"{what}: too many to learn")
    if facts.distinct > _FEW and _STRONG_ID.search(column.name):
        return _as(column, ColumnKind.IDENTIFIER, f"{what}, under the name of an identifier")
    return None


def counts_of(frame: Frame, name: str) -> dict[str, int]:
    """Rows by name, of all rows."""
    text = text_sql(frame, name)
    rows = frame.query(
        f"SELECT t, count(*) FROM (SELECT {text} AS t FROM {frame.relation}) WHERE t IS NOT NULL GROUP BY t"
    )
    return {str(text): int(n) for text, n in rows}


def _as(column: Column, kind: ColumnKind, evidence: str) -> Column:
    column.kind, column.evidence = kind, evidence
    column.used = kind not in (ColumnKind.CONSTANT, ColumnKind.IDENTIFIER, ColumnKind.TEXT)
    return column
