"""zuko, nflows and normflows: their neural spline flows, on standardised rows, in the loop that examples have."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.race.track import Rows, Scale, Score, Track

LogProb = Callable[[Tensor, Tensor | None], Tensor]


def zuko(name: str, rows: Rows, track: Track) -> None:
    """As zuko's quick start has it: 3 autoregressive transforms, 3 layers of 128, 8 bins, Adam 1e-3, batches of 256."""
    from zuko.flows import NSF

    flow = NSF(rows.dim, rows.context_dim, transforms=3, hidden_features=[128] * 3)

    def log_prob(z: Tensor, context: Tensor | None) -> Tensor:
        return flow(context).log_prob(z)

    _train(flow, log_prob, torch.optim.Adam(flow.parameters(), lr=1e-3), 256, rows, track)


def nflows(name: str, rows: Rows, track: Track) -> None:
    """RQ-NSF (C) with the layers, optimiser and clipping of its paper, arXiv 1906.04032, in the size in which the
    package sbi builds it: 5 couplings with 2 residual blocks of 50, 10 bins, Adam 5e-4, batches of 512.
    """
    from nflows.distributions import StandardNormal
    from nflows.flows import Flow
    from nflows.nn.nets import ResidualNet
    from nflows.transforms import (
        CompositeTransform,
        LULinear,
        PiecewiseRationalQuadraticCouplingTransform,
        RandomPermutation,
    )
    from nflows.utils import create_alternating_binary_mask

    def net(inputs: int, outputs: int) -> nn.Module:
        return ResidualNet(inputs, outputs, hidden_features=50, context_features=rows.context_dim or None, num_blocks=2)

    layers: list[nn.Module] = []
    for i in range(5):
        mask = create_alternating_binary_mask(rows.dim, even=i % 2 == 0)
        layers += [
            RandomPermutation(rows.dim),
            LULinear(rows.dim, identity_init=True),
            PiecewiseRationalQuadraticCouplingTransform(mask, net, num_bins=10, tails="linear", tail_bound=3.0),
        ]
    flow = Flow(CompositeTransform(layers), StandardNormal([rows.dim]))
    optimizer = torch.optim.Adam(flow.parameters(), lr=5e-4)
    _train(flow, flow.log_prob, optimizer, 512, rows, track, clip=5.0)


def normflows(name: str, rows: Rows, track: Track) -> None:
    """As its example of a neural spline flow has it: 16 autoregressive layers, 2 blocks of 128, LU permutations, Adam
    1e-3 with weight decay 1e-5, batches of 512.
    """
    import normflows as nf

    context = rows.context_dim or None
    layers: list[nn.Module] = []
    for _ in range(16):
        layers += [
            nf.flows.AutoregressiveRationalQuadraticSpline(rows.dim, 2, 128, num_context_channels=context),
            nf.flows.LULinearPermute(rows.dim),
        ]
    base = nf.distributions.DiagGaussian(rows.dim, trainable=False)
    flow = nf.NormalizingFlow(base, layers) if context is None else nf.ConditionalNormalizingFlow(base, layers)

    def log_prob(z: Tensor, given: Tensor | None) -> Tensor:
        return flow.log_prob(z) if given is None else flow.log_prob(z, given)

    optimizer = torch.optim.Adam(flow.parameters(), lr=1e-3, weight_decay=1e-5)
    _train(flow, log_prob, optimizer, 512, rows, track)


def _train(
    flow: nn.Module,
    log_prob: LogProb,
    optimizer: torch.optim.Optimizer,
    batch: int,
    rows: Rows,
    track: Track,
    clip: float | None = None,
) -> None:
    """Shuffled batches until the seconds are used; where rows were integers, with fresh noise on them every time."""
    (x, context), (integers, _) = rows.of("train"), rows.of("train", integers=True)
    scale, context_scale = Scale.of(x), None if context is None else Scale.of(context)
    noisy = integers is not x
    z = torch.from_numpy(scale(integers if noisy else x))
    step = torch.from_numpy(1 / scale.deviation).float()
    given = None if context is None or context_scale is None else torch.from_numpy(context_scale(context))

    def in_units(x: np.ndarray, context: np.ndarray | None) -> Tensor:
        c = None if context is None or context_scale is None else torch.from_numpy(context_scale(context))
        return log_prob(torch.from_numpy(scale(x)), c) + scale.log_det

    score = scorer(flow, in_units)
    with watched(track, lambda _: score):
        while True:
            for part in torch.randperm(len(z)).split(batch):
                event = z[part] + step * torch.rand(len(part), len(step)) if noisy else z[part]
                loss = -log_prob(event, None if given is None else given[part]).mean()
                optimizer.zero_grad()
                loss.backward()
                if clip is not None:
                    nn.utils.clip_grad_norm_(flow.parameters(), clip)
                optimizer.step()


def scorer(module: nn.Module, log_prob: Callable[[np.ndarray, np.ndarray | None], Tensor]) -> Score:
    """Log-densities of a model that is trained, without a trace in its training."""

    def score(x: np.ndarray, context: np.ndarray | None) -> np.ndarray:
        training = module.training
        module.eval()
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            found = log_prob(x, context)
        module.train(training)
        return found.numpy()

    return score


@contextmanager
def watched(track: Track, score_of: Callable[[torch.optim.Optimizer], Score]) -> Iterator[None]:
    """Call ``track.step`` after every step of any optimiser of torch, whoever's loop it is in."""
    hook = register_optimizer_step_post_hook(lambda optimizer, *_: track.step(score_of(optimizer)))
    try:
        yield
    finally:
        hook.remove()
