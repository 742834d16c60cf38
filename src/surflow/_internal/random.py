"""Randomness as a function of (seed, step): nothing to store, nothing to replay when a run is taken up again."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

_MASK = 2**64 - 1


def mix(*numbers: int) -> int:
    """One well-mixed 64-bit number from several, by the finaliser of splitmix64.

    Source: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014.

    >>> mix(0, 1) != mix(1, 0)
    True
    """
    state = 0
    for number in numbers:
        state = ((state ^ (number & _MASK)) + 0x9E3779B97F4A7C15) & _MASK
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & _MASK
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & _MASK
        state ^= state >> 31
    return state


def reseed(number: int, device: torch.device | None = None) -> None:
    """Seed the default generators of the CPU and of ``device``; torch.manual_seed seeds all, and costs more."""
    # The CPU's generator keeps only the low 32 bits, which mix has already made depend on everything.
    torch.default_generator.manual_seed(number)
    if device is not None and device.type != "cpu":
        torch.get_device_module(device).manual_seed(number)


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Within the block, make what torch draws, initial weights too, a function of ``seed``.

    Afterwards the generators, of the CPU and of the current GPU, are as they were before.

    Args:
        seed: a whole number; None to change nothing.

    >>> import surflow as sf
    >>> with sf.seeded(0): one = sf.Coupling(2)
    >>> with sf.seeded(0): two = sf.Coupling(2)
    >>> all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters()))
    True
    """
    if seed is None:
        yield
        return
    used = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=used):
        # Not torch.manual_seed, which would also set the devices that are not in use.
        torch.default_generator.manual_seed(seed)
        if used:
            torch.cuda.manual_seed(seed)
        yield
