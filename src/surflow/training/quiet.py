"""Without Lightning's notes on devices, loaders and tips, which are about a Trainer that the user does not see."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_LOGGER = "lightning.pytorch"


def hush() -> None:
    """For good; for processes that were started for one run."""
    logging.getLogger(_LOGGER).setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module=r"lightning\.")
    # What Lightning makes torch warn about is laid at other doors.
    warnings.filterwarnings("ignore", message=r".*LeafSpec", category=FutureWarning)


@contextmanager
def quiet() -> Iterator[None]:
    """For a while."""
    level = logging.getLogger(_LOGGER).level
    try:
        with warnings.catch_warnings():
            hush()
            yield
    finally:
        logging.getLogger(_LOGGER).setLevel(level)
