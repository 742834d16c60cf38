"""What files and configurations of earlier versions call classes, arguments and tensors, and what these are today."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from surflow._internal.configurable import Configurable
from surflow._internal.standardizer import Standardizer

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


def state_today(flow: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a file, where those that standardise have no place of their own yet, as they are called today.

    Standardize and Summary had a shift and a scale of the networks' type, and ActNorm learned those of the data.
    """
    state = dict(state)
    for name, part in flow.named_modules():
        owner = name.removesuffix("standardizer")
        fitted = state.pop(f"{owner}fitted", None) if isinstance(part, Standardizer) else None
        if fitted is None:
            continue
        new = {name: torch.zeros_like(tensor) for name, tensor in part.state_dict().items()}
        new["fitted"] = fitted
        old = {key: state.get(owner + key) for key in ("shift", "log_scale", "mean", "projection")}
        kind = next((tensor.dtype for tensor in old.values() if tensor is not None), torch.float32)
        new["x_like"] = torch.empty(0, dtype=torch.promote_types(kind, torch.float32))
        if old["mean"] is not None:  # a Summary; a vector scaled coordinates, a matrix projected on components
            new["shift"] = state.pop(owner + "mean").double()
            projection = old["projection"]
            if projection is not None and projection.ndim == 1:
                new["log_scale"] = -state.pop(owner + "projection").double().log()
            elif projection is not None:
                state[owner + "projection"] = projection.double()
        elif isinstance(getattr(flow.get_submodule(owner[:-1]), "shift", None), nn.Parameter):
            pass  # an ActNorm keeps what it learned, after a shift of 0 and a scale of 1
        elif old["shift"] is not None and old["log_scale"] is not None:
            new |= {key: state.pop(owner + key).double() for key in ("shift", "log_scale")}
        state |= {f"{name}.{key}": tensor for key, tensor in new.items()}
    return state
