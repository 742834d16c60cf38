"""Six affine couplings over 8 coordinates, given a context of 100 numbers."""

from __future__ import annotations

from functools import partial

from benchmarks.model import Case, Model

# normflows is missing: its affine couplings take no context.
_SIZE, _BATCH, _LAYERS, _HIDDEN, _CONTEXT = 8, 512, 6, (64,) * 3, 100
_HALF = _SIZE // 2


def _surflow() -> Model:
    import surflow as sf
    from benchmarks import torch_models

    chain = []
    for _ in range(_LAYERS):
        chain += [sf.Coupling(_SIZE, _CONTEXT, hidden=_HIDDEN), sf.Reverse(_SIZE)]
    flow = sf.Flow(chain, base=sf.Normal(_SIZE))
    return torch_models.density(
        flow.parameters(), flow.log_prob, lambda c: flow.sample(context=c), (_SIZE,), _BATCH, _CONTEXT
    )


def _zuko() -> Model:
    import zuko

    from benchmarks import torch_models

    flow = zuko.flows.RealNVP(_SIZE, _CONTEXT, transforms=_LAYERS, hidden_features=_HIDDEN)
    return torch_models.density(
        flow.parameters(), lambda x, c: flow(c).log_prob(x), lambda c: flow(c).sample(), (_SIZE,), _BATCH, _CONTEXT
    )


def _nflows() -> Model:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import AffineCouplingTransform, CompositeTransform

    from benchmarks import torch_models

    def net(inputs: int, outputs: int) -> torch_models.Perceptron:
        return torch_models.Perceptron(inputs + _CONTEXT, outputs, _HIDDEN)

    first = [-1] * _HALF + [1] * _HALF
    masks = [first[::-1] if i % 2 else first for i in range(_LAYERS)]
    flow = Flow(CompositeTransform([AffineCouplingTransform(mask, net) for mask in masks]), StandardNormal([_SIZE]))
    return torch_models.density(
        flow.parameters(), flow.log_prob, lambda c: flow.sample(1, c)[:, 0], (_SIZE,), _BATCH, _CONTEXT
    )


def _freia() -> Model:
    from FrEIA.framework import SequenceINN
    from FrEIA.modules import AffineCouplingOneSided, PermuteRandom

    from benchmarks import torch_models

    inn = SequenceINN(_SIZE)
    for i in range(_LAYERS):
        net = partial(torch_models.Perceptron, hidden=_HIDDEN)
        inn.append(AffineCouplingOneSided, cond=0, cond_shape=(_CONTEXT,), subnet_constructor=net)
        inn.append(PermuteRandom, seed=i)
    return torch_models.density(
        inn.parameters(),
        torch_models.Standard(lambda x, c: inn(x, c=[c]), (_SIZE,)).log_prob,
        lambda c: inn(torch_models.noise(inn, _BATCH, _SIZE), c=[c], rev=True)[0],
        (_SIZE,),
        _BATCH,
        _CONTEXT,
    )


def _flowjax() -> Model:
    import jax.random as jr
    from flowjax.flows import coupling_flow

    from benchmarks import jax_models

    flow = coupling_flow(
        jr.key(0),
        base_dist=jax_models.standard_normal(_SIZE),
        cond_dim=_CONTEXT,
        flow_layers=_LAYERS,
        nn_width=_HIDDEN[0],
        nn_depth=len(_HIDDEN),
    )
    return jax_models.density(flow, (_SIZE,), _BATCH, _CONTEXT)


def _limit() -> Model:
    from benchmarks import torch_models

    return torch_models.perceptron_limit([_HALF + _CONTEXT, *_HIDDEN, _SIZE], _LAYERS, _BATCH)


CASE = Case(
    {"surflow": _surflow, "zuko": _zuko, "nflows": _nflows, "FrEIA": _freia, "flowjax": _flowjax, "limit": _limit}
)
