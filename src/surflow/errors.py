"""Errors named after the trouble; every one says what was expected, what came and what to do."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable

# What steers a terminal, or turns the direction of writing. Lines and tabs may be.
_STEERS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def plain_text(text: str) -> str:
    r"""A text from a file as a terminal may show it: without the characters that would steer it.

    >>> plain_text("a\x1b[2Jb")
    'a�[2Jb'
    """
    return _STEERS.sub("\ufffd", text)


class SurflowError(Exception):
    """Base of all errors that surflow raises for something a user can mend; what steers a terminal is left out."""

    def __init__(self, message: object = "") -> None:
        super().__init__(plain_text(str(message)))


class ShapeError(SurflowError, ValueError):
    """A tensor, a layer or a context has another shape than its position in a chain asks for."""


class SupportError(SurflowError, ValueError):
    """Two neighbours in a chain live on different supports, or a layer leads out of one, so mass would leak."""


class BoundError(SurflowError, TypeError):
    """An exact density was asked of a model that only has a bound, or the reverse."""


class DataError(SurflowError, ValueError):
    """Data that no model can be trained on or scored with: NaN, infinite, constant, text, empty."""


class ConfigError(SurflowError, ValueError):
    """A configuration, an option or a name that does not exist."""


class FileError(SurflowError, ValueError):
    """A file that is missing, damaged, foreign or not to be trusted."""


class NonFiniteError(SurflowError, ArithmeticError):
    """Training met a loss that is not a finite number.

    Attributes:
        best_step: the step whose weights, the best that were evaluated finite, the flow has; None if there were none.
    """

    best_step: int | None = None


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """The message for a name that does not exist, with the nearest one that does."""
    options = sorted(known)
    nearest = difflib.get_close_matches(name, options, n=1, cutoff=0.5)
    hint = f"did you mean {nearest[0]!r}?" if nearest else f"known: {', '.join(options)}"
    return f"unknown {kind} {name!r}; {hint}"
