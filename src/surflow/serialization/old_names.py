"""What files and configurations of earlier versions call classes and arguments, and what these are called today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from surflow._internal.configurable import Configurable

CLASSES = {
    "Independent": "Joint",
    "Ravel": "RavelMultiIndex",
    "Orthonormal": "Orthogonal",
    "LogisticLevels": "DiscretizedLogisticMixture",
    "AutoregressiveLevels": "AutoregressiveDiscretizedLogistic",
    "BlockLevels": "BlockwiseDiscretizedLogistic",
}

# By class. What is not listed has kept its name.
_SHAPE = {"shape": "event_shape"}
_POOL = _SHAPE | {"block": "kernel_size", "hop": "stride"}
_SIZE = {"size": "event_shape"}
ARGUMENTS: dict[str, dict[str, str]] = {
    **dict.fromkeys(
        (
            "Abs",
            "ActNorm",
            "Augment",
            "Autoregressive",
            "ConditionalLinear",
            "Coupling",
            "Dequantize",
            "Elementwise",
            "Exp",
            "LULinear",
            "Linear",
            "Log",
            "LogGaps",
            "Logit",
            "MaskedCoupling",
            "On",
            "Orthogonal",
            "Permute",
            "PermuteAxes",
            "RaggedCells",
            "RandomPermutation",
            "RavelMultiIndex",
            "Rescale",
            "Reverse",
            "Sigmoid",
            "Slice",
            "Softplus",
            "Sort",
            "Squeeze",
            "Standardize",
            "Tanh",
        ),
        _SHAPE,
    ),
    **dict.fromkeys(("IntegerMaxPool", "MaxPool", "OverlappingMaxPool"), _POOL),
    **dict.fromkeys(("AscendingCategorical", "Max", "SortIntegers"), _SIZE),
    "BlockwiseDiscretizedLogistic": {"places": "positions"},
    "ConvNet": {"context": "context_shape"},
    "CausalTransformer": {"context_size": "context_shape"},
    "MaskedMLP": {"context_size": "context_shape"},
}


def today(name: str, arguments: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A class and its arguments, from a file or a configuration, as they are called today."""
    if name == "Coupling" and "mask" in arguments:  # halves and masks were one class
        masked = arguments["mask"] is not None
        unused = "axis" if masked else "mask"
        name, arguments = "MaskedCoupling" if masked else name, {k: v for k, v in arguments.items() if k != unused}
    if name not in Configurable.registry:  # where a program has a class of its own by an old name
        name = CLASSES.get(name, name)
    names = ARGUMENTS.get(name, {})
    return name, {names.get(k, k): v for k, v in arguments.items()}
