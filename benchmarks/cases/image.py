"""Four steps of a learned 1x1 convolution and an affine coupling of channel halves, over images of 8 x 14 x 14."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.model import Case, Model

if TYPE_CHECKING:
    from torch import Tensor, nn

_SHAPE, _BATCH, _STEPS, _WIDTH = (8, 14, 14), 64, 4, 64
_HALF = _SHAPE[0] // 2


def _conditioner(inputs: int = _HALF, outputs: int = _SHAPE[0]) -> nn.Module:
    from torch import nn

    class Convolutions(nn.Sequential):
        def forward(self, x: Tensor, context: None = None) -> Tensor:  # nflows hands every network a context
            return super().forward(x)

    return Convolutions(
        nn.Conv2d(inputs, _WIDTH, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(_WIDTH, _WIDTH, 1),
        nn.ReLU(),
        nn.Conv2d(_WIDTH, outputs, 3, padding=1),
    )


def _surflow() -> Model:
    import surflow as sf
    from benchmarks import torch_models

    chain = [layer for _ in range(_STEPS) for layer in (sf.LULinear(_SHAPE), sf.Coupling(_SHAPE, net=_conditioner()))]
    flow = sf.Flow(chain, base=sf.Normal(_SHAPE))
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH), _SHAPE, _BATCH)


def _nflows() -> Model:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import AffineCouplingTransform, CompositeTransform, OneByOneConvolution

    from benchmarks import torch_models

    mask = [-1] * _HALF + [1] * _HALF
    chain = []
    for _ in range(_STEPS):
        chain += [OneByOneConvolution(_SHAPE[0]), AffineCouplingTransform(mask, _conditioner)]
    flow = Flow(CompositeTransform(chain), StandardNormal(_SHAPE))
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH), _SHAPE, _BATCH)


def _normflows() -> Model:
    import normflows as nf

    from benchmarks import torch_models

    chain = []
    for _ in range(_STEPS):
        chain += [nf.flows.AffineCouplingBlock(_conditioner()), nf.flows.Invertible1x1Conv(_SHAPE[0], use_lu=True)]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(_SHAPE, trainable=False), chain)
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH)[0], _SHAPE, _BATCH)


def _freia() -> Model:
    import torch
    from FrEIA.framework import SequenceINN
    from FrEIA.modules import AffineCouplingOneSided, Fixed1x1Conv

    from benchmarks import torch_models

    inn = SequenceINN(*_SHAPE)
    for _ in range(_STEPS):
        # It has no learned dense 1x1 convolution: this one stays the rotation that it starts from.
        inn.append(Fixed1x1Conv, M=torch.linalg.qr(torch.randn(_SHAPE[0], _SHAPE[0]))[0])
        inn.append(AffineCouplingOneSided, subnet_constructor=_conditioner)
    return torch_models.density(
        inn.parameters(),
        torch_models.Standard(inn, _SHAPE).log_prob,
        lambda: inn(torch_models.noise(inn, _BATCH, *_SHAPE), rev=True)[0],
        _SHAPE,
        _BATCH,
    )


def _limit() -> Model:
    """The conditioners' convolutions with nothing around them: no bias, no activation."""
    import torch
    import torch.nn.functional as F

    kinds = [(_HALF, _WIDTH, 3), (_WIDTH, _WIDTH, 1), (_WIDTH, _SHAPE[0], 3)]
    nets = [[torch.randn(b, a, k, k) / (a * k * k) ** 0.5 for a, b, k in kinds] for _ in range(_STEPS)]
    x = torch.randn(_BATCH, _HALF, *_SHAPE[1:])

    def run(net: list[torch.Tensor]) -> list[torch.Tensor]:
        values = [x]
        for weight in net:
            values.append(F.conv2d(values[-1], weight, padding=weight.shape[2] // 2))
        return values

    def forward() -> None:
        for net in nets:
            run(net)

    def train_step() -> None:
        # All values are kept until the way back, as a gradient needs them.
        for net, values in reversed([(net, run(net)) for net in nets]):
            slope = values[-1]
            for i in reversed(range(len(net))):
                around = [net[i].shape[2] // 2] * 2
                slope, _, _ = torch.ops.aten.convolution_backward(
                    slope, values[i], net[i], None, [1, 1], around, [1, 1], False, [0, 0], 1, [True, True, False]
                )

    size = _STEPS * sum(a * b * k * k for a, b, k in kinds)
    rows = _BATCH * _SHAPE[1] * _SHAPE[2]
    return Model({"train_step": train_step, "log_prob": forward, "sample": forward}, size, rows * size)


CASE = Case({"surflow": _surflow, "nflows": _nflows, "normflows": _normflows, "FrEIA": _freia, "limit": _limit})
