"""Questions to a flow of images: draws under conditions, variations of one, and paths between two."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from surflow._internal.random import seeded
from surflow.app.explore.questions import (
    Answer,
    Asked,
    Explorer,
    context_fields,
    context_of,
    number,
    png,
    rows_of,
    whole,
)
from surflow.app.runs import DataSpec
from surflow.distributions.normal import Normal
from surflow.errors import ConfigError
from surflow.evaluation.likelihood import evaluating
from surflow.flow import Flow
from surflow.supports import Integers

_IMAGES, _STEPS = 12, 9


class Images(Explorer):
    """Asks a flow of images; an image of the page is the seed and the number of its latent.

    Args:
        flow: which is asked.
        facts: of the data.
    """

    kind = "images"

    def __init__(self, flow: Flow, facts: DataSpec) -> None:
        self.flow, self.encoding, self.support = flow, facts.context, facts.support
        self.title = f"{facts.name}: ask the model"
        self.sentence = (
            f"Draw images as the model of {facts.name} knows them, vary one of them, and see a path between two."
        )

    def describe(self) -> Answer:
        return {
            "context": context_fields(self.encoding),
            "images": _IMAGES,
            "vary": self._varies,
            "path": self._smooth,
            "no_path": None
            if self._smooth
            else "This model's latents are no normals, so that no path runs between two.",
            "side": list(self.flow.event_shape[1:]),
        }

    @property
    def questions(self) -> dict[str, Callable[[Asked], Answer]]:
        return {"describe": lambda asked: self.describe(), "draw": self.draw, "vary": self.vary, "path": self.path}

    @property
    def _smooth(self) -> bool:
        """Whether latents are standard normals, of which any mixture on the sphere is one."""
        return isinstance(self.flow.base, Normal) and self.flow.base.fixed

    @property
    def _varies(self) -> str | None:
        """What is varied of an image: its latent, or what is drawn on the way back from it."""
        if self._smooth:
            return "latent"
        return "below" if any(layer.random_inverse for layer in self.flow.transforms) else None

    def _latents(self, seed: int, context: Tensor | None) -> Tensor:
        base = self.flow.base
        with seeded(seed), evaluating(self.flow):
            return base._sample(_IMAGES, base._own(self.flow._embed(rows_of(context, _IMAGES))))

    def _decoded(self, z: Tensor, context: Tensor | None, seed: int) -> Answer:
        with seeded(seed), evaluating(self.flow):
            x = self.flow.decode(z, rows_of(context, len(z))).double()
        return {"images": [self._picture(image) for image in x]}

    def _picture(self, image: Tensor) -> str:
        if isinstance(self.support, Integers):
            share = image / self.support.largest
        else:
            share = (image - image.min()) / (image.max() - image.min()).clamp(min=1e-12)
        levels = (share.nan_to_num(0.0).clamp(0, 1) * 255).round().numpy().astype(np.uint8)
        return png(255 - levels[0] if len(levels) == 1 else levels.transpose(1, 2, 0))

    def draw(self, asked: Asked) -> Answer:
        """Images of latents that the seed decides; another condition has the same latents."""
        context, seed = context_of(self.encoding, asked), whole(asked, "seed")
        return self._decoded(self._latents(seed, context), context, seed)

    def vary(self, asked: Asked) -> Answer:
        """Images near one of the draws."""
        context, seed = context_of(self.encoding, asked), whole(asked, "seed")
        amount = number(asked, "amount", 0, 1)
        z = self._latents(seed, context)[whole(asked, "image", 0, _IMAGES - 1)]
        same = z.expand(_IMAGES, *z.shape)
        if self._varies is None:
            raise ConfigError("this model draws every image from a latent of its own that cannot be varied")
        if self._varies == "below":
            return self._decoded(same, context, seed + 1)
        angle = amount * math.pi / 2
        other = self._latents(seed + 1, context)
        return self._decoded(math.cos(angle) * same + math.sin(angle) * other, context, seed)

    def path(self, asked: Asked) -> Answer:
        """Images on the arc from one latent to another, along which latents stay as long as normals are."""
        if not self._smooth:
            raise ConfigError(self.describe()["no_path"])
        context, seed = context_of(self.encoding, asked), whole(asked, "seed")
        z = self._latents(seed, context)
        a, b = (z[whole(asked, name, 0, _IMAGES - 1)] for name in ("image", "other"))
        angles = torch.linspace(0, math.pi / 2, _STEPS).reshape(-1, *[1] * a.ndim)
        return self._decoded(angles.cos() * a + angles.sin() * b, context, seed)
