"""Figure 25 of the study as it should have been: trials, recorded results, pictures and one HTML page."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from surflow.app.page import Section, duration
from surflow.data import noisy_circle
from surflow_experiments.cells import Cell, Outcome
from surflow_experiments.circle.models import RADIUS
from surflow_experiments.circle.trial import merits, run
from surflow_experiments.goals import Goal, goals_section
from surflow_experiments.recorded import Recorded, experiment_page, record
from surflow_experiments.synthetic import pictures
from surflow_experiments.synthetic.pictures import Frame, Panel

_FRAME: Frame = ((-5.2, 5.2), (-5.2, 5.2))
_POINTS = 10_000

# As in the study.
_ITS_TRAINING = {"steps": 10_000, "batch_size": 200, "lr": 1e-3, "schedule": "step", "decay": 0.9, "decay_every": 1000}
_OUR_TRAINING = {"steps": 5000, "batch_size": 512, "lr": 5e-3}

_TITLES = {
    "nf": "NF, study",
    "bottleneck": "bottleneck, study",
    "max": "max, study",
    "polar": "polar",
    "abs-sort-slice": "abs, sort, slice",
    "circle-vae": "VAE over a circle",
}
_TEXTS = {
    "nf": "NF, of the study: twenty affine couplings and random rotations.",
    "bottleneck": "bottleneck, of the study: ten of these, slice to one coordinate, augment to two again, and ten.",
    "max": "max, of the study: twenty of these, and the maximum of two coordinates.",
    "polar": "polar: radius and angle; the radius is sliced off given the angle, the angle keeps a circular spline.",
    "abs-sort-slice": "abs, sort, slice, layers of the paper only: both signs and the order of x and y are folded "
    "away, and of the two coordinates that are left one is sliced off given the other.",
    "circle-vae": "VAE over a circle: the latent is an angle, the decoder draws around a closed curve.",
}
_REPORT, _OURS = ("nf", "bottleneck", "max"), ("polar", "abs-sort-slice", "circle-vae")


@dataclass(frozen=True)
class Target:
    """A circle with noise, and the models that are trained on it.

    Attributes:
        name, title, text: what it is.
        noise: standard deviation in the plane; without it there is no density to compare with.
        models: to be trained.
    """

    name: str
    title: str
    text: str
    noise: float
    models: tuple[str, ...]

    def cells(self, *, quick: bool) -> list[Cell]:
        made = []
        for model in self.models:
            ours = model in _OURS
            training: dict[str, Any] = dict(_OUR_TRAINING if ours else _ITS_TRAINING)
            if quick:
                training["steps"] = 5
            spec = {
                "noise": self.noise,
                "scored": self.noise > 0,
                "training": training,
                "points": 500 if quick else _POINTS,
                "draws": 10 if quick else 100,
                "options": {"pairs": 2, "hidden": 8} if quick and not ours else {},
            }
            # Those of the study take minutes, and one seed shows what they do.
            seeds = 3 if ours and not quick else 1
            made += [Cell(f"circle/{self.name}", model, seed, spec, 1 if ours else 10) for seed in range(seeds)]
        return made


_WIDE, _BARE, _THIN = "noise-0.1", "noise-free", "noise-0.005"
TARGETS = [
    Target(
        _WIDE,
        "Noise of 0.1",
        "With noise the distribution has a density and an entropy, so that the distance of every model to it is known.",
        0.1,
        (*_REPORT, *_OURS),
    ),
    Target(
        _BARE,
        "No noise: the study's models",
        "As in the study: points on the curve itself. Their distribution has no density, and the likelihood of a "
        "model that could follow the curve would grow without bound; these cannot.",
        0.0,
        _REPORT,
    ),
    Target(
        _THIN,
        "Hardly any noise: models that fit the topology",
        "Trained with noise of 0.005, a twentieth of the above, and judged as samples of the bare circle.",
        0.005,
        _OURS,
    ),
]


_MERITS = {
    "radial_sd": ("standard deviation of the radius", 0.01, "0.25"),
    "off_share": ("share of samples off by more than 0.5", 0.0, "0.03"),
    "kuiper": ("Kuiper's statistic of the angle", 1.6, "22"),
}
GOALS = [
    Goal(f"circle/{_WIDE}", model, "entropy_gap", "NLL above the entropy (nats)", most, baseline)
    for model, most, baseline in (
        ("polar", 0.003, "0"),
        ("abs-sort-slice", 0.01, "0.037"),
        ("circle-vae", 0.003, "0.001"),
    )
] + [
    Goal(f"circle/{_THIN}", model, metric, title, most, baseline)
    for model in _OURS
    for metric, (title, most, baseline) in _MERITS.items()
]

_LEDE = (
    "A circle is closed, the plane is not: a flow whose layers are continuous maps of the plane has to tear it, and "
    "joins the torn ends by a line of outliers. Surjections and latents on a circle need not."
)
_NOTE = (
    "Kuiper's statistic compares angles with the uniform distribution: exact samples have 1.25 in the mean, with a "
    "standard deviation of 0.27, and one set in ten is above 1.6. Behind ± stand standard deviations over the seeds."
)


def reproduce(results: Path, work: Path, *, quick: bool = False) -> Path:
    """Train, score, draw, and write ``circle.json`` and ``circle/circle.html`` with its pictures.

    Args:
        results: the folder of both.
        work: where trials that are done are kept, so that a killed run goes on.
        quick: only run through everything once.

    Returns:
        The path of the page.

    Raises:
        FileError: before any trial, if the results cannot be written.
        SurflowError: if trials failed; the others are kept.
    """
    trials = [cell for target in TARGETS for cell in target.cells(quick=quick)]
    found = record("circle", trials, run, _told, results, work, quick=quick)
    found.raise_failures()
    seconds = sum(outcome.value("seconds") for outcome in found.outcomes)
    return experiment_page(
        found.page,
        heading="The circle",
        lede=_LEDE,
        facts=[
            {"kind": "", "text": f"radius {RADIUS:g}, uniform angle"},
            {"kind": "", "text": f"{len(found.outcomes)} trainings, {duration(seconds)} of processor time"},
        ],
        sections=[
            goals_section(GOALS, found.outcomes, "baseline, a plain flow"),
            Section("models", "Models", list(_TEXTS.values())),
            *(_section(target, found) for target in TARGETS),
        ],
        note=_NOTE,
        quick=quick,
    )


def _told(outcome: Outcome) -> str:
    return f"radial sd {outcome.value('radial_sd'):.4f}, {outcome.value('seconds'):.0f} s"


_COLUMNS: dict[str, Callable[[float], str]] = {
    "entropy_gap": lambda value: f"{value:.4f}".replace("-", "−"),
    "radial_sd": lambda value: f"{value:.4f}",
    "off_share": lambda value: f"{value:.4f}",
    "kuiper": lambda value: f"{value:.2f}",
    "angular_gap": lambda value: f"{value:.4f}",
    "seconds": lambda value: f"{value:.0f}",
    "parameters": lambda value: f"{value:,.0f}",
}


def _section(target: Target, found: Recorded) -> Section:
    section = Section(target.name, target.title, [target.text])
    points = noisy_circle(target.noise).sample(_POINTS, seed=0)
    line: list[Panel | None] = [Panel("data", points=points.numpy(), data=True)]
    rows = []
    truth = {name: value for name, (value, _) in merits(points).items()}
    rows.append(["the data", "", *(_COLUMNS[m](truth[m]) if m in truth else "" for m in _COLUMNS)])
    for model in target.models:
        outcomes = found.of(f"circle/{target.name}", model)
        drawn = outcomes[0].arrays["samples"]
        line.append(Panel(_TITLES[model], points=drawn, note=f"radial sd {outcomes[0].value('radial_sd'):.3f}"))
        for outcome in outcomes:
            known = {row["metric"]: row["value"] for row in outcome.rows}
            values = [show_as(known[m]) if m in known else "" for m, show_as in _COLUMNS.items()]
            rows.append([_TITLES[model], str(outcome.cell.seed), *values])
    section.pictures.append(
        found.show(
            f"circle-{target.name}",
            pictures.panels([("", _FRAME, line)]),
            "Samples of every model, 3000 points each, seed 0; outliers between the ends of a torn line are errors.",
        )
    )
    units = ["gap (nats)", "radial sd", "off by 0.5", "Kuiper", "largest gap (rad)", "seconds", "parameters"]
    head = ["model", "seed", *units]
    section.tables.append({"head": head, "rows": rows, "numbers": list(range(1, len(head)))})
    return section
