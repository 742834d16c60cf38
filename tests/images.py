"""Images for tests."""

from __future__ import annotations

import torch


def random_images(n: int, shape: tuple[int, ...] = (1, 4, 4), levels: int = 256) -> torch.Tensor:
    return torch.randint(levels, (n, *shape)).float()
