"""Objects that remember the plain arguments they were built with, so that a file can state them."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self


class Configurable:
    """Remembers constructor arguments under ``arguments`` and registers its class by name.

    The registry is what a saved file may name: a class that is not in it cannot be built from a
    file. A subclass defined by a user is registered when its definition runs, so a user's own layer is
    saved and loaded like a built-in one, as long as the program that loads it has defined it too.

    >>> import surflow as sf
    >>> sf.Uniform(2, high=4.0).arguments
    {'event_shape': 2, 'high': 4.0}
    """

    registry: ClassVar[dict[str, type[Configurable]]] = {}
    arguments: dict[str, Any]

    def __init_subclass__(cls, **kwargs: object) -> None:
        super().__init_subclass__(**kwargs)
        known = Configurable.registry.get(cls.__name__)
        if known is not None and known.__module__.startswith("surflow.") and known.__module__ != cls.__module__:
            raise TypeError(f"surflow already has a class named {cls.__name__}: choose another name")
        Configurable.registry[cls.__name__] = cls

    def __new__(cls, *args: object, **kwargs: object) -> Self:
        self = super().__new__(cls)
        # bind_partial, because copying and unpickling call __new__ without arguments and restore state later.
        signature = inspect.signature(cls.__init__)
        try:
            bound = signature.bind_partial(None, *args, **kwargs).arguments
        except TypeError as error:
            called = str(signature).replace("(self, ", "(").split(" -> ")[0]
            raise TypeError(f"{cls.__name__}: {error}; it is called as {cls.__name__}{called}") from None
        bound.pop("self", None)
        object.__setattr__(self, "arguments", bound)  # nn.Module.__init__ has not run yet
        return self
