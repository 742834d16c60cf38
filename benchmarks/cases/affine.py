"""Ten affine couplings in the plane with deep conditioners, and the same flow in other sizes."""

from __future__ import annotations

from functools import partial

from benchmarks.model import Case, Model

_SIZE, _BATCH, _LAYERS, _HIDDEN = 2, 1000, 10, (64,) * 5


def surflow(size: int = _SIZE, batch: int = _BATCH, layers: int = _LAYERS) -> Model:
    """The affine coupling flow, in surflow."""
    import surflow as sf
    from benchmarks import torch_models

    chain = [layer for _ in range(layers) for layer in (sf.Coupling(size, hidden=_HIDDEN), sf.Reverse(size))]
    flow = sf.Flow(chain, base=sf.Normal(size))
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(batch), (size,), batch)


def _zuko() -> Model:
    import zuko

    from benchmarks import torch_models

    # Alternating masks, zuko's own way, take the place of permutations.
    flow = zuko.flows.RealNVP(_SIZE, transforms=_LAYERS, hidden_features=_HIDDEN)
    return torch_models.density(
        flow.parameters(), lambda x: flow().log_prob(x), lambda: flow().sample((_BATCH,)), (_SIZE,), _BATCH
    )


def _nflows() -> Model:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import AffineCouplingTransform, CompositeTransform

    from benchmarks import torch_models

    net = partial(torch_models.Perceptron, hidden=_HIDDEN)
    masks = [[1, -1] if i % 2 else [-1, 1] for i in range(_LAYERS)]
    flow = Flow(CompositeTransform([AffineCouplingTransform(mask, net) for mask in masks]), StandardNormal([_SIZE]))
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH), (_SIZE,), _BATCH)


def _normflows() -> Model:
    import normflows as nf

    from benchmarks import torch_models

    chain = []
    for _ in range(_LAYERS):
        net = torch_models.Perceptron(_SIZE // 2, _SIZE, _HIDDEN)
        chain += [nf.flows.AffineCouplingBlock(net), nf.flows.Permute(_SIZE, mode="swap")]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(_SIZE, trainable=False), chain)
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH)[0], (_SIZE,), _BATCH)


def _freia() -> Model:
    import torch
    from FrEIA.framework import SequenceINN
    from FrEIA.modules import AffineCouplingOneSided, FixedLinearTransform

    from benchmarks import torch_models

    inn = SequenceINN(_SIZE)
    for _ in range(_LAYERS):
        inn.append(AffineCouplingOneSided, subnet_constructor=partial(torch_models.Perceptron, hidden=_HIDDEN))
        # The library's own permutation is random, and in the plane often none: some couplings would be in vain.
        inn.append(FixedLinearTransform, M=torch.eye(_SIZE).flip(0))
    return torch_models.density(
        inn.parameters(),
        torch_models.Standard(inn, (_SIZE,)).log_prob,
        lambda: inn(torch_models.noise(inn, _BATCH, _SIZE), rev=True)[0],
        (_SIZE,),
        _BATCH,
    )


def _flowjax() -> Model:
    import jax.random as jr
    from flowjax.flows import coupling_flow

    from benchmarks import jax_models

    base = jax_models.standard_normal(_SIZE)
    flow = coupling_flow(jr.key(0), base_dist=base, flow_layers=_LAYERS, nn_width=_HIDDEN[0], nn_depth=len(_HIDDEN))
    return jax_models.density(flow, (_SIZE,), _BATCH)


def _limit() -> Model:
    from benchmarks import torch_models

    return torch_models.perceptron_limit([_SIZE // 2, *_HIDDEN, _SIZE], _LAYERS, _BATCH)


CASE = Case(
    {
        "surflow": surflow,
        "zuko": _zuko,
        "nflows": _nflows,
        "normflows": _normflows,
        "FrEIA": _freia,
        "flowjax": _flowjax,
        "limit": _limit,
    }
)

#: sizes along which time and memory are followed, all others as above
SIZES: dict[str, tuple[int, ...]] = {
    "size": (2, 8, 32, 128, 512, 1024),
    "batch": (1, 16, 256, 4096, 65536),
    "layers": (1, 2, 4, 8, 16, 32, 64),
}
SCALING = {
    f"scaling.{axis}.{value}": Case({"surflow": partial(surflow, **{axis: value})})
    for axis, values in SIZES.items()
    for value in values
}
