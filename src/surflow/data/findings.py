"""Findings: what is wrong with data, gathered over several checks and raised at once."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from surflow.errors import ConfigError, DataError

_POINT = "\n- "


class Findings:
    """What several checks find wrong, so that a person mends a file once and not column by column.

    >>> found = Findings()
    >>> with found.gather():
    ...     raise DataError("'a' is constant")
    >>> with found.gather():
    ...     raise DataError("'b' has infinite values")
    >>> found.refuse()
    Traceback (most recent call last):
    surflow.errors.DataError: 2 things are wrong:
    - 'a' is constant
    - 'b' has infinite values
    """

    def __init__(self) -> None:
        self._errors: list[DataError | ConfigError] = []

    @contextmanager
    def gather(self) -> Iterator[None]:
        """Keep an error of data or of names for later; what is done with its result has to wait for :meth:`refuse`."""
        try:
            yield
        except (DataError, ConfigError) as error:
            self._errors.append(error)

    def refuse(self) -> None:
        """Raise what was gathered, if anything was: one error as it is, several as a list.

        Raises:
            DataError, ConfigError: as the first of those gathered.
        """
        if not self._errors:
            return
        first = self._errors[0]
        if len(self._errors) == 1:
            raise first
        texts = [text for error in self._errors for text in (str(error).split(_POINT)[1:] or [str(error)])]
        texts = list(dict.fromkeys(texts))
        raise type(first)(f"{len(texts)} things are wrong:" + "".join(f"{_POINT}{text}" for text in texts)) from first
