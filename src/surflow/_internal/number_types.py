"""Floating types: the one that a module computes in, and one that is wide enough for integers."""

from __future__ import annotations

import torch
from torch import nn


def type_for(kind: torch.dtype, largest: int) -> torch.dtype:
    """The floating type ``kind``, or the next wider one that holds all integers up to ``largest``: none is rounded.

    >>> type_for(torch.bfloat16, 255), type_for(torch.bfloat16, 999)
    (torch.bfloat16, torch.float32)
    """
    for wide in (kind, torch.float32):
        if largest <= 2 / torch.finfo(wide).eps:
            return wide
    return torch.float64


def number_type(module: nn.Module) -> torch.dtype:
    """The floating type that a module computes in: its first parameter's or buffer's."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.dtype
    return torch.get_default_dtype()
