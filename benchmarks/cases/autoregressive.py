"""Three masked autoregressive layers of affine maps over 16 coordinates."""

from __future__ import annotations

from benchmarks.model import Case, Model

_SIZE, _BATCH, _LAYERS, _HIDDEN = 16, 512, 3, (128, 128)


def _surflow() -> Model:
    import surflow as sf
    from benchmarks import torch_models

    chain = [layer for _ in range(_LAYERS) for layer in (sf.Autoregressive(_SIZE, hidden=_HIDDEN), sf.Reverse(_SIZE))]
    flow = sf.Flow(chain, base=sf.Normal(_SIZE))
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH), (_SIZE,), _BATCH)


def _zuko() -> Model:
    import zuko

    from benchmarks import torch_models

    flow = zuko.flows.MAF(_SIZE, transforms=_LAYERS, hidden_features=_HIDDEN)
    return torch_models.density(
        flow.parameters(), lambda x: flow().log_prob(x), lambda: flow().sample((_BATCH,)), (_SIZE,), _BATCH
    )


# One block without a shortcut behind the first layer makes the two hidden layers.
_MADE = {"hidden_features": _HIDDEN[0], "num_blocks": len(_HIDDEN) - 1, "use_residual_blocks": False}


def _nflows() -> Model:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import CompositeTransform, MaskedAffineAutoregressiveTransform, ReversePermutation

    from benchmarks import torch_models

    chain = []
    for _ in range(_LAYERS):
        chain += [MaskedAffineAutoregressiveTransform(_SIZE, **_MADE), ReversePermutation(_SIZE)]
    flow = Flow(CompositeTransform(chain), StandardNormal([_SIZE]))
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH), (_SIZE,), _BATCH)


def _normflows() -> Model:
    import normflows as nf

    from benchmarks import torch_models

    chain = []
    for _ in range(_LAYERS):
        # Its layer draws in one pass and scores in sixteen: turned round, it is the others' layer. It has no
        # activation behind the first hidden layer.
        layer = nf.flows.Reverse(nf.flows.MaskedAffineAutoregressive(_SIZE, **_MADE))
        chain += [layer, nf.flows.Permute(_SIZE, mode="swap")]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(_SIZE, trainable=False), chain)
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH)[0], (_SIZE,), _BATCH)


def _flowjax() -> Model:
    import jax.random as jr
    from flowjax.flows import masked_autoregressive_flow

    from benchmarks import jax_models

    base = jax_models.standard_normal(_SIZE)
    flow = masked_autoregressive_flow(
        jr.key(0), base_dist=base, flow_layers=_LAYERS, nn_width=_HIDDEN[0], nn_depth=len(_HIDDEN)
    )
    return jax_models.density(flow, (_SIZE,), _BATCH)


def _limit() -> Model:
    from benchmarks import torch_models

    return torch_models.perceptron_limit([_SIZE, *_HIDDEN, 2 * _SIZE], _LAYERS, _BATCH, passes=_SIZE)


CASE = Case(
    {
        "surflow": _surflow,
        "zuko": _zuko,
        "nflows": _nflows,
        "normflows": _normflows,
        "flowjax": _flowjax,
        "limit": _limit,
    }
)
