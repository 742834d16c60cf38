"""The names of the presets, for the command line, config.toml and experiments."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, get_type_hints

from surflow._internal.shapes import Shape
from surflow.errors import ConfigError, unknown_name
from surflow.flow import ContextNet, Flow
from surflow.presets import images, point_sets, posteriors, surjective, tables, vectors
from surflow.presets.choice import choose
from surflow.supports import Support, real

PRESETS: dict[str, Callable[..., Flow]] = {
    "spline": vectors.spline,
    "table": tables.table,
    "image": vectors.image,
    "nf": vectors.nf,
    "abs": surjective.abs_fair,
    "abs-learned": surjective.abs_learned,
    "abs-joint": surjective.abs_joint,
    "abs-spline": surjective.abs_spline,
    "abs-middle": surjective.abs_middle,
    "autoregressive": vectors.autoregressive,
    "augment": vectors.augment,
    "sort": surjective.sort,
    "max": surjective.max,
    "vae": vectors.vae,
    "posterior": posteriors.posterior,
    "product": posteriors.product,
    "box": posteriors.box,
    "polar": posteriors.polar,
    "max-pool": images.max_pool,
    "slice": images.slice,
    "glow": images.glow,
    "permute-flow": point_sets.permute_flow,
    "statistician": point_sets.statistician,
    "sort-flow": point_sets.sort_flow,
    "point-grid": point_sets.point_grid,
}

# What every preset takes: it follows from the data, or, the seed, is no part of an architecture.
HEAD = ("event_shape", "context_shape", "context_net", "support", "seed")


def names() -> dict[str, str]:
    """The presets, each with what it is.

    >>> "abs-joint" in names()
    True
    """
    return {name: (inspect.getdoc(make) or "").split("\n")[0].removesuffix(".") for name, make in PRESETS.items()}


def options(name: str) -> Mapping[str, object]:
    """The own options of a preset, each with its type.

    Args:
        name: of the preset.

    Raises:
        ConfigError: for an unknown preset; the message names the nearest right one.

    >>> dict(options("max"))["layers"]
    <class 'int'>
    """
    if name not in PRESETS:
        raise ConfigError(unknown_name("preset", name, [*PRESETS, "auto"]))
    hints = get_type_hints(PRESETS[name])
    known = inspect.signature(PRESETS[name]).parameters
    return MappingProxyType({option: hints.get(option, object) for option in known if option not in HEAD})


def build(
    name: str,
    event_shape: int | Shape,
    context_shape: int | Shape | None = None,
    *,
    context_net: ContextNet | None = None,
    support: Support = real,
    seed: int | None = None,
    **own: object,
) -> Flow:
    """The preset of this name: ``build("spline", 4, layers=3)`` is ``surflow.presets.spline(4, layers=3)``.

    Args:
        name: one of :func:`names`, or ``"auto"``: ``image`` for events of integers or, from 16 x 16 pixels on and if 4
            divides their sides, ``max-pool``; ``sort-flow`` for an even number of points; else ``spline``.
        event_shape: shape of one event.
        context_shape: shape of the context, a vector; not needed with a ``context_net``.
        context_net: the network that contexts pass through first.
        support: of events: real, positive, an interval, a product of these, or integers.
        seed: initial weights are a function of it; without one they come from torch's global generator.
        own: the preset's own options, such as ``layers``, ``hidden`` and ``bins``. Nothing is converted.

    Raises:
        ConfigError: for an unknown preset or option, with the nearest right one, or a value of another type.
        ShapeError: if the preset cannot have this event shape.
        SupportError: if it cannot have this support.

    >>> import torch
    >>> flow = build("abs-joint", 2, 3, hidden=(16, 16))
    >>> flow.exact, flow.log_prob(torch.ones(4, 2), torch.ones(4, 3)).shape
    (True, torch.Size([4]))
    >>> build("spline", 2, layer=3)
    Traceback (most recent call last):
    surflow.errors.ConfigError: unknown option of the preset 'spline' 'layer'; did you mean 'layers'?
    """
    if name == "auto":
        name, _ = choose(event_shape, support)
    _check(name, own)
    make = PRESETS[name]
    return make(event_shape, context_shape, context_net=context_net, support=support, seed=seed, **own)


def _check(name: str, own: Mapping[str, object]) -> None:
    """Raise ConfigError unless the preset has these options, with values of their types."""
    known: Mapping[str, Any] = options(name)
    for option in own:
        if option == "levels":  # of another name than what would be found as the nearest
            raise ConfigError("presets are told of integers by their support: pass support=surflow.Integers(levels)")
        if option not in known:
            raise ConfigError(unknown_name(f"option of the preset {name!r}", option, known))
    from pydantic import TypeAdapter, ValidationError  # a tenth of a second, which presets do not need

    for option, value in own.items():
        try:
            TypeAdapter(known[option]).validate_python(value, strict=True)
        except ValidationError as error:
            why = error.errors()[0]["msg"].removeprefix("Input ")
            raise ConfigError(f"the option {option!r} of the preset {name!r} {why}, got {value!r}") from error
