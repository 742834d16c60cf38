"""What is measured: a model of one library, and a case, which states the same work for several of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Model:
    """A model that is ready to run.

    Attributes:
        actions: what can be timed, by name; a call is one repetition.
        parameters: trained numbers.
        multiply_adds: of the conditioners' products in one forward pass, masked weights counted as they are executed.
        sound: whether draws and scores have their shapes and are finite; nothing has run before it is asked.
    """

    actions: Mapping[str, Callable[[], object]]
    parameters: int
    multiply_adds: int
    sound: Callable[[], bool] = lambda: True


@dataclass(frozen=True)
class Case:
    """The same work in several libraries.

    Attributes:
        builders: a function per library (or bound) that builds its model; libraries are imported inside of it, since
            not all of them share an environment.
        tolerance: relative difference in size from surflow's model that is allowed to a library, if not TOLERANCE.
    """

    builders: Mapping[str, Callable[[], Model]]
    tolerance: Mapping[str, float] = field(default_factory=dict)


TOLERANCE = 0.02

# Lower bounds and hand-written code, which are no models of the same parameters.
BOUNDS = ("limit", "bare")
