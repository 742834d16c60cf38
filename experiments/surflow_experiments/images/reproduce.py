"""Figures 5 and 18 to 21 of the study as they should have been: trials, results, pictures and one page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from matplotlib.figure import Figure

from surflow import plots
from surflow.app.page import PictureWriter, Section, duration
from surflow.data import load
from surflow.plots.style import new_figure
from surflow_experiments.cells import Cell, Outcome
from surflow_experiments.digits import DIGITS, classifier, stated
from surflow_experiments.goals import Goal, goals_section, models_section
from surflow_experiments.images.models import LEVELS
from surflow_experiments.images.trial import SHOWN, run
from surflow_experiments.recorded import experiment_page, record, show_losses

_CASE = "images/mnist"

_TEXTS = {
    "best": "best: max-pool, trained for 44 minutes on two cores.",
    "max-pool": "max-pool: an integer max pooling, with the pixels of its blocks drawn position by position given "
    "their maximum by convolutions, and the 14 x 14 maxima patch by patch by a transformer. Every likelihood is exact.",
    "slice": "slice: the same, but with every second pixel of every second row in place of the maximum.",
    "study": "study: the study's chain of couplings and poolings, with the terms that it lacked; a bound.",
}
_LEDE = (
    "MNIST, 28 x 28 pixels of 256 levels, given the digit. Bits per dimension are of held-out test images, over all "
    "784 pixels and with every term; a uniform model has 8, and a histogram of every pixel by itself 1.783."
)
_NOTE = (
    "Samples are named by a small convolutional network that was trained on the training images; the Frechet distance "
    "is between its features of test images and of samples. Trainings have one core each, but the "
    "best model's has two: its layers and its base share nothing to learn and are trained side by side. They multiply "
    "in half precision and are scored in single. "
    "Max pooling and slices are compared after 2500 steps each; the best model is the former, trained for longer."
)


# Of the classifier.
_EPOCHS = 6
_HALF = {"clip": 50.0, "precision": "bf16-mixed"}
# Trainings on one core: minutes, or as many steps where two models are compared. The best model has two, one for its
# layers and one for its base.
_TRAININGS: dict[str, dict[str, Any]] = {
    "best": {"minutes": 44.0, "batch_size": 32, "lr": 3e-3, **_HALF},
    "max-pool": {"steps": 2500, "batch_size": 32, "lr": 2e-3, **_HALF},
    "slice": {"steps": 2500, "batch_size": 32, "lr": 2e-3, **_HALF},
    "study": {"minutes": 5.0, "batch_size": 64, "lr": 3e-3, **_HALF},
}
_BASE = {"minutes": 44.0, "batch_size": 64, "lr": 1e-3, **_HALF}


def cells(work: Path, data_dir: Path | None, *, quick: bool) -> list[Cell]:
    """The trials; ``quick`` ones only run through."""
    made = []
    for model, training in _TRAININGS.items():
        apart, steps = model == "best", {"steps": 2} if quick else {}
        small: dict[str, Any] = {"pairs": 1, "hidden": [8]} if model == "study" else {"width": 4, "attention": 4}
        spec = {
            **stated("images", work, data_dir, quick=quick, epochs=_EPOCHS, draws=5000),
            "options": small if quick else {},
            "training": training | steps,
            "base": _BASE | steps if apart else None,
        }
        # Last comes what needs both cores.
        made.append(Cell(_CASE, model, 0, spec, 0.0 if apart else 1.0))
    return made


GOALS = [
    Goal(_CASE, "max-pool", "bits_per_dimension", "bits per dimension, max pooling", 1.6, "7.33 and more"),
    Goal(_CASE, "best", "bits_per_dimension", "bits per dimension, 45 minutes on two cores", 1.25, "7.33 and more"),
    Goal(_CASE, "best", "bits_per_dimension", "bits per dimension, the best", 1.0, "7.33 and more"),
    Goal(_CASE, "best", "class_accuracy", "samples named right, 45 minutes on two cores", 0.85, "0.1", least=True),
    Goal(_CASE, "best", "class_accuracy", "samples named right, the best", 0.95, "0.1", least=True),
    Goal(_CASE, "best", "sampling_seconds", "seconds for 1000 images, two cores", 5.0),
]


def reproduce(results: Path, work: Path, *, quick: bool = False, data_dir: Path | None = None) -> Path:
    """Train, score, draw, and write ``images.json`` and ``images/images.html`` with its pictures.

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
    splits = load("mnist", context="digit", data_dir=data_dir, rows=spec["rows"])
    # Once, before the trials, each of which reads it.
    classifier(Path(spec["classifier"]), splits.train, spec["epochs"])
    found = record("images", trials, run, _told, results, work, quick=quick, data_dir=data_dir)
    found.raise_failures()
    outcomes, show = found.outcomes, found.show
    real = splits.test.x[:2000], splits.test.context[:2000, 0].long()  # type: ignore[index]
    minutes = sum(outcome.value("training_minutes") for outcome in outcomes)
    return experiment_page(
        found.page,
        heading="Images",
        lede=_LEDE,
        facts=[{"kind": "", "text": f"{len(outcomes)} trainings, {duration(60 * minutes)}"}],
        sections=[
            goals_section(GOALS, outcomes),
            models_section(outcomes, _COLUMNS, list(_TEXTS.values())),
            *(_section(outcome, real, show) for outcome in outcomes),
        ],
        note=_NOTE,
        quick=quick,
    )


def _told(outcome: Outcome) -> str:
    return f"{outcome.value('bits_per_dimension'):.3f} bits, {outcome.value('class_accuracy'):.2f} named right"


_COLUMNS = {
    "bits_per_dimension": "bits per dimension",
    "class_accuracy": "named right",
    "class_accuracy_real": "real ones",
    "frechet_distance": "Frechet distance",
    "frechet_distance_real": "between real ones",
    "neighbour_distance": "to the nearest training image",
    "neighbour_distance_real": "real ones",
    "sampling_seconds": "seconds for 1000",
    "training_minutes": "minutes of training",
    "cores": "cores",
    "parameters": "parameters",
}


def _section(outcome: Outcome, real: tuple[torch.Tensor, torch.Tensor], show: PictureWriter) -> Section:
    model = outcome.cell.model
    section = Section(model, model)
    names = [str(digit) for digit in range(DIGITS)]
    samples = torch.from_numpy(outcome.arrays["samples"]).float()
    labels = torch.arange(DIGITS).repeat(len(samples))
    images, digits = real
    chosen = torch.cat([(digits == digit).nonzero()[:SHOWN, 0] for digit in range(DIGITS)])
    order = torch.cat([(labels == digit).nonzero()[:SHOWN, 0] for digit in range(DIGITS)])
    flat = samples.flatten(0, 1)
    section.pictures.append(
        show(
            f"images-{model}",
            plots.images(images[chosen], flat[order], digits[chosen], names, LEVELS),
            "Test images and samples; every row is a digit.",
        )
    )
    near = torch.from_numpy(outcome.arrays["near"]).float()
    grids = {"near": (torch.stack([flat[: len(near)], near]), "Samples, and below each the nearest training image.")}
    for name, caption in (
        (
            "variations",
            "Test images, on the left, and images that the model draws with the same maxima of 2 x 2 pixels.",
        ),
        (
            "interpolations",
            "Two test images, on the left and on the right, and images on a path between the random numbers that "
            "theirs are drawn with.",
        ),
    ):
        if name in outcome.arrays:
            grids[name] = torch.from_numpy(outcome.arrays[name]), caption
    for name, (grid, caption) in grids.items():
        section.pictures.append(show(f"images-{model}-{name}", _grid(grid), caption))
    apart = "losses_base" in outcome.arrays
    caption = "Loss of validation images, in nats" + ("; of pixels, given their maxima." if apart else ".")
    show_losses(section, show, f"images-{model}", outcome.arrays["losses"], caption)
    if apart:
        caption = "Loss of the maxima of validation images, in nats."
        show_losses(section, show, f"images-{model}-base", outcome.arrays["losses_base"], caption)
    return section


def _grid(images: torch.Tensor) -> Figure:
    """Images in rows and columns, shape (rows, columns, 1, height, width), dark on light."""
    rows, columns = images.shape[:2]
    figure = new_figure(0.6 * columns, 0.6 * rows)
    for ax, image in zip(figure.subplots(rows, columns, squeeze=False).flat, images.flatten(0, 1), strict=True):
        ax.imshow(image[0].numpy(), cmap="gray_r", vmin=0, vmax=LEVELS - 1)
        ax.set_axis_off()
    return figure
