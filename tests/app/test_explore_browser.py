"""The page of surflow explore in a real browser: what is set changes what is shown, and nothing fails on the way."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import TYPE_CHECKING

import pytest
from test_explore import explorer_of

from surflow.app.explore import Server

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.e2e

playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
if CHROMIUM is None:
    pytest.skip("there is no Chromium on this machine", allow_module_level=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


explorer = cache(explorer_of)


@contextmanager
def opened(browser: Browser, kind: str, **options: object) -> Iterator[Page]:
    """A page of a model; at its end nothing has failed, and nothing but the server was asked."""
    faults: list[str] = []
    with Server(explorer(kind)) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        page = browser.new_page(**options)
        page.on(
            "console", lambda message: faults.append(message.text) if message.type in ("error", "warning") else None
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on(
            "request",
            lambda request: None if request.url.startswith((server.address, "data:")) else faults.append(request.url),
        )
        page.set_default_timeout(15_000)
        page.goto(server.address)
        page.wait_for_selector("body[data-ready]")
        yield page
        server.shutdown()
        page.close()
    assert not faults


def until(page: Page, met: Callable[[], object]) -> None:
    """Wait until something holds; Playwright's own waiting evaluates texts, which the page does not allow."""
    end = time.monotonic() + 15
    while not met():
        assert time.monotonic() < end, page.inner_text("body")
        page.wait_for_timeout(30)


def changed(page: Page, selector: str, before: str) -> None:
    """Wait until a part of the page is another than before."""
    until(page, lambda: page.inner_html(selector) != before)


def said(page: Page, words: str) -> None:
    """Wait until the live region says something."""
    until(page, lambda: words in page.inner_text("#status"))


def test_a_condition_changes_the_other_columns(browser: Browser) -> None:
    with opened(browser, "table") as page:
        weight = "fieldset:nth-of-type(3) svg"
        before = page.inner_html(weight)
        page.get_by_label("dog").check()
        changed(page, weight, before)
        said(page, "exact probabilities")
        assert page.locator("fieldset.set legend").all_inner_texts() == ["pet"]
        assert "Given pet: dog" in page.inner_text("main")
        before = page.inner_html(weight)
        page.get_by_label("age, at least").fill("9")  # a bound, by the keyboard
        changed(page, weight, before)
        said(page, "draws within the bounds")
        page.get_by_role("button", name="Draw rows").click()
        page.get_by_role("button", name="Explain row 2").click()
        page.get_by_text("The oddest value is that of").first.wait_for()
        page.get_by_role("button", name="Fix the values of row 1").click()
        until(page, lambda: page.locator("fieldset.set").count() == 4)
        page.get_by_role("button", name="Free all").click()
        until(page, lambda: page.locator("fieldset.set").count() == 0)


def test_bars_are_picked_with_the_pointer(browser: Browser) -> None:
    with opened(browser, "table") as page:
        box = page.locator("fieldset:nth-of-type(4) svg").bounding_box()
        middle = box["y"] + box["height"] / 2
        page.mouse.move(box["x"] + 0.3 * box["width"], middle)
        page.mouse.down()
        page.mouse.move(box["x"] + 0.6 * box["width"], middle)
        page.mouse.up()
        until(page, lambda: page.locator("fieldset.set").count() == 1)
        low, high = (float(page.get_by_label(f"score, {end}").input_value()) for end in ("at least", "at most"))
        assert low < high


def test_a_refusal_is_said_and_mended(browser: Browser) -> None:
    with pytest.raises(AssertionError, match="400"), opened(browser, "table") as page:  # which the console says, too
        page.get_by_label("age, at least").fill("old")
        until(page, lambda: "'age' expects a number" in page.inner_text("#trouble"))
        assert page.get_attribute("#trouble", "role") == "alert" and page.is_visible("#trouble")
        page.get_by_label("age, at least").fill("2")
        page.wait_for_selector("#trouble", state="hidden")


def test_the_grid_of_latents_is_drawn(browser: Browser) -> None:
    with opened(browser, "plane", color_scheme="dark") as page:
        before = page.inner_html("svg.plot")
        page.get_by_label("grid of latents").check()
        page.wait_for_selector("svg.plot path.line", state="attached")
        page.get_by_label("class").select_option("b")
        changed(page, "svg.plot", before)


def test_images_are_varied_and_joined(browser: Browser) -> None:
    with opened(browser, "images", viewport={"width": 390, "height": 800}) as page:
        until(page, lambda: page.locator(".strip img").count() == 33)
        last = "section:last-of-type .strip"
        before = page.inner_html(last)
        page.get_by_role("button", name="draw 5").press("Enter")
        changed(page, last, before)
        assert page.locator("button[aria-pressed=true]").count() == 2
        page.get_by_label("class").select_option("b")
        page.get_by_role("button", name="draw 5, class b").wait_for()
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_the_posterior_follows_the_observation(browser: Browser) -> None:
    with opened(browser, "posterior") as page:
        page.get_by_text("Exact: half below").first.wait_for()
        before = page.inner_html("svg.bars")
        page.get_by_label("x1").fill("-0.4")
        changed(page, "svg.bars", before)
        observed = page.get_by_label("x1").input_value()
        page.get_by_role("slider", name="theta1").press("ArrowRight")
        until(page, lambda: page.get_by_label("x1").input_value() != observed)


@pytest.mark.parametrize("kind", ["table", "numbers", "plane", "images", "posterior"])
def test_every_field_has_a_name_and_a_place_in_the_order(browser: Browser, kind: str) -> None:
    with opened(browser, kind, viewport={"width": 360, "height": 700}) as page:
        page.wait_for_timeout(300)
        nameless = page.evaluate(
            "[...document.querySelectorAll('input, select, button')].filter(e => !(e.labels?.length || e.ariaLabel || "
            "e.textContent.trim() || e.querySelector('img[alt]'))).length"
        )
        assert nameless == 0
        assert page.evaluate("[...document.querySelectorAll('img, svg[role=img]')].every(e => e.alt || e.ariaLabel)")
        assert page.evaluate("document.querySelectorAll('[tabindex]:not([tabindex=\"-1\"])').length") == 0
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        assert page.get_attribute("#status", "aria-live") == "polite" and page.inner_text("#status")
