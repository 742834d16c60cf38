"""How the arithmetic of a layer runs: gradients written out by hand, and, where wanted, kernels compiled by torch."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

# Without torch's checks of what its compiler wrote, which take as long as small kernels, and without its trial of the
# C++ compiler, which takes a third of the first use: one that cannot build a kernel shows in the kernel.
_OPTIONS: dict[str, Any] = {"size_asserts": False, "alignment_asserts": False, "cpp.vec_isa_ok": True}

_by_hand = True
_compiled = ContextVar("compiled", default=False)
# Set when the first kernel of the process could not be compiled.
_broken = False


@contextmanager
def compiled(*, wanted: bool = True) -> Iterator[None]:
    """Within it, splines run as single kernels that torch compiles on their first use and keeps on disk.

    The numbers are those of the uncompiled path to rounding. Compilation takes seconds and needs a C++ compiler
    (on a GPU, Triton); where it fails, a warning says so and the uncompiled path goes on.

    Args:
        wanted: False switches compilation off within it.

    >>> import torch, surflow as sf
    >>> layer = sf.Coupling(2, map=sf.SplineMap())
    >>> with sf.compiled(wanted=False):
    ...     z, V = layer(torch.zeros(1, 2))
    """
    token = _compiled.set(wanted)
    try:
        yield
    finally:
        _compiled.reset(token)


@contextmanager
def automatic_gradients() -> Iterator[None]:
    """Leave all gradients to automatic differentiation, for comparison."""
    global _by_hand
    before, _by_hand = _by_hand, False
    try:
        yield
    finally:
        _by_hand = before


def _ordinary(x: Tensor) -> bool:
    """Whether plain tensors meet plain autograd: compilers, transforms and mixed precision need to see the formulas."""
    return not (
        torch.compiler.is_compiling()
        or torch._C._are_functorch_transforms_active()
        or torch.autograd.forward_ad._current_level >= 0
        or torch.is_autocast_enabled(x.device.type)
    )


def compiles(x: Tensor) -> bool:
    """Whether a kernel is to compute a function of x, here where no gradients are recorded."""
    return not torch.is_grad_enabled() and not _broken and _ordinary(x) and _compiled.get()


def gradients_by_hand(x: Tensor) -> bool:
    """Whether an ``autograd.Function`` takes the place of the formula."""
    return _by_hand and torch.is_grad_enabled() and _ordinary(x)


def differentiable(
    formula: Callable[..., Any], tensors: tuple[Tensor, ...], constants: tuple[Any, ...], grads: tuple[Tensor, ...]
) -> tuple[Tensor | None, ...]:
    """Gradients that can be differentiated again: automatic ones, of the formula."""
    wanted = [i for i, t in enumerate(tensors) if t.requires_grad]
    with torch.enable_grad():
        # Cut from each other: where one tensor was made from another, its path must not count here as well.
        inputs = [t.view_as(t) for t in tensors]
        outputs = formula(*inputs, *constants)
        found = torch.autograd.grad(outputs, [inputs[i] for i in wanted], grads, create_graph=True, allow_unused=True)
    result: list[Tensor | None] = [None] * len(tensors)
    for i, g in zip(wanted, found, strict=True):
        result[i] = g
    return tuple(result)


def owned(x: Tensor) -> Tensor:
    """The same numbers in the same places of memory of their own: what a Function returns may be changed, views not."""
    return torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device).copy_(x)


Result = TypeVar("Result")


class Kernel(Generic[Result]):
    """A function of tensors, without gradients of its own, which is compiled on its first use.

    The last axis of every tensor holds as many points as there are at a time; compiled code holds for any number. All
    else is constant.
    """

    def __init__(self, function: Callable[..., Result]) -> None:
        self.function = function
        # The compiler counts its variants of a code object, and gives up after a few: every kernel has its own.
        function.__code__ = function.__code__.replace()
        self.compiled: Callable[..., Result] | None = None
        self.failed = False

    @torch.no_grad()
    def __call__(self, *tensors: Tensor | None) -> Result:
        # Detached, so that one variant serves tensors with and without gradients.
        inputs = [None if x is None else x.detach() for x in tensors]
        if self.failed:
            return self.function(*inputs)
        try:
            return self._compile(inputs) if self.compiled is None else self.compiled(*inputs)
        except Exception as error:  # whatever the compilers of a machine raise
            result = self.function(*inputs)  # what is wrong with the tensors shows here
            self.failed = True
            _warn(error, first=self.compiled is None)
            return result

    def _compile(self, inputs: list[Tensor | None]) -> Result:
        compiled = torch.compile(self.function, fullgraph=True, options=_OPTIONS)
        for x in inputs:
            if x is not None:
                torch._dynamo.mark_dynamic(x, x.ndim - 1)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of torch's own use of torch
            result = compiled(*inputs)
        self.compiled = compiled
        return result


def _warn(error: Exception, *, first: bool) -> None:
    global _broken
    reason = getattr(error, "inner_exception", error)
    lines = str(reason).strip().splitlines()
    message = f"{type(reason).__name__}: {lines[0] if lines else ''}"
    if first:
        _broken = True
        message += " (it needs a C++ compiler such as g++, or Triton on a GPU). Kernels run uncompiled"
    else:
        message += ". This one runs uncompiled from here on"
    warnings.warn(f"torch could not compile a kernel: {message}", RuntimeWarning, stacklevel=3)
