"""Pictures of reports are small."""

from collections.abc import Iterator

import pytest

from surflow import plots


@pytest.fixture(scope="module", autouse=True)
def small_pictures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots.style, "_DPI", 40)
        yield
