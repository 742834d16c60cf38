"""Distributions of integers that are brightnesses: mixtures of logistics with masses of their own at the ends."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from surflow._internal.number_types import type_for
from surflow._internal.shapes import Shape, flat, sum_event
from surflow.distribution import Distribution
from surflow.distributions.discrete import draw_categories
from surflow.distributions.parametric import Parametric
from surflow.distributions.truncated import log_one_minus_exp, log_tails, quantile
from surflow.errors import ConfigError, ShapeError
from surflow.nets.autoregressive import checked
from surflow.nets.causal_transformer import CausalTransformer
from surflow.supports import Integers, Support

# The narrowest logistic, in levels: nearly all of its mass is on one.
_NARROWEST = 0.1
# How much one unit of a raw number moves a logistic, as a share of all levels.
_STEP = 0.25
_ENDS = 2


class DiscretizedLogisticMixture(Parametric):
    r"""Integers 0, ..., L - 1, independent given the context: a mixture of logistics, rounded, and two masses.

    .. math::
        p(v) = \pi_0 [v = 0] + \pi_1 [v = t] + \sum_k w_k\,
        \frac{\sigma((v + \frac12 - m_k) / s_k) - \sigma((v - \frac12 - m_k) / s_k)}
        {\sigma((t + \frac12 - m_k) / s_k) - \sigma((-\frac12 - m_k) / s_k)}, \qquad t = L - 1

    Images are made of such numbers: many are exactly the darkest or the brightest there is, and of the others
    neighbours are alike.

    Args:
        event_shape: shape of one event.
        levels: L.
        context_shape: of the context, or None.
        components: how many logistics.
        learned, net: as for every family: parameters without a context, or the network of the context.

    Raises:
        ConfigError: for less than two levels or no component.

    Source: Salimans et al., "PixelCNN++", arXiv 1701.05517 (the mixture, without the masses at the ends).

    >>> distribution = DiscretizedLogisticMixture(1, levels=256)
    >>> v = torch.arange(256.0)[:, None]
    >>> round(distribution.log_prob(v).exp().sum().item(), 4)
    1.0
    """

    discrete = True

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        levels: int,
        components: int = 4,
        learned: bool = False,
        net: nn.Module | None = None,
    ) -> None:
        if levels < 2 or components < 1:
            raise ConfigError(f"expected two levels or more and a component, got {levels} and {components}")
        self.levels, self.components = levels, components
        self.n_parameters = raw_parameters(components)
        super().__init__(event_shape, context_shape, learned=learned, net=net)

    def _support_of(self, shape: Shape) -> Support:
        return Integers(self.levels)

    def _log_prob_given(self, x: Tensor, raw: Tensor) -> Tensor:
        return sum_event(log_mass(x, raw, torch.full_like(x, self.levels - 1)))

    def _draw_given(self, n: int, raw: Tensor) -> Tensor:
        # By the type of the parameters: mixed precision may have ended the network in another one.
        kind = type_for(self.raw.dtype, self.levels - 1)
        top = self.raw.new_full((n, *self.event_shape), self.levels - 1, dtype=kind)
        return draw_levels(raw.expand(n, *raw.shape[1:]), top)


def raw_parameters(components: int) -> int:
    """How many raw numbers one integer has: logits of the ends and, for every logistic, weight, position and scale."""
    return _ENDS + 3 * components


def _mixture(raw: Tensor, top: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Log-weights of ends and logistics, positions and scales of these, all along axis 1; top is (batch, 1, *event)."""
    k = (raw.shape[1] - _ENDS) // 3
    logits, position, scale = raw.split([_ENDS + k, k, k], 1)
    # Spread over all possible integers before anything is learned.
    even = ((torch.arange(k, dtype=raw.dtype, device=raw.device) + 0.5) / k).reshape(-1, *[1] * (raw.ndim - 2))
    m = (top + 1) * (even + _STEP * position) - 0.5
    s = _NARROWEST + (top + 1) / (2 * k) * scale.clamp(max=3.0).exp()
    return logits.log_softmax(1), m, s


def log_mass(x: Tensor, raw: Tensor, top: Tensor) -> Tensor:
    """log p(v) of every integer of x, (batch, *event), given raw numbers (batch or 1, n, *event) and the highest
    possible integers ``top``, of the shape of x; x is not above them."""
    # In single precision at least: half of it cannot tell v + 1/2 from v.
    kind = torch.promote_types(x.dtype, torch.float32)
    v, t = x.to(kind).unsqueeze(1), top.to(kind).unsqueeze(1)
    log_w, m, s = _mixture(raw.to(kind), t)
    low, width, reach, above, below = (-0.5 - m) / s, 1 / s, (t + 1) / s, v / s, (t - v) / s
    a = low + above
    log_share = log_tails(a, a + width, low, low + reach, above, below)
    log_share = log_share + log_one_minus_exp(width) - log_one_minus_exp(reach)
    inside = (log_w[:, _ENDS:] + log_share).logsumexp(1)
    at_zero = log_w[:, 0].masked_fill(x != 0, -math.inf)
    at_top = log_w[:, 1].masked_fill(x != top, -math.inf)
    return torch.stack([inside, at_zero, at_top]).logsumexp(0).to(x.dtype)


def draw_levels(raw: Tensor, top: Tensor) -> Tensor:
    """Integers with the masses of :func:`log_mass`, of the shape and the type of ``top``, (batch, *event)."""
    kind = torch.promote_types(top.dtype, torch.float32)
    log_w, m, s = _mixture(raw.to(kind), top.to(kind).unsqueeze(1))
    which = draw_categories(raw.shape[0], log_w, tuple(raw.shape[2:])).unsqueeze(1)
    k = (which - _ENDS).clamp(min=0)
    m, s = m.gather(1, k).squeeze(1), s.gather(1, k).squeeze(1)
    low, reach = (-0.5 - m) / s, (top + 1) / s
    above = quantile(torch.rand_like(low), low, low + reach, reach)
    v = torch.minimum((s * above - 0.5).round().clamp(min=0), top.to(kind)) + 0.0  # no zero below zero
    which = which.squeeze(1)
    return torch.where(which == 0, 0.0, torch.where(which == 1, top.to(kind), v)).to(top.dtype)


class AutoregressiveDiscretizedLogistic(Distribution):
    r"""Integers one after the other, given all before and the context; each a :class:`DiscretizedLogisticMixture`.

    .. math:: \log p(v) = \sum_i \log p(v_i \mid v_{<i}, c)

    Args:
        event_shape: of one event. An image, (channels, height, width), goes patch by patch, and within a patch channel
            by channel and row by row; anything else in row-major order.
        levels: L.
        context_shape: of the context, or None.
        patch: side of the patches of an image: a token of the network is a patch.
        components: logistics of each distribution.
        width, layers, dropout: of the default network, a :class:`CausalTransformer` of four heads.
        net: instead of it, an :class:`AutoregressiveNet` of the integers in that order, with the 2 + 3 ``components``
            raw parameters of each.

    Raises:
        ShapeError: for patches that do not tile the event, or a net of other numbers of coordinates, parameters or the
            context; at the first call, for one of another output than it promised.
        ConfigError: for a net that promises no order.

    Source: van den Oord et al., "Pixel Recurrent Neural Networks", arXiv 1601.06759; Parmar et al., "Image
    Transformer", arXiv 1802.05751.

    >>> distribution = AutoregressiveDiscretizedLogistic((1, 4, 4), levels=256, patch=2, width=16)
    >>> distribution.sample(3, seed=0).shape
    torch.Size([3, 1, 4, 4])
    """

    reparameterized = False

    def __init__(
        self,
        event_shape: int | Shape,
        context_shape: int | Shape | None = None,
        *,
        levels: int,
        patch: int = 1,
        components: int = 4,
        width: int = 96,
        layers: int = 3,
        dropout: float = 0.0,
        net: nn.Module | None = None,
    ) -> None:
        super().__init__(event_shape, support=Integers(levels), context_shape=context_shape)
        image = len(self.event_shape) == 3
        if patch < 1 or (patch > 1 and not image) or any(side % patch for side in self.event_shape[1:]):
            raise ShapeError(
                f"AutoregressiveDiscretizedLogistic expects images (channels, height, width) that patches of {patch} x "
                f"{patch} tile, got {self.event_shape}"
            )
        self.levels, self.patch = levels, patch
        size, n = math.prod(self.event_shape), raw_parameters(components)
        if net is None:
            net = CausalTransformer(
                size,
                levels,
                n,
                self.context_shape,
                group=self.event_shape[0] * patch**2 if image else 1,
                columns=self.event_shape[2] // patch if image else 0,
                width=width,
                layers=layers,
                dropout=dropout,
            )
        self.net = checked(self, net, n, size, self.context_shape)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        inside = self.support.contains(x)
        flat = self.sequence(x).nan_to_num().clamp(0, self.levels - 1).round()
        raw = self.net.raw(flat, context).to(x.dtype)
        log_p = log_mass(flat, raw, torch.full_like(flat, self.levels - 1))
        return log_p.sum(1).where(inside, -math.inf)

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        x = self._integers(n, context)
        return x, self._log_prob(x, context)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        return self._integers(n, context)

    def _integers(self, n: int, context: Tensor | None) -> Tensor:
        like = self.net.room(n, self.levels - 1)
        top = torch.full_like(like, self.levels - 1)
        flat = self.net.generate(lambda at, raw: draw_levels(raw.to(like.dtype), top[:, at]), like, context)
        return self.event(flat)

    def sequence(self, x: Tensor) -> Tensor:
        """The integers of events in the order in which they go, (batch, size)."""
        if len(self.event_shape) == 3:
            sides = (-1, self.patch)
            x = x.unflatten(3, sides).unflatten(2, sides).permute(0, 2, 4, 1, 3, 5)
        return flat(x)

    def event(self, v: Tensor) -> Tensor:
        """The events of sequences, (batch, *event_shape)."""
        if len(self.event_shape) == 3:
            channels, height, width = self.event_shape
            p = self.patch
            v = v.reshape(-1, height // p, width // p, channels, p, p).permute(0, 3, 1, 4, 2, 5)
        return v.reshape(-1, *self.event_shape).contiguous()
