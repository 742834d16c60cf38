"""How long the page of ``surflow explore`` waits for an answer, over HTTP as a browser asks: docs/results/explore.json.

    python -m surflow_experiments.explore

A table of 15 columns, six categories, eight numbers and a date, holes among them, and the model that ``surflow train``
makes of it, trained for a few steps: how long it trains changes no time. Milliseconds of processor time, server and
client together, on one thread: medians and 95th percentiles.
"""

from __future__ import annotations

import json
import statistics
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import numpy as np
import torch

import surflow as sf
from surflow.app.explore import Server
from surflow.app.explore.tables import Tables
from surflow.evaluation import Row, write_results

RESULTS = Path("docs/results/explore.json")
ROWS, STEPS, ASKED = 1500, 30, 30
MODEL = "15 columns"


def table() -> sf.Table:
    """The table that is asked about."""
    rng = np.random.default_rng(0)
    age = rng.integers(18, 80, ROWS)
    columns: dict[str, np.ndarray] = {"age": age}
    columns |= {f"name{i}": rng.choice(list("abcdefghi")[: 3 + i], ROWS) for i in range(6)}
    for i in range(5):
        columns[f"number{i}"] = np.round(age * rng.normal(1, 0.1, ROWS) + rng.normal(0, 3, ROWS), 2)
    columns["day"] = np.datetime64("2015-01-01") + rng.integers(0, 3000, ROWS)
    pay = np.round(1000 + 40 * age + 300 * rng.standard_normal(ROWS), 2)
    columns["pay"] = np.where(rng.random(ROWS) < 0.2, np.nan, pay)
    columns["children"] = rng.poisson(1.4, ROWS)
    return sf.Table(columns)


def questions(rows: list[list[str | None]], names: list[str]) -> dict[str, list[tuple[str, dict[str, object]]]]:
    """What is asked, by name: every list has the questions of one kind, each about another row."""
    found: dict[str, list[tuple[str, dict[str, object]]]] = {}
    for row in rows:
        stated: dict[str, object] = {name: _fixed(name, text) for name, text in zip(names, row, strict=True)}
        bounds: dict[str, object] = {"age": {"from": "50", "to": ""}, "number0": {"from": "", "to": "60"}}
        for fixed in (0, 1, 3, 8):
            given: dict[str, object] = dict(list(stated.items())[:fixed])
            found.setdefault(f"{fixed} columns fixed", []).append(("columns", {"given": given}))
        for many in (1, 2):
            given = dict(list(bounds.items())[:many]) | {"name0": stated["name0"]}
            found.setdefault(f"{many} columns bounded, 1 fixed", []).append(("columns", {"given": given}))
        pair: dict[str, object] = {"x": "number0", "y": "pay", "given": {"name0": stated["name0"]}}
        found.setdefault("two columns together", []).append(("pair", pair))
        found.setdefault("six rows drawn", []).append(("rows", {"given": {"name0": stated["name0"]}, "seed": 0}))
        found.setdefault("a row explained", []).append(("explain", {"row": dict(zip(names, row, strict=True))}))
    return found


def _fixed(name: str, text: str | None) -> dict[str, object]:
    if name.startswith("name"):
        return {"names": [text]}
    return {"missing": True} if text is None else {"from": text, "to": text}


def measure(server: Server, kind: list[tuple[str, dict[str, object]]]) -> list[float]:
    """Milliseconds that each question takes, after one that warms up."""
    found = []
    connection = HTTPConnection("127.0.0.1", server.server_address[1])
    for name, asked in [kind[0], *kind]:
        start = time.process_time()
        body = json.dumps(asked)
        connection.request("POST", f"/{server.token}/ask/{name}", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        text = reply.read()
        found.append(1000 * (time.process_time() - start))
        if reply.status != 200:
            raise RuntimeError(f"{name} of {asked}: {text.decode()}")
    connection.close()
    return found[1:]


def main() -> None:
    """Train, ask, write."""
    torch.set_num_threads(1)
    data = table()
    model = sf.presets.table(data.schema, seed=0)
    sf.fit(model, data, steps=STEPS, seed=0, progress=False)
    start = time.process_time()
    explorer = Tables(model, "table")
    rows: list[Row] = []

    def note(case: str, metric: str, value: float) -> None:
        rows.append(Row(case=case, model=MODEL, seed=0, metric=metric, value=round(value, 1), error=None, unit="ms"))

    note("start of the page", "median", 1000 * (time.process_time() - start))
    texts = [row for seed in range(ASKED // 6) for row in explorer.rows({"seed": seed})["rows"]]
    with Server(explorer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        for name, kind in questions(texts, [column.name for column in model.columns]).items():
            found = measure(server, kind)
            note(name, "median", statistics.median(found))
            note(name, "95_percent", statistics.quantiles(found, n=20)[-1])
        server.shutdown()
    write_results(RESULTS, "python -m surflow_experiments.explore", rows)
    for row in rows:
        print(f"{row['case']:36}{row['metric']:14}{row['value']:8.1f} ms")


if __name__ == "__main__":
    main()
