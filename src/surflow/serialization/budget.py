"""What a file may cost to load: everything is counted before it is made, and refused beyond one limit."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NoReturn

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from surflow._internal.limits import ADVICE, factor
from surflow.errors import ConfigError

# The limit, in units of some ten nanoseconds or ten bytes: what a file without weights may ask for, which is a second
# and 200 MB at the very most, and more for every weight and every tensor of weights that it holds. Few flows need a
# quarter.
FREE = 2**24
PER_WEIGHT = 2**4
PER_TENSOR = 2**15

# Prices. A number in a tensor costs one unit, made or written to.
_CALL = 2**11  # of torch
_OBJECT = 2**12
_VALUE = 2**7  # of the description
_PYTHON_NUMBER = 2**4  # in a tensor that becomes a list, or tensors
# Constructors may loop, or make lists, as often as an integer says, and as often as a shape has coordinates. Those of
# surflow do little a round, and nothing a coordinate but with tensors; those of users may make a module each time.
_ROUND, _COORDINATE = 2**3, 2**-4
_ROUND_OF_USERS, _COORDINATE_OF_USERS = 2**7, 2**4
_MOST_AXES = 64

# For constructors that do more than in proportion to their arguments. A clock of this thread alone, with a wide margin.
_SECONDS = 10.0
_WEIGHTS_PER_SECOND = 2**20

# What makes no tensor; what makes none larger than its arguments broadcast to, and none larger than all of them. The
# meta device would take a tenth of a millisecond to say so, and a second the first time.
_MAKE_NOTHING = frozenset(
    {"__bool__", "__int__", "__len__", "dim", "is_floating_point", "item", "numel", "size", "tolist"}
)
_BY_COORDINATE = frozenset(
    {"abs", "add", "argmax", "clamp", "contiguous", "diagonal", "div", "eq", "exp", "__floordiv__", "ge", "gt", "le",
     "log", "lt", "max", "min", "mul", "ne", "neg", "__rdiv__", "rsub", "sign", "sort", "sqrt", "sub", "sum", "tril",
     "triu", "truediv", "unsqueeze"}
)  # fmt: skip
_TOGETHER = frozenset({"cat", "stack"})
_TO_PYTHON = frozenset({"tolist", "__iter__", "unbind", "split", "chunk", "tensor_split"})


class Budget(TorchFunctionMode):
    """As a context, refuses what would cost more than a file with so many weights in so many tensors is worth.

    Every call of torch that makes a tensor is first made on the meta device, where tensors have shapes and no memory.

    Raises:
        ConfigError: before the limit is passed.

    >>> import surflow as sf
    >>> with Budget(weights=0, tensors=0):  # doctest: +ELLIPSIS
    ...     sf.Normal(2**50)
    Traceback (most recent call last):
    surflow.errors.ConfigError: torch.zeros, of 2,251,799,813,685,248 numbers, is too much: ...
    """

    def __init__(self, weights: int, tensors: int, whose: str = "") -> None:
        super().__init__()
        self.whose = whose or f"a file with {weights:,} weights"
        self.limit = factor() * (FREE + PER_WEIGHT * weights + PER_TENSOR * tensors)
        self.spent = 0.0
        self.seconds = factor() * (_SECONDS + weights / _WEIGHTS_PER_SECOND)
        self.start = time.thread_time()

    def value(self) -> None:
        """Pay for one value of a description."""
        self._spend(_VALUE, "so many values")

    def instance(self, cls: type) -> None:
        """Pay for one object, and look at the clock."""
        self._spend(_OBJECT, f"one more {cls.__name__}")
        if time.thread_time() - self.start > self.seconds:
            self._refuse(f"one more {cls.__name__}", f"take {self.seconds:.0f} seconds")

    def argument(self, cls: type, name: str, value: object) -> None:
        """Pay for the integers in an argument of a class, which its constructor may count up to."""
        ours = cls.__module__.startswith("surflow.")
        for n in _integers(value):
            said = f"{name}={n:,}" if n < 10**18 else f"{name}, of {n.bit_length()} bits,"
            self._spend((_ROUND if ours else _ROUND_OF_USERS) * n, said)
        if name.endswith("shape") and isinstance(value, tuple) and all(isinstance(n, int) for n in value):
            coordinates = math.prod(value) if len(value) <= _MOST_AXES else math.inf
            price = _COORDINATE if ours else _COORDINATE_OF_USERS
            self._spend(price * abs(coordinates), f"{name}, of {len(value)} axes,")

    def _spend(self, units: float, what: str) -> None:
        self.spent += units
        if self.spent > self.limit:
            self._refuse(what, f"ask for {self.limit:,.0f} units of memory and work")

    def _refuse(self, what: str, most: str) -> NoReturn:
        raise ConfigError(
            f"{what} is too much: {self.whose} may {most}, and few flows need a quarter. {ADVICE}; in Python, "
            "load(path, trusted=True) lifts it too"
        )

    def __torch_function__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: Mapping[str, object] | None = None,
    ) -> object:
        kwargs = kwargs or {}
        name = getattr(func, "__name__", "")
        # Of attributes such as shape; and what a block without gradients does at its end is never refused.
        if name in ("__get__", "__set__", "_set_grad_enabled"):
            return func(*args, **kwargs)
        first = args[0] if args and isinstance(args[0], Tensor) else None
        if name in _TO_PYTHON and first is not None:
            numbers = first.numel() + sum(first.shape)
            self._spend(_PYTHON_NUMBER * numbers, f"a list of {numbers:,} numbers")
        if name.endswith("_") and not name.startswith(("_", "resize", "set_")) and first is not None:  # in place
            made = first.numel()
        else:
            made = self._outlined(func, args, kwargs)
        self._spend(_CALL + made, f"torch.{name}, of {made:,} numbers,")
        return func(*args, **kwargs)

    def _outlined(self, func: Callable[..., object], args: tuple[object, ...], kwargs: Mapping[str, object]) -> int:
        """How many numbers a call would make."""
        name = getattr(func, "__name__", "")
        if name in _MAKE_NOTHING:
            return 0
        if name in _BY_COORDINATE:
            shapes = [value.shape for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
            try:
                return math.prod(torch.broadcast_shapes(*shapes))
            except RuntimeError:  # which the call itself says
                return 0
        if name in _TOGETHER:
            return _numbers(args)
        outlines = [_on_meta(arg) for arg in args]
        named = {key: "meta" if key == "device" else _on_meta(value) for key, value in kwargs.items()}
        try:
            with torch.device("meta"):
                return _numbers(func(*outlines, **named))
        except Exception:  # a call that needs values makes no more than it is given; its own errors appear when it runs
            return _numbers(args) + _numbers(tuple(kwargs.values()))


def _integers(value: object) -> Iterator[int]:
    """Sizes of all integers in an argument but indices, those below the length of their list: an order, groups."""
    if type(value) is int:
        yield abs(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _integers(item)
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from (n for n in _integers(item) if n >= len(value))


def _on_meta(value: object) -> object:
    if isinstance(value, Tensor):
        return torch.empty_like(value, device="meta")
    if (
        isinstance(value, tuple | list)
        and type(value) in (tuple, list)
        and any(isinstance(item, (Tensor, tuple, list)) for item in value)
    ):
        return type(value)(_on_meta(item) for item in value)
    return value


def _numbers(made: object) -> int:
    if isinstance(made, Tensor):
        return made.numel()
    return sum(map(_numbers, made)) if isinstance(made, (tuple, list)) else 0
