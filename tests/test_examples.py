"""The examples run with the package alone, and are as short as they are meant to be."""

import runpy
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.e2e

EXAMPLES = sorted((Path(__file__).parent.parent / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert len(path.read_text().splitlines()) < 40
    monkeypatch.setattr(sys, "argv", [path.name, "--steps", "3"])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
