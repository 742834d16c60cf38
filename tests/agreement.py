r"""Whether what a flow draws and what it scores are one distribution, and whether its gradients are those of the means.

For bounds as for densities, of any dimension, with bounded variance: a broad distribution r on the support and the flow
are two ways to draw pairs of data and latents, (x, z), from r(x) q(z | x) and from p(x, z), and

.. math:: l = \\log \\frac{p(x, z)}{r(x)\\,q(z | x)}

is the elbo less log r in one direction, and what ``draw`` returns less log r in the other. For all functions g

.. math:: E_{rq}[g(x)\\,\\sigma(l)] = E_p[g(x)\\,\\sigma(-l)]

as both are the integral of g times the harmonic mean of the two densities. If p has another mass than 1 anywhere, or is
not what is drawn, the two sides differ where it is so. Source: Bennett, "Efficient estimation of free energy
differences from Monte Carlo data", 1976.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor

import surflow as sf
from quadrature import grid
from registry import events
from surflow._internal.random import seeded
from surflow._internal.shapes import Shape
from surflow.supports import Circle, Integers, Interval, Ordered, Permutations, Positive, Product, Ragged, Real, Support

# A z-score that hardly any of some 20 000 cells exceeds by chance.
MOST_Z = 5.0
_BINS = 6
_FAR, _NEAR = 500.0, 1e-10
# Independent estimates of every derivative, and half of the step of differences.
_GROUPS, _STEP = 24, 0.05


# -- broad distributions -------------------------------------------------------------------------------------


class _Axis:
    """The distribution of a coordinate: half broad, half about given draws; continuous ones in a stretched one, t."""

    def __init__(self, support: Support, draws: Tensor) -> None:
        self.support = support
        t = self.stretched(draws)
        if isinstance(support, Integers):
            counts = torch.bincount(draws.long().clamp(0, support.levels - 1), minlength=support.levels).double()
            self.probs = 0.5 * counts / counts.sum() + 0.5 / support.levels
            return
        t = t[t.isfinite()]
        edges = torch.quantile(t[:4096], torch.linspace(0, 1, 41, dtype=t.dtype))
        widths = edges.diff().clamp(min=1e-3)
        self.edges = torch.cat([edges[:1], edges[0] + widths.cumsum(0)])
        self.bounded = isinstance(support, Interval | Circle)
        if self.bounded:
            self.edges = (edges.clamp(1e-9, 1 - 1e-9) + 1e-12 * torch.arange(41)).clamp(0, 1)
        self.middle = edges[20].item()
        self.spread = 2 * max((edges[30] - edges[10]).item(), 0.5)

    def stretched(self, x: Tensor) -> Tensor:
        if isinstance(self.support, Real):
            return x.asinh()
        if isinstance(self.support, Positive):
            return x.clamp(min=torch.finfo(x.dtype).tiny).log()
        if isinstance(self.support, Interval):
            return (x - self.support.low) / (self.support.high - self.support.low)
        return (x + math.pi) / (2 * math.pi) if isinstance(self.support, Circle) else x

    def draw(self, n: int) -> Tensor:
        if isinstance(self.support, Integers):
            return torch.multinomial(self.probs, n, replacement=True).double()
        bins = torch.randint(len(self.edges) - 1, (n,))
        near = self.edges[bins] + torch.rand(n).double() * self.edges.diff()[bins]
        u = torch.rand(n, dtype=torch.float64).clamp(1e-15, 1 - 1e-15)
        broad = u if self.bounded else (self.middle + self.spread * u.logit()).clamp(-60, 60)
        t = torch.where(torch.rand(n) < 0.5, near, broad)
        if isinstance(self.support, Real):
            return t.sinh()
        if isinstance(self.support, Positive):
            return t.exp()
        low, high = (-math.pi, math.pi) if isinstance(self.support, Circle) else self._ends()
        return low + (high - low) * t

    def _ends(self) -> tuple[float, float]:
        assert isinstance(self.support, Interval)
        return self.support.low, self.support.high

    def log_density(self, x: Tensor) -> Tensor:
        if isinstance(self.support, Integers):
            return self.probs.log()[x.long().clamp(0, self.support.levels - 1)]
        t = self.stretched(x)
        bins = (torch.searchsorted(self.edges, t.contiguous()) - 1).clamp(0, len(self.edges) - 2)
        within = (t >= self.edges[0]) & (t <= self.edges[-1])
        near = (1 / (self.edges.diff()[bins] * (len(self.edges) - 1))) * within
        s = (t - self.middle) / self.spread
        log_broad = (
            torch.zeros_like(t) if self.bounded else -s.abs() - 2 * (-s.abs()).exp().log1p() - math.log(self.spread)
        )
        log_t = torch.logaddexp(near.log(), log_broad) - math.log(2)
        if isinstance(self.support, Real):
            return log_t - torch.hypot(x, torch.ones_like(x)).log()
        if isinstance(self.support, Positive):
            return log_t - t
        low, high = (-math.pi, math.pi) if isinstance(self.support, Circle) else self._ends()
        return log_t - math.log(high - low)


class Broad:
    """A distribution on a whole support, near given draws and far from them, with a density and cells to compare in."""

    def __init__(self, support: Support, shape: Shape, draws: Tensor) -> None:
        self.support, self.shape = support, shape
        self.states: Tensor | None = None
        self.axes: list[_Axis] = []
        if isinstance(support, Ragged):
            return
        levels = support.size if isinstance(support, Permutations) else getattr(support, "levels", None)
        if isinstance(support, Permutations) or (isinstance(support, Ordered) and levels):
            self.states = states(support, shape)
            return
        if isinstance(support, Product):
            each = [part for part, n in support.parts for _ in range(n * math.prod(shape[1:]))]
        elif isinstance(support, Ordered):
            rows = math.prod(shape[:-1])
            ordered = [by for by in range(rows) if support.by in (None, by)]
            each = [
                sf.positive if row in ordered and i else sf.real for row in range(rows) for i in range(shape[-1])
            ]  # fmt: skip
        else:
            each = [support] * math.prod(shape)
        flat = self._chart(draws)
        self.axes = [_Axis(one, flat[:, i]) for i, one in enumerate(each)]

    def _chart(self, x: Tensor) -> Tensor:
        """Coordinates that vary independently: of ascending values the first and the gaps."""
        if isinstance(self.support, Ordered):
            gaps = torch.cat([x[..., :1], x.diff(dim=-1)], -1)
            if self.support.by is None:
                x = gaps
            else:
                x = x.clone()
                x[:, self.support.by] = gaps[:, self.support.by]
        return x.flatten(1)

    def _event(self, flat: Tensor) -> Tensor:
        x = flat.reshape(-1, *self.shape)
        if isinstance(self.support, Ordered):
            if self.support.by is None:
                return x.cumsum(-1)
            x[:, self.support.by] = x[:, self.support.by].cumsum(-1)
        return x

    def draw(self, n: int) -> tuple[Tensor, Tensor]:
        """Events and their log-density, of which rounding takes nothing away where gaps are small."""
        if self.axes:
            flat = torch.stack([axis.draw(n) for axis in self.axes], 1)
            return self._event(flat.clone()), self._log_density(flat)
        if self.states is not None:
            x = self.states[torch.randint(len(self.states), (n,))]
        else:
            x = events(self.support, self.shape, n)
        return x, self.log_density(x)

    def log_density(self, x: Tensor) -> Tensor:
        if self.axes:
            return self._log_density(self._chart(x))
        if self.states is not None:
            return x.new_full((len(x),), -math.log(len(self.states)))
        assert isinstance(self.support, Ragged)
        width = 0.96 * (self.support.high - self.support.low)  # where ``events`` puts points
        points, there = x[:, :-1], x[:, -1:]
        margin = 0.02 * (self.support.high - self.support.low)
        inside = (points > self.support.low + margin) & (points < self.support.high - margin) | (there == 0)
        present = there.flatten(1).sum(1) * (self.shape[0] - 1)
        log_density = -math.prod(self.shape[1:]) * math.log(2) - present * math.log(width)
        return log_density.where(inside.flatten(1).all(1), -math.inf)

    def _log_density(self, flat: Tensor) -> Tensor:
        return torch.stack([axis.log_density(flat[:, i]) for i, axis in enumerate(self.axes)]).sum(0)

    def extreme(self, x: Tensor) -> Tensor:
        """Which rows lie where double precision ends."""
        size = (self._chart(x) if self.axes else x.flatten(1)).abs()
        return ((size > _FAR) | (size < _NEAR)).any(1)

    def cells(self, x: Tensor, y: Tensor) -> Iterator[tuple[str, Tensor, Tensor]]:
        """Regions of the support, as which of the rows of x and of y lie in them: along coordinates and by pairs."""
        both = torch.cat([x, y]).flatten(1) if not self.axes else self._chart(torch.cat([x, y]))
        labels, coarse = [], []
        for i in range(both.shape[1]):
            values = both[:, i]
            few = values[:1000].unique()
            if len(few) <= _BINS:
                labels.append(torch.searchsorted(few, values.contiguous()))
                coarse.append(labels[-1])
                continue
            for bins, to in ((_BINS, labels), (3, coarse)):
                at = torch.quantile(y.flatten(1)[:4096, i] if not self.axes else self._chart(y[:4096])[:, i],
                                    torch.arange(1, bins, dtype=torch.float64) / bins)  # fmt: skip
                to.append(torch.searchsorted(at, values.contiguous()))
        n = len(x)
        yield "everywhere", torch.ones(n), torch.ones(len(y))
        for i, label in enumerate(labels):
            for value in label.unique().tolist():
                inside = (label == value).double()
                yield f"coordinate {i}, cell {value}", inside[:n], inside[n:]
        for i, j in itertools.combinations(range(len(coarse)), 2):
            pair = 16 * coarse[i] + coarse[j]
            for value in pair.unique().tolist():
                inside = (pair == value).double()
                yield f"coordinates {i} and {j}, cell {divmod(value, 16)}", inside[:n], inside[n:]


def states(support: Support, shape: Shape) -> Tensor:
    """All events of a discrete support."""
    levels = support.size if isinstance(support, Permutations) else getattr(support, "levels", 0)
    values = torch.arange(levels, dtype=torch.float64)
    everything = torch.cartesian_prod(*[values] * math.prod(shape)).reshape(-1, *shape)
    return everything[support.contains(everything)]


def discrete(support: Support) -> bool:
    return isinstance(support, Integers | Permutations) or (isinstance(support, Ordered) and support.levels is not None)


# -- one distribution for drawing and for scoring ------------------------------------------------------------------


@dataclass
class Agreement:
    """What was found of a flow: its mass, by several ways, and what is wrong with it, in words."""

    exact: bool
    mass: float = math.nan
    error: float = math.nan
    integral: float | None = None
    integral_error: float | None = None
    worst_z: float = 0.0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)


def expanded(context: Tensor | None, n: int) -> Tensor | None:
    return None if context is None else context.expand(n, *context.shape[1:])


@torch.no_grad()
def agreement(flow: sf.Flow, context: Tensor | None, n: int, seed: int) -> Agreement:
    """Compare ``n`` draws with the density or the bound, and its mass with one."""
    found = Agreement(flow.exact)
    with seeded(seed):
        _compare(flow, context, n, found)
        if flow.exact:
            _integrate(flow, context, found)
    return found


def _compare(flow: sf.Flow, context: Tensor | None, n: int, found: Agreement) -> None:
    given = expanded(context, n)
    x, log_w = (torch.cat(parts) for parts in zip(
        *[flow._draw_for(len(part), expanded(context, len(part))) for part in torch.arange(n).split(8192)], strict=True
    ))  # fmt: skip
    usable = x.flatten(1).isfinite().all(1)
    overflows = (x[usable].abs() > 1e30).any()  # an exponential of an exponential does
    if not usable.all() and not overflows:
        found.wrong.append(f"{n - usable.sum().item()} of {n} draws are not finite")
        return
    outside = usable & ~flow.support.contains(x)
    if outside.any():
        found.wrong.append(f"leak: {outside.sum().item()} of {n} draws lie outside of {flow.support!r}")
    own = flow.elbo(x, given)
    if flow.exact:
        apart = usable & ((own - log_w).abs() > 1e-5 * (1 + own.abs()))
        if apart.sum() > 1e-2 * n:  # where gaps round to ties, fewer are
            found.wrong.append(f"leak: {apart.sum().item()} of {n} draws have another log-density than log_prob")
    # Near other draws than these, whose scatter it would take for the distribution's.
    pilot = flow.sample(4096 if context is None else (), expanded(context, 4096))
    broad = Broad(flow.support, flow.event_shape, pilot[pilot.flatten(1).isfinite().all(1)])
    if broad.states is not None and not len(broad.states):
        found.wrong.append(f"leak: no event of shape {flow.event_shape} lies in {flow.support!r}")
        return
    if (lost := usable & ~own.isfinite() & ~broad.extreme(x)).sum() > 5e-3 * n:
        found.wrong.append(f"leak: {lost.sum().item()} of {n} draws have no finite elbo")
    if outside.any():
        return
    y, log_r = broad.draw(n)
    if not flow.support.contains(y).all():
        raise AssertionError(f"a broad distribution leaves {flow.support!r}")
    elbo = flow.elbo(y, given)
    # What overflows lies where the broad distribution hardly ever is, so that its share of either side is nothing.
    there, here = elbo - log_r, (log_w - broad.log_density(x)).where(usable, math.inf)
    x = x.where(usable.reshape(-1, *[1] * (x.ndim - 1)), 0.0)
    # Where the exponential of a network's output overflows, or gaps round to ties, no score is no density; were there
    # one, draws would differ from scores.
    found.lost = there.isnan().sum().item() + here.isnan().sum().item()
    there = there.where(~there.isnan(), -math.inf)
    here = here.where(~(here.isnan() & broad.extreme(x)), math.inf)
    if found.lost > 0.2 * n or here.isnan().any():
        found.wrong.append(f"NaN: {found.lost} scores of {2 * n}, {here.isnan().sum().item()} of usual draws")
        return
    c = _log_ratio(there, here)
    f, b = (there - c).sigmoid(), (c - here).sigmoid()
    slope = (f * (1 - f)).mean() + (b * (1 - b)).mean()
    found.mass = math.exp(c)
    found.error = found.mass * ((f.var() / len(f) + b.var() / len(b)).sqrt() / slope.clamp(min=1e-12)).item()
    f, b = there.sigmoid(), (-here).sigmoid()
    place = ""
    for name, in_y, in_x in broad.cells(y, x):
        left, right = f * in_y, b * in_x
        # A few counts more than there are: a cell that was met by hardly any row has no Gaussian mean.
        variance = left.var() / len(left) + right.var() / len(right) + (3 / n) ** 2
        z = abs(((left.mean() - right.mean()) / variance.sqrt()).item())
        if z > found.worst_z:
            found.worst_z, place = z, name
    if found.worst_z > MOST_Z:
        found.wrong.append(
            f"leak: draws, or the V they come with, and scores differ by {found.worst_z:.1f} standard errors, {place}"
        )
    if abs(found.mass - 1) > MOST_Z * found.error + 1e-6:
        found.wrong.append(f"leak: mass {found.mass:.4f} +- {found.error:.4f}")
    if flow.exact:
        return
    # The mass of exp(mean elbo) is at most one, and the bound of more samples no lower.
    few = slice(0, n // 8)
    draws = torch.stack([flow.elbo(y[few], expanded(context, n // 8)) for _ in range(8)])
    below = (draws.mean(0) - log_r[few]).exp()
    if (below.mean() - 5 * below.std() / math.sqrt(len(below))).item() > 1:
        found.wrong.append(f"leak: exp(mean elbo) has the mass {below.mean().item():.3f}")
    points = x[usable][: n // 16]
    given = expanded(context, len(points))
    gain = flow.log_prob(points, given, importance_samples=16) - flow.elbo(points, given)
    gain = gain[gain.isfinite()]
    if gain.numel() > 1 and (gain.mean() + 5 * gain.std() / math.sqrt(len(gain))).item() < -1e-9:
        found.wrong.append(f"the bound of 16 samples is lower than that of one, by {-gain.mean().item():.3f} nats")


def _log_ratio(there: Tensor, here: Tensor) -> float:
    """Bennett's estimate of the log of the mass, by bisection."""
    low, high = -30.0, 30.0
    for _ in range(60):
        c = (low + high) / 2
        more = (there - c).sigmoid().mean() > (c - here).sigmoid().mean()
        low, high = (c, high) if more else (low, c)
    return (low + high) / 2


def _integrate(flow: sf.Flow, context: Tensor | None, found: Agreement) -> None:
    """The mass of a density by enumeration, or by a midpoint rule of two resolutions where it has few coordinates."""
    size = math.prod(flow.event_shape)
    if discrete(flow.support):
        everything = states(flow.support, flow.event_shape)
        found.integral = flow.log_prob(everything, expanded(context, len(everything))).exp().sum().item()
        found.integral_error = 0.0
        if abs(found.integral - 1) > 1e-9:
            found.wrong.append(f"leak: all events together have the probability {found.integral:.6f}")
        return
    single = isinstance(flow.support, Ragged) and flow.event_shape == (2, 1)
    if size > 2 or (isinstance(flow.support, Ragged) and not single):
        return
    masses = []
    for points in (3000, 6000) if size == 1 or single else (300, 500):
        x, log_weight = grid(flow.support, flow.event_shape, points)
        log_p = torch.cat([flow.log_prob(part, expanded(context, len(part))) for part in x.split(65536)])
        masses.append((log_p + log_weight).logsumexp(0).exp().item())
    # What lies beyond the grid, or between its points, is not this integral's to say.
    x = flow.sample(20000 if context is None else (20000,), context, seed=0).reshape(-1, *flow.event_shape)
    far = x.abs() > (40 if isinstance(flow.support, Ordered) else _FAR)
    if isinstance(flow.support, Positive | Product):
        far |= x.abs() < _NEAR
    beyond = far.flatten(1).any(1).double().mean().item()
    error = 2e-3 + abs(masses[1] - masses[0]) + 2 * beyond
    if error > 0.02:  # too narrow or too wide for the grid
        return
    found.integral, found.integral_error = masses[-1], error
    if abs(found.integral - 1) > 3 * found.integral_error:
        found.wrong.append(f"leak: the integral is {found.integral:.4f} +- {found.integral_error:.4f}")


# -- gradients ------------------------------------------------------------------------------------------


@dataclass
class Slope:
    """A derivative, by gradients and by finite differences, with standard errors; or that it was refused."""

    what: str
    refused: bool = False
    gradient: float = math.nan
    gradient_error: float = 0.0
    difference: float = math.nan
    difference_error: float = 0.0
    overflows: bool = False  # exponentials of networks do, and leave no number to compare
    wrong: str = ""

    @property
    def z(self) -> float:
        error = math.hypot(self.gradient_error, self.difference_error)
        return abs(self.gradient - self.difference) / max(error, 1e-300)


Directions = list[Tensor]
# A mean over so many rows, with gradients or without.
Value = Callable[[int, bool], Tensor]


def directions(flow: sf.Flow, seed: int) -> Directions:
    """A random direction in the space of parameters, that moves every tensor of them by about one."""
    generator = torch.Generator().manual_seed(seed)
    return [
        torch.randn(p.shape, dtype=p.dtype, generator=generator) / max(p.numel(), 1) ** 0.5 for p in flow.parameters()
    ]


@contextmanager
def shifted(flow: sf.Flow, v: Directions, h: float) -> Iterator[None]:
    before = [p.detach().clone() for p in flow.parameters()]
    with torch.no_grad():
        for p, step in zip(flow.parameters(), v, strict=True):
            p.add_(step, alpha=h)
    try:
        yield
    finally:
        with torch.no_grad():
            for p, value in zip(flow.parameters(), before, strict=True):
                p.copy_(value)


def _along(flow: sf.Flow, v: Directions, value: Value, size: int, seed: int, at: float = 0.0) -> float:
    with shifted(flow, v, at), seeded(seed):
        mean = value(size, True)
        if not mean.requires_grad:
            return 0.0
        grads = torch.autograd.grad(mean, list(flow.parameters()), allow_unused=True)
    return sum((g * step).sum().item() for g, step in zip(grads, v, strict=True) if g is not None)


def _difference(flow: sf.Flow, v: Directions, value: Value, size: int, seed: int, h: float) -> float:
    """A central difference with common random numbers."""
    sides = []
    for sign in (1, -1):
        with torch.no_grad(), shifted(flow, v, sign * h), seeded(seed):
            sides.append(value(size, False).item())
    return (sides[0] - sides[1]) / (2 * h)


def _usable(values: list[float]) -> Tensor:
    """All values, but for a few that overflowed."""
    t = torch.tensor(values, dtype=torch.float64)
    finite = t.isfinite()
    return t[finite] if finite.double().mean() > 0.75 else t


def _mean(values: list[float]) -> tuple[float, float]:
    t = _usable(values)
    return t.mean().item(), (t.std() / math.sqrt(len(t))).item()


def _mean_over_strata(values: list[float]) -> tuple[float, float]:
    """The same of values one from each of many strata, of which neighbours are alike."""
    t = _usable(values)
    return t.mean().item(), (t.diff().square().mean() / (2 * len(t))).sqrt().item()


def compare(what: str, flow: sf.Flow, value: Callable[[int], Value], seed: int, *, random: bool) -> Slope:
    """A mean differentiated both ways along one direction; ``value(seed)`` is that of the events of a seed.

    A difference over a step is the mean of the derivative over it, whatever kinks networks have in between: gradients
    are taken at places all over the step, so that it may be wide, as common random numbers need where something jumps.
    """
    v = directions(flow, seed)
    slope = Slope(what)
    try:
        _compare_slopes(flow, v, value, seed, slope, random)
    except sf.BoundError:
        slope.refused = True
    return slope


def _compare_slopes(
    flow: sf.Flow, v: Directions, make: Callable[[int], Value], seed: int, slope: Slope, random: bool
) -> None:
    if not random:
        value = make(seed)
        slope.gradient = _along(flow, v, value, 1, seed)
        for h in (1e-4, 1e-5, 1e-6):  # a kink may lie within one of them
            slope.difference = _difference(flow, v, value, 1, seed, h)
            slope.difference_error = 1e-5 * (1 + abs(slope.gradient)) * (1e-4 / h) ** 0.5
            if slope.z <= 3:
                return
    # What differs by chance does not do so twice. In a wide step the score of a given event may jump, which is not the
    # derivative's to say; in a narrow one of other events it hardly ever does. Jumps that noise leads to are seen in
    # both.
    stages = [(1, _STEP), (6, _STEP), (12, _STEP / 25), (13, _STEP / 25)]
    for size, h in stages if random else ():
        first = 10_000 * size
        value = make(seed + first)
        generator = torch.Generator().manual_seed(seed + first)
        places = (torch.arange(_GROUPS) + torch.rand(_GROUPS, generator=generator)) / _GROUPS
        seeds = range(seed + first, seed + first + _GROUPS)
        slope.gradient, slope.gradient_error = _mean_over_strata(
            [_along(flow, v, value, size, s, h * (2 * u - 1)) for s, u in zip(seeds, places.tolist(), strict=True)]
        )
        slope.difference, slope.difference_error = _mean(
            [_difference(flow, v, value, 4 * size, s + 5_000, h) for s in seeds]
        )
        slope.difference_error = math.hypot(slope.difference_error, 1e-4 * (1 + abs(slope.gradient)))  # rounding
        slope.overflows = math.isnan(slope.z)
        if slope.z <= 3 or slope.overflows:
            return
    slope.wrong = (
        f"{slope.what}: gradient {slope.gradient:.6f} +- {slope.gradient_error:.6f}, differences "
        f"{slope.difference:.6f} +- {slope.difference_error:.6f}"
    )


def _affordable(flow: sf.Flow, times: int) -> int:
    """Fewer draws where they cost much; known from the networks, not from a clock: a seed gives the same again."""
    dear = any(isinstance(part, sf.ConvNet | sf.CausalTransformer) for part in flow.modules())
    return max(1, times // 8) if dear else times


# Different events, and contexts, that a mean is taken over.
_DIFFERENT = 8


def _contexts(flow: sf.Flow, seed: int) -> Tensor | None:
    if flow.context_shape is None:
        return None
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(_DIFFERENT, *flow.context_shape, dtype=torch.float64, generator=generator)


def _repeated(x: Tensor, times: int) -> Tensor:
    return x.repeat(times, *[1] * (x.ndim - 1))


def bound_slope(flow: sf.Flow, seed: int, times: int = 200) -> Slope:
    """The gradient of the mean elbo, or log-density, of some events; of a bound, with so many draws of each."""

    def value(seed: int) -> Value:
        context = _contexts(flow, seed)
        x = flow.sample(_DIFFERENT if context is None else (), context, seed=seed)
        # Not where exponentials of networks overflow.
        with torch.no_grad(), seeded(seed):
            usable = (x.abs() < _FAR).flatten(1).all(1) & flow.elbo(x, context).isfinite()
        x, context = x[usable], None if context is None else context[usable]

        def mean(size: int, graded: bool) -> Tensor:
            n = 1 if flow.exact else size * _affordable(flow, times)
            return flow.elbo(_repeated(x, n), None if context is None else _repeated(context, n)).mean()

        return mean

    return compare("elbo", flow, value, seed, random=not flow.exact)


def sample_slope(flow: sf.Flow, seed: int, times: int = 200) -> Slope:
    """The gradient of the mean of a bounded smooth function of draws, by ``rsample``."""
    generator = torch.Generator().manual_seed(seed)
    weights = torch.randn(2, math.prod(flow.event_shape), dtype=torch.float64, generator=generator)
    periodic = torch.tensor(_periodic(flow.support, flow.event_shape))

    def value(seed: int) -> Value:
        context = _contexts(flow, seed)

        def mean(size: int, graded: bool) -> Tensor:
            n = size * _affordable(flow, times)
            draw = flow.rsample if graded else flow.sample
            x = draw(n * _DIFFERENT if context is None else (n,), context).reshape(n * _DIFFERENT, -1)
            # An angle's function has to close; what is far away counts little.
            features = torch.where(periodic, (x + weights[1]).cos(), x.clamp(-1e6, 1e6).asinh())
            return (features * weights[0] + 0.5).sum(1).sin().mean()

        return mean

    return compare("rsample", flow, value, seed, random=True)


def _periodic(support: Support, shape: Shape) -> list[bool]:
    rest = math.prod(shape[1:])
    if isinstance(support, Product):
        return [isinstance(part, Circle) for part, n in support.parts for _ in range(n * rest)]
    return [isinstance(support, Circle)] * math.prod(shape)
