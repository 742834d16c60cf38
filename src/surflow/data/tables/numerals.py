"""How numbers are written: marks of many countries, currencies and units, negatives in brackets."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from functools import cached_property

MINUS = "\u2212"  # as word processors write it
# Infinite numbers are read, to be refused as such: they are neither missing nor names.
INFINITE = r"\s*[+-]?(?i:inf|infinity)\s*"
BLANKS = " \t\u00a0\u202f"
_BLANK = "[\\s\u00a0\u202f]"
_BEFORE = r"[$€£¥₹₽₩₺]|[A-Z]{1,2}\$|USD|EUR|GBP|CHF|JPY|CAD|AUD|INR|CNY|SEK|NOK|DKK|PLN|BRL|Rs\.?|kr\.?"
_BEHIND = (
    r"[$€£¥₹₽₩₺%‰°]|USD|EUR|GBP|CHF|kr|mm|cm|m|km|in|ft|mi|mg|g|kg|lbs?|oz|ml|l|s|ms|min|hrs?|h|years?|yrs?|days?|mpg"
    "|kWh|kW"
)
_AFFIX = re.compile(
    rf"^[+{MINUS}(-]?\s?({_BEFORE})?\s?[+{MINUS}(-]?[\d.,'\u2019\u00a0\u202f ]*\d\s?({_BEHIND}|[^\W\d_]{{1,10}}[23²³]?"
    rf"|[^\W\d_]{{1,5}}/[^\W\d_]{{1,5}})?[)-]?$"
)
_ANY_UNIT = re.compile(_BEHIND)
_LEADING_ZERO = re.compile(r"[+-]?0\d")
# 7,125 and 1.250: a number of thousands in one country, and of a few units in another.
_EITHER = re.compile(r"[^\d.,]*[1-9]\d{0,2}([.,])\d{3}[^\d.,]*")


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written.

    Args:
        decimal, thousands: the decimal mark, and what separates thousands.
        prefix, suffix: what may stand before and behind: a currency, a unit.
        negative: how numbers below zero are written beside "-1": "(1)" as in accounts, or "1-".
    """

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""
    negative: str = "-1"

    def plain(self, text: str) -> str:
        """The number as a program writes it."""
        text = text.strip()
        for affix in (self.prefix, self.suffix):
            text = text.replace(affix, "") if affix else text
        text = text.translate({ord(blank): None for blank in BLANKS}) if self.dressed else text
        if self.negative == "(1)":
            text = text.replace("(", "-").replace(")", "")
        if self.negative == "1-" and text.endswith("-"):
            text = f"-{text[:-1]}"
        text = text.replace(self.thousands, "") if self.thousands else text
        return text.replace(self.decimal, ".").replace(MINUS, "-").strip()

    def reads(self, text: str) -> bool:
        """Whether a text is such a number."""
        return self._compiled.fullmatch(text) is not None

    @cached_property
    def _compiled(self) -> re.Pattern[str]:
        return re.compile(self.pattern)

    @property
    def dressed(self) -> bool:
        """Whether numbers have anything about their digits and their sign."""
        return bool(self.prefix or self.suffix or self.negative != "-1")

    @property
    def pattern(self) -> str:
        """The regular expression of such a number, for Python and for SQL."""
        point, apart, digits = re.escape(self.decimal), re.escape(self.thousands), "[0-9]+"
        whole = f"(?:[1-9][0-9]{{0,2}}(?:{apart}[0-9]{{3}})+|{digits})" if apart else digits
        number = rf"(?:{whole}(?:{point}[0-9]*)?|{point}{digits})(?:[eE][+-]?{digits})?"
        sign = rf"[+{MINUS}-]?"
        if not self.dressed:
            return rf"\s*{sign}{number}\s*"
        before = f"(?:{re.escape(self.prefix)}{_BLANK}?)?" if self.prefix else ""
        behind = f"(?:{_BLANK}?{re.escape(self.suffix)})?" if self.suffix else ""
        forms = [f"{before}{sign}{_BLANK}?{before}{number}{behind}"]
        if self.negative == "(1)":
            forms.append(rf"{before}\({before}{number}{behind}\){behind}")
        if self.negative == "1-":
            forms.append(f"{before}{number}(?:-{behind}|{behind}-)")
        return rf"{_BLANK}*(?:{'|'.join(forms)}){_BLANK}*"

    @property
    def words(self) -> str:
        """What is particular about it, in words; empty for plain numbers."""
        said = ["decimal commas"] if self.decimal == "," else []
        said += [f"thousands separated by {self.thousands!r}"] if self.thousands else []
        said += [f"written with {affix!r}" for affix in (self.prefix, self.suffix) if affix]
        said += [f"{self.negative} for -1"] if self.negative != "-1" else []
        return ", ".join(said)


PLAIN = NumberFormat()


def number_format(texts: Sequence[str], least: float = 1.0) -> NumberFormat | None:
    """The format that reads the most texts as numbers, the plainest of such; None for less than a share ``least``.

    >>> number_format(["1.234,5", "17,25"])
    NumberFormat(decimal=',', thousands='.', prefix='', suffix='', negative='-1')
    >>> number_format(["$5", "($1,200.50)"]).plain("($1,200.50)")
    '-1200.50'
    """
    if sum(any(c.isdigit() for c in text) for text in texts) < least * len(texts):
        return None
    affixes: list[tuple[str, str]] = [("", "")]
    if texts:
        found = Counter((m[1] or "", m[2] or "") for m in map(_AFFIX.match, (t.strip() for t in texts)) if m)
        affixes += [pair for pair, _ in found.most_common(4) if any(pair)][:3]
    marks = [(".", ""), (".", ","), (",", ""), (",", "."), (".", " "), (",", " "), (",", "\u00a0"), (",", "\u202f")]
    marks += [(".", "'"), (".", "\u2019")]
    negative = _negative(texts)
    best, most = None, 0
    for prefix, suffix in affixes:
        for decimal, thousands in marks:
            candidate = NumberFormat(decimal, thousands, prefix, suffix, negative)
            read = [text for text in texts if candidate.reads(text)]
            if len(read) <= most or len(read) < least * len(texts):
                continue
            if thousands and not any(thousands in text for text in read):
                continue  # there is a plainer one
            # 12A may be another house than 12: a unit that is not known stands behind all numbers.
            if suffix and not _ANY_UNIT.fullmatch(suffix) and not all(suffix in text for text in read):
                continue
            best, most = candidate, len(read)
            if most == len(texts):
                return best
    return best


def _negative(texts: Sequence[str]) -> str:
    """How some numbers are written as negative, where others are not."""
    for form, pattern in (("(1)", r"[^\w(]*\([^\w(]*\d.*\)\W*"), ("1-", r".*\d\s?[^\w\s]?-")):
        so = sum(bool(re.fullmatch(pattern, text.strip())) for text in texts)
        if 0 < so < len(texts):
            return form
    return "-1"


def either_mark(form: NumberFormat, texts: Iterable[str]) -> str | None:
    """The mark of numbers that all could be thousands as well as decimals, such as 7,125; None if some tell.

    >>> either_mark(PLAIN, ["1.250", "7.125"]), either_mark(PLAIN, ["1.250", "7.1"]), either_mark(PLAIN, ["1250"])
    ('.', None, None)
    """
    marked = [text for text in texts if form.reads(text) and ("." in text or "," in text)]
    found = {match and match[1] for match in map(_EITHER.fullmatch, marked)}
    return found.pop() if len(found) == 1 else None


def shown_decimals(form: NumberFormat, texts: Iterable[str]) -> set[str]:
    """The decimal mark that numbers show, by itself or as the other of their thousands; empty if they show none."""
    shown = form.thousands in (".", ",") or any(form.decimal in text for text in texts if form.reads(text))
    return {form.decimal} if shown else set()


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
