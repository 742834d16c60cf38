"""What all explorers share: a question's entries, checked; pictures as data; texts of numbers."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, TypeAlias

import matplotlib
import numpy as np
import torch
from PIL import Image
from torch import Tensor

from surflow.data import ContextEncoding
from surflow.errors import ConfigError

Asked: TypeAlias = Mapping[str, Any]
Answer: TypeAlias = dict[str, Any]

# What seeds of the page may be.
_SEEDS = 2**31 - 1


class Explorer:
    """One kind of model: what its page shows, and what it answers.

    Attributes:
        kind: which script of the page it is for.
        title: of the page.
        sentence: what the page does, in plain words.
    """

    kind: ClassVar[str]
    title: str
    sentence: str

    def describe(self) -> Answer:
        """What the page needs to know before anything is asked."""
        raise NotImplementedError

    @property
    def questions(self) -> dict[str, Callable[[Asked], Answer]]:
        """What may be asked, by name; an answer is plain values for JSON."""
        raise NotImplementedError


def number(asked: Asked, name: str, low: float = -math.inf, high: float = math.inf) -> float:
    """A finite number of a question.

    Raises:
        ConfigError: for anything else, or a number outside of its bounds.
    """
    value = asked.get(name)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ConfigError(f"{name} expects a number{_between(low, high)}, got {value!r}")
    if not math.isfinite(value):
        raise ConfigError(f"{name} expects a finite number, got {value!r}")
    return float(value)


def whole(asked: Asked, name: str, low: int = 0, high: int = _SEEDS) -> int:
    """A whole number of a question.

    Raises:
        ConfigError: for anything else, or a number outside of its bounds.
    """
    value = asked.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ConfigError(f"{name} expects a whole number{_between(low, high)}, got {value!r}")
    return value


def numbers(asked: Asked, name: str, size: int) -> list[float]:
    """So many finite numbers of a question.

    Raises:
        ConfigError: for anything else.
    """
    values = asked.get(name)
    if not isinstance(values, list) or len(values) != size:
        raise ConfigError(f"{name} expects {size} numbers, got {values!r}")
    return [number({name: value}, name) for value in values]


def entries(asked: Asked, name: str) -> dict[str, Any]:
    """The entries of a question by names; none where it states none.

    Raises:
        ConfigError: for what has no names.
    """
    value = asked.get(name, {})
    if not isinstance(value, dict):
        raise ConfigError(f"{name} expects entries by name, got {value!r}")
    return value


def _between(low: float, high: float) -> str:
    return f" from {low:g} to {high:g}" if math.isfinite(low) and math.isfinite(high) else ""


# -- contexts -------------------------------------------------------------------------------------------------


def context_fields(encoding: ContextEncoding | None) -> list[Answer]:
    """The columns of a context as fields of the page."""
    if encoding is None:
        return []
    return [
        {"name": c.name, "names": c.categories, "value": c.categories[0] if c.categories else f"{c.mean:.6g}"}
        for c in encoding.columns
    ]


def context_of(encoding: ContextEncoding | None, asked: Asked) -> Tensor | None:
    """The raw context (1, columns) that a question states.

    Raises:
        ConfigError, DataError: for what is missing, or no value of its column.
    """
    return None if encoding is None else encoding.encode(entries(asked, "context"))


def rows_of(context: Tensor | None, n: int) -> Tensor | None:
    """One context for n draws."""
    return None if context is None else context.expand(n, *context.shape[1:])


# -- pictures -------------------------------------------------------------------------------------------------


def png(image: np.ndarray) -> str:
    """An array of bytes (height, width) or (height, width, 3) as the address of a picture."""
    into = io.BytesIO()
    Image.fromarray(image).save(into, format="PNG")
    return "data:image/png;base64," + base64.b64encode(into.getvalue()).decode("ascii")


def heat(density: np.ndarray, top: float) -> str:
    """A density (columns, rows from below) in colours, dark for none."""
    share = np.clip(density.T[::-1] / max(top, 1e-300), 0, 1)
    return png((matplotlib.colormaps["viridis"](share)[..., :3] * 255).round().astype(np.uint8))


def points(x: Tensor) -> list[list[float]]:
    """Points (n, 2) to four digits, those that are not finite left out."""
    return [[float(f"{v:.4g}") for v in row] for row in x[x.isfinite().all(1)].tolist()]


def shares(counts: Tensor | Sequence[float]) -> list[float]:
    """Probabilities to five digits after the point."""
    values = torch.as_tensor(counts, dtype=torch.float64).nan_to_num(0.0).clamp(min=0)
    return [round(value, 5) for value in values.tolist()]


def short(value: float) -> str:
    """A number in four digits, the typographer's minus.

    >>> short(-1234.5678), short(0.000012)
    ('−1,235', '1.2e−05')
    """
    text = f"{value:,.0f}" if 1000 <= abs(value) < 1e7 else f"{value:.4g}"
    return text.replace("-", "−")
