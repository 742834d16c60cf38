"""Without Lightning's notes on devices, loaders and tips, which are about a Trainer that the user does not see."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGERS = ("lightning.pytorch", "lightning.fabric")


def hush() -> None:
    """For good; for processes that were started for one run."""
    for name in _LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")
    # What Lightning makes torch warn about is laid at other doors.
    warnings.filterwarnings("ignore", message=r".*LeafSpec", category=FutureWarning)


@contextmanager
def quiet() -> Iterator[None]:
    """For a while."""
    levels = [logging.getLogger(name).level for name in _LOGGERS]
    try:
        with warnings.catch_warnings():
            hush()
            yield
    finally:
        for name, level in zip(_LOGGERS, levels, strict=True):
            logging.getLogger(name).setLevel(level)
