"""Dequantisation: integers become continuous."""

from __future__ import annotations

import torch
from torch import Tensor

from surflow.distribution import Distribution, Shape, as_shape
from surflow.distributions.parametric import score
from surflow.distributions.uniform import Uniform
from surflow.errors import BoundError, ConfigError, ShapeError
from surflow.support import Integers, Interval, unit_interval
from surflow.transform import Transform


class Dequantize(Transform):
    r"""Adds noise in [0, 1) to integers 0, ..., levels - 1, a generative surjection.

    .. math:: z = x + u, \quad u \sim q(u \mid x, c), \qquad V = -\log q(u \mid x, c), \qquad x = \lfloor z \rfloor

    With uniform noise V = 0. The inverse never leaves the levels.

    Args:
        shape: event shape.
        levels: number of levels; 256 for bytes.
        noise: distribution on the unit interval, of exact density and the same event shape; uniform by default, a flow
            that begins with :class:`Logit` for variational dequantisation. Its context is x scaled to [-1, 1], or
            that joined with the flow's context.

    Source: Theis et al., "A note on the evaluation of generative models", arXiv 1511.01844; Ho et al., "Flow++",
    arXiv 1902.00275.

    >>> import torch, surflow as sf
    >>> flow = sf.Flow([sf.Dequantize(1, 256)], base=sf.Uniform(1, 0, 256))
    >>> flow.elbo(torch.tensor([[7]])).item() / torch.tensor(2.0).log().item()
    -8.0
    """

    random_forward = True

    def __init__(self, shape: int | Shape, levels: int, noise: Distribution | None = None) -> None:
        shape = as_shape(shape)
        noise = Uniform(shape) if noise is None else noise
        if noise.event_shape != shape or noise.support != unit_interval:
            raise ShapeError(
                f"Dequantize expects noise of shape {shape} on {unit_interval!r}, "
                f"got {type(noise).__name__} of shape {noise.event_shape} on {noise.support!r}"
            )
        if not noise.exact:
            raise BoundError("Dequantize needs noise with an exact density: it is an encoder")
        super().__init__(
            shape,
            domain=Integers(levels),
            codomain=Interval(0, levels),
            context_shape=noise.context_beyond(shape),
        )
        self.levels = levels
        self.noise = noise

    @property
    def reparameterized(self) -> bool:
        return False  # the inverse is a floor, through which no gradient passes

    def _given(self, x: Tensor, context: Tensor | None) -> Tensor | None:
        if self.noise.context_shape is None:
            return None
        return self.noise.given(2 * x / max(self.levels - 1, 1) - 1, context)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        u, log_prob = self.noise.draw(x.shape[0], self._given(x, context))
        # Rounding must not carry x + u into the next level, nor onto the ends of [0, levels].
        eps = torch.finfo(x.dtype).eps
        if self.levels * eps > 0.01:
            raise ConfigError(
                f"{x.dtype} cannot tell {self.levels} levels and noise between them apart: use a wider type"
            )
        return x + u.to(x.dtype).clamp(eps, 1 - self.levels * eps), -log_prob

    def _inverse(self, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._generate(z, context)
        return x, -score(self.noise, lambda: (z - x).clamp(0, 1), self._given(x, context), z)

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        return z.floor().clamp_(0, self.levels - 1)
