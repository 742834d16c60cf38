"""The core's figures of merit, measured and written to docs/results/core.json.

    python -m surflow_experiments.core [PART ...]      parts: checkerboard, demo, overhead, agreement, ...

- checkerboard: the default preset, one minute of training, gap to the entropy in nats.
- demo: what ``make demo`` trains, against a full-covariance Gaussian.
- overhead: one training step of ``fit`` against a bare torch loop of the same arithmetic, one thread, process time.
- agreement: a million draws of every preset in the plane against its density, chi-square over a grid of boxes.
- bounds: a linear-Gaussian augment chain, the k-sample bound against the closed form.
- pooling: importance-sampled mass of overlapping max pooling, for every kernel size and stride on small images.
"""

from __future__ import annotations

import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

import surflow as sf
from surflow.app import runs
from surflow.app.config import parse_config
from surflow.evaluation import Row, evaluate, read_results, write_results
from surflow_experiments.estimates import chi_square, median_and_error

RESULTS = Path("docs/results/core.json")


def _row(case: str, model: str, metric: str, value: float, unit: str, error: float | None = None, seed: int = 0) -> Row:
    return {"case": case, "model": model, "seed": seed, "metric": metric, "value": value, "error": error, "unit": unit}


# -- runs as the command line makes them ------------------------------------------------------------------


def _trained(stated: dict, metrics: set[str]) -> list[Row]:
    """Figures of merit of the run that a configuration states."""
    config = parse_config(stated)
    splits = runs.load_splits(config)
    config = config.settled(splits)
    flow = runs.build(config, splits)
    with tempfile.TemporaryDirectory() as folder:
        run = runs.RunFolder(Path(folder) / "run")
        with run.held():
            run.begin(config, splits)
            runs.train(run, flow, splits, config)
    measured = evaluate(flow, splits, model=str(config.model.preset), seed=config.seed)
    return [row for row in measured if row["metric"] in metrics]


def checkerboard() -> list[Row]:
    """``surflow train checkerboard --minutes 1``: gap to the entropy with the default preset, three seeds."""
    metrics = {"nll", "entropy", "entropy_gap"}
    stated = {"data": {"source": "checkerboard"}, "training": {"minutes": 1.0}}
    return [row for seed in range(3) for row in _trained({"seed": seed, **stated}, metrics)]


def demo() -> list[Row]:
    """``make demo``: the digits given their class, against Gaussians fitted to the same rows."""
    metrics = {"nll_bound_k1", "nll_bound_k10", "nll_bound_k100", "bits_per_dim", "gaussian_nll", "gain_over_gaussian"}
    return _trained({"data": {"source": "digits", "context": ["digit"]}}, metrics)


# -- overhead -----------------------------------------------------------------------------------------------


class _Bare(nn.Module):
    """The study's network, ten affine couplings and rotations in the plane, in nothing but torch."""

    def __init__(self) -> None:
        super().__init__()
        widths = [1, 64, 64, 64, 64, 64]
        self.nets = nn.ModuleList()
        for _ in range(10):
            layers: list[nn.Module] = []
            for a, b in pairwise(widths):
                layers += [nn.Linear(a, b), nn.ReLU()]
            self.nets.append(nn.Sequential(*layers, nn.Linear(64, 2)))
        self.register_buffer("rotations", torch.linalg.qr(torch.randn(10, 2, 2))[0])

    def forward(self, x: Tensor) -> Tensor:
        V = x.new_zeros(len(x))
        for net, rotation in zip(self.nets, self.get_buffer("rotations"), strict=True):
            a, b = x[:, :1], x[:, 1:]
            shift, raw = net(a).chunk(2, 1)
            s = raw.tanh()
            x = torch.cat([a, b * s.exp() + shift], 1) @ rotation.T
            V = V + s.sum(1)
        return (0.5 * x.square().sum(1) + math.log(2 * math.pi) - V).mean()


def overhead(steps: int = 120, rounds: int = 15) -> list[Row]:
    """Milliseconds of process time per step: medians of each round, the two interleaved; median over the rounds."""
    data = torch.randn(100_000, 2, generator=torch.Generator().manual_seed(0))

    def median(times: list[float]) -> float:
        """Of the steps between one batch and the next, but for the first twenty, which warm up."""
        return 1e3 * statistics.median(b - a for a, b in pairwise(times[20:]))

    def bare() -> float:
        torch.manual_seed(0)
        model = _Bare()
        optimizer = torch.optim.Adam(model.parameters(), fused=True)
        times = []
        for i in range(steps):
            times.append(time.process_time())
            optimizer.zero_grad()
            model(data[i * 1000 % 100_000 :][:1000]).backward()
            optimizer.step()
        return median(times)

    def ours() -> float:
        torch.manual_seed(0)
        pairs = [(sf.Coupling(2), sf.Orthogonal(2)) for _ in range(10)]
        flow = sf.Flow([layer for pair in pairs for layer in pair], base=sf.Normal(2))
        times: list[float] = []

        def batch(n: int) -> Tensor:
            times.append(time.process_time())
            return data[len(times) * n % 100_000 :][:n]

        sf.fit(flow, batch, batch_size=1000, steps=steps, seed=0, progress=False)
        return median(times)

    bare(), ours()
    measured = [(bare(), ours()) for _ in range(rounds)]
    ratio, spread = median_and_error([b / a for a, b in measured])
    case = "the study's network, batch 1000"
    return [
        _row(case, "bare torch", "train_step", statistics.median(a for a, _ in measured), "ms"),
        _row(case, "surflow fit", "train_step", statistics.median(b for _, b in measured), "ms"),
        _row(case, "surflow fit", "ratio", ratio, "", spread),
    ]


# -- samples against densities --------------------------------------------------------------------------------


def agreement() -> list[Row]:
    """Every preset in the plane, after 300 steps on moons, against a million of its own draws."""
    rows = []
    for name in sf.presets.names():
        torch.manual_seed(0)
        try:
            flow = sf.presets.build(name, 2)
        except (sf.ShapeError, sf.SupportError):
            continue  # a preset for other events than vectors
        sf.fit(flow, sf.data.moons, steps=300, batch_size=500, seed=0, progress=False, validation=None)
        _, p = chi_square(flow.eval(), 1_000_000, seed=1)
        print(f"{name:16} p = {p:.3f}", flush=True)
        rows.append(_row("samples against density", name, "chi_square_p", p, ""))
    return rows


# -- bounds -----------------------------------------------------------------------------------------------------


class _Linear(nn.Module):
    """Parameters of a conditional normal: mean W c, constant log-scale."""

    def __init__(self, weight: list[list[float]], log_scale: float) -> None:
        super().__init__()
        self.weight, self.log_scale = torch.tensor(weight), log_scale

    def forward(self, c: Tensor) -> Tensor:
        mean = c @ self.weight.T
        return torch.stack([mean, torch.full_like(mean, self.log_scale)], 1)


@torch.no_grad()
def bounds() -> list[Row]:
    """log p(x) minus the k-sample bound, in nats, for a rotated augmentation with a mismatched encoder."""
    torch.manual_seed(0)
    noise = sf.Normal(1, context_shape=2, net=_Linear([[0.5, -0.3]], math.log(0.8)))
    flow = sf.Flow([sf.Augment(2, noise=noise), sf.Orthogonal(3)], base=sf.Normal(3))
    x = torch.randn(2000, 2)
    exact = sf.Normal(2).log_prob(x)
    rows = []
    for k in (1, 10, 100, 1000):
        gap = exact - flow.log_prob(x, importance_samples=k)
        error = gap.std().item() / math.sqrt(len(x))
        rows.append(_row("linear-Gaussian augment", f"k={k}", "bound_gap", gap.mean().item(), "nats", error))
    return rows


# -- overlapping pooling ------------------------------------------------------------------------------------------


def _student(draws: Tensor, n: int, freedom: int) -> tuple[Tensor, Tensor]:
    """n events, flat, and their log-density, from a Student t distribution with the moments of ``draws``."""
    D = draws.shape[1]
    root = torch.linalg.cholesky(draws.T.cov())
    noise = torch.randn(n, D, dtype=draws.dtype)
    stretch = freedom / torch.distributions.Chi2(torch.tensor(float(freedom), dtype=draws.dtype)).sample((n, 1))
    constant = math.lgamma((freedom + D) / 2) - math.lgamma(freedom / 2) - D / 2 * math.log(freedom * math.pi)
    spread = torch.log1p((noise.square() * stretch).sum(1) / freedom)
    log_q = constant - root.diagonal().log().sum() - (freedom + D) / 2 * spread
    return draws.mean(0) + (noise * stretch.sqrt()) @ root.T, log_q


@torch.no_grad()
def pooling(draws: int = 400_000) -> list[Row]:
    """Total mass by importance sampling, and the largest error of forward(inverse(z)) = z, which should be none."""
    rows = []
    for size in (3, 4):
        for block in range(2, size + 1):
            for stride in range(1, block + 1):
                torch.manual_seed(0)
                outline = sf.OverlappingMaxPool((1, size, size), kernel_size=block, stride=stride)
                differences = sf.HalfNormal(outline.differences.event_shape, initial=1.5)
                layer = sf.OverlappingMaxPool(
                    (1, size, size), kernel_size=block, stride=stride, differences=differences
                )
                flow = sf.Flow([layer], base=sf.Normal(layer.out_shape)).double()
                x, log_q = _student(flow.sample(40_000).flatten(1), draws, freedom=16)
                weights = (flow.log_prob(x.reshape(-1, 1, size, size)) - log_q).exp()
                case = f"{size}x{size}, block {block}, hop {stride}"
                error = weights.std().item() / math.sqrt(draws)
                rows.append(_row(case, "OverlappingMaxPool", "mass", weights.mean().item(), "", error))
                z = torch.randn(1000, *layer.out_shape).double()
                back, _ = layer(layer.inverse(z)[0])
                rows.append(_row(case, "OverlappingMaxPool", "round_trip", (back - z).abs().max().item(), ""))
    return rows


PARTS: dict[str, Callable[[], list[Row]]] = {
    "checkerboard": checkerboard,
    "demo": demo,
    "overhead": overhead,
    "agreement": agreement,
    "bounds": bounds,
    "pooling": pooling,
}


def main(parts: list[str]) -> None:
    """Run the parts, print their rows, and put them into the results file in place of the parts' earlier ones."""
    torch.set_num_threads(1)
    chosen = parts or list(PARTS)
    for part in chosen:
        if part not in PARTS:
            raise sf.ConfigError(sf.errors.unknown_name("part", part, PARTS))
    for part in chosen:
        new = PARTS[part]()
        for row in new:
            error = "" if row["error"] is None else f" +- {row['error']:.2g}"
            print(
                f"{row['case']:32} {row['model']:20} {row['metric']:14} {row['value']:.4g}{error} {row['unit']}",
                flush=True,
            )
        cases = {(row["case"], row["metric"]) for row in new}
        kept = read_results(RESULTS)["rows"] if RESULTS.exists() else []
        kept = [row for row in kept if (row["case"], row["metric"]) not in cases]
        write_results(RESULTS, "python -m surflow_experiments.core", kept + new)


if __name__ == "__main__":
    main(sys.argv[1:])
