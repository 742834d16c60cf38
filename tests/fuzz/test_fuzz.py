"""Damaged files are read, or refused by an error of surflow, soon and in little memory; `make fuzz` tries thousands."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fuzz.kinds import KINDS, good_files
from fuzz.run import CORPUS, fault_of

# More for what is read in a millisecond.
_SLOW = ("CSV", "packed CSV", "JSON", "Parquet", "Arrow", "SQLite", "DuckDB", "Excel", "data.json", "schema")
_EXAMPLES = dict.fromkeys(_SLOW, 8)


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    good_files(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_damaged_files_are_read_or_refused(kind: str, good: Path, tmp_path: Path) -> None:
    folder = tmp_path / "files"
    shutil.copytree(good, folder)

    @settings(
        max_examples=_EXAMPLES.get(kind, 60),
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.integers(0, 2**32), st.sampled_from(KINDS[kind].files), st.sampled_from(KINDS[kind].files))
    def check(seed: int, name: str, other: str) -> None:
        content = KINDS[kind].damage((good / name).read_bytes(), (good / other).read_bytes(), Random(seed))
        (folder / name).write_bytes(content)
        said = fault_of(kind, folder / name)
        (folder / name).write_bytes((good / name).read_bytes())
        assert said is None

    check()


@pytest.mark.slow
@pytest.mark.parametrize("found", sorted(CORPUS.glob("*")), ids=lambda path: path.name)
def test_what_was_ever_found_is_mended(found: Path, good: Path, tmp_path: Path) -> None:
    kind, _, rest = found.name.partition("-")
    name = rest.partition("-")[2].replace("+", "/")
    folder = tmp_path / "files"
    shutil.copytree(good, folder)
    (folder / name).write_bytes(found.read_bytes())
    assert fault_of(kind.replace("_", " "), folder / name) is None
