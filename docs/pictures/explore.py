"""Makes docs/pictures/explore.png, the page of ``surflow explore`` with a column fixed and one bounded.

python docs/pictures/explore.py
"""

from __future__ import annotations

import io
import shutil
import threading
from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import sync_playwright

import surflow as sf
from surflow.app.explore import Server
from surflow.app.explore.tables import Tables

ROWS, STEPS = 2000, 300


def people() -> sf.Table:
    """A table of people, whose income follows from the rest."""
    rng = np.random.default_rng(0)
    sex, age = rng.choice(["F", "M"], ROWS), rng.integers(18, 80, ROWS)
    city = np.where(age > 50, rng.choice(["Bern", "Lyon"], ROWS), rng.choice(["Lyon", "Oslo"], ROWS))
    children = np.minimum(rng.poisson(np.clip((age - 20) / 20, 0, 2)), 6)
    hours = np.where(rng.random(ROWS) < 0.4, 40, rng.integers(10, 60, ROWS))
    earned = 900 + 35 * age + 25 * hours + 300 * (sex == "M")
    pay = np.where(age > 66, 1800, earned) + 250 * rng.standard_normal(ROWS)
    joined = np.datetime64("2015-01-01") + rng.integers(0, 3000, ROWS)
    income = np.where(rng.random(ROWS) < 0.08, np.nan, np.round(pay, 2))
    columns = {"sex": sex, "city": city, "age": age, "children": children, "hours": hours}
    return sf.Table(columns | {"income": income, "joined": joined})


def main() -> None:
    """Train, open, set, and take the picture."""
    table = people()
    model = sf.presets.table(table.schema, seed=0)
    sf.fit(model, table, steps=STEPS, seed=0, progress=False)
    with Server(Tables(model, "people")) as server, sync_playwright() as driver:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 700})
        page.goto(server.address)
        page.wait_for_selector("body[data-ready]")
        page.get_by_label("F", exact=False).first.check()
        page.get_by_label("age, at least").fill("60")
        page.get_by_text("draws within the bounds").wait_for()
        page.wait_for_timeout(500)
        shot = page.screenshot(clip={"x": 0, "y": 0, "width": 1200, "height": 690})
        server.shutdown()
    with Image.open(io.BytesIO(shot)) as image:
        small = image.convert("RGB").quantize(64, dither=Image.Dither.NONE)
    small.save(Path(__file__).with_suffix(".png"), optimize=True)


if __name__ == "__main__":
    main()
