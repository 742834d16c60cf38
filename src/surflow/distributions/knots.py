"""Monotone splines through given points, a row each, that go on as straight lines: scales fitted to quantiles."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

# Knots of a spline, at most.
KNOTS = 24
# Quantiles are taken up to this many standard deviations of a normal.
_WIDEST = 3.0
# Secants of neighbouring bins differ by no more than this factor from that of the whole.
_STEEPEST = 1e3


class Knots(NamedTuple):
    r"""Rows of splines: points, values and slopes at them, (rows, KNOTS), all ascending or positive.

    Within a bin of width w, height h and mean slope s = h / w, slopes d_0 and d_1 at its ends, and t from 0 to 1,

    .. math:: z = z_0 + h \frac{s t^2 + d_0 t (1 - t)}{s + (d_0 + d_1 - 2 s) t (1 - t)}

    Source: Gregory and Delbourgo, "Piecewise rational quadratic interpolation to monotonic data", 1982.
    """

    x: Tensor
    z: Tensor
    slope: Tensor

    @staticmethod
    def line(middle: float, unit: float) -> Tensor:
        """Points, values and slopes, (3, KNOTS), of z = (x - middle) / unit."""
        z = torch.linspace(-_WIDEST, _WIDEST, KNOTS, dtype=torch.float64)
        return torch.stack([middle + unit * z, z, torch.full_like(z, 1 / unit)])

    def _bin(self, at: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        right = torch.searchsorted(at, v.detach()).clamp(1, at.shape[1] - 1)
        left = right - 1
        ends = [part.gather(1, i) for part in self for i in (left, right)]
        x0, x1, z0, z1, d0, d1 = ends
        return x0, x1 - x0, z0, z1 - z0, d0, d1

    def forward(self, v: Tensor) -> tuple[Tensor, Tensor]:
        """z and log dz/dv of points (rows, n)."""
        x0, w, z0, h, d0, d1 = self._bin(self.x, v)
        s = h / w
        t = ((v - x0) / w).clamp(0, 1)
        u = t * (1 - t)
        q = s + (d0 + d1 - 2 * s) * u
        z = z0 + h * (s * t * t + d0 * u) / q
        z = z + d0 * (v - x0).clamp(max=0) + d1 * (v - x0 - w).clamp(min=0)
        slope = (s / q).square() * (d1 * t * t + 2 * s * u + d0 * (1 - t).square())
        return z, slope.log()

    def inverse(self, z: Tensor) -> Tensor:
        """The points of values (rows, n)."""
        x0, w, z0, h, d0, d1 = self._bin(self.z, z)
        s = h / w
        share = ((z - z0) / h).clamp(0, 1)
        bend = d0 + d1 - 2 * s
        a, b, c = s - d0 + share * bend, d0 - share * bend, -s * share
        t = 2 * c / (-b - (b * b - 4 * a * c).clamp(min=0).sqrt())
        x = x0 + w * t.clamp(0, 1)
        return x + (z - z0).clamp(max=0) / d0 + (z - z0 - h).clamp(min=0) / d1


def fitted_knots(v: Tensor, step: float, before: Tensor) -> Tensor:
    """Points, values and slopes, (3, KNOTS), of a spline that makes a sample v (n,) nearly standard normal.

    Args:
        v: the sample, double.
        step: of the grid on which it lies, 0 for none.
        before: the spline so far, which gives its unit where the sample holds one value alone.
    """
    n = v.numel()
    values, counts = v.unique(return_counts=True)
    if values.numel() < 2:
        return Knots.line(values[0].item(), step or (1 / before[2, 0]).item())
    below = counts.cumsum(0) - counts
    share = ((below + counts / 2) / n).double()  # the middle of each value's step of the distribution function
    score = torch.special.ndtri(share)
    # Fewer knots than quantiles that can be told apart: the spline is not to learn the sample by heart.
    number = min(KNOTS, max(3, round(n**0.5 / 2)), values.numel())
    wanted = torch.linspace(score[0].clamp(min=-_WIDEST), score[-1].clamp(max=_WIDEST), number, dtype=torch.float64)
    i = torch.searchsorted(score, wanted).clamp(1, len(score) - 1)
    t = (wanted - score[i - 1]) / (score[i] - score[i - 1])
    x = values[i - 1] + t.clamp(0, 1) * (values[i] - values[i - 1])
    least = max(step, (values[-1] - values[0]).item() * 1e-6)
    kept = [0]
    for k in range(1, number):
        if x[k] - x[kept[-1]] >= least * (1 - 1e-9):
            kept.append(k)
    if len(kept) < 2:
        return Knots.line(v.mean().item(), max(v.std(correction=0).item(), least))
    x, z = x[kept], wanted[kept]
    secant = z.diff() / x.diff()
    whole = (z[-1] - z[0]) / (x[-1] - x[0])
    secant = secant.clamp(min=whole / _STEEPEST, max=whole * _STEEPEST)
    z = torch.cat([z[:1], z[0] + (secant * x.diff()).cumsum(0)])
    inner = 2 * secant[:-1] * secant[1:] / (secant[:-1] + secant[1:])
    slope = torch.cat([secant[:1], inner, secant[-1:]])
    more = torch.arange(1, KNOTS - len(kept) + 1, dtype=torch.float64) * (x[-1] - x[-2])
    x = torch.cat([x, x[-1] + more])
    z = torch.cat([z, z[-1] + slope[-1] * more])
    return torch.stack([x, z, torch.cat([slope, slope[-1:].expand(len(more))])])
