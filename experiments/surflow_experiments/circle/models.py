"""Flows for the circle of radius 4: the three of the study's figure 25, and three that fit its topology."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import surflow as sf
from surflow.bijections.splines import wrap

RADIUS = 4.0


# -- of the study ----------------------------------------------------------------------------------------------


def _couplings(pairs: int, hidden: int) -> list[sf.Transform]:
    return [layer for _ in range(pairs) for layer in (sf.Coupling(2, hidden=(hidden, hidden)), sf.Orthogonal(2))]


def _nf(pairs: int = 20, hidden: int = 200) -> sf.Flow:
    return sf.Flow(_couplings(pairs, hidden), base=sf.Normal(2))


def _bottleneck(pairs: int = 20, hidden: int = 200) -> sf.Flow:
    middle = [sf.Slice(2, keep=1), sf.Augment(1, noise=1)]
    before, after = (_couplings(pairs // 2, hidden) for _ in range(2))
    return sf.Flow([*before, *middle, *after], base=sf.Normal(2))


def _max(pairs: int = 20, hidden: int = 200) -> sf.Flow:
    # The study's maximum had learned parameters.
    largest = sf.Max(2, index=sf.Categorical(1, levels=2, learned=True), differences=sf.HalfNormal(1, learned=True))
    return sf.Flow([*_couplings(pairs, hidden), largest], base=sf.Normal(1))


# -- that fit the topology -----------------------------------------------------------------------------------------


def _near_normal(bins: int) -> sf.Flow:
    """A standardised number given another one: a scale and a shift, which may be small and large, and a spline."""
    scale = sf.Elementwise(1, 1, map=sf.AffineMap(limit=10))
    return sf.Flow([scale, sf.Elementwise(1, 1, map=sf.SplineMap(bins))], base=sf.Normal(1))


def _polar() -> sf.Flow:
    return sf.presets.polar(2)


def _abs_sort_slice(bins: int = 8) -> sf.Flow:
    r"""Layers of the paper only: fold to a quadrant, to half of it, and drop one of two coordinates.

    The circle is symmetric in both signs and under the exchange of x and y, so fair signs and a uniform order are
    right. Of the ordered logarithms there remain the smaller one and the gap, :math:`g = -\log \tan t` for an angle t
    from 0 to :math:`\pi / 4`. Given g, the logarithm of the smaller coordinate is that of the radius and a constant.
    At the diagonal, g = 0, the density is not zero, and towards an axis it falls as :math:`e^{-g}`.
    """
    fold = [sf.Abs(2), sf.Log(2), sf.Sort(2), sf.LogGaps(2), sf.On(2, part=[1], layer=sf.Exp(1))]
    gap_first = sf.Permute(2, order=[1, 0], support=sf.product([sf.real, sf.positive]))
    smaller = sf.On(2, part=[1], layer=sf.Standardize(1), rest=sf.positive)
    drop = sf.Slice(2, keep=1, dropped=_near_normal(bins), support=sf.positive)
    gap = sf.Elementwise(1, map=sf.PositiveSplineMap(bins))
    return sf.Flow([*fold, gap_first, smaller, drop, gap], base=sf.Exponential(1))


class WrappedNormal(sf.Distribution):
    r"""An angle about the direction of a vector, given a point x of the plane: normal noise, wrapped.

    .. math:: p(z \mid x) = \sum_k N(z + 2 \pi k;\; d, s^2), \qquad d = \mathrm{atan2}(b, a), \quad s < 1

    for a, b and a number that gives s, three linear functions of x. A direction has no seam, which an angle as the
    output of a network would have. Beyond three turns there is no mass that a float would notice.
    """

    def __init__(self) -> None:
        super().__init__(1, support=sf.circle, context_shape=2)
        self.net = nn.Linear(2, 3)

    def _direction_and_log_scale(self, x: Tensor) -> tuple[Tensor, Tensor]:
        a, b, raw = self.net(x).split(1, 1)
        return torch.atan2(b, a), -F.softplus(raw)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        assert context is not None
        return self._density(x, *self._direction_and_log_scale(context))

    def _density(self, x: Tensor, direction: Tensor, log_scale: Tensor) -> Tensor:
        turns = 2 * math.pi * torch.arange(-3, 4, dtype=x.dtype, device=x.device)
        noise = (wrap(x - direction) + turns) * (-log_scale).exp()
        return (-0.5 * noise.square() - 0.5 * math.log(2 * math.pi) - log_scale).logsumexp(1)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        assert context is not None
        direction, log_scale = self._direction_and_log_scale(context)
        z = wrap(direction + log_scale.exp() * torch.randn_like(direction))
        return z, self._density(z, direction, log_scale)


class ClosedCurve(sf.Configurable, nn.Module):
    """From an angle to the parameters of a Normal in the plane: a mean on a closed curve, a scale above a floor."""

    periodic = True

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor
        self.mean = nn.Linear(2, 2)
        self.raw_scale = nn.Parameter(torch.zeros(2))

    def forward(self, angle: Tensor) -> Tensor:
        """(batch, 1) to (batch, 4): means and log-scales."""
        mean = self.mean(torch.cat([angle.cos(), angle.sin()], 1))
        log_scale = torch.log(self.floor + F.softplus(self.raw_scale))
        return torch.cat([mean, log_scale.expand_as(mean)], 1)


def _circle_vae(floor: float = 0.005) -> sf.Flow:
    """A variational autoencoder whose latent is an angle."""
    decoder = sf.Normal(2, 1, net=ClosedCurve(floor))
    return sf.Flow([sf.VAE(WrappedNormal(), decoder)], base=sf.UniformCircle(1))


_BUILDERS: dict[str, Callable[..., sf.Flow]] = {
    "nf": _nf,
    "bottleneck": _bottleneck,
    "max": _max,
    "polar": _polar,
    "abs-sort-slice": _abs_sort_slice,
    "circle-vae": _circle_vae,
}


def build(name: str, **options: float) -> sf.Flow:
    """A model by its name."""
    return _BUILDERS[name](**options)
