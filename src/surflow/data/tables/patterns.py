"""What words say: scales that have an order, and what the names of columns tell of their kind and unit."""

from __future__ import annotations

import re
from collections.abc import Sequence

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
