"""Eight couplings of rational-quadratic splines, for vectors of any even size."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from benchmarks.model import Case, Model

_BATCH, _LAYERS, _HIDDEN, _BINS, _BOUND = 512, 8, (128, 128), 8, 5.0


def _surflow(size: int, *, compiled: bool = False) -> Model:
    import surflow as sf
    from benchmarks import torch_models

    chain = []
    for _ in range(_LAYERS):
        chain += [sf.Coupling(size, map=sf.SplineMap(bins=_BINS, bound=_BOUND), hidden=_HIDDEN), sf.Reverse(size)]
    flow = sf.Flow(chain, base=sf.Normal(size))
    model = torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH), (size,), _BATCH)
    return torch_models.compiled(model) if compiled else model


def _halves(size: int) -> list[list[bool]]:
    """Masks, True where a coordinate conditions: the first half and the second in turn."""
    return [[(i < size // 2) == (layer % 2 == 0) for i in range(size)] for layer in range(_LAYERS)]


def _zuko(size: int) -> Model:
    import torch
    import zuko

    from benchmarks import torch_models

    spline = partial(zuko.transforms.MonotonicRQSTransform, bound=_BOUND)
    shapes = [(_BINS,), (_BINS,), (_BINS - 1,)]
    couplings = [
        zuko.flows.GeneralCouplingTransform(
            size, mask=torch.tensor(mask), univariate=spline, shapes=shapes, hidden_features=_HIDDEN
        )
        for mask in _halves(size)
    ]
    base = zuko.lazy.UnconditionalDistribution(
        zuko.distributions.DiagNormal, torch.zeros(size), torch.ones(size), buffer=True
    )
    flow = zuko.lazy.Flow(couplings, base)
    return torch_models.density(
        flow.parameters(), lambda x: flow().log_prob(x), lambda: flow().sample((_BATCH,)), (size,), _BATCH
    )


def _of_durkan(coupling: Callable, size: int) -> list:
    """The couplings of Durkan et al., which nflows and normflows share."""
    import torch

    from benchmarks import torch_models

    net = partial(torch_models.Perceptron, hidden=_HIDDEN)
    masks = [torch.tensor([-1 if conditions else 1 for conditions in mask]) for mask in _halves(size)]
    return [coupling(mask, net, num_bins=_BINS, tails="linear", tail_bound=_BOUND) for mask in masks]


def _nflows(size: int) -> Model:
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.transforms import CompositeTransform, PiecewiseRationalQuadraticCouplingTransform

    from benchmarks import torch_models

    chain = CompositeTransform(_of_durkan(PiecewiseRationalQuadraticCouplingTransform, size))
    flow = Flow(chain, StandardNormal([size]))
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH), (size,), _BATCH)


def _normflows(size: int) -> Model:
    import normflows as nf
    from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling

    from benchmarks import torch_models

    # Its ready-made layer has a residual network; this is what it wraps.
    chain = [nf.flows.Reverse(coupling) for coupling in _of_durkan(PiecewiseRationalQuadraticCoupling, size)]
    flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(size, trainable=False), chain)
    return torch_models.density(flow.parameters(), flow.log_prob, lambda: flow.sample(_BATCH)[0], (size,), _BATCH)


def _flowjax(size: int) -> Model:
    import jax.random as jr
    from flowjax.bijections import RationalQuadraticSpline
    from flowjax.flows import coupling_flow

    from benchmarks import jax_models

    flow = coupling_flow(
        jr.key(0),
        base_dist=jax_models.standard_normal(size),
        # Inner knots: one fewer than bins.
        transformer=RationalQuadraticSpline(knots=_BINS - 1, interval=_BOUND),
        flow_layers=_LAYERS,
        nn_width=_HIDDEN[0],
        nn_depth=len(_HIDDEN),
    )
    return jax_models.density(flow, (size,), _BATCH)


def _limit(size: int) -> Model:
    from benchmarks import torch_models

    outputs = (3 * _BINS - 1) * (size // 2)
    return torch_models.perceptron_limit([size // 2, *_HIDDEN, outputs], _LAYERS, _BATCH)


def case(size: int) -> Case:
    """Vectors of ``size`` coordinates."""
    builders: dict[str, Callable[..., Model]] = {
        "surflow": _surflow,
        "surflow-compiled": partial(_surflow, compiled=True),
        "zuko": _zuko,
        "nflows": _nflows,
        "normflows": _normflows,
        "flowjax": _flowjax,
        "limit": _limit,
    }
    # flowjax learns the slopes at the ends, too: 25 numbers a spline and not 23.
    return Case({name: partial(build, size) for name, build in builders.items()}, tolerance={"flowjax": 0.09})
