"""A training step of the paper's PermuteFlow at full size, beside that of its transformers alone."""

from __future__ import annotations

import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor

import torch
from torch import Tensor, nn

import surflow as sf
from surflow.app.page import Section
from surflow.flow import Flow
from surflow_experiments.cells import Cell, Outcome
from surflow_experiments.digits import DIGITS
from surflow_experiments.point_clouds.models import MODELS, SHAPE

# As in the paper: 32 steps of two transformers of two layers, of width 64.
STEPS = 32


def run(cell: Cell) -> Outcome:
    """Time both steps, and measure the memory of the flow's in a process of its own."""
    spec = cell.spec
    steps, batch = spec["steps"], spec["batch_size"]
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        found = pool.submit(measure, steps, batch).result()
    units = {"step_milliseconds": "ms", "bare_milliseconds": "ms", "memory": "GiB"}
    return cell.outcome((name, value, None, units.get(name, "1")) for name, value in found.items())


def measure(steps: int, batch: int) -> dict[str, float]:
    """Milliseconds of a step of the flow and of its transformers, their ratio, and the peak of memory in GiB.

    The transformers alone are fed numbers of the shapes that the couplings feed them, and their mean square is the
    loss: the same arithmetic, without the flow around it.
    """
    torch.set_num_threads(1)
    with sf.seeded(0):
        flow = MODELS["permute-flow"](steps=STEPS)
        x, context = 28 * torch.rand(batch, *SHAPE), torch.randint(DIGITS, (batch, 1)).float()
        flow.initialize(x, context)
        seconds = _seconds(flow, lambda: -flow.elbo(x, context).mean(), steps)
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**30 if sys.platform == "darwin" else 2**20)
        nets, inputs = _transformers(flow, batch)

        def loss() -> Tensor:
            return sum((net(given).square().mean() for net, given in zip(nets, inputs, strict=True)), torch.zeros(()))

        bare = _seconds(nets, loss, steps)
    return {
        "step_milliseconds": 1000 * seconds,
        "bare_milliseconds": 1000 * bare,
        "step_ratio": seconds / bare,
        "memory": memory,
        "parameters": float(sum(p.numel() for p in flow.parameters())),
    }


def _transformers(flow: Flow, batch: int) -> tuple[nn.ModuleList, list[Tensor]]:
    couplings = [layer for layer in flow.transforms if isinstance(layer, sf.Coupling)]
    inputs = []
    for layer in couplings:
        coordinates, points = (layer.sizes[0], SHAPE[1]) if layer.axis == 0 else (SHAPE[0], layer.sizes[0])
        inputs.append(torch.randn(batch, coordinates + DIGITS, points))
    return nn.ModuleList(layer.net for layer in couplings), inputs


def _seconds(module: nn.Module, loss: Callable[[], Tensor], steps: int) -> float:
    """The median time of a step of Adam."""
    optimizer = torch.optim.Adam(module.parameters(), 1e-3, fused=True)
    times = []
    for _ in range(steps + 1):
        started = time.perf_counter()
        value = loss()
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        times.append(time.perf_counter() - started)
    return sorted(times[1:])[len(times[1:]) // 2]


def section(outcome: Outcome) -> Section:
    """A table of what was measured."""
    head = ["milliseconds a step", "the transformers alone", "ratio", "GiB", "parameters"]
    names = ["step_milliseconds", "bare_milliseconds", "step_ratio", "memory", "parameters"]
    values = [f"{outcome.value(name):.3g}" if name != "parameters" else f"{outcome.value(name):,.0f}" for name in names]
    text = (
        f"The paper's PermuteFlow of {STEPS} steps, a training step with {outcome.cell.spec['batch_size']} clouds on "
        "one thread in single precision, beside the same transformers without the flow."
    )
    return Section(
        "full-size", "full size", [text], tables=[{"head": head, "rows": [values], "numbers": [0, 1, 2, 3, 4]}]
    )
