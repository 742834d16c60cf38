"""What is compared: the data, models, goals and the study's own figures of every group of synthetic experiments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from surflow_experiments.cells import Cell
from surflow_experiments.synthetic.trial import ROTATED, Data

SEEDS = 3
_TEST_POINTS = 10_000


@dataclass(frozen=True)
class Model:
    """A preset with its options, and how it is trained; ``cost`` is seconds of one trial, roughly."""

    title: str
    preset: str
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    cost: float = 30.0


@dataclass(frozen=True)
class Comparison:
    """A figure: data sets down, models across, a few seeds of each.

    Attributes:
        case: first part of the case of every row, the second being the data's name.
        title, text: what the figure shows.
        data: the sets by name.
        models: the models by name, columns from left to right.
        goals: gap that a model is to reach, by (data, model).
        reported: gap that the study, or the original code, reached, by (data, model).
        draws: importance samples, where a model has only a bound.
        seeds: trials of each, from seed 0.
        drawn: whether there are pictures, beside the table.
        lines: after which steps to draw the symmetry lines.
    """

    case: str
    title: str
    text: str
    data: Mapping[str, Data]
    models: Mapping[str, Model]
    goals: Mapping[tuple[str, str], float] = field(default_factory=dict)
    reported: Mapping[tuple[str, str], float] = field(default_factory=dict)
    draws: int = 1
    seeds: int = SEEDS
    drawn: bool = True
    lines: tuple[int, ...] = ()

    def cells(self, *, quick: bool) -> list[Cell]:
        """The trials; ``quick`` ones only run through: the first data set, one seed, a few steps, few points."""
        cells = []
        for name, data in list(self.data.items())[: 1 if quick else None]:
            for model, made in self.models.items():
                for seed in range(1 if quick else self.seeds):
                    training, lines, draws, test = dict(made.training), self.lines, self.draws, _TEST_POINTS
                    if quick:
                        training["steps"], training["batch_size"], draws, test = 10, 100, min(draws, 4), 500
                        lines = tuple(10 for _ in lines[:1])
                    spec = {
                        "data": asdict(data),
                        "preset": made.preset,
                        "options": dict(made.options),
                        "training": training,
                        "lines": lines,
                        "draws": draws,
                        "test": test,
                    }
                    cells.append(Cell(f"{self.case}/{name}", model, seed, spec, made.cost))
        return cells


_FOUR = {name: Data(name) for name in ("ngon", "circles", "corners", "checkerboard")}
_SKEWED = {name: Data(name, skew=(0, 0.5)) for name in _FOUR}
_OFFSET = {name: Data(name, offset=(1.0, 2.0)) for name in _FOUR}
_LABELLED = {name: Data(name, labelled=True) for name in _FOUR}
_FIVE = {name: Data(name) for name in ("moons", "spiral", "ngon", "split_line", "smiley")}
_TOYS = {name: Data(f"toy_{name}") for name in ("eight_gaussians", "four_circles", "corners", "checkerboard")}
_NINE = {name: Data(name) for name in (*_FOUR, "spiral", "moons", "split_line", "gradient", "smiley")}
_THIRTEEN = _NINE | {data.name: data for data in _TOYS.values()}


def _first(batch_size: int, *names: str) -> dict[str, Model]:
    """The study's network behind nothing or an absolute value, and its 1000 steps; its learning rate was 1e-3."""
    titles = {
        "nf": "NF",
        "abs": "abs, fair signs",
        "abs-learned": "abs, learned signs",
        "abs-joint": "abs, joint signs given z",
    }
    training = {"steps": 1000, "batch_size": batch_size, "lr": 5e-3}
    return {name: Model(titles[name], name, training=training, cost=0.021 * batch_size + 7) for name in names}


_MIDDLE_TRAINING = {"steps": 1000, "batch_size": 500, "lr": 3e-3, "clip": 5.0}
_ROTATED = Model("middle, rotated, fair signs", ROTATED, training=_MIDDLE_TRAINING, cost=20)
_MIDDLE = Model("middle, joint signs", "abs-middle", training=_MIDDLE_TRAINING, cost=20)


def _each(model: str, *values: float, data: Mapping[str, Data] = _FOUR) -> dict[tuple[str, str], float]:
    """One value for each data set, in their order."""
    return {(name, model): value for name, value in zip(data, values, strict=True)}


_FIGURE_6 = Comparison(
    "fig6",
    "Figure 6: absolute value against plain flows",
    "The study's network, ten affine couplings between fixed random rotations, and its 1000 steps of 1000 points. "
    "Before it: nothing; the absolute value with fair signs; with one learned probability a sign; with all signs "
    "drawn together given z. The checkerboard needs the last: its signs are not independent of one another, and "
    "flows with independent ones, fair or learned, stay log 2 = 0.693 above the entropy, however long they train.",
    _FOUR,
    _first(1000, "nf", "abs", "abs-learned", "abs-joint"),
    goals=_each("nf", 0.16, 1.10, 0.29, 0.20)
    | {("ngon", "abs"): 0.02, ("circles", "abs"): 0.12, ("corners", "abs"): 0.035}
    | {("checkerboard", "abs-joint"): 0.025},
    reported=_each("nf", 0.16, 1.10, 0.29, 0.20)
    | _each("abs", 0.12, 0.30, 0.12, 0.73)
    | _each("abs-learned", 0.07, 0.20, 0.10, 0.74),
)

_SPEED = Comparison(
    "speed",
    "Speed: to the study's final loss",
    "The study's plain network on the checkerboard, 600 steps: near the study's final loss, NLL 2.25. "
    "The study's code took 1000 steps, and at least 103 seconds of one processor; the seconds here are process time.",
    {"checkerboard": Data("checkerboard")},
    {"nf": Model("NF, 600 steps of 250", "nf", training={"steps": 600, "batch_size": 250, "lr": 3e-3}, cost=9)},
    goals={("checkerboard", "nf"): 0.17},
    reported={("checkerboard", "nf"): 0.17},
    drawn=False,
)

_FIGURE_7 = Comparison(
    "fig7",
    "Figures 7 and 8: skewed data",
    "Half of the points have their first coordinate replaced by its absolute value: three quarters lie on the right. "
    "Fair signs are then wrong by the divergence of (3/4, 1/4) from (1/2, 1/2), 0.131 nats, and learned ones find 0.75 "
    "for the first axis and 0.5 for the second. On the checkerboard independent signs of either kind leave more.",
    _SKEWED,
    _first(250, "nf", "abs", "abs-learned"),
    reported={("ngon", "abs-learned"): 0.05, ("circles", "abs-learned"): 0.20, ("corners", "abs-learned"): 0.08}
    | {("checkerboard", "nf"): 0.10},
)

_FIGURE_9 = Comparison(
    "fig9",
    "Figure 9: offset data, absolute value first",
    "The same sets moved by (1, 2); the plain flow, which standardises first, does not notice. The absolute value "
    "folds along axes that are none of the data's: what it hides, signs that know nothing of z cannot give back.",
    _OFFSET,
    _first(250, "abs", "abs-learned"),
)

_FIGURE_10 = Comparison(
    "fig10",
    "Figure 10: offset data, absolute value in the middle",
    "Five couplings, the absolute value, and splines that stay positive: what is before the fold can move the data. "
    "On the left the study's random rotations and fair signs; on the right no rotations, so that the fold starts "
    "along the data's own axes, and joint signs given z. The study's learned signs left (0, 1), its loss became NaN.",
    _OFFSET,
    {"abs-middle-rotated": _ROTATED, "abs-middle": _MIDDLE},
    goals=_each("abs-middle", 0.10, 0.10, 0.10, 0.10),
)

_LINES = Comparison(
    "fig11",
    "Figures 11 and 12: symmetry lines",
    "Where the absolute value in the middle folds the checkerboard, pulled back through all layers before it, for "
    "eight seeds. The set is symmetric about its diagonals and not about its axes, which nobody told the flow.",
    {"checkerboard": Data("checkerboard")},
    {"abs-middle-rotated": _ROTATED},
    seeds=8,
    lines=(100, 1000),
)

_FIGURE_13 = Comparison(
    "fig13",
    "Figure 13: labelled data, absolute value first",
    "Given its label a set is not symmetric any more: signs that see neither z nor the label cannot know the side. "
    "Joint signs given z and the label can.",
    _LABELLED,
    _first(250, "nf", "abs", "abs-joint"),
    goals=_each("abs-joint", 0.10, 0.10, 0.10, 0.10),
    reported=_each("nf", 0.0, 0.45, 0.15, 0.12) | _each("abs", 1.05, 0.73, 1.5, 1.45),
)

_FIGURE_14 = Comparison(
    "fig14",
    "Figure 14: labelled data, absolute value in the middle",
    "The couplings, the signs and the splines behind them are all given the label.",
    _LABELLED,
    {"abs-middle": _MIDDLE},
    goals=_each("abs-middle", 0.10, 0.10, 0.10, 0.10),
)

_AUGMENT_TRAINING = {"steps": 3000, "batch_size": 500, "lr": 5e-3, "clip": 5.0}
_FIGURE_15 = Comparison(
    "fig15",
    "Figure 15: augmentation",
    "Ten affine couplings in the plane against as many in four dimensions, two of them noise. The augmented flow has a "
    "bound, scored with 100 importance samples. The study had four couplings and 10,000 steps of 1000 points.",
    _FIVE,
    {
        "nf": Model("NF", "nf", {"hidden": (64, 64, 64)}, _AUGMENT_TRAINING, cost=39),
        "augment": Model("augmented", "augment", training=_AUGMENT_TRAINING, cost=49),
    },
    goals=_each("augment", 0.10, 0.10, 0.10, 0.10, 0.10, data=_FIVE),
    reported=_each("nf", 0.44, 0.58, 0.26, 0.0, 0.34, data=_FIVE)
    | _each("augment", 0.17, 0.45, 0.18, 0.05, 0.17, data=_FIVE),
    draws=100,
)

_TOY_TRAINING = {"steps": 10_000, "batch_size": 128, "lr": 3e-3}
_PAPER_TOYS = Comparison(
    "toys",
    "The paper's toys",
    "The four sets of Nielsen et al. on the square from -4 to 4. The absolute value with joint signs and splines takes "
    "10,000 steps of 128 points as in their code, the plain flow 1000 of 500.",
    _TOYS,
    {
        **_first(500, "nf"),
        "abs": Model("abs, splines", "abs-spline", training=_TOY_TRAINING, cost=80),
    },
    goals=_each("abs", 0.015, 0.05, 0.02, 0.01, data=_TOYS),
    reported=_each("abs", 0.023, 0.122, 0.059, 0.036, data=_TOYS),
)

_BEST_TRAINING = {"steps": 2500, "batch_size": 512, "lr": 5e-3, "clip": 5.0}
_BEST = Comparison(
    "best",
    "The best for the plane",
    "One preset and one way to train it for all sets: the absolute value with joint signs, then splines; at most two "
    "minutes on two processors for a set.",
    _THIRTEEN,
    {"best": Model("abs-spline", "abs-spline", training=_BEST_TRAINING, cost=28)},
    goals=_each("best", *[0.03] * 13, data=_THIRTEEN),
)

WHOLE = "synthetic"
GROUPS: dict[str, tuple[Comparison, ...]] = {
    "abs": (_FIGURE_6, _SPEED),
    "skew": (_FIGURE_7,),
    "offset": (_FIGURE_9, _FIGURE_10),
    "symmetry-lines": (_LINES,),
    "labelled": (_FIGURE_13, _FIGURE_14),
    "augment": (_FIGURE_15,),
    "paper-toys": (_PAPER_TOYS,),
    "best": (_BEST,),
}
