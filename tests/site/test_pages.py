"""Every block of code on the site and the front page runs: Python as it stands, commands in a folder of their own.

Trainings are cut to a few steps. Before a block, ``<!-- not run: WHY -->`` leaves it out, and
``<!-- with MODULE.NAME -->`` asks for something that an installation may lack.
"""

from __future__ import annotations

import importlib
import re
import shlex
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from typer.testing import CliRunner

import surflow as sf
from surflow.app.cli import app
from surflow.training import History
from surflow.training import fit as whole_fit

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs").glob("[ht]*/*.md"))]
STEPS = 5
RUN = "runs/people-table-1"

FENCE = re.compile(r"(?:<!-- (not run|with)[: ] *([^>]+?) -->\n+)?```(python|console)\n(.*?)```", re.DOTALL)


class Block(NamedTuple):
    """A block of code, its language, and the name that it needs."""

    language: str
    code: str
    needs: str | None


def blocks(page: Path) -> list[Block]:
    """The blocks of a page that are to be run."""
    found = FENCE.findall(page.read_text())
    return [Block(language, code, what or None) for how, what, language, code in found if how != "not run"]


def test_what_is_not_run_says_why() -> None:
    asked = [what for page in PAGES for how, what, *_ in FENCE.findall(page.read_text()) if how == "not run"]
    assert len(asked) >= 3 and all(len(why) > 5 for why in asked)
    assert sum(len(blocks(page)) for page in PAGES) > 50


def test_the_reference_has_every_name() -> None:
    text = (ROOT / "docs" / "api" / "index.md").read_text()
    listed = set(re.findall(r"^   (\w+)$", text, re.MULTILINE))
    modules = {"data", "evaluation", "plots", "presets", "sbi", "sklearn"}
    assert set(sf.__all__) - modules <= listed
    for name in modules:
        module = getattr(sf, name)
        assert {each for each in module.__all__ if callable(getattr(module, each))} <= listed


def _present(name: str) -> bool:
    module, _, attribute = name.rpartition(".")
    try:
        return hasattr(importlib.import_module(module or attribute), attribute) or bool(importlib.import_module(name))
    except ImportError:
        return False


def _people(path: Path, n: int = 120) -> None:
    """A table with an identifier, names, dates and holes."""
    rng = np.random.default_rng(0)
    sex, city = rng.choice(["F", "M"], n), rng.choice(["Bern", "Lyon", "Porto", ""], n)
    age = rng.integers(18, 80, n)
    income = [f"{pay:.2f}" if pay > 1500 else "" for pay in 1000 + 40 * age + 300 * rng.standard_normal(n)]
    joined = np.datetime64("2015-01-01") + rng.integers(0, 3000, n)
    rows = [f"p{i}x,{sex[i]},{age[i]},{city[i]},{income[i]},{joined[i]}" for i in range(n)]
    path.write_text("\n".join(["id,sex,age,city,income,joined", *rows]) + "\n")


def _command(line: str) -> None:
    """Run ``surflow ...``, with few steps if it trains."""
    words = shlex.split(line, comments=True)
    assert words[0] == "surflow", line
    words = words[1:]
    if words[0] == "train":
        for option in ("--minutes", "--steps"):
            if option in words:
                del words[words.index(option) : words.index(option) + 2]
        words += ["--steps", str(STEPS)]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, f"{line}\n{result.output}{result.exception!r}"


def _fit(flow: sf.Distribution, data: object, *, minutes: float | None = None, **options: object) -> History:
    steps = min(int(options.pop("steps", STEPS)), STEPS)  # type: ignore[call-overload]
    return whole_fit(flow, data, steps=steps, **({"progress": False} | options))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on people.csv, which pages go on from."""
    home = tmp_path_factory.mktemp("people")
    _people(home / "people.csv")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        _command("surflow train people.csv --seed 0")
    return home / RUN


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    _people(tmp_path / "people.csv")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sf, "fit", _fit, raising=False)
    with warnings.catch_warnings():
        # Short trainings do not converge, and say so; a page of another package may warn of its own.
        warnings.simplefilter("ignore")
        yield tmp_path


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page)], ids=lambda page: page.stem)
def test_a_page_runs(page: Path, workplace: Path, request: pytest.FixtureRequest) -> None:
    text = "".join(block.code for block in blocks(page))
    if RUN in text and "surflow train people.csv" not in text:
        shutil.copytree(request.getfixturevalue("trained"), workplace / RUN)
    space: dict[str, object] = {"__name__": page.stem}
    for block in blocks(page):
        if block.needs is not None and not _present(block.needs):
            continue
        if block.language == "python":
            exec(compile(block.code, str(page), "exec"), space)
        else:
            for line in block.code.splitlines():
                if line.startswith("$ "):
                    _command(line.removeprefix("$ "))
