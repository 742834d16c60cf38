"""Surjection layers alone beside the same arithmetic in bare torch, and importance sampling of a small flow.

`bare` is what one writes by hand for this layer with these pieces and nothing else: no checks, no choice of pieces.
"""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

from benchmarks.model import Case, Model

if TYPE_CHECKING:
    from torch import Tensor

_LEVELS = 256


def _abs(*, bare: bool) -> Model:
    import torch

    import surflow as sf
    from benchmarks import torch_models

    x, z = torch.randn(1000, 64), torch.randn(1000, 64).abs()

    def fair(z: Tensor) -> Tensor:
        return z.new_full((z.shape[0],), -z.shape[1] * math.log(2))

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.abs(), fair(x)

    def inverse(z: Tensor) -> tuple[Tensor, Tensor]:
        return torch.where(torch.rand_like(z) < 0.5, z, -z), fair(z)

    if bare:
        return torch_models.layer([], forward, inverse, x, z)
    layer = sf.Abs(64)
    return torch_models.layer([], layer, layer.inverse, x, z)


def _max_pool(*, bare: bool) -> Model:
    import torch
    from torch import nn

    import surflow as sf
    from benchmarks import torch_models

    x, z = torch.randn(64, 4, 28, 28), torch.randn(64, 4, 14, 14)
    log_scale = nn.Parameter(torch.zeros(4, 14, 14, 3))
    place = torch.arange(3)
    constant = -4 * 14 * 14 * math.log(4) + 0.5 * log_scale.numel() * math.log(2 / math.pi)

    def below(d: Tensor) -> Tensor:
        return constant - (0.5 * (d * (-log_scale).exp()).square() + log_scale).flatten(1).sum(1)

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        blocks = x.reshape(-1, 4, 14, 2, 14, 2).transpose(3, 4).flatten(4)
        z, k = blocks.max(-1)
        d = z.unsqueeze(-1) - torch.where(place < k.unsqueeze(-1), blocks[..., :-1], blocks[..., 1:])
        return z, below(d)

    def inverse(z: Tensor) -> tuple[Tensor, Tensor]:
        k = torch.randint(4, (*z.shape, 1))
        d = torch.randn(*z.shape, 3).abs() * log_scale.exp()
        top = z.unsqueeze(-1)
        others = top - d
        blocks = torch.cat([others, top], -1).where(torch.arange(4) < k, torch.cat([top, others], -1))
        blocks = blocks.scatter(-1, k, top)
        return blocks.unflatten(4, (2, 2)).transpose(3, 4).reshape(-1, 4, 28, 28), below(d)

    if bare:
        return torch_models.layer([log_scale], forward, inverse, x, z)
    layer = sf.MaxPool((4, 28, 28))
    return torch_models.layer(layer.parameters(), layer, layer.inverse, x, z)


def _sort(*, bare: bool) -> Model:
    import torch

    import surflow as sf
    from benchmarks import torch_models

    x = torch.randn(1000, 32)
    z = torch.randn(1000, 32).sort(1).values

    def uniform(z: Tensor) -> Tensor:
        return z.new_full((z.shape[0],), -math.lgamma(33))

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.sort(1).values, uniform(x)

    def inverse(z: Tensor) -> tuple[Tensor, Tensor]:
        return z.gather(1, torch.rand_like(z).argsort(1)), uniform(z)

    if bare:
        return torch_models.layer([], forward, inverse, x, z)
    layer = sf.Sort(32)
    return torch_models.layer([], layer, layer.inverse, x, z)


def _dequantize(*, bare: bool) -> Model:
    import torch

    import surflow as sf
    from benchmarks import torch_models

    shape = (1, 28, 28)
    x, z = torch.randint(_LEVELS, (64, *shape)).float(), torch.rand(64, *shape) * _LEVELS

    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return x + torch.rand_like(x), x.new_zeros(x.shape[0])

    def inverse(z: Tensor) -> tuple[Tensor, Tensor]:
        return z.floor().clamp(0, _LEVELS - 1), z.new_zeros(z.shape[0])

    if bare:
        return torch_models.layer([], forward, inverse, x, z)
    layer = sf.Dequantize(shape, levels=_LEVELS)
    return torch_models.layer([], layer, layer.inverse, x, z)


CASES = {
    f"layers.{name}": Case({"surflow": partial(build, bare=False), "bare": partial(build, bare=True)})
    for name, build in {"abs": _abs, "max_pool": _max_pool, "sort": _sort, "dequantize": _dequantize}.items()
}


def importance(samples: int) -> Model:
    """The bound of a small flow of dequantisation and augmentation, with so many importance samples."""
    import torch

    import surflow as sf

    chain = [sf.Dequantize(4, levels=_LEVELS), sf.Logit(4, low=0, high=_LEVELS), sf.Augment(4, noise=4)]
    for _ in range(4):
        chain += [sf.Coupling(8, hidden=(64, 64)), sf.Reverse(8)]
    flow = sf.Flow(chain, base=sf.Normal(8))
    x = torch.randint(_LEVELS, (100, 4)).float()

    @torch.no_grad()
    def log_prob() -> Tensor:
        return flow.log_prob(x, importance_samples=samples)

    parameters = list(flow.parameters())
    weights = sum(p.numel() for p in parameters if p.ndim > 1)
    return Model({"log_prob": log_prob}, sum(p.numel() for p in parameters), samples * len(x) * weights)


#: numbers of importance samples along which time and memory are followed
SIZES: dict[str, tuple[int, ...]] = {"importance": (1, 10, 100, 1000)}
SCALING = {f"scaling.importance.{k}": Case({"surflow": partial(importance, k)}) for k in SIZES["importance"]}
