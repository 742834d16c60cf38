"""The report: every section, nothing from outside the page, hostile names as text; and every picture drawn."""

import math
import re
import sys
from dataclasses import replace
from html import unescape

import pytest
import torch

import surflow as sf
from surflow import data, plots
from surflow.app.page import plus_minus
from surflow.app.report import write_report
from surflow.data import ContextColumn, ContextEncoding, Part, Splits
from surflow.evaluation import Row, evaluate
from surflow.flow import Term

HOSTILE = "<script>alert(\"x\")</script> $\\frac{1}$ & 'y'"
pytestmark = pytest.mark.usefixtures("small_pictures")

PNG = b"\x89PNG\r\n"


NLL = [Row(case="", model="m", seed=0, metric="nll", value=1.0, error=0.1, unit="nats per event")]


def log_rows(steps=60):
    rows = []
    for step in range(steps):
        values = {"step": step, "learning_rate": 1e-3, "seconds": 0.1 * step}
        rows.append(values | {"split": "train", "nll": 1 + 50 / (step + 1) ** 2})
        if step % 10 == 0:
            rows.append(values | {"split": "validation", "nll": 1.1 + 50 / (step + 1) ** 2})
    return rows


def make(folder, flow, splits, **others):
    given = {"log": log_rows(), "command": "surflow train moons", "config_text": "seed = 0"} | others
    rows = given.pop("rows", None) or evaluate(flow, splits, model="spline")
    path = write_report(folder, flow=flow, splits=splits, rows=rows, **given)
    return path.read_text(encoding="utf-8"), {picture.stem for picture in (folder / "pictures").glob("*.png")}


def plane_flow(context_shape=None, **others):
    torch.manual_seed(0)
    return sf.Flow([sf.Coupling(2, context_shape, hidden=(8,)), sf.Reverse(2)], base=sf.Normal(2), **others)


def table(x, columns, context=None, encoding=None, support=sf.real, name="table"):
    parts = [Part(rows, None if context is None else context) for rows in (x, x, x)]
    return Splits(name, *parts, columns, support, encoding, f"{name}: {len(x)} rows")


def assert_self_contained(page):
    text = re.sub(r"base64,[A-Za-z0-9+/=]*", "", page)
    assert not re.search(r"https?:|//[a-z]|@import|<link|<script|<iframe|url\(", text)
    sources = re.findall(r'src="([^"]*)"', page)
    assert sources and all(source.startswith("data:image/png;base64,") for source in sources)
    assert all(target.startswith("#") for target in re.findall(r'href="([^"]*)"', page))


@pytest.fixture(scope="module")
def moons(small_pictures, tmp_path_factory):
    splits = data.load("moons", rows=300)
    splits.test = Part(splits.test.x[:1000], None)
    return make(tmp_path_factory.mktemp("moons"), plane_flow(), splits)


def test_every_section_of_an_exact_flow(moons):
    page, pictures = moons
    assert pictures == {"standing", "losses", "samples", "density", "latents", "account"}
    sections = ["merit", "training", "samples", "latent", "account", "model", "data", "made"]
    assert re.findall(r'<section id="(\w+)">', page) == sections
    shown = unescape(page)
    for text in (
        "<title>spline on moons · surflow</title>",
        "exact density",
        "Held-out NLL",
        "Entropy gap",
        "Against the Gaussian",
        "moons: 300 training",
        "surflow train moons",
        "seed = 0",
        plane_flow().summary(),
        f"torch {torch.__version__}",
        "60 steps",
    ):
        assert text in shown, text
    assert page.count("<img") == len(pictures)


def test_the_page_needs_nothing_else(moons):
    assert_self_contained(moons[0])


@pytest.mark.slow
def test_figures_of_the_page_are_those_of_the_rows(tmp_path):
    splits = data.load("checkerboard", rows=200)
    splits.test = Part(splits.test.x[:300], None)
    flow = plane_flow()
    rows = evaluate(flow, splits, model="spline")
    path = write_report(tmp_path, flow=flow, splits=splits, rows=rows, log=[], command="", config_text="")
    page = path.read_text(encoding="utf-8")
    for row in rows:
        if row["metric"] in ("nll", "entropy_gap", "gaussian_nll"):
            value, error = plus_minus(row["value"], row["error"])
            assert value in page and error in page
    assert 'id="training"' not in page  # without a log there is nothing to show


@pytest.mark.slow
def test_a_bound_is_called_one(tmp_path):
    torch.manual_seed(0)
    flow = sf.Flow([sf.Augment(2, noise=1), sf.Coupling(3, hidden=(8,))], base=sf.Normal(3))
    page, pictures = make(tmp_path, flow, table(torch.randn(200, 2), ["a", "b"]))
    assert "tightness" in pictures and "density" in pictures
    assert "upper bound" in page and ">exact density<" not in page
    for k in (1, 10, 100):
        assert f"bound on the NLL, k = {k}<" in page
    assert "sums to the ELBO (k = 1)" in page and "<td>the ELBO (k = 1)</td>" in page and "log p(x)" not in page


@pytest.mark.slow
def test_integer_images_by_class(tmp_path):
    splits = data.load("digits", context="target")
    shape = splits.event_shape
    size = math.prod(shape)
    net = splits.context.network()
    layers = [
        sf.Dequantize(shape, levels=splits.support.levels),
        sf.Logit(shape, low=0, high=splits.support.levels),
        sf.Reshape(shape, size),
    ]
    coupling = sf.Coupling(size, net.out_shape, hidden=(8,))
    flow = sf.Flow([*layers, coupling], base=sf.Normal(size), context_net=net)
    splits.test = Part(splits.test.x[:100], splits.test.context[:100])
    page, pictures = make(tmp_path, flow, splits)
    assert {"samples", "tightness"} <= pictures and "density" not in pictures
    assert "Bits per dimension" in page and "every row is a class" in page and "10 categories" in page


@pytest.mark.slow
def test_hostile_names_are_text(tmp_path):
    x = torch.randn(120, 3)
    encoding = ContextEncoding([ContextColumn(HOSTILE, [HOSTILE, "b"]), ContextColumn("age", None, 0.0, 1.0)])
    context = torch.stack([torch.arange(120) % 2.0, torch.randn(120)], 1)
    splits = table(x, [HOSTILE, "$a$ \\x", "c" * 300], context, encoding, name=HOSTILE)
    net = encoding.network()
    flow = sf.Flow([sf.Coupling(3, net.out_shape, hidden=(8,))], base=sf.Normal(3), context_net=net)
    page, pictures = make(tmp_path, flow, splits, rows=NLL, command=HOSTILE, config_text=HOSTILE)
    assert "pairs" in pictures
    assert "<script" not in page and "&lt;script&gt;" in page
    assert_self_contained(page)


@pytest.mark.slow
def test_contexts_of_the_plane(tmp_path):
    encoding = ContextEncoding([ContextColumn("age", None, 0.0, 1.0)])
    splits = table(torch.randn(100, 2), ["a", "b"], torch.randn(100, 1), encoding)
    _, pictures = make(tmp_path / "number", plane_flow(1, context_net=encoding.network()), splits, rows=NLL)
    assert "density" in pictures
    _, pictures = make(tmp_path / "raw", plane_flow(1), table(torch.randn(100, 2), [], torch.randn(100, 1)), rows=NLL)
    assert "density" in pictures


def test_held_out_rows_of_density_zero(tmp_path):
    splits = table(torch.tensor([[0.5], [0.25], [1.5], [0.75]]).repeat(10, 1), ["a"])
    page, pictures = make(tmp_path, sf.Flow([], base=sf.Uniform(1)), splits)
    assert "25 % of which the flow calls impossible" in page and "account" in pictures


@pytest.mark.slow
def test_other_events(tmp_path):
    line = sf.Flow([sf.Reverse(1)], base=sf.Normal(1))
    assert "pairs" in make(tmp_path / "line", line, table(torch.randn(60, 1), ["a"]), rows=NLL)[1]
    cloud = sf.Flow([sf.Reverse((2, 5))], base=sf.Normal((2, 5)))
    sets = replace(table(torch.randn(60, 2, 5), []), sets=True)
    assert "samples" in make(tmp_path / "cloud", cloud, sets, rows=NLL)[1]
    box = sf.Flow([], base=sf.Uniform(2))
    assert "latents" not in make(tmp_path / "box", box, table(torch.rand(60, 2), ["a", "b"]), rows=NLL)[1]


@pytest.mark.parametrize(
    ("value", "error", "expected"),
    [
        (1.04970, 0.00746, ("1.0497", "0.0075")),
        (-130.47, 1.056, ("−130.5", "1.1")),
        (1234.0, 345.0, ("1234", "345")),
        (0.4611, None, ("0.4611", "")),
        (10000.0, None, ("10,000", "")),
        (math.inf, None, ("infinite", "")),
        (2.0, 0.0, ("2", "")),
    ],
)
def test_numbers_have_the_digits_that_their_errors_support(value, error, expected):
    assert plus_minus(value, error) == expected


# -- pictures ---------------------------------------------------------------------------------------------


def figures():
    generator = torch.Generator().manual_seed(0)
    plane, wide = torch.randn(2, 300, 2, generator=generator), torch.randn(2, 80, 3, generator=generator)
    image = torch.rand(2, 30, 1, 6, 5, generator=generator)
    labels = torch.arange(30) % 12
    rows = [Row(case="", model="m", seed=0, metric=m, value=v, error=0.1, unit="") for m, v in (
        ("nll_bound_k1", 1.5), ("nll_bound_k10", 1.4), ("nll_bound_k100", 1.3), ("entropy", 1.0), ("gaussian_nll", 2.0),
    )]  # fmt: skip
    many = [Term("Coupling", 0.5, True), Term("Dequantize", -0.1, False)] * 30 + [Term("Normal", -3.0, True)]
    yield "beside", plots.samples_beside_data(*plane)
    yield "classes", plots.samples_beside_data(*plane, labels=torch.arange(300) % 12)
    yield "density", plots.density(sf.Normal(2), ((-3, 3), (-2, 9)), truth=sf.Normal(2), resolution=16)
    yield "nowhere", plots.density(sf.Uniform(2), ((4, 5), (4, 5)), resolution=8)
    yield "pairs", plots.pairs(*wide, columns=["a", "b", "c"])
    yield "images", plots.images(*image)
    yield "by class", plots.images(*image, labels, [str(i) for i in range(12)])
    yield "colour", plots.images(*image.repeat(1, 1, 3, 1, 1))
    yield "losses", plots.losses(log_rows(), entropy=0.9)
    yield "one loss", plots.losses(log_rows(1))
    yield "no losses", plots.losses([])
    yield "broken losses", plots.losses([{"step": 0, "split": "train", "nll": math.nan, "learning_rate": 0.1}])
    yield "latents", plots.latents(plane[0])
    yield "many codes", plots.latents(wide[0].repeat(1, 3))
    yield "account", plots.account(many)
    yield "tightness", plots.tightness(rows)
    yield "standing", plots.standing(rows)
    infinite = [
        Row(case="", model="m", seed=0, metric=row["metric"], value=math.inf, error=None, unit="") for row in rows
    ]
    yield "infinite", plots.standing(infinite[:3])
    yield "infinite bound", plots.tightness(infinite[:3])
    yield "script", plots.pairs(*plane, columns=["名前", HOSTILE])


@pytest.mark.slow
def test_every_picture_is_drawn_and_none_touches_pyplot(tmp_path):
    for name, figure in figures():
        content = plots.save(figure, tmp_path / f"{name}.png").read_bytes()
        assert content.startswith(PNG) and len(content) > 500, name
    pyplot = sys.modules.get("matplotlib.pyplot")
    assert pyplot is None or not pyplot.get_fignums()


def test_pairs_show_at_most_six_columns():
    assert len(plots.pairs(*torch.randn(2, 20, 9), columns=[f"column {i}" for i in range(9)]).axes) == 36


def test_axes_of_the_loss_end_where_training_ends():
    low, high = plots.losses(log_rows(200), entropy=0.9).axes[0].get_ylim()
    assert low < 0.9 and 1.1 < high < 5  # the first step is at 51 nats


def test_density_is_drawn_where_it_is():
    distribution = sf.Normal(2, learned=True)
    with torch.no_grad():
        distribution.raw[0] = torch.tensor([1.0, -1.0])
        distribution.raw[1] = -2
    image = plots.density(distribution, ((-2, 2), (-2, 2)), resolution=40).axes[0].get_images()[0]
    values = image.get_array()
    row, column = divmod(int(values.argmax()), 40)
    left, right, bottom, top = image.get_extent()
    assert left + (right - left) * (column + 0.5) / 40 == pytest.approx(1, abs=0.1)
    assert bottom + (top - bottom) * (row + 0.5) / 40 == pytest.approx(-1, abs=0.1)
    assert values.sum() * 0.1**2 == pytest.approx(1, abs=0.01)


def test_the_circle_holds_nine_tenths():
    z = torch.randn(20000, 2, generator=torch.Generator().manual_seed(0))
    assert plots.latents(z).axes[-1].get_title() in {f"{v / 10:.1f} % in the 90 % circle" for v in range(893, 908)}


def test_the_account_is_of_the_density_or_of_a_bound():
    terms = [Term("Augment", -1.4, False), Term("Normal", -1.8, True)]
    assert "the ELBO (k = 1)" in plots.account(terms).axes[0].get_xlabel()
    assert "log p(x)" in plots.account(terms[1:] * 2).axes[0].get_xlabel()


def test_the_note_of_what_is_cut_off_is_readable_over_the_curve():
    (note,) = plots.losses(log_rows(200)).axes[0].texts
    assert note.get_text().startswith("↑ from") and note.get_bbox_patch().get_facecolor() == (1, 1, 1, 1)


@pytest.mark.slow
def test_a_baseline_of_few_rows_is_said_to_be_shrunk(tmp_path):
    rows = [NLL[0] | {"metric": metric} for metric in ("nll", "gaussian_nll")]
    flow = sf.Flow([sf.Reverse(8)], base=sf.Normal(8))
    assert "covariance is shrunk" in make(tmp_path / "few", flow, table(torch.randn(30, 8), []), rows=rows)[0]
    assert "shrunk" not in make(tmp_path / "enough", flow, table(torch.randn(50, 8), []), rows=rows)[0]
