"""surflow explore: what the page is told is what the model says, and the server answers its own page alone."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import pytest
import torch

import surflow as sf
from surflow.app import runs
from surflow.app.config import parse_config
from surflow.app.explore import Server
from surflow.app.explore import explorer_of as explorer_of_run
from surflow.app.explore.frames import Frame, exact_text
from surflow.app.explore.images import Images
from surflow.app.explore.numbers import Numbers
from surflow.app.explore.plane import Plane
from surflow.app.explore.posteriors import Posteriors
from surflow.app.explore.questions import Explorer
from surflow.app.explore.tables import Tables
from surflow.app.runs import DataSpec, RunFolder
from surflow.data import Column, ColumnKind, ContextColumn, ContextEncoding, simulator
from surflow.errors import ConfigError, DataError
from surflow.supports import Integers, real
from surflow.tables.given import regions

CLASSES = ContextEncoding([ContextColumn("class", ["a", "b"])])


def table_explorer() -> Tables:
    rng = np.random.default_rng(0)
    n = 400
    pet, age = rng.choice(["cat", "dog"], n), rng.integers(0, 15, n)
    weight = np.round(np.where(pet == "cat", 4, 12) + age / 10 + rng.normal(0, 1, n), 1)
    weight[rng.random(n) < 0.1] = np.nan
    table = sf.Table({"pet": pet, "age": age, "weight": weight, "score": rng.normal(0, 1, n)})
    model = sf.presets.table(table.schema, width=16, layers=1, seed=0)
    sf.fit(model, table, steps=30, progress=False)
    return Tables(model, "pets")


def facts(shape: tuple[int, ...], support: sf.Support = real, context: ContextEncoding | None = None) -> DataSpec:
    return DataSpec("some", [], shape, support, context)


def explorer_of(kind: str) -> Explorer:
    """An explorer of a small model; those of tables are trained for a moment, the others not at all."""
    if kind == "table":
        return table_explorer()
    if kind == "numbers":
        return Numbers(sf.presets.spline(3, layers=1, seed=0), facts((3,)))
    if kind == "plane":
        flow = sf.presets.spline(2, layers=1, context_net=CLASSES.network(), seed=0)
        return Plane(flow, facts((2,), context=CLASSES), "some.csv")
    if kind == "images":
        support = Integers(8)
        flow = sf.presets.image((1, 4, 4), support=support, context_net=CLASSES.network(), seed=0)
        with sf.seeded(0), torch.no_grad():  # conditioners that say nothing yet would make all conditions one
            for weights in flow.parameters():
                weights.add_(0.2 * torch.randn_like(weights))
        return Images(flow, facts((1, 4, 4), support, CLASSES))
    made = simulator("two_moons")
    return Posteriors(sf.presets.box(2, 2, support=sf.Interval(-1, 1), seed=0), made, facts((2,)))


@pytest.fixture(scope="module")
def tables() -> Tables:
    return table_explorer()


# -- tables ------------------------------------------------------------------------------------------------


def test_columns_are_the_conditionals_of_the_model(tables: Tables) -> None:
    answer = tables.columns({"given": {"age": {"from": "3", "to": "3"}}})
    rows = {"pet": ["cat", "dog"], "age": [3, 3]}
    expected = tables.model.log_prob(rows, of=["pet"], given=["age"]).exp()
    found = answer["columns"]["pet"]
    assert found["shares"][:2] == pytest.approx(expected.tolist(), abs=1e-4)
    assert sum(found["shares"]) + found["missing"] == pytest.approx(1, abs=1e-3)
    assert set(answer["columns"]) == {"pet", "weight", "score"} and answer["draws"] == 0
    for name in ("weight", "score"):
        shown = answer["columns"][name]
        assert sum(shown["mass"]) + shown["missing"] == pytest.approx(1, abs=1e-3)


def test_bars_of_a_grid_are_the_masses_of_its_values(tables: Tables) -> None:
    shown = tables.columns({"given": {"pet": {"names": ["dog"]}}})["columns"]["age"]
    frame = tables.frames[1]
    assert frame.one_value
    inner = [i for i in range(1, len(frame.centres) - 1)]  # the outer ones have no end
    rows = {"pet": ["dog"] * len(inner), "age": [round(float(frame.centres[i])) for i in inner]}
    expected = tables.model.log_prob(rows, of=["age"], given=["pet"]).exp()
    assert [shown["mass"][i] for i in inner] == pytest.approx(expected.tolist(), abs=1e-4)


def test_bounds_are_a_mean_over_draws_and_say_so(tables: Tables) -> None:
    answer = tables.columns({"given": {"weight": {"from": "9", "to": ""}}})
    dogs = answer["columns"]["pet"]["shares"][1]
    joint = tables.model.sample_rows(4000, given={"weight": ">=9"}, seed=0)[0]
    assert dogs == pytest.approx(float((joint[:, 0] == 1).double().mean()), abs=0.1)
    assert answer["draws"] > 0 and 0 < answer["effective"] <= 1 and "weight" not in answer["columns"]


def test_a_drawn_row_is_explained(tables: Tables) -> None:
    names = [column.name for column in tables.model.columns]
    rows = tables.rows({"given": {"pet": {"names": ["cat"]}, "weight": {"missing": True}}, "seed": 1})["rows"]
    assert {row[0] for row in rows} == {"cat"} and {row[2] for row in rows} == {None}
    answer = tables.explain({"row": dict(zip(names, rows[0], strict=True))})
    x = torch.tensor([[0.0, float(rows[0][1]), math.nan, float(rows[0][3])]], dtype=torch.float64)
    assert answer["log_prob"] == pytest.approx(tables.model.flow.log_prob(x).item(), rel=1e-4)
    assert answer["oddest"] in names and len(answer["nats"]) == len(answer["usual"]) == 4


@pytest.mark.parametrize("given", [{}, {"score": {"from": "0", "to": ""}}])
def test_two_columns_are_seen_together(tables: Tables, given: dict[str, object]) -> None:
    answer = tables.pair({"x": "pet", "y": "weight", "given": given})
    assert answer["x"]["names"] == ["cat", "dog"] and answer["picture"].startswith("data:image/png;base64,")
    assert (answer["draws"] > 0) == bool(given)


@pytest.mark.parametrize(
    ("question", "asked", "words"),
    [
        ("columns", {"given": {"colour": {"names": ["red"]}}}, "unknown column 'colour'"),
        ("columns", {"given": {"pet": {"names": ["cow"]}}}, "no category 'cow'"),
        ("columns", {"given": {"age": {"from": "old", "to": ""}}}, "expects a number"),
        ("columns", {"given": {"age": {"from": "9", "to": "3"}}}, "no value of 'age'"),
        ("columns", {"given": {"age": {"missing": True}}}, "never missing"),
        ("columns", {"given": {"age": {}}}, "a value, or a least"),
        ("columns", {"given": {"age": 3}}, "expects names, ends or missing"),
        ("columns", {"given": [3]}, "entries by name"),
        ("rows", {"given": {}, "seed": "1"}, "seed expects a whole number"),
        ("explain", {"row": {"pet": "cat"}}, "nothing is said of"),
        ("pair", {"x": "pet", "y": "pet"}, "the same column"),
        ("pair", {"x": "pet", "y": "age", "given": {"pet": {"names": ["cat"]}}}, "'pet' is fixed"),
        ("pair", {"x": "pet", "y": "colour"}, "no column 'colour'"),
    ],
)
def test_what_is_refused_is_said_in_words(tables: Tables, question: str, asked: dict, words: str) -> None:
    with pytest.raises((ConfigError, DataError), match=words):
        tables.questions[question](asked)


def test_quantiles_of_bars_know_single_values() -> None:
    frame = Frame(Column("pay", ColumnKind.NUMBER, step=0.01), 0.0, 4800.0)
    mass = torch.zeros(len(frame.centres), dtype=torch.float64)
    mass[0], mass[-1] = 0.6, 0.4
    shown = frame.show(mass, atoms=[(0.0, 0.6)])
    assert shown["middle"][:2] == ["0.00", "0.00"] and float(shown["middle"][2]) > 4000
    assert shown["atoms"] == [["0.00", 0.6]]


def test_moments_are_written_short_and_read_again() -> None:
    column = Column("at", ColumnKind.DATE, format="timestamp", step=1.0)
    noon = 86_400 * 0.5
    for value, text in (
        (0.0, "1970-01-01"),
        (noon, "1970-01-01T12:00:00"),
        (noon + 0.25, "1970-01-01T12:00:00.250000"),
    ):
        assert exact_text(column, value) == text
    assert regions([column], {"at": "1970-01-01T12:00:00"})[0].points == (noon,)


# -- other models ------------------------------------------------------------------------------------------


def test_numbers_count_the_drawn_rows_that_fit() -> None:
    numbers = explorer_of("numbers")
    assert isinstance(numbers, Numbers)
    asked = {"given": {"x1": {"from": "0", "to": ""}}, "seed": 0}
    answer = numbers.columns(asked)
    assert answer["rows"] == int((numbers.drawn[:, 0] >= 0).sum()) and answer["of"] == len(numbers.drawn)
    rows = numbers.rows(asked)["rows"]
    assert all(float(row[0]) >= 0 for row in rows)
    explained = numbers.explain({"row": dict(zip(["x1", "x2", "x3"], rows[0], strict=True))})
    x = torch.tensor([[float(text) for text in rows[0]]])
    assert explained["log_prob"] == pytest.approx(numbers.flow.log_prob(x).item(), rel=1e-4)
    with pytest.raises(DataError, match="drawn rows lie within"):
        numbers.columns({"given": {"x1": {"from": "50", "to": ""}}})
    with pytest.raises(ConfigError, match="state a range"):
        numbers.columns({"given": {"x1": {"from": "1", "to": "1"}}})


def test_the_grid_of_latents_is_decoded() -> None:
    plane = explorer_of("plane")
    assert isinstance(plane, Plane)
    line = torch.tensor(plane.grid({"context": {"class": "b"}})["lines"][0])
    z = plane.flow.encode(line, CLASSES.encode({"class": "b"}).expand(len(line), -1).float())
    assert z[:, 0].std().item() < 0.02  # an upright line of the grid
    folded = Plane(sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2)), facts((2,)), "some.csv")
    assert "Abs draws" in folded.describe()["no_grid"]
    with pytest.raises(ConfigError, match="Abs draws"):
        folded.grid({})


def test_a_path_begins_and_ends_at_its_images() -> None:
    images = explorer_of("images")
    asked = {"context": {"class": "a"}, "seed": 3, "image": 2, "other": 5}
    drawn, way = (images.questions[name](asked)["images"] for name in ("draw", "path"))
    assert (way[0], way[-1]) == (drawn[2], drawn[5])
    near = images.questions["vary"](asked | {"amount": 0})["images"]
    assert set(near) == {drawn[2]}
    assert images.questions["draw"](asked | {"context": {"class": "b"}})["images"] != drawn


def test_the_exact_posterior_stands_beside() -> None:
    posteriors = explorer_of("posterior")
    x = posteriors.questions["simulate"]({"theta": [0.3, -0.2], "seed": 0})["observation"]
    answer = posteriors.questions["posterior"]({"observation": x})
    _, middle, _ = (float(text.replace("−", "-")) for text in answer["exact"][0]["middle"])
    assert abs(abs(middle) - 0.3) < 0.3 and 0 < answer["efficiency"] <= 1
    far = posteriors.questions["posterior"]({"observation": [50.0, 50.0]})
    assert "impossible" in far["no_exact"] and "exact" not in far
    with pytest.raises(DataError, match="outside the prior"):
        posteriors.questions["simulate"]({"theta": [9.0, 0.0], "seed": 0})


# -- the server --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server(tables: Tables) -> Iterator[Server]:
    with Server(tables) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def reply(server: Server, path: str, body: object = None, **headers: str) -> tuple[int, str, dict[str, str]]:
    """Status, text and headers of what the server says to a request."""
    connection = HTTPConnection(*server.server_address[:2], timeout=20)
    data = body if isinstance(body, str | None) else json.dumps(body)
    method = "GET" if data is None else "POST"
    connection.request(method, path, data, {"Content-Type": "application/json"} | headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text, dict(answer.headers)


def test_the_server_is_on_the_loopback_interface_alone(server: Server) -> None:
    assert server.server_address[0] == "127.0.0.1" and server.address.startswith("http://127.0.0.1:")
    assert len(server.token) >= 32


def test_the_page_asks_no_other_address(server: Server) -> None:
    status, page, headers = reply(server, f"/{server.token}/")
    assert status == 200 and "<h1>pets: ask the model</h1>" in page
    assert headers["Content-Security-Policy"].startswith("default-src 'none'") and headers["Referrer-Policy"]
    for name, text in server.page.items():
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", ""), name
        assert reply(server, f"/{server.token}/{name}")[0] == 200


def test_what_comes_from_elsewhere_is_refused(server: Server) -> None:
    ask = f"/{server.token}/ask/columns"
    assert reply(server, ask, {})[0] == 200
    assert reply(server, ask, {}, Host="localhost:9", Origin="http://localhost:9")[0] == 200  # through a tunnel
    for status, path, headers in (
        (404, "/", {}), (404, f"/{server.token[:-1]}/", {}), (404, f"/{'x' * 32}/ask/columns", {}),
        (404, f"/{server.token}", {}), (404, f"/{server.token}/../server.py", {}), (404, f"/{server.token}/no", {}),
        (403, ask, {"Host": "evil.example"}), (403, ask, {"Host": "evil.example:80"}), (403, ask, {"Host": ""}),
        (403, ask, {"Host": "127.0.0.1.evil.example"}), (403, ask, {"Origin": "http://evil.example"}),
        (403, ask, {"Origin": "null"}), (403, ask, {"Sec-Fetch-Site": "cross-site"}),
        (415, ask, {"Content-Type": "text/plain"}), (404, f"/{server.token}/ask/nothing", {}),
    ):  # fmt: skip
        found, text, _ = reply(server, path, {} if "ask" in path else None, **headers)
        assert found == status and json.loads(text)["error"], (path, headers)


def test_bad_input_is_refused_in_words(server: Server, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    ask = f"/{server.token}/ask/columns"
    assert reply(server, ask, '{"given"')[:2][0] == 400
    assert "object" in reply(server, ask, [1])[1]
    assert reply(server, ask, "[" * 30_000)[0] == 400
    assert reply(server, ask, " " * 70_000)[0] == 413
    status, text, _ = reply(server, ask, {"given": {"pet": {"names": ["cow"]}}})
    assert status == 400 and "no category 'cow'" in json.loads(text)["error"]
    monkeypatch.setattr(server.explorer, "columns", lambda asked: 1 / 0)
    status, text, _ = reply(server, ask, {})
    assert status == 500 and "the terminal" in text and "ZeroDivisionError" in capsys.readouterr().err


def test_names_from_data_are_no_markup(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "title", "<script>alert(1)</script>")
    with Server(tables) as hostile:
        assert "<script>alert" not in hostile.page["index.html"]


def test_a_port_that_is_taken_is_said(server: Server, tables: Tables) -> None:
    with pytest.raises(sf.errors.FileError, match="--port"):
        Server(tables, server.server_address[1])


# -- the command -------------------------------------------------------------------------------------------


def run_of(folder: Path, data: dict[str, object]) -> RunFolder:
    """A run whose model has not been trained."""
    config = parse_config({"data": data})
    splits = runs.load_splits(config)
    config = config.settled(splits)
    run = RunFolder(folder)
    with run.held():
        run.begin(config, splits)
        run.keep(runs.build(config, splits))
    return run


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        ({"source": "moons", "rows": 100}, Plane),
        ({"source": "iris", "context": ["species"]}, Numbers),
        ({"source": "digits", "context": ["digit"], "rows": 50}, Images),
        ({"source": "two_moons", "rows": 100}, Posteriors),
    ],
)
def test_a_run_has_the_page_of_its_kind(tmp_path: Path, data: dict[str, object], kind: type[Explorer]) -> None:
    explorer = explorer_of_run(run_of(tmp_path / "run", data))
    assert isinstance(explorer, kind) and str(data["source"]) in explorer.sentence
    json.dumps(explorer.describe(), allow_nan=False)


def test_what_no_page_shows_is_said(tmp_path: Path) -> None:
    np.save(tmp_path / "sets.npy", np.random.default_rng(0).normal(size=(60, 6, 2)))
    run = run_of(tmp_path / "run", {"source": str(tmp_path / "sets.npy"), "sets": True})
    with pytest.raises(ConfigError, match="tables, the plane, images and posteriors"):
        explorer_of_run(run)


@pytest.mark.e2e
def test_the_command_prints_an_address_and_ends_with_ctrl_c(tmp_path: Path) -> None:
    run_of(tmp_path / "run", {"source": "moons", "rows": 100})
    command = [sys.executable, "-m", "surflow", "explore", str(tmp_path / "run")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    ) as asked:
        assert asked.stdout is not None
        address = next(line.strip() for line in asked.stdout if "http://" in line)
        _, _, host, path = address.split("/", 3)
        connection = HTTPConnection(host, timeout=20)
        connection.request("GET", f"/{path}")
        assert connection.getresponse().status == 200
        connection.close()
        asked.send_signal(signal.SIGINT)
        assert "ended" in asked.stdout.read() and asked.wait(20) == 0
