"""Schema: what the columns of a table are; found in the data, or said by a person, as a plain object or as TOML."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from enum import StrEnum
from typing import Self

import tomli_w

from surflow._internal.checked import of_type
from surflow.data.tables.numerals import NumberFormat
from surflow.errors import ConfigError, unknown_name


class ColumnKind(StrEnum):
    """What a column is.

    >>> ColumnKind("count").value
    'count'
    """

    NUMBER = "number"
    COUNT = "count"
    CATEGORY = "category"
    ORDERED = "ordered"
    BOOLEAN = "boolean"
    DATE = "date"
    ANGLE = "angle"
    IDENTIFIER = "identifier"
    TEXT = "text"
    CONSTANT = "constant"

    @property
    def named(self) -> bool:
        """Whether values are names: of categories, in an order or in none, or of two answers."""
        return self in (ColumnKind.CATEGORY, ColumnKind.ORDERED, ColumnKind.BOOLEAN)

    @property
    def numeric(self) -> bool:
        """Whether values are numbers, dates and angles among them."""
        return self in (ColumnKind.NUMBER, ColumnKind.COUNT, ColumnKind.DATE, ColumnKind.ANGLE)


# What a category is called that is none of those the schema knows.
OTHER = "(other)"

# The longest way of writing a date, or a unit before or behind a number; the longest offset, in bits.
_LONGEST_FORMAT, _LONGEST_OFFSET = 64, 256
_DECIMALS, _THOUSANDS = (".", ","), ("", ",", ".", "'", "\u2019", " ", "\u00a0", "\u202f", "_")


@dataclass
class Column:
    """One column of a table: a plain object, every entry of which may be edited.

    Args:
        name: as the file writes it.
        kind: what it is.
        used: whether a model learns it; identifiers, free text and constants are left out.
        categories: the names of a category, an ordered one or a boolean, as the file writes them.
        step: distance of the numbers that occur: 1 for whole ones, 0.01 for cents; None for full float resolution.
        low, high: bounds that no value passes, or None.
        period: of an angle: 360, or 2 pi.
        atoms: numbers that occur often enough to have a probability of their own, such as 0 or 40 hours.
        missing: rows without a value, as counted when the schema was made.
        tokens: texts beside numbers that are read as missing.
        format: how dates are written (as strptime has it), or "date", "timestamp" or "time" of a typed file.
        decimal, thousands, prefix, suffix, negative: how numbers are written, such as 1.234,5 or $5, and negative
            ones beside "-1": "(1)" or "1-".
        offset: subtracted from whole numbers that double precision cannot hold, exactly.
        unit: the unit that the name says.
        least, most: smallest and largest value seen, as numbers.
        distinct: how many different values were seen.
        stored: the type of the column in a source that has types, as DuckDB calls it; VARCHAR for text.
        evidence: why the column is taken for what it is.
    """

    name: str
    kind: ColumnKind
    used: bool = True
    categories: list[str] = field(default_factory=list)
    step: float | None = None
    low: float | None = None
    high: float | None = None
    period: float | None = None
    atoms: list[float] = field(default_factory=list)
    missing: int = 0
    tokens: list[str] = field(default_factory=list)
    format: str | None = None
    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""
    negative: str = "-1"
    offset: int = 0
    unit: str | None = None
    least: float | None = None
    most: float | None = None
    distinct: int = 0
    stored: str = "VARCHAR"
    evidence: str = ""

    @property
    def decimals(self) -> int:
        """Digits after the point that a number of this column is written with."""
        if self.step is None:
            return 17
        text = f"{self.step:.15f}".rstrip("0")
        return len(text.partition(".")[2])

    @property
    def number_format(self) -> NumberFormat:
        """How its numbers are written."""
        return NumberFormat(self.decimal, self.thousands, self.prefix, self.suffix, self.negative)

    @property
    def type(self) -> str:
        """Kind and what belongs to it, in a few words: ``category of 3``, ``number, step 0.01``."""
        if self.kind is ColumnKind.BOOLEAN and self.categories:
            return f"boolean, {' / '.join(self.categories)}"
        if self.kind.named:
            return f"{self.kind} of {len(self.categories)}"
        if self.kind is ColumnKind.DATE:
            return f"date, {self.format}" if self.format else "date"
        if self.kind is ColumnKind.ANGLE:
            return f"angle, period {self.period:g}" if self.period else "angle"
        if self.kind is ColumnKind.NUMBER:
            return "number, full resolution" if self.step is None else f"number, step {self.step:g}"
        return str(self.kind)

    def to_dict(self) -> dict[str, object]:
        """Its entries that are not their defaults; ``Column.from_dict`` reads them back."""
        plain = Column(self.name, self.kind)
        entries = {k: v for k, v in asdict(self).items() if k in ("name", "kind") or v != getattr(plain, k)}
        return entries | {"kind": str(self.kind)}

    @classmethod
    def from_dict(cls, entries: dict[str, object]) -> Self:
        """The column that entries state.

        Raises:
            ConfigError: for an unknown entry or kind, one of another type or that makes no sense, or a missing name.
        """
        known = [f.name for f in fields(cls)]
        for key in entries:
            if key not in known:
                raise ConfigError(unknown_name("entry of a column", str(key), known))
        if "name" not in entries or "kind" not in entries:
            raise ConfigError(f"a column of a schema needs name and kind, got {sorted(entries)}")
        kinds = [str(kind) for kind in ColumnKind]
        if str(entries["kind"]) not in kinds:
            raise ConfigError(f"column {entries['name']!r}: {unknown_name('kind', str(entries['kind']), kinds)}")
        column = of_type(cls, entries, f"column {entries['name']!r} of the schema")
        for wrong, why in _doubts(column):
            if wrong:
                raise ConfigError(f"column {column.name!r} of the schema: {why}")
        return column


@dataclass
class Schema:
    """What the columns of a table are, in the order of the file.

    Args:
        columns: all of them, those that no model learns included.
        rows: how many rows the table had.
        warnings: what is doubtful about the data, in words.
        library: of which library the table was, "pandas", "polars" or "arrow"; empty for files and arrays.

    >>> people = Schema([Column("age", ColumnKind.COUNT, step=1.0), Column("id", ColumnKind.IDENTIFIER, used=False)])
    >>> people["age"].kind.value, [column.name for column in people.used]
    ('count', ['age'])
    >>> Schema.from_toml(people.to_toml()) == people
    True
    """

    columns: list[Column]
    rows: int = 0
    warnings: list[str] = field(default_factory=list)
    library: str = ""

    def __iter__(self) -> Iterator[Column]:
        return iter(self.columns)

    def __getitem__(self, name: str) -> Column:
        """The column of a name.

        Raises:
            ConfigError: if there is none.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise ConfigError(unknown_name("column", name, self.names))

    @property
    def names(self) -> list[str]:
        """All names, in order."""
        return [column.name for column in self.columns]

    @property
    def used(self) -> list[Column]:
        """The columns that a model learns."""
        return [column for column in self.columns if column.used]

    def missing(self, column: Column) -> str:
        """The share of rows in which a column has no value, in words; empty if there are none.

        >>> Schema([], rows=4000).missing(Column("age", ColumnKind.COUNT, missing=1))
        '< 0.1 %'
        """
        share = 100 * column.missing / max(self.rows, 1)
        return "" if not column.missing else f"{share:.1f} %" if share >= 0.1 else "< 0.1 %"

    def only(self, names: Iterable[str]) -> Schema:
        """The schema of some columns, in the order named, all used.

        Raises:
            ConfigError: for a name that is none of a column.
        """
        return Schema([replace(self[name], used=True) for name in names], self.rows)

    def to_dict(self) -> dict[str, object]:
        """Plain values, for JSON or TOML."""
        entries: dict[str, object] = {"rows": self.rows}
        if self.warnings:
            entries["warnings"] = list(self.warnings)
        if self.library:
            entries["library"] = self.library
        return entries | {"column": [column.to_dict() for column in self.columns]}

    @classmethod
    def from_dict(cls, entries: dict[str, object]) -> Schema:
        """The inverse of :meth:`to_dict`.

        Raises:
            ConfigError: for what states no schema.
        """
        columns, rows, warnings = entries.get("column"), entries.get("rows", 0), entries.get("warnings", [])
        if not isinstance(columns, list) or not all(isinstance(column, dict) for column in columns):
            raise ConfigError("a schema states its columns as [[column]], each with name and kind")
        if type(rows) is not int or rows < 0 or not isinstance(warnings, list):
            raise ConfigError("a schema's rows are a number, and its warnings a list of texts")
        said, library = [str(warning) for warning in warnings], str(entries.get("library", ""))
        schema = cls([Column.from_dict(column) for column in columns], rows, said, library)
        twice = [name for i, name in enumerate(schema.names) if name in schema.names[:i]]
        if twice:
            raise ConfigError(f"the schema states the column {twice[0]!r} twice")
        return schema

    def to_toml(self) -> str:
        """The text of a schema's file; :meth:`from_toml` reads it back."""
        return tomli_w.dumps(self.to_dict())

    @classmethod
    def from_toml(cls, text: str) -> Schema:
        """The schema in a TOML text.

        Raises:
            ConfigError: for a text that is no TOML, or states no schema.
        """
        try:
            entries = tomllib.loads(text)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"the schema is not TOML: {error}") from error
        return cls.from_dict(entries)


def _doubts(column: Column) -> list[tuple[bool, str]]:
    numbers = [column.low, column.high, column.least, column.most, *column.atoms]
    low, high = column.low, column.high
    names = column.categories
    return [
        (any(n is not None and not math.isfinite(n) for n in numbers), "bounds and atoms are finite numbers"),
        (low is not None and high is not None and low > high, f"low is {low}, above high, {high}"),
        (not _positive(column.step), f"step is a number above 0, got {column.step}"),
        (not _positive(column.period), f"period is a number above 0, got {column.period}"),
        (column.missing < 0 or column.distinct < 0, "missing and distinct count rows and values: expected 0 or more"),
        (len(set(names)) < len(names), "a category is stated twice"),
        (column.kind.named and column.used and not names, f"a {column.kind} needs its categories"),
        (str(column.kind) == "boolean" and column.used and len(names) != 2, f"a boolean has 2 categories, got {names}"),
        (column.decimal not in _DECIMALS, f"decimal is one of {_DECIMALS}, got {column.decimal!r}"),
        (column.thousands not in _THOUSANDS, f"thousands is one of {_THOUSANDS}, got {column.thousands!r}"),
        (column.thousands == column.decimal, f"decimal and thousands are both {column.decimal!r}"),
        (column.offset.bit_length() > _LONGEST_OFFSET, f"offset has more than {_LONGEST_OFFSET} bits"),
        (len(column.format or "") > _LONGEST_FORMAT, f"format has more than {_LONGEST_FORMAT} characters"),
        (len(column.prefix + column.suffix) > _LONGEST_FORMAT, f"units have more than {_LONGEST_FORMAT} characters"),
    ]


def _positive(number: float | None) -> bool:
    return number is None or (math.isfinite(number) and number > 0)
