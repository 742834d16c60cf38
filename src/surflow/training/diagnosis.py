"""What is wrong with a run: the first value in a chain that is no finite number, layers fitted to other data."""

from __future__ import annotations

import warnings

import torch
from torch import Tensor, nn

from surflow._internal.numbers import not_finite
from surflow._internal.standardizer import Standardizer
from surflow.distribution import Distribution
from surflow.flow import Flow
from surflow.training.batches import Batch
from surflow.transform import Transform, layer_name

_ADVICE = "; a smaller lr or clip=1 may help"


@torch.no_grad()
def explain(flow: Distribution, batch: Batch) -> str:
    """Walk the chain on a batch that gave a loss that is not finite, and say what is first to blame."""
    x, context, weight = batch
    for name, part in (("x", x), ("context", context), ("weight", weight)):
        if part is not None and not_finite(part, flow.support.undefined if name == "x" else None).any():
            return f"the batch's {name} holds values that are not finite"
    outside = int((~flow.support.contains(x)).sum())
    if outside:
        return f"{outside} rows of the batch lie outside the flow's support {flow.support!r}"
    if not isinstance(flow, Flow):
        return f"{type(flow).__name__} gives values that are not finite{_weights(flow)}"
    given = flow._embed(context)
    if given is not None and not given.isfinite().all():
        return f"the context_net gives values that are not finite{_weights(flow.context_net)}"
    for position, layer in enumerate(flow.transforms):
        assert isinstance(layer, Transform)  # as the flow checked
        x, V = layer(flow._at(position, x), given)
        bad = [name for name, value in (("z", x), ("V", V)) if not value.isfinite().all()]
        if bad:
            rows = _bad_rows(x, V)
            return (
                f"the first values that are not finite come from {layer_name(layer)} (position {position}), in its "
                f"{' and '.join(bad)}, for {rows} of {len(V)} rows{_weights(layer)}{_ADVICE}"
            )
    base = flow.base.elbo(flow._at(len(flow.transforms), x), flow.base._own(given))
    if not base.isfinite().all():
        name = type(flow.base).__name__
        return f"the first values that are not finite come from the base {name}{_weights(flow.base)}{_ADVICE}"
    return "every layer alone gives finite values on the rows of this device"


def warn_of_others(flow: Distribution) -> None:
    """Warn where ``initialize`` found layers that were fitted before, to other data: they keep what they have."""
    if not isinstance(flow, Flow):
        return
    kept = ["its context_net"] if _saw_others(flow.context_net) else []
    for position, layer in enumerate(flow.transforms):
        if _saw_others(layer):
            kept.append(f"{layer_name(layer)} (position {position})")
        if any(p.requires_grad for p in layer.parameters()):
            break  # what follows is given other numbers because these have learned
    if kept:
        warnings.warn(
            f"the flow was fitted to other data before, and keeps their shift and scale in {', '.join(kept)}: build a "
            "new flow for data of another size",
            UserWarning,
            stacklevel=3,
        )


def _saw_others(module: nn.Module | None) -> bool:
    parts = [] if module is None else module.modules()
    return any(isinstance(part, Standardizer) and part.saw_others for part in parts)


def _bad_rows(x: Tensor, V: Tensor) -> int:
    return int((~(x.isfinite().flatten(1).all(1) & V.isfinite())).sum())


def _weights(module: nn.Module | None) -> str:
    bad = [name for name, p in module.named_parameters() if not p.isfinite().all()] if module is not None else []
    return f" (its weights {bad[0]} are not finite: the gradient of an earlier step was not)" if bad else ""
