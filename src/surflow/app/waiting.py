"""waiting: says on stderr that a command is still at work, where it takes long."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

_FIRST, _EVERY = 5.0, 10.0


@contextmanager
def waiting(what: str) -> Iterator[None]:
    """Say what is done, and for how long already, after 5 seconds and every 10 from then on."""
    done, since = threading.Event(), time.monotonic()

    def say() -> None:
        pause = _FIRST
        while not done.wait(pause):
            print(f"{what}: {time.monotonic() - since:.0f} s so far", file=sys.stderr, flush=True)
            pause = _EVERY

    thread = threading.Thread(target=say, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
