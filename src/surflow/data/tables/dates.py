"""How dates and times are written, as strptime has it, for Python and for SQL."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

# The unambiguous first; of 03/04/2024 the rows decide, and if they cannot, the month.
DATE_FORMATS = (
    "%Y-%m-%d",
    "%Y-%m-%d %H:%M:%S",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%d %H:%M:%S.%f",
    "%Y-%m-%dT%H:%M:%S.%f",
    "%Y-%m-%d %H:%M",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
    "%Y-%m-%d %H:%M:%S.%f%z",
    "%Y-%m-%dT%H:%M%z",
    "%Y-%m-%d %I:%M:%S %p",
    "%Y-%m-%d %I:%M %p",
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%Y.%m.%d",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%d.%m.%y",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%Y %I:%M %p",
    "%d/%m/%Y %I:%M %p",
    "%m/%d/%Y %I:%M:%S %p",
    "%d/%m/%Y %I:%M:%S %p",
    "%m/%d/%y",
    "%d/%m/%y",
    "%m/%d/%y %H:%M",
    "%d/%m/%y %H:%M",
    "%d-%m-%Y",
    "%d-%m-%Y %H:%M",
    "%d-%m-%Y %H:%M:%S",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%d %B %Y",
    "%d %b %Y %H:%M",
    "%d %b %Y %H:%M:%S",
    "%b %d, %Y",
    "%B %d, %Y",
    "%a, %d %b %Y %H:%M:%S GMT",
    "%a, %d %b %Y %H:%M:%S %z",
    "%a %b %d %H:%M:%S %Y",
    "%d/%b/%Y:%H:%M:%S %z",
    "%Y-%m",
    "%b %Y",
    "%B %Y",
    "%b-%Y",
    "%H:%M",
    "%H:%M:%S",
    "%H:%M:%S.%f",
    "%I:%M %p",
    "%I:%M%p",
    "%I:%M:%S %p",
    "%I:%M:%S%p",
)
EIGHT_DIGITS = "%Y%m%d"
DAY = 86400
_CLOCK = ("%H", "%I")
_DAYS = ("%d", "%m", "%Y", "%y", "%b", "%B")
# So many texts show which formats are worth a look at all of them.
_FIRST = 40


def date_format(texts: Sequence[str], odd: int = 0) -> tuple[str, bool] | None:
    """How dates or times are written, and whether day and month could as well be the other way around.

    Args:
        texts: different ones, as they are written.
        odd: how many may be no dates at all, such as "unknown".

    >>> date_format(["31.12.2024", "01.02.2025"])
    ('%d.%m.%Y', False)
    >>> date_format(["01/02/2024", "03/04/2024"])
    ('%m/%d/%Y', True)
    >>> date_format(["2024-05-01", "unknown", "2024-05-02"], odd=1)
    ('%Y-%m-%d', False)
    """
    some = [text.strip() for text in texts]
    near = [form for form in DATE_FORMATS if sum(parses(text, form) for text in some[:_FIRST]) >= _least(some, odd)]
    read = {form: sum(parses(text, form) for text in some) for form in near}
    most = max(read.values(), default=0)
    if most < max(1, len(some) - odd):
        return None
    fits = [form for form in near if read[form] == most]
    other = [form for form in fits if form != fits[0] and sorted(form) == sorted(fits[0])]
    return fits[0], bool(other)


def _least(texts: Sequence[str], odd: int) -> int:
    return max(1, min(_FIRST, len(texts)) - odd)


def eight_digits(texts: Iterable[str], odd: int) -> bool:
    """Whether all texts but so many are days written as 20240131."""
    wrong = right = 0
    for text in texts:
        good = len(text) == 8 and text.isdigit() and "1900" <= text < "2101" and parses(text, EIGHT_DIGITS)
        right, wrong = right + good, wrong + (not good)
        if wrong > odd:
            return False
    return right > 1


def readings(form: str) -> list[str]:
    """The formats that a format reads: a fraction of a second may be left out, as Python does where it is zero."""
    return [form, form.replace(".%f", "")] if ".%f" in form else [form]


def parses(text: str, form: str) -> bool:
    """Whether a text is a date in a format."""
    return moment(text, form) is not None


def moment(text: str, form: str) -> datetime | None:
    """The moment that a text is in a format; None if it is none."""
    for reading in readings(form):
        try:
            return datetime.strptime(text, reading)
        except ValueError:
            continue
    return None


def has_clock(form: str) -> bool:
    """Whether a format of dates says a time of day."""
    return form in ("timestamp", "time") or any(part in form for part in _CLOCK)


def has_day(form: str) -> bool:
    """Whether a format of dates says a day, and not a time of day alone."""
    return form in ("date", "timestamp") or any(part in form for part in _DAYS)


def typed_format(duckdb_type: str) -> str | None:
    """The format of a column whose type is that of dates or times; None for another type."""
    if duckdb_type == "DATE":
        return "date"
    if duckdb_type.startswith("TIMESTAMP"):
        return "timestamp"
    return "time" if duckdb_type.startswith("TIME") else None
