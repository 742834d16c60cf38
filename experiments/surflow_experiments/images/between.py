"""Images between two: a path through the Gaussian numbers that an autoregressive distribution draws them with."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow.distributions.levels import AutoregressiveDiscretizedLogistic, log_mass

# Keeps what is drawn with the largest and smallest numbers finite.
_LEAST = 1e-6


@torch.no_grad()
def between(pixels: AutoregressiveDiscretizedLogistic, ends: tuple[Tensor, Tensor], context: Tensor, n: int) -> Tensor:
    """n latents on the way from one to the other, both included, (n, batch, *event).

    An integer v_i is where a uniform number meets its cumulative distribution given all before it, and that number is
    the distribution function of a Gaussian one, e_i. On the way, e = (1 - t) a + t b over the root of (1 - t)^2 + t^2,
    which is as Gaussian as a and b are: between two samples lie samples.
    """
    a, b = (_numbers(pixels, end, context) for end in ends)
    way = []
    for t in torch.linspace(0, 1, n).tolist():
        way.append(_decoded(pixels, ((1 - t) * a + t * b) / ((1 - t) ** 2 + t**2) ** 0.5, context))
    return torch.stack(way)


def _cumulative(pixels: AutoregressiveDiscretizedLogistic, raw: Tensor) -> tuple[Tensor, Tensor]:
    """Masses of all integers, and of all up to each, (batch, positions, levels); raw is (batch, n, positions)."""
    batch, _, positions = raw.shape
    v = torch.arange(pixels.levels, dtype=raw.dtype).repeat(batch, positions)
    every = log_mass(v, raw.repeat_interleave(pixels.levels, 2), torch.full_like(v, pixels.levels - 1))
    mass = every.double().exp().reshape(batch, positions, pixels.levels)
    return mass, mass.cumsum(2)


def _numbers(pixels: AutoregressiveDiscretizedLogistic, x: Tensor, context: Tensor) -> Tensor:
    """Gaussian numbers that x is drawn with; which of those that give the same integers, chance decides."""
    v = pixels.sequence(x)
    mass, below = _cumulative(pixels, pixels.net(v, context))
    level = v.long().unsqueeze(2)
    mass, upper = mass.gather(2, level).squeeze(2), below.gather(2, level).squeeze(2)
    return torch.special.ndtri((upper - mass * torch.rand_like(mass)).clamp(_LEAST, 1 - _LEAST))


def _decoded(pixels: AutoregressiveDiscretizedLogistic, numbers: Tensor, context: Tensor) -> Tensor:
    u = torch.special.ndtr(numbers)

    def find(position: slice, raw: Tensor) -> Tensor:
        _, below = _cumulative(pixels, raw)
        return (below < u[:, position].unsqueeze(2)).sum(2).clamp(max=pixels.levels - 1).to(raw.dtype)

    like = pixels.net.room(len(numbers), pixels.levels - 1)
    return pixels.event(pixels.net.generate(find, like, context))
