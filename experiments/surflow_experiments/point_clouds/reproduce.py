"""Figures 16 and 17 of the study as they should have been: trials, recorded results, pictures and one HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from surflow.app.page import PictureWriter, Section, duration
from surflow.plots.style import DATA, SAMPLES, new_figure, style_axes
from surflow_experiments.cells import Cell, Outcome
from surflow_experiments.digits import DIGITS, classifier, stated
from surflow_experiments.goals import Goal, goals_section, models_section
from surflow_experiments.point_clouds import full_size
from surflow_experiments.point_clouds.trial import SHOWN, as_images, run, spatial_mnist
from surflow_experiments.recorded import experiment_page, record, show_losses

_CASE = "point-clouds/spatial-mnist"
_EPOCHS = 2
# Clouds that are drawn of every training image.
_CLOUDS = 4

# Training on one core: minutes, or as many steps where two models are compared.
_LENGTHS: dict[str, dict[str, float]] = {
    "point-grid": {"minutes": 25.0},
    "sort-flow": {"steps": 400},
    "leaky-sort": {"steps": 400},
    "permute-flow": {"steps": 50, "validate_every": 25},
    "study": {"minutes": 1.0},
}
_SMALL: dict[str, dict[str, Any]] = {
    "point-grid": {"width": 8, "layers": 1},
    "sort-flow": {"steps": 1, "width": 8, "layers": 1},
    "leaky-sort": {"steps": 1, "width": 8, "layers": 1},
    "permute-flow": {"steps": 1, "width": 8, "layers": 1},
    "study": {"steps": 1, "hidden": [8]},
}
_TEXTS = [
    "point-grid: the pixel that every point lies in, sorted, one after the other by a causal transformer. Noise within "
    "a pixel is uniform, so that nothing is lost; ties are counted; the density is exact.",
    "sort-flow: sorted by x, with the gaps as real numbers, then couplings over coordinates and over points by "
    "transformers; 400 steps of 64 clouds. Exact.",
    "leaky-sort: the same, steps included, without the map for the gaps, as the paper has it: some of its mass lies "
    "where no data can be.",
    "permute-flow: couplings by set transformers with random permutations between, as in the paper, of 4 steps in "
    "place of 32, trained for 50. A bound.",
    "study: the study's couplings by perceptrons, of 8 steps in place of 32, with its permutation mended. A bound.",
]
_LEDE = (
    "Spatial MNIST: fifty points of every digit, given which digit it is. Figures are nats per point in units of "
    "pixels, of test clouds, and lower is better: a uniform distribution has 6.664, the mean image of every digit "
    "5.594, and the image that a cloud was drawn from 4.880."
)
_NOTE = (
    "Every training image gives four clouds; test images give one. Samples are named by a small convolutional network "
    "that sees how many points lie in every pixel, trained on training clouds. Coverage is the share of test clouds "
    "that are nearest to some sample, of as many samples as test clouds; beside it stands that of real clouds. Without "
    "the digit, log p(x) is summed over the ten digits, which is what published figures without labels compare with. "
    "Trainings have one thread each and multiply in half precision; they are scored in single."
)
GOALS = [
    Goal(_CASE, "point-grid", "nats_per_point", "nats per point, an hour on two cores", 5.45, "6.333 (the study)"),
    Goal(_CASE, "point-grid", "nats_per_point", "nats per point, any budget", 5.25, "5.30 (PermuteFlow)"),
    Goal(_CASE, "point-grid", "class_accuracy", "samples named right", 0.8, "0.1 (chance)", least=True),
    Goal(_CASE, "point-grid", "permutation_change", "relative change under permutations", 1e-6),
    Goal(_CASE, "sort-flow", "permutation_change", "relative change under permutations", 1e-6),
    Goal(_CASE, "full-size", "step_ratio", "a step of 6.4 M parameters beside a bare transformer", 1.2),
    Goal(_CASE, "full-size", "memory", "its memory, GiB", 8.0),
]
_COLUMNS = {
    "nats_per_point": "nats per point",
    "nats_per_point_10": "k = 10",
    "nats_per_point_100": "k = 100",
    "nats_per_point_without_digit": "without the digit",
    "class_accuracy": "named right",
    "class_accuracy_real": "real ones",
    "permutation_change": "change under permutations",
    "chamfer_coverage": "coverage (Chamfer)",
    "chamfer_coverage_real": "real",
    "chamfer_mmd": "nearest",
    "chamfer_mmd_real": "real",
    "earth_coverage": "coverage (earth mover)",
    "earth_coverage_real": "real",
    "earth_mmd": "nearest",
    "earth_mmd_real": "real",
    "sampling_seconds": "seconds for 1000",
    "step_milliseconds": "ms a step",
    "training_minutes": "minutes of training",
    "parameters": "parameters",
}


def cells(work: Path, data_dir: Path | None, *, quick: bool) -> list[Cell]:
    """The trials; ``quick`` ones only run through."""
    made = []
    for model, length in _LENGTHS.items():
        grid = model == "point-grid"
        spec = {
            **stated("point-clouds", work, data_dir, quick=quick, epochs=_EPOCHS, draws=2000),
            "clouds": 2 if quick else _CLOUDS,
            "compared": 10 if quick else 300,
            "options": _SMALL[model] if quick else {},
            "training": {
                "batch_size": 32 if grid else 64,
                "lr": 2e-3 if grid else 1e-3,
                "clip": 50.0,
                "precision": "bf16-mixed",
                "compile": False,
                **({"steps": 2} if quick else length),
            },
        }
        made.append(Cell(_CASE, model, 0, spec, length.get("minutes", 5.0)))
    spec = {"steps": 1, "batch_size": 2} if quick else {"steps": 5, "batch_size": 128}
    return [*made, Cell(_CASE, "full-size", 0, spec, 3.0)]


def run_cell(cell: Cell) -> Outcome:
    """A trial, or the measurement of a step of the full-size model."""
    return full_size.run(cell) if cell.model == "full-size" else run(cell)


def reproduce(results: Path, work: Path, *, quick: bool = False, data_dir: Path | None = None) -> Path:
    """Train, score, draw, and write ``point_clouds.json`` and ``point_clouds/point_clouds.html`` with its pictures.

    Args:
        results: the folder of both.
        work: where trials that are done, and trainings that are not, are kept, so that a killed run goes on.
        quick: only run through everything once.
        data_dir: where MNIST is, :func:`surflow.data.load`.

    Returns:
        The path of the page.

    Raises:
        FileError: before any trial, if MNIST is not to be had or the results cannot be written.
        SurflowError: if trials failed; the others are kept.
    """
    trials = cells(work, data_dir, quick=quick)
    spec = trials[0].spec
    splits = spatial_mnist(spec)
    # Once, before the trials, each of which reads it.
    classifier(Path(spec["classifier"]), as_images(splits.train), spec["epochs"])
    found = record("point_clouds", trials, run_cell, _told, results, work, quick=quick, data_dir=data_dir)
    found.raise_failures()
    outcomes, show = found.outcomes, found.show
    models = [outcome for outcome in outcomes if outcome.cell.model != "full-size"]
    real = splits.test.x[:2000], splits.test.context[:2000, 0].long()  # type: ignore[index]
    minutes = sum(outcome.value("training_minutes") for outcome in models)
    return experiment_page(
        found.page,
        heading="Point clouds",
        lede=_LEDE,
        facts=[{"kind": "", "text": f"{len(models)} trainings, {duration(60 * minutes)}"}],
        sections=[
            goals_section(GOALS, outcomes, "elsewhere"),
            models_section(models, _COLUMNS, _TEXTS),
            full_size.section(next(outcome for outcome in outcomes if outcome.cell.model == "full-size")),
            *(_section(outcome, real, show) for outcome in models),
        ],
        note=_NOTE,
        quick=quick,
    )


def _told(outcome: Outcome) -> str:
    if outcome.cell.model == "full-size":
        return f"{outcome.value('step_milliseconds'):.0f} ms a step"
    return f"{outcome.value('nats_per_point'):.3f} nats per point, {outcome.value('class_accuracy'):.2f} named right"


def _section(outcome: Outcome, real: tuple[torch.Tensor, torch.Tensor], show: PictureWriter) -> Section:
    model = outcome.cell.model
    section = Section(model, model)
    x, digits = real
    chosen = torch.stack([x[(digits == digit).nonzero()[:SHOWN, 0]] for digit in range(DIGITS)])
    samples = torch.from_numpy(outcome.arrays["samples"]).transpose(0, 1)
    caption = "Test clouds on the left and samples on the right; every row is a digit."
    section.pictures.append(show(f"point-clouds-{model}", _rows(chosen, samples), caption))
    show_losses(
        section,
        show,
        f"point-clouds-{model}",
        outcome.arrays["losses"],
        "Loss of validation clouds, in nats of fifty points.",
    )
    return section


def _rows(real: torch.Tensor, samples: torch.Tensor) -> Figure:
    """Clouds (digits, columns, 2, points), real ones on the left and samples on the right, y pointing down."""
    across = real.shape[1] + samples.shape[1]
    figure = new_figure(0.62 * across + 0.3, 0.62 * len(real) + 0.3)
    axes = figure.subplots(len(real), across, squeeze=False)
    for row in range(len(real)):
        for column in range(across):
            ax = axes[row, column]
            left = column < real.shape[1]
            cloud = real[row, column] if left else samples[row, column - real.shape[1]]
            style_axes(ax, small=True)
            ax.scatter(cloud[0], cloud[1], s=2.5, c=DATA if left else SAMPLES, linewidths=0)
            ax.set(xlim=(-0.5, 27.5), ylim=(27.5, -0.5), xticks=[], yticks=[], aspect="equal")
        axes[row, 0].set_ylabel(str(row), rotation=0, va="center", labelpad=8)
    axes[0, 0].set_title("test clouds", loc="left")
    axes[0, real.shape[1]].set_title("samples", loc="left")
    return figure
