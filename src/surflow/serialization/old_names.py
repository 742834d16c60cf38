"""Names of the first format of files and configurations, and what they are called today."""

from __future__ import annotations

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
}
