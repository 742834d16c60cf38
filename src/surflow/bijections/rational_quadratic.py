"""The monotone rational-quadratic spline, with its gradients written out."""

from __future__ import annotations

import math
from functools import cache, partial
from itertools import accumulate
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from surflow._internal.kernels import Kernel, compiles, differentiable, gradients_by_hand, owned

# No bin is narrower or lower than this share of the whole, and no slope at a knot smaller: inverses exist in floats.
LEAST_BIN = 1e-3
_LEAST_SLOPE = 1e-3
# softplus(_UNIT_SLOPE) + _LEAST_SLOPE = 1, so that raw zeros give the identity.
_UNIT_SLOPE = math.log(math.expm1(1 - _LEAST_SLOPE))

# Events of fewer coordinates are laid out with the batch last: loops over a few numbers are slow.
_FEW = 64


class Grid(NamedTuple):
    """Where a spline lives and what happens at its ends."""

    bins: int
    low: float
    high: float
    # Knots at the lower and the upper end whose slope is 1, not learned.
    fixed: tuple[int, int] = (0, 0)
    # The slope at the upper end is that at the lower.
    periodic: bool = False
    # The identity beyond the ends; otherwise points beyond are taken at the ends.
    tails: bool = False

    @property
    def n_parameters(self) -> int:
        return 2 * self.bins + self.n_slopes

    @property
    def n_slopes(self) -> int:
        return self.bins + 1 - sum(self.fixed) - self.periodic


def rational_quadratic(x: Tensor, raw: Tensor, grid: Grid, *, inverse: bool) -> tuple[Tensor, Tensor]:
    r"""The spline of [low, high] onto itself, elementwise: the other side and :math:`\log dz/dx`.

    Within bin k, of width w, height h, mean slope s = h / w, slopes d_0 and d_1 at its ends, and
    :math:`\xi = (x - x_k) / w`:

    .. math::
        z = z_k + \frac{h}{q} (s \xi^2 + d_0 \xi (1 - \xi)), \qquad
        \frac{dz}{dx} = \frac{s^2}{q^2} (d_1 \xi^2 + 2 s \xi (1 - \xi) + d_0 (1 - \xi)^2), \qquad
        q = s + (d_0 + d_1 - 2 s) \xi (1 - \xi)

    Args:
        x: points (batch, *event); with ``inverse``, values z.
        raw: (batch or 1, n_parameters, *event): raw widths, heights and slopes.

    Source: Durkan et al., "Neural Spline Flows", arXiv 1906.04032.
    """
    if x.dtype.itemsize < 4:  # sums over bins, and differences between them, need more digits than half precision has
        wide = rational_quadratic(x.float(), raw.float(), grid, inverse=inverse)
        return wide[0].to(x.dtype), wide[1].to(x.dtype)
    if gradients_by_hand(x):
        return _RationalQuadratic.apply(x, raw, grid, inverse)
    return _formula(x, raw, grid, inverse=inverse)


class _Bin(NamedTuple):
    """The bin of every point, what it is made of, and the point's position xi in it."""

    shares: Tensor  # of all bins, (2, bins, ...): widths and heights
    at: Tensor  # (bins, ...): 1 for the point's bin, 0 for the others
    below: Tensor  # (bins - 1, ...): 1 for the bins below the point's
    before: Tensor  # shares of the bins below, (2, ...)
    share: Tensor  # of the bin itself, (2, ...)
    size: Tensor  # its width and height, (2, ...)
    slopes: Tensor  # at its two ends, (2, ...)
    xi: Tensor
    tail: Tensor | None


class _Layout(NamedTuple):
    """How points and raw numbers lie in memory while they are computed: parameter by parameter, for long loops."""

    shape: torch.Size
    batch_last: bool
    broadcast: bool  # one row of raw numbers for all points

    @classmethod
    def of(cls, x: Tensor, raw: Tensor) -> _Layout:
        broadcast = raw.shape[0] != x.shape[0]
        return cls(x.shape, broadcast or math.prod(x.shape[1:]) < _FEW or raw.stride(0) == 1, broadcast)

    def points(self, x: Tensor) -> Tensor:
        """(batch, *event) to (points,), or (*event, batch) where the raw numbers are broadcast."""
        x = x.movedim(0, -1) if self.batch_last else x
        return x.contiguous() if self.broadcast else x.reshape(-1)

    def raw(self, raw: Tensor) -> Tensor:
        """(batch, n_parameters, *event) to (n_parameters, points), or (n_parameters, *event, 1)."""
        if self.broadcast:
            return raw.movedim((1, 0), (0, -1))
        return (raw.movedim((1, 0), (0, -1)) if self.batch_last else raw.movedim(1, 0)).flatten(1)

    def points_back(self, side: Tensor) -> Tensor:
        if self.batch_last:
            return side.reshape(*self.shape[1:], self.shape[0]).movedim(-1, 0)
        return side.reshape(self.shape)

    def raw_back(self, g_raw: Tensor) -> Tensor:
        if self.broadcast:
            return g_raw.sum(-1, keepdim=True).movedim((0, -1), (1, 0))
        if self.batch_last:
            return g_raw.reshape(len(g_raw), *self.shape[1:], self.shape[0]).movedim((0, -1), (1, 0))
        return g_raw.reshape(len(g_raw), *self.shape).movedim(0, 1)


def _evaluate(x: Tensor, raw: Tensor, grid: Grid, *, inverse: bool) -> tuple[Tensor, Tensor, _Bin]:
    # Bins are chosen by multiplication with zeros and ones, which vector units do faster than they look up.
    bins, low, high = grid.bins, grid.low, grid.high
    least = (high - low) * LEAST_BIN
    free = (high - low) * (1 - LEAST_BIN * bins)
    shares = raw.narrow(0, 0, 2 * bins).unflatten(0, (2, bins)).softmax(1)
    inside = x.clamp(low, high)
    evenly = torch.arange(1, bins, dtype=raw.dtype, device=raw.device) * least + low
    # The sums one after the other, which a compiler fuses with the rest, as it does not a cumsum.
    cumulative = torch.stack(list(accumulate(shares[int(inverse)])))[:-1]
    starts = torch.add(evenly.reshape(-1, *[1] * x.ndim), cumulative, alpha=free)
    below = (inside - starts).sign().clamp(min=0)
    at = torch.cat([torch.ones_like(inside).unsqueeze(0), below])
    at[:-1] -= below
    share = (shares * at).sum(1)
    before = (shares[:, :-1] * below).sum(1)
    size = share * free + least
    start = torch.add(below.sum(0) * least + low, before, alpha=free)
    knots = raw.narrow(0, 2 * bins, grid.n_slopes)
    if grid.periodic:
        d0, d1 = knots * at, knots.roll(-1, 0) * at
    else:
        # A raw slope of zero is the slope one: that of a knot without one.
        first, last = grid.fixed
        d0, d1 = knots[: bins - first] * at[first:], knots[1 - first :] * at[: bins - last]
    # From 20 on, torch's own threshold, double precision would see a step.
    slopes = F.softplus(torch.stack([d0.sum(0), d1.sum(0)]) + _UNIT_SLOPE, threshold=40.0) + _LEAST_SLOPE
    (w, h), (x0, z0), (d0, d1) = size.unbind(), start.unbind(), slopes.unbind()
    s = h / w
    half_bend = torch.lerp(d0, d1, 0.5) - s
    if inverse:
        rise = inside - z0
        # The root of a xi^2 + 2 b xi = c in [0, 1], in the form in which nothing cancels, by the sign of b.
        minus_b = torch.addcmul(rise * half_bend, h, d0, value=-0.5)
        a, c = torch.add(h * s, minus_b, alpha=2), s * rise
        total = torch.addcmul(minus_b.square(), a, c).clamp(min=0).sqrt() + minus_b.abs()
        falls = minus_b.sign().clamp(min=0)  # where b is negative; chosen by a mix with zeros and ones, see above
        xi = (torch.lerp(c, total, falls) / torch.lerp(total, a, falls)).clamp(0, 1)
    else:
        xi = ((inside - x0) / w).clamp(0, 1)  # rounding may go past the ends, where slopes can be negative
    rest = 1 - xi
    mixed = xi * rest
    square = xi.square()
    q = torch.addcmul(s, half_bend, mixed, value=2)
    steep = torch.addcmul(d1 * square, mixed, s, value=2) + d0 * rest.square()
    log_slope = ((s / q).square() * steep).log()
    other = torch.addcmul(x0, xi, w) if inverse else torch.addcmul(z0, h, torch.addcmul(s * square, d0, mixed) / q)
    tail = None
    if grid.tails:
        tail = (x < low) | (x >= high)
        other, log_slope = torch.where(tail, x, other), log_slope.masked_fill(tail, 0.0)
    return other, log_slope, _Bin(shares, at, below, before, share, size, slopes, xi, tail)


def _formula(x: Tensor, raw: Tensor, grid: Grid, *, inverse: bool) -> tuple[Tensor, Tensor]:
    layout = _Layout.of(x, raw)
    points, numbers = layout.points(x), layout.raw(raw)
    if compiles(x) and not layout.broadcast:
        other, log_slope = _kernels(grid, inverse=inverse).value(points, numbers)
    else:
        other, log_slope, _ = _evaluate(points, numbers, grid, inverse=inverse)
    return layout.points_back(other), layout.points_back(log_slope)


class _Saved(FunctionCtx):
    """What the forward pass leaves to the backward pass."""

    saved_tensors: tuple[Tensor, ...]
    compiled: bool
    layout: _Layout
    grid: Grid
    inverse: bool


class _RationalQuadratic(torch.autograd.Function):
    """The spline as one node of the graph: what its forward finds serves its backward."""

    @staticmethod
    def forward(ctx: _Saved, x: Tensor, raw: Tensor, grid: Grid, inverse: bool) -> tuple[Tensor, Tensor]:  # noqa: FBT001 -- torch's
        layout = _Layout.of(x, raw)
        points, numbers = layout.points(x), layout.raw(raw)
        ctx.compiled = compiles(x) and not layout.broadcast
        if ctx.compiled:
            other, log_slope, found = _kernels(grid, inverse=inverse).forward(points, numbers)
        else:
            other, log_slope, found = _evaluate(points, numbers, grid, inverse=inverse)
        ctx.save_for_backward(x, raw, *found)  # type: ignore[arg-type]  # None goes with tensors
        ctx.layout, ctx.grid, ctx.inverse = layout, grid, inverse
        return owned(layout.points_back(other)), owned(layout.points_back(log_slope))

    @staticmethod
    def backward(ctx: _Saved, g_other: Tensor, g_log_slope: Tensor) -> tuple[Tensor | None, ...]:
        layout, grid, inverse = ctx.layout, ctx.grid, ctx.inverse
        x, raw, *parts = ctx.saved_tensors  # once: recomputation allows no second look
        found = _Bin(*parts)
        if torch.is_grad_enabled():
            formula = partial(_formula, grid=grid, inverse=inverse)
            grads = differentiable(formula, (x, raw), (), (g_other, g_log_slope))
            return (*grads, None, None)
        g_other, g_log_slope = layout.points(g_other), layout.points(g_log_slope)
        if ctx.compiled:
            g_x, g_raw = _kernels(grid, inverse=inverse).backward(*found, g_other, g_log_slope)
        else:
            g_x, g_raw = _gradients(found, g_other, g_log_slope, grid, inverse=inverse)
        return layout.points_back(g_x), layout.raw_back(g_raw), None, None


class _Kernels(NamedTuple):
    """A spline compiled: its value alone, its value with what the gradients need, and the gradients."""

    value: Kernel[tuple[Tensor, Tensor]]
    forward: Kernel[tuple[Tensor, Tensor, _Bin]]
    backward: Kernel[tuple[Tensor, Tensor]]


@cache
def _kernels(grid: Grid, *, inverse: bool) -> _Kernels:
    def value(x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor]:
        return _evaluate(x, raw, grid, inverse=inverse)[:2]

    def forward(x: Tensor, raw: Tensor) -> tuple[Tensor, Tensor, _Bin]:
        return _evaluate(x, raw, grid, inverse=inverse)

    def backward(*found: Tensor) -> tuple[Tensor, Tensor]:
        *parts, g_other, g_log_slope = found
        return _gradients(_Bin(*parts), g_other, g_log_slope, grid, inverse=inverse)

    return _Kernels(Kernel(value), Kernel(forward), Kernel(backward))


def _gradients(found: _Bin, g: Tensor, g_log: Tensor, grid: Grid, *, inverse: bool) -> tuple[Tensor, Tensor]:
    g_x, g_sizes, g_slopes = _bin_gradients(found, g, g_log, inverse=inverse)
    return g_x, _raw_gradients(found, g_sizes, g_slopes, grid)


def _bin_gradients(found: _Bin, g: Tensor, g_log: Tensor, *, inverse: bool) -> tuple[Tensor, Tensor, Tensor]:
    r"""Gradients of the point, of the bin's corner and sizes, (2, 2, ...), and of the slopes at its ends.

    The inverse x solves z(x; theta) = z: its gradients are those of z(x; theta) at x, for
    :math:`dx = (dz - \partial_\theta z \, d\theta) / z'`.
    """
    (w, h), (d0, d1), xi = found.size.unbind(), found.slopes.unbind(), found.xi
    if found.tail is not None:
        tail = found.tail
        outer, g, g_log = g, g.masked_fill(tail, 0.0), g_log.masked_fill(tail, 0.0)
    s = h / w
    bend = torch.add(d0 + d1, s, alpha=-2)
    rest = 1 - xi
    mixed, square, rest_square = xi * rest, xi.square(), rest.square()
    slant = rest - xi
    q = torch.addcmul(s, bend, mixed)
    n = torch.addcmul(s * square, d0, mixed)
    steep = torch.addcmul(d1 * square, mixed, s, value=2) + d0 * rest_square
    over_q, g_steep = 1 / q, g_log / steep
    g_q = g_log * over_q
    # d log slope / d xi, and with it the gradient of the point itself
    g_xi = 2 * (g_steep * (d1 * xi - d0 * rest + s * slant) - g_q * bend * slant)
    slope = (s * over_q).square() * steep
    if inverse:
        through = (g + g_xi / w) / slope
        g_point, g = through, -through
        g_xi = torch.addcmul(g_xi, g * w, slope)
        g_corner = -g_xi / w
    else:
        g_xi = torch.addcmul(g_xi, g * w, slope)
        g_point = g_xi / w
        g_corner = -g_point
    pull = g * h * over_q.square()
    one_less = 1 - 2 * mixed
    g_s = torch.addcmul(2 * (g_log / s - g_q * one_less + g_steep * mixed), pull, square * q - n * one_less)
    g_d0 = mixed * (pull * (q - n) - 2 * g_q) + g_steep * rest_square
    g_d1 = g_steep * square - mixed * (pull * n + 2 * g_q)
    g_w = -(xi * g_xi + s * g_s) / w
    g_h = torch.addcmul(g_s / w, g, n * over_q)
    if found.tail is not None:
        g_point = torch.where(found.tail, outer, g_point)
    return g_point, torch.stack([g_corner, g, g_w, g_h]).unflatten(0, (2, 2)), torch.stack([g_d0, g_d1])


def _raw_gradients(found: _Bin, g_sizes: Tensor, g_slopes: Tensor, grid: Grid) -> Tensor:
    """Gradients of all raw numbers from those of the bin."""
    bins, at = grid.bins, found.at
    free = (grid.high - grid.low) * (1 - LEAST_BIN * bins)
    # Shares below the bin move its corner, its own share its size; through the softmax all lose the mean.
    g_corner, g_size = (free * g_sizes).unbind()
    mean = torch.addcmul(g_corner * found.before, g_size, found.share)
    g_shares = torch.addcmul(-mean.unsqueeze(1), g_size.unsqueeze(1), at)
    g_shares[:, :-1].addcmul_(g_corner.unsqueeze(1), found.below)
    # softplus'(a) = 1 - exp(-softplus(a))
    g_0, g_1 = (-g_slopes * torch.expm1(_LEAST_SLOPE - found.slopes)).unbind()
    g_raw = at.new_empty(grid.n_parameters, *at.shape[1:])
    torch.mul(g_shares, found.shares, out=g_raw[: 2 * bins].unflatten(0, (2, bins)))
    knots = g_raw[2 * bins :].zero_()
    if grid.periodic:
        knots.addcmul_(g_0, at).addcmul_(g_1, at.roll(1, 0))
    else:
        first, last = grid.fixed
        knots[: bins - first].addcmul_(g_0, at[first:])
        knots[1 - first :].addcmul_(g_1, at[: bins - last])
    return g_raw
