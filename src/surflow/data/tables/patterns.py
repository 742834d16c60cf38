"""What texts look like: numbers of many countries, dates, scales of words, and what names of columns say."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation

# How dates and times are written, the unambiguous first; of 03/04/2024 the rows decide, and if they cannot, the month.
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
    "%Y/%m/%d",
    "%Y/%m/%d %H:%M",
    "%Y/%m/%d %H:%M:%S",
    "%d.%m.%Y",
    "%d.%m.%Y %H:%M",
    "%d.%m.%Y %H:%M:%S",
    "%m/%d/%Y",
    "%d/%m/%Y",
    "%m/%d/%Y %H:%M",
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %H:%M:%S",
    "%d/%m/%Y %H:%M:%S",
    "%m/%d/%y",
    "%d/%m/%y",
    "%d-%m-%Y",
    "%d-%b-%Y",
    "%d-%b-%y",
    "%d %b %Y",
    "%d %B %Y",
    "%b %d, %Y",
    "%B %d, %Y",
    "%Y-%m",
    "%b %Y",
    "%H:%M",
    "%H:%M:%S",
)
EIGHT_DIGITS = "%Y%m%d"
_SWAPPED = {"%m/%d": "%d/%m"}

_AFFIX = re.compile(
    r"^([$€£¥₹]|[A-Z]{0,2}\$|USD|EUR|GBP|CHF|Rs\.?)?\s?[+-]?[\d.,'\u2019\u00a0\u202f ]*\d\s?"
    r"([$€£¥₹%‰°]|USD|EUR|GBP|CHF|mm|cm|m|km|in|ft|mi|mg|g|kg|lbs?|oz|ml|l|s|ms|min|hrs?|h|years?|yrs?|days?|mpg|kWh|kW)?$"
)
MINUS = "\u2212"  # as word processors write it
# Infinite numbers are read, to be refused as such: they are neither missing nor names.
INFINITE = r"\s*[+-]?(?i:inf|infinity)\s*"
_LEADING_ZERO = re.compile(r"[+-]?0\d")


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written: the decimal mark, what separates thousands, and what stands before and behind."""

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""

    def plain(self, text: str) -> str:
        """The number as a program writes it."""
        text = text.strip()
        for affix in (self.prefix, self.suffix):
            text = text.replace(affix, "") if affix else text
        text = text.replace(self.thousands, "") if self.thousands else text
        return text.replace(self.decimal, ".").replace(MINUS, "-").strip()

    def reads(self, text: str) -> bool:
        """Whether a text is such a number."""
        for affix in (self.prefix, self.suffix):
            text = text.replace(affix, "") if affix else text
        return bool(re.fullmatch(self.pattern, text))

    @property
    def pattern(self) -> str:
        """The regular expression of such a number without what stands before and behind it, for Python and for SQL."""
        point, apart, digits = re.escape(self.decimal), re.escape(self.thousands), "[0-9]+"
        whole = f"(?:[1-9][0-9]{{0,2}}(?:{apart}[0-9]{{3}})+|{digits})" if apart else digits
        return rf"\s*[+{MINUS}-]?(?:{whole}(?:{point}[0-9]*)?|{point}{digits})(?:[eE][+-]?{digits})?\s*"

    @property
    def words(self) -> str:
        """What is particular about it, in words; empty for plain numbers."""
        said = ["decimal commas"] if self.decimal == "," else []
        said += [f"thousands separated by {self.thousands!r}"] if self.thousands else []
        said += [f"written with {affix!r}" for affix in (self.prefix, self.suffix) if affix]
        return ", ".join(said)


PLAIN = NumberFormat()


def number_format(texts: Sequence[str], least: float = 1.0) -> NumberFormat | None:
    """The format that reads the most texts as numbers, the plainest of such; None for less than a share ``least``.

    >>> number_format(["1.234,5", "17,25"])
    NumberFormat(decimal=',', thousands='.', prefix='', suffix='')
    >>> number_format(["$5", "$1,200.50"]).plain("$1,200.50")
    '1200.50'
    """
    affixes: list[tuple[str, str]] = [("", "")]
    if texts:
        found = {(m[1] or "", m[2] or "") for m in map(_AFFIX.match, (t.strip() for t in texts)) if m}
        affixes += [pair for pair in sorted(found) if any(pair)][:3]
    marks = [(".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (",", " "), (",", "\u00a0"), (",", "\u202f")]
    marks += [(".", "'"), (".", "\u2019")]
    best, most = None, 0
    for prefix, suffix in affixes:
        for decimal, thousands in marks:
            candidate = NumberFormat(decimal, thousands, prefix, suffix)
            read = [text for text in texts if candidate.reads(text)]
            if len(read) <= most or len(read) < least * len(texts):
                continue
            if thousands and not any(thousands in text for text in read):
                continue  # there is a plainer one
            best, most = candidate, len(read)
            if most == len(texts):
                return best
    return best


def infinite(text: str) -> bool:
    """Whether a text is an infinite number."""
    return bool(re.fullmatch(INFINITE, text))


def leading_zeros(texts: Iterable[str]) -> bool:
    """Whether some are digits after a zero, as of codes: 00501."""
    return any(_LEADING_ZERO.match(text) for text in texts)


def decimals(texts: Iterable[str]) -> int:
    """The most digits after the decimal point.

    >>> decimals(["1.50", "2e-3", "7"])
    3
    """
    most = 0
    for text in texts:
        try:
            exponent = Decimal(text).normalize().as_tuple().exponent
        except InvalidOperation:
            continue
        if isinstance(exponent, int):
            most = max(most, -exponent)
    return most


def date_format(texts: Sequence[str]) -> tuple[str, bool] | None:
    """How dates or times are written, and whether day and month could as well be the other way around.

    >>> date_format(["31.12.2024", "01.02.2025"])
    ('%d.%m.%Y', False)
    >>> date_format(["01/02/2024", "03/04/2024"])
    ('%m/%d/%Y', True)
    """
    some = [text.strip() for text in texts]
    if not some:
        return None
    fits = [form for form in DATE_FORMATS if _parses(some[0], form) and all(_parses(text, form) for text in some)]
    if not fits:
        return None
    other = [form for form in fits if form != fits[0] and sorted(form) == sorted(fits[0])]
    return fits[0], bool(other)


def _parses(text: str, form: str) -> bool:
    try:
        datetime.strptime(text, form)
    except ValueError:
        return False
    return True


# -- scales of words ---------------------------------------------------------------------------------------

_SCALES = (
    "very low,low,medium low,medium,moderate,average,medium high,high,very high,extreme",
    "none,never,rarely,seldom,occasionally,sometimes,often,frequently,usually,always,daily",
    "very poor,poor,below average,fair,average,typical,above average,good,very good,excellent,very excellent",
    "poor,fair,good,very good,premium,ideal",
    "strongly disagree,disagree,somewhat disagree,neither agree nor disagree,somewhat agree,agree,strongly agree",
    "strongly disagree,disagree,neutral,agree,strongly agree",
    "very unsatisfied,unsatisfied,neutral,satisfied,very satisfied",
    "extra small,small,medium,large,extra large",
    "xxs,xs,s,m,l,xl,xxl",
    "no,mild,moderate,severe,very severe",
    "not at all,a little,not too,somewhat,pretty,quite,very,extremely",
    "first,second,third,fourth,fifth,sixth",
    "1st,2nd,3rd,4th,5th,6th,7th,8th,9th,10th",
    "i,ii,iii,iv,v,vi",
    "mon,tue,wed,thu,fri,sat,sun",
    "monday,tuesday,wednesday,thursday,friday,saturday,sunday",
    "jan,feb,mar,apr,may,jun,jul,aug,sep,oct,nov,dec",
    "january,february,march,april,may,june,july,august,september,october,november,december",
    "freshman,sophomore,junior,senior",
    "less,same,more",
    "worse,same,better",
    "young,middle,old",
)
_RANGE = re.compile(r"^[<>≤≥\[(]?\s*\$?(\d[\d,.]*)\s*k?\s*(?:-|–|to|,|\+|and|or|years?|yrs?|$)", re.IGNORECASE)
_BELOW = re.compile(r"^(<|≤|under|below|less than|up to|lt)\s*=?\s*\$?(\d[\d,.]*)", re.IGNORECASE)


def order_of(categories: Sequence[str]) -> list[str] | None:
    """The categories in the order that their words have, or None where they have none.

    >>> order_of(["high", "low", "medium"]), order_of(["18-24", "65+", "25-64"]), order_of(["red", "blue"])
    (['low', 'medium', 'high'], ['18-24', '25-64', '65+'], None)
    """
    if not 2 < len(categories) <= 40:
        return None
    words = {category: re.sub(r"[\s_.-]+", " ", category.strip().lower()) for category in categories}
    for scale in _SCALES:
        rank = {word: i for i, word in enumerate(scale.split(","))}
        # "No basement" is less than any quality of one.
        rank |= {word: -1 for word in words.values() if word.startswith("no ") and word not in rank}
        known = len({rank.get(word, -2) for word in words.values()}) == len(words) > 2
        if known and all(word in rank for word in words.values()):
            return sorted(categories, key=lambda category: rank[words[category]])
    starts = {category: _start(category) for category in categories}
    if all(start is not None for start in starts.values()) and len(set(starts.values())) == len(starts):
        plain = all(category.strip().isdigit() for category in categories)
        return None if plain else sorted(categories, key=lambda category: starts[category] or 0.0)
    return None


def _start(category: str) -> float | None:
    """Where a range of numbers begins; one that is open below begins a little before its end."""
    below, match = _BELOW.match(category.strip()), _RANGE.match(category.strip())
    number = below[2] if below else match[1] if match else None
    if number is None:
        return None
    try:
        value = float(number.replace(",", "").rstrip("."))
    except ValueError:
        return None
    return value - 1e-9 * max(abs(value), 1.0) if below else value


PAIRS = (
    {"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"1", "0"}, {"on", "off"}, {"si", "no"}, {"oui", "non"},
    {"ja", "nein"}, {"1.0", "0.0"},
)  # fmt: skip


# -- names of columns --------------------------------------------------------------------------------------

_UNITS = (
    "mm|cm|m|km|in|inch|inches|ft|feet|mile|miles|mg|g|kg|lb|lbs|oz|ml|l|gal|s|sec|secs|seconds|ms|min|mins|minutes|h|hr|hrs"
    "|hours|day|days|week|weeks|month|months|year|years|yr|yrs|usd|eur|gbp|dollars|euros|cents|pct|percent|percentage|deg"
    "|degrees|rad|celsius|fahrenheit|kelvin|kwh|kw|w|v|a|hz|mph|kmh|mpg|pa|hpa|mbar|bar|psi|ppm|ppb|sqft|sqm|m2|m3"
)
_UNIT_BRACKETS = re.compile(r"[(\[]\s*([^()\[\]]{1,12})\s*[)\]]\s*$")
_UNIT_SUFFIX = re.compile(rf"[_\s.](?:in_)?({_UNITS})$", re.IGNORECASE)
_ANGLES = re.compile(
    r"(^|[_\s.])(angle|bearing|heading|azimuth|direction|wind_?dir|wind_direction|dir|aspect|phase|deg|degrees|rad"
    r"|longitude|lon|lng|ra)([_\s.]|$)|(angle|bearing|azimuth|wind_?dir)",
    re.IGNORECASE,
)
_IDS = re.compile(
    r"^(|unnamed.*|index|idx|row|rows|rownames|row_?names|row_?id|row_?number|nr|no\.?|number|num|id|ids|key|uuid|guid|case"
    r"|case_?id|case_?no|obs|observation|record|serial)$|(^|[_\s.])(id|uuid|guid|key|ssn|isbn|hash|index)$|[a-z](Id|ID)$",
)
_ROW_NAMES = re.compile(r"^(unnamed: ?\d+|index|row_?names|row_?id|row_?number)$", re.IGNORECASE)
_CODES = re.compile(
    r"(^|[_\s.])(code|codes|type|class|category|cat|group|zip|zipcode|postcode|zone|region|district|cluster|label|sector|sex"
    r"|gender|race|ethnicity|state|country|id|school|house|site|block|arm|treatment|status|flight|agent|company)([_\s.]|$)",
    re.IGNORECASE,
)
_SIGNED = re.compile(
    r"temp|balance|change|diff|delta|lat|lon|error|resid|score|growth|return|profit|margin|net|log|coord|z$|elev|dew",
    re.IGNORECASE,
)
_SHARES = re.compile(r"pct|percent|perc|share|rate|prob|ratio|fraction|%|humid", re.IGNORECASE)


def unit_of(name: str) -> str | None:
    """The unit that a column's name says.

    >>> unit_of("height (cm)"), unit_of("weight_kg"), unit_of("age")
    ('cm', 'kg', None)
    """
    found = _UNIT_BRACKETS.search(name) or _UNIT_SUFFIX.search(name)
    if found:
        return found[1]
    return "%" if name.endswith("%") else None


def names_an_angle(name: str) -> bool:
    """Whether a column's name is that of a direction."""
    return bool(_ANGLES.search(name))


def names_an_id(name: str) -> bool:
    """Whether a column's name is that of an identifier or of a row's number."""
    return name.startswith("__index_level_") or bool(_IDS.search(name)) or bool(_IDS.search(name.lower()))


def names_rows(name: str) -> bool:
    """Whether a column's name is that of the names or numbers of rows, as R and pandas write them."""
    return bool(_ROW_NAMES.search(name))


def names_a_code(name: str) -> bool:
    """Whether numbers under a column's name are probably codes of categories."""
    return bool(_CODES.search(name))


def may_be_negative(name: str) -> bool:
    """Whether values under a column's name may be negative, though none in the data is."""
    return bool(_SIGNED.search(name))


def names_a_share(name: str) -> bool:
    """Whether values under a column's name are shares, which end at 1 or 100."""
    return bool(_SHARES.search(name))
