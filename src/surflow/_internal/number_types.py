"""Floating types: the one that a module computes in, one that is wide enough for integers, and some that are kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar, Self

import torch
from torch import Tensor, nn


def type_for(kind: torch.dtype, largest: int) -> torch.dtype:
    """The floating type ``kind``, or the next wider one that holds all integers up to ``largest``: none is rounded.

    >>> type_for(torch.bfloat16, 255), type_for(torch.bfloat16, 999)
    (torch.bfloat16, torch.float32)
    """
    for wide in (kind, torch.float32):
        if largest <= 2 / torch.finfo(wide).eps:
            return wide
    return torch.float64


def parameter_type(module: nn.Module) -> torch.dtype | None:
    """The floating type of a module's parameters; None for a module without."""
    # Asked several times a call: `module.parameters()` would name all modules up to the first that has some.
    for parameter in module._parameters.values():
        if parameter is not None and parameter.is_floating_point():
            return parameter.dtype
    found = (parameter_type(part) for part in module._modules.values() if part is not None)
    return next((kind for kind in found if kind is not None), None)


def number_type(module: nn.Module) -> torch.dtype:
    """The floating type that a module computes in: its first parameter's, or buffer's that follows ``module.to``."""
    kind = parameter_type(module)
    if kind is not None:
        return kind
    for part in module.modules():
        kept = part.kept if isinstance(part, KeepsTypes) else ()
        for name, buffer in part.named_buffers(recurse=False):
            if buffer.is_floating_point() and name not in kept:
                return buffer.dtype
    return torch.get_default_dtype()


def floats_in(module: nn.Module) -> bool:
    """Whether a module computes in a type of its own; one without parameters and such buffers takes what comes."""
    return any(
        tensor.is_floating_point()
        for part in module.modules()
        if not isinstance(part, KeepsTypes)
        for tensor in (*part.parameters(recurse=False), *part.buffers(recurse=False))
    )


class KeepsTypes(nn.Module):
    """A module whose buffers ``kept`` follow to other devices, and to no other floating type: half is no place for a
    mean of 1.7e9."""

    kept: ClassVar[tuple[str, ...]] = ()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:  # noqa: FBT001, FBT002 -- torch's
        before = {name: buffer for name in self.kept if (buffer := self._buffers[name]) is not None}
        for name, buffer in before.items():
            self._buffers[name] = buffer.float()  # some devices have no doubles
        super()._apply(fn, recurse)
        for name, buffer in before.items():
            device = self.get_buffer(name).device
            if device.type != "mps":
                empty = torch.empty_like(buffer, device=device)
                self._buffers[name] = empty if buffer.is_meta else buffer.to(device)
        return self
