"""Pictures of the synthetic experiments, where what they show is known; and the page that they stand on."""

import math
import re
from base64 import b64decode

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgba

from surflow import data, plots
from surflow.app.page import PictureWriter, Section, write_page
from surflow.plots.style import DATA, SAMPLES
from surflow_experiments.synthetic.pictures import Panel, data_sets, gaps, learned_q, losses, panels

PLANE = ((-2.0, 2.0), (-1.0, 1.0))
BLUE, ORANGE = to_rgba(DATA, 0.6), to_rgba(SAMPLES, 0.6)


def points(n=50):
    return np.random.default_rng(0).uniform(-1, 1, (n, 2))


def curve(offset, steps=400):
    return np.array([(step, offset + 60 / (step + 1) ** 1.5) for step in range(steps)])


def drawn(ax):
    return bool(ax.collections or ax.images)


# -- grids --------------------------------------------------------------------------------------------------


def test_a_grid_has_a_place_for_every_panel_and_nothing_in_its_holes():
    truth, model = Panel("truth", points(), data=True), Panel("flow", points(), note="gap 0.012")
    figure = panels([("moons", PLANE, [truth, model, None]), ("corners", PLANE, [None, model])])
    axes = np.array(figure.axes).reshape(2, 3)
    assert [[drawn(ax) for ax in line] for line in axes] == [[True, True, False], [False, True, False]]
    for ax in axes.ravel():
        assert ax.spines["left"].get_visible() == drawn(ax)
    assert [ax.get_ylabel() for ax in axes[:, 0]] == ["moons", "corners"]
    assert axes[0, 1].get_xlabel() == "gap 0.012"
    assert axes[0, 0].get_xlim() == PLANE[0] and axes[0, 0].get_ylim() == PLANE[1]
    assert tuple(axes[0, 0].collections[0].get_facecolor()[0]) == BLUE
    assert tuple(axes[0, 1].collections[0].get_facecolor()[0]) == ORANGE


def test_a_title_stands_where_it_is_news():
    rows = [("", PLANE, [Panel(title, points())]) for title in ("a", "a", "b", "b", "a")]
    assert [ax.get_title() for ax in panels(rows).axes] == ["a", "", "b", "", "a"]


def test_a_density_is_bright_where_it_is_high():
    size = 40
    image = np.zeros((size, size))
    x, y = 1.25, -0.6
    (left, right), (low, high) = PLANE
    image[int((x - left) / (right - left) * size), int((y - low) / (high - low) * size)] = 1
    figure = panels([("", PLANE, [Panel("density", image=image)])], size=3)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    (ax,) = figure.axes
    pixels = np.asarray(canvas.buffer_rgba()).astype(int)
    yellow = pixels[..., 0] + pixels[..., 1] - 2 * pixels[..., 2]  # viridis ends there, and nothing else is yellow
    row, column = np.argwhere(yellow > 250).mean(0)
    found = ax.transData.inverted().transform((column, pixels.shape[0] - row))
    assert found == pytest.approx((x, y), abs=0.1)


def test_labels_have_the_same_colour_whichever_of_them_occur():
    x = points(20)
    both = Panel("", x, np.arange(20) % 3)
    one = Panel("", x, np.full(20, 2))
    full, single = panels([("", PLANE, [both, one])]).axes
    assert (full.collections[0].get_facecolor()[2] == single.collections[0].get_facecolor()[0]).all()
    assert len(np.unique(full.collections[0].get_facecolor(), axis=0)) == 3


def test_at_most_3000_points_are_drawn_and_they_are_rows_of_the_sample():
    x = points(10_000)
    (ax,) = panels([("", PLANE, [Panel("", x)])]).axes
    shown = ax.collections[0].get_offsets()
    assert len(shown) == 3000 and {tuple(row) for row in shown} <= {tuple(row) for row in x}


def test_every_data_set_has_a_square_panel_with_its_name():
    sets = [data.synthetic_set(name) for name in ("moons", "circle", "corners", "spiral", "smiley", "checkerboard")]
    figure = data_sets(sets, labelled=True)
    assert [ax.get_title() for ax in figure.axes] == [s.name for s in sets]
    for ax, s in zip(figure.axes, sets, strict=True):
        assert np.ptp(ax.get_xlim()) == pytest.approx(np.ptp(ax.get_ylim()))
        assert len(np.unique(ax.collections[0].get_facecolor(), axis=0)) == (s.classes or 1)
    assert tuple(data_sets(sets[:1], labelled=False).axes[0].collections[0].get_facecolor()[0]) == BLUE


# -- curves -------------------------------------------------------------------------------------------------


def test_the_floor_is_drawn_at_the_entropy_and_seen():
    figure = losses([(name, floor, {"flow": curve(floor + 0.1)}) for name, floor in (("a", 1.5), ("b", -0.5))])
    assert [ax.get_title() for ax in figure.axes] == ["a", "b"]
    for ax, floor in zip(figure.axes, (1.5, -0.5), strict=True):
        (line,) = [line for line in ax.lines if line.get_linestyle() == "--"]
        assert set(line.get_ydata()) == {floor}
        low, high = ax.get_ylim()
        assert low < floor and floor + 0.1 < high < floor + 5  # the first step is at 60 nats
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["flow", "entropy"]


def test_losses_that_are_not_finite_and_sets_without_entropy():
    rows = curve(1.0)
    rows[0, 1], rows[7, 1] = math.inf, math.nan
    (ax,) = losses([("circle", -math.inf, {"flow": rows})]).axes
    assert len(ax.lines) == 2 and all(np.isfinite(line.get_ydata()).all() for line in ax.lines)


def test_the_running_mean_keeps_a_mean():
    rows = np.stack([np.arange(300.0), 2 + 0.5 * (-1.0) ** np.arange(300)], 1)
    smooth = losses([("", 1.0, {"flow": rows})]).axes[0].lines[1].get_ydata()
    assert smooth == pytest.approx(np.full(300, 2), abs=0.1)


def test_true_signs_are_dashed_and_every_seed_has_a_line_for_either_axis():
    seeds = [np.array([[0, 0.5, 0.5], [100, 0.7, 0.3]])] * 3
    (ax,) = learned_q([("corners", (0.7, 0.3), seeds)]).axes
    truth = sorted(line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == "--")
    assert truth == [0.3, 0.7]
    assert len(ax.lines) == 2 + 3 * 2
    assert ax.get_ylim()[0] < 0.3 and ax.get_ylim()[1] == 0.9


# -- gaps ---------------------------------------------------------------------------------------------------


def marks(ax, marker):
    return [(*line.get_xdata(), *line.get_ydata()) for line in ax.lines if line.get_marker() == marker]


def test_gaps_goals_and_earlier_figures_stand_where_they_are():
    figure = gaps([("moons", (0.02, 0.01), 0.05, 0.3), ("corners", (0.4, 0.1), None, None)])
    (ax,) = figure.axes
    assert ax.get_xscale() == "log"
    assert marks(ax, "|") == [(0.05, 0)] and marks(ax, "x") == [(0.3, 0)]
    assert marks(ax, "o") == [(0.02, 0), (0.4, 1)]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["moons", "corners"]
    top, second = ax.transData.transform([(0.02, 0), (0.02, 1)])[:, 1]
    assert top > second
    bars = [line.get_xdata() for line in ax.lines if len(line.get_xdata()) == 2]
    assert np.array(bars) == pytest.approx(np.array([[0.01, 0.03], [0.3, 0.5]]))


def test_tiny_gaps_and_infinite_ones_are_arrows_at_the_ends():
    (ax,) = gaps([("a", (-0.01, 0.02), 0.1, None), ("b", (math.inf, math.nan), 0.1, None)]).axes
    assert marks(ax, "<") == [(0.001, 0)]
    ((x, place),) = marks(ax, ">")
    assert place == 1 and 0.1 < x < ax.get_xlim()[1]


def test_a_missed_goal_has_another_marker():
    (ax,) = gaps([("a", (0.2, 0.01), 0.1, None), ("b", (0.05, 0.01), 0.1, None)]).axes
    assert marks(ax, "s") == [(0.2, 0)] and marks(ax, "o") == [(0.05, 1)]


def test_fifty_cases_are_as_far_apart_as_five():
    def spacing(count):
        figure = gaps([(f"case {i}", (0.1, 0.01), 0.2, None) for i in range(count)])
        figure.canvas.draw()
        (ax,) = figure.axes
        return -np.diff(ax.transData.transform([(0.1, 0), (0.1, 1)])[:, 1])[0] / figure.dpi

    assert spacing(5) > 0.15 and spacing(50) > 0.15


# -- the page -----------------------------------------------------------------------------------------------


def test_fewer_dots_make_a_smaller_picture_with_the_same_colours(tmp_path):
    x = torch.linspace(-3, 3, 80).numpy()
    image = np.exp(-(x[:, None] ** 2) - x**2)
    figure = panels([("", PLANE, [Panel("a", points(3000)), Panel("b", image=image)])])
    large = plots.save(figure, tmp_path / "large.png")
    small = PictureWriter(tmp_path, dpi=90)("small", figure, "caption")
    content = b64decode(small.data)
    assert content == (tmp_path / "small.png").read_bytes() and content.startswith(b"\x89PNG")
    assert len(content) < large.stat().st_size / 3
    assert small.width == round(100 * figure.get_figwidth()) and small.caption == "caption"


def test_marked_cells_of_a_table(tmp_path):
    table = {
        "head": ["case", "gap", "goal"],
        "rows": [["a", "0.01", "met"], ["b", "0.3", "missed"], ["c", "0.2", ""]],
        "numbers": [1],
        "marks": ["met", "missed", ""],
        "marked": 2,
    }
    section = Section("gaps", "Gaps", tables=[table])
    given = {"eyebrow": "an experiment", "lede": "", "facts": [], "sections": [section], "note": "Of five seeds."}
    page = write_page(tmp_path / "new" / "page.html", heading="Plane <1>", on="", **given).read_text(encoding="utf-8")
    assert "<title>Plane &lt;1&gt; · surflow</title>" in page and "<h1>Plane &lt;1&gt;</h1>" in page
    assert '<p class="eyebrow">an experiment</p>' in page and "Of five seeds." in page
    body = re.findall(r"<tr.*?</tr>", page)[1:]
    assert body[0] == '<tr class="met"><td>a</td><td class="number">0.01</td><td class="mark">met</td></tr>'
    assert body[1] == '<tr class="missed"><td>b</td><td class="number">0.3</td><td class="mark">missed</td></tr>'
    assert body[2] == '<tr><td>c</td><td class="number">0.2</td><td></td></tr>'
    with_data = write_page(tmp_path / "page.html", heading="flow", on="moons", **given).read_text(encoding="utf-8")
    assert '<h1>flow <span class="on">on</span> moons</h1>' in with_data
