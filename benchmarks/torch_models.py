"""Models of the libraries on torch: one training step, score and draw for all of them, and the bounds beside them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from benchmarks.model import Model

# Batches that training cycles through, so that no step meets the data of the step before in the cache alone.
_RING = 4


class Perceptron(nn.Sequential):
    """The conditioner for libraries that take any network; contexts are joined to the inputs."""

    def __init__(self, inputs: int, outputs: int, hidden: Sequence[int]) -> None:
        widths = [inputs, *hidden]
        layers = [module for a, b in itertools.pairwise(widths) for module in (nn.Linear(a, b), nn.ReLU())]
        super().__init__(*layers, nn.Linear(widths[-1], outputs))
        self.hidden_features = hidden[0]  # nflows and normflows scale a spline's raw parameters by it

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        return super().forward(x if context is None else torch.cat([x, context], 1))


class Standard:
    """The standard normal for a library that leaves the base to its user."""

    def __init__(self, forward: Callable[..., tuple[Tensor, Tensor]], shape: tuple[int, ...]) -> None:
        self.forward = forward
        self.constant = -0.5 * torch.Size(shape).numel() * torch.log(torch.tensor(2 * torch.pi)).item()

    def log_prob(self, x: Tensor, *context: Tensor) -> Tensor:
        z, log_det = self.forward(x, *context)
        return log_det - 0.5 * z.square().flatten(1).sum(1) + self.constant


def noise(model: nn.Module, *shape: int) -> Tensor:
    """A draw of the base on the model's device."""
    return torch.randn(shape, device=next(model.parameters()).device)


def density(
    parameters: Iterable[nn.Parameter],
    log_prob: Callable[..., Tensor],
    sample: Callable[..., Tensor],
    shape: tuple[int, ...],
    batch: int,
    context: int | None = None,
) -> Model:
    """A flow: ``log_prob(x)`` and ``sample()``, or with the context as one argument more."""
    data = [torch.randn(batch, *shape) for _ in range(_RING)]
    contexts = [(torch.randn(batch, context),) if context else () for _ in range(_RING)]
    ring = itertools.cycle(list(zip(data, contexts, strict=True)))
    trained = [p for p in parameters if p.requires_grad]
    # The same optimiser for all; steps so small that after hundreds of them the model still is what it was.
    optimizer = torch.optim.Adam(trained, lr=1e-4, fused=True)

    def train_step() -> None:
        x, given = next(ring)
        optimizer.zero_grad(set_to_none=True)
        (-log_prob(x, *given).mean()).backward()
        optimizer.step()

    @torch.no_grad()
    def score() -> Tensor:
        x, given = next(ring)
        return log_prob(x, *given)

    @torch.no_grad()
    def draw() -> Tensor:
        return sample(*next(ring)[1])

    def sound() -> bool:
        x, scores = draw(), score()
        shapes = (tuple(x.shape), tuple(scores.shape)) == ((batch, *shape), (batch,))
        return shapes and bool(x.isfinite().all() and scores.isfinite().all())

    rows = batch * torch.Size(shape[1:]).numel()
    weights = sum(p.numel() for p in trained if p.ndim > 1)
    return Model(
        {"train_step": train_step, "log_prob": score, "sample": draw},
        sum(p.numel() for p in trained),
        rows * weights,
        sound,
    )


def compiled(model: Model) -> Model:
    """A model of ours with its splines as kernels that torch compiles, ``surflow.compiled``."""
    import surflow as sf

    def within(action: Callable[[], object]) -> Callable[[], object]:
        def run() -> object:
            with sf.compiled():
                return action()

        return run

    return replace(model, actions={name: within(action) for name, action in model.actions.items()})


def layer(
    parameters: Iterable[nn.Parameter],
    forward: Callable[[Tensor], tuple[Tensor, Tensor]],
    inverse: Callable[[Tensor], tuple[Tensor, Tensor]],
    x: Tensor,
    z: Tensor,
) -> Model:
    """A layer alone: forward and backward to input and parameters, and the inverse."""
    leaves = [x.requires_grad_(), *parameters]

    def train_step() -> None:
        for leaf in leaves:
            leaf.grad = None
        there, V = forward(x)
        (there.sum() + V.sum()).backward()

    @torch.no_grad()
    def draw() -> Tensor:
        back, _ = inverse(z)
        return back

    return Model({"train_step": train_step, "sample": draw}, sum(p.numel() for p in leaves[1:]), 0)


def perceptron_limit(widths: Sequence[int], nets: int, batch: int, passes: int = 1) -> Model:
    """The matrix products of all conditioners with nothing around them: no bias, no activation, no allocation.

    ``passes`` is how often a draw runs each network.
    """
    pairs = list(itertools.pairwise(widths))
    weights = [[torch.randn(b, a) / a**0.5 for a, b in pairs] for _ in range(nets)]
    values = [[torch.randn(batch, width) for width in widths] for _ in range(nets)]
    slopes = [[torch.randn(batch, width) for width in widths] for _ in range(nets)]
    updates = [[torch.empty_like(weight) for weight in net] for net in weights]

    def forward() -> None:
        for net, x in zip(weights, values, strict=True):
            for i, weight in enumerate(net):
                torch.mm(x[i], weight.T, out=x[i + 1])

    def train_step() -> None:
        forward()
        for net, x, slope, update in zip(weights, values, slopes, updates, strict=True):
            for i in reversed(range(len(net))):
                torch.mm(slope[i + 1].T, x[i], out=update[i])
                torch.mm(slope[i + 1], net[i], out=slope[i])

    def draw() -> None:
        for _ in range(passes):
            forward()

    size = nets * sum(a * b for a, b in pairs)
    return Model({"train_step": train_step, "log_prob": forward, "sample": draw}, size, batch * size)
