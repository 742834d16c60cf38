"""What simulations show of their structure: observations that tell nothing, and symmetries of parameters and data."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import torch
from torch import Tensor

# Simulations that are looked at, and the most numbers, parameters and observations together, in whose products signs
# are sought.
_ROWS, _MOST_NUMBERS = 20_000, 40
# The chance that a coordinate, or a product, seems to matter although it does not, shared by all that are looked at.
_CHANCE = 0.01
# Standard errors within which a mean is taken for zero.
_ZERO = 4.0


@dataclass(frozen=True)
class Symmetry:
    """A map of pairs (theta, x) that leaves their distribution as it is: coordinates change places, or signs.

    Attributes:
        said: in words.
        order, sign, centre: theta_i becomes centre_i + sign_i (theta_order_i - centre_order_i).
        x_sign, x_centre: the same of observations, which keep their order.
    """

    said: str
    order: tuple[int, ...]
    sign: tuple[float, ...]
    centre: tuple[float, ...]
    x_sign: tuple[float, ...]
    x_centre: tuple[float, ...]

    @property
    def still(self) -> bool:
        """Whether observations stay as they are."""
        return min(self.x_sign) > 0

    @property
    def fold(self) -> int | None:
        """The one parameter whose sign alone changes, if that is all."""
        flipped = [i for i, s in enumerate(self.sign) if s < 0]
        alone = self.still and self.order == tuple(range(len(self.order))) and len(flipped) == 1
        return flipped[0] if alone else None

    def after(self, first: Symmetry) -> Symmetry:
        """Both, one after the other; centres are those of all symmetries that are found together."""
        order = tuple(first.order[i] for i in self.order)
        sign = tuple(s * first.sign[i] for s, i in zip(self.sign, self.order, strict=True))
        x_sign = tuple(s * t for s, t in zip(self.x_sign, first.x_sign, strict=True))
        return replace(self, said=f"{first.said}; {self.said}", order=order, sign=sign, x_sign=x_sign)

    def __call__(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Rows (n, d) and (n, k) as the map has them."""
        centre, sign = theta.new_tensor(self.centre), theta.new_tensor(self.sign)
        x_centre, x_sign = x.new_tensor(self.x_centre), x.new_tensor(self.x_sign)
        return centre + sign * (theta - centre)[:, list(self.order)], x_centre + x_sign * (x - x_centre)


@dataclass(frozen=True)
class Exchange:
    """Blocks of an observation that may stand in any order, such as points that were drawn alike.

    Attributes:
        blocks: coordinates, block by block.
    """

    blocks: tuple[tuple[int, ...], ...]

    @property
    def said(self) -> str:
        parts = ", ".join(f"({', '.join(f'x{j + 1}' for j in block)})" for block in self.blocks)
        return f"the order of {parts} does not matter"

    def __call__(self, theta: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Every row with its blocks in an order of its own, drawn by torch's generator."""
        index = torch.tensor(self.blocks, device=x.device)
        order = torch.rand(len(x), len(index), device=x.device).argsort(1)
        mixed = x.clone()
        mixed[:, index.flatten()] = x.gather(1, index[order].flatten(1))
        return theta, mixed


# -- what tells nothing -------------------------------------------------------------------------------------------


def informative(theta: Tensor, x: Tensor) -> Tensor:
    """Which coordinates of observations are related to parameters, one by one, shape (k,), bool.

    Normal scores of a coordinate, and their squares, are correlated with those of parameters, with their squares and
    products. What matters only together with other coordinates is not seen, so that whoever drops what is found here
    compares with a flow that is given all.

    Args:
        theta: (n, d).
        x: (n, k).

    >>> generator = torch.Generator().manual_seed(0)
    >>> theta, noise = (torch.randn(500, 2, generator=generator) for _ in range(2))
    >>> informative(theta, torch.cat([theta[:, :1] ** 2 + noise[:, :1], noise[:, 1:]], 1))
    tensor([ True, False])
    """
    u, v = normal_scores(theta[:_ROWS]), normal_scores(x[:_ROWS])
    rows, columns = torch.triu_indices(u.shape[1], u.shape[1])
    of_theta = _standard(torch.cat([u, u[:, rows] * u[:, columns]], 1))
    z = torch.cat([_standard(part).T @ of_theta / math.sqrt(len(u)) for part in (v, v.square())], 1)
    return z.abs().amax(1) > _threshold(z.numel())


def normal_scores(x: Tensor) -> Tensor:
    """The quantiles of a normal distribution that the ranks of each column stand for; equal values share one.

    >>> normal_scores(torch.tensor([[1.0], [100.0], [2.0]])).flatten()
    tensor([-0.9674,  0.9674,  0.0000])
    """
    scores = []
    for column in x.T:
        _, index, count = column.double().unique(return_inverse=True, return_counts=True)
        middle = count.cumsum(0) - count / 2
        scores.append(torch.special.ndtri(middle / len(column))[index].to(x.dtype))
    return torch.stack(scores, 1)


def _standard(x: Tensor) -> Tensor:
    x = x - x.mean(0)
    return x / x.std(0).clamp(min=1e-12)


def _threshold(tests: int) -> float:
    """How many standard errors chance alone seldom makes, in so many tests."""
    return float(torch.special.ndtri(torch.tensor(1 - _CHANCE / 2 / max(tests, 1), dtype=torch.float64)))


# -- symmetries ---------------------------------------------------------------------------------------------------


def symmetries(
    theta: Tensor,
    x: Tensor,
    centre: Sequence[float | None],
    alike: Sequence[tuple[int, int]] = (),
    keep: Sequence[int] | None = None,
) -> list[Symmetry | Exchange]:
    r"""Symmetries that simulations do not speak against: candidates, each to be tried on simulations held out.

    A change of signs leaves the distribution as it is only if every product of up to three coordinates whose sign it
    changes has the mean zero. The products whose mean is not zero therefore are equations for the signs, and the
    solutions of all of them together, by elimination in arithmetic modulo two, are the candidates. For pairs of
    parameters the same is asked of their sum and difference.

    Args:
        theta: (n, d).
        x: (n, k).
        centre: about which each parameter may change its sign; None for one that may not.
        alike: pairs of parameters with one prior, which may change places.
        keep: coordinates of observations that matter; None for all.

    Returns:
        Generators: products of them are symmetries, too.

    >>> generator = torch.Generator().manual_seed(0)
    >>> theta = torch.randn(2000, 2, generator=generator)
    >>> x = torch.stack([theta[:, 0].abs(), theta[:, 1].exp()], 1) + 0.1 * torch.randn(2000, 2, generator=generator)
    >>> [found.said for found in symmetries(theta, x, [0.0, 0.0])]
    ['observations do not tell the sign of theta1']
    """
    theta, x = theta[:_ROWS].double(), x[:_ROWS].double()
    size = x.shape[1]
    keep = list(range(size) if keep is None else keep)
    x = x[:, keep]
    d, k = theta.shape[1], x.shape[1]
    if d + k > _MOST_NUMBERS:
        return []
    at = [0.0 if c is None else c for c in centre]
    x_at = _centres(x)
    u, v = theta - theta.new_tensor(at), x - x.new_tensor(x_at)
    fixed = [i for i, c in enumerate(centre) if c is None]
    found: list[Symmetry | Exchange] = []

    def add(order: Sequence[int], sign: Sequence[float], flips: Sequence[int]) -> None:
        turned = [keep[j] for j in flips]
        x_sign = [-1.0 if j in turned else 1.0 for j in range(size)]
        x_centre = [x_at[keep.index(j)] if j in keep else 0.0 for j in range(size)]
        said = _said(order, sign, turned)
        found.append(Symmetry(said, tuple(order), tuple(sign), tuple(at), tuple(x_sign), tuple(x_centre)))

    for solution in _signs(torch.cat([u, v], 1), fixed):
        add(range(d), [-1.0 if i in solution else 1.0 for i in range(d)], [j - d for j in solution if j >= d])
    for i, j in alike:
        turned = u.clone()
        turned[:, i], turned[:, j] = u[:, i] + u[:, j], u[:, j] - u[:, i]
        for solution in _signs(torch.cat([turned, v], 1), fixed):
            swapped = [m for m in (i, j) if m in solution]
            if len(swapped) == 1:  # the sum changes its sign: the two change places and signs; the difference: places
                sign = [-1.0 if m in solution and m not in (i, j) else 1.0 for m in range(d)]
                sign[i] = sign[j] = -1.0 if swapped == [i] else 1.0
                order = list(range(d))
                order[i], order[j] = j, i
                add(order, sign, [m - d for m in solution if m >= d])
    blocks = tuple(tuple(keep[j] for j in block) for block in _exchangeable(u, x))
    return found + ([Exchange(blocks)] if blocks else [])


def group(found: Sequence[Symmetry], most: int) -> list[Symmetry]:
    """Different products of symmetries, the shortest ones first and not more than ``most``; the identity leads.

    >>> flips = [Symmetry("", (0, 1), sign, (0.0, 0.0), (1.0,), (0.0,)) for sign in ((-1.0, 1.0), (1.0, -1.0))]
    >>> [one.sign for one in group(flips, 9)]
    [(1.0, 1.0), (-1.0, 1.0), (1.0, -1.0), (-1.0, -1.0)]
    """
    if not found:
        return []
    first = found[0]
    size, width = len(first.order), len(first.x_sign)
    whole = [replace(first, said="", order=tuple(range(size)), sign=(1.0,) * size, x_sign=(1.0,) * width)]
    seen = {(whole[0].order, whole[0].sign, whole[0].x_sign)}
    for one in whole:  # which grows meanwhile
        for generator in found:
            product = generator.after(one)
            key = (product.order, product.sign, product.x_sign)
            if key not in seen and len(whole) < most:
                seen.add(key)
                whole.append(product)
    return whole


def one_of_each_orbit(maps: Sequence[Symmetry], theta: Tensor, x: Tensor) -> Tensor:
    """The image of each row of parameters, under the maps, that lies farthest in a direction off their mirrors.

    Images of a region then do not overlap, and are together all of the parameters' space.

    >>> mirror = Symmetry("", (1, 0), (-1.0, -1.0), (0.0, 0.0), (1.0,), (0.0,))
    >>> one_of_each_orbit(group([mirror], 2), torch.tensor([[0.0, 1.0], [0.0, -1.0]]), torch.zeros(2, 1))
    tensor([[0., 1.],
            [1., 0.]])
    """
    images = torch.stack([one(theta, x)[0] for one in maps])
    direction = torch.linspace(1, 0.5, theta.shape[1], dtype=theta.dtype)
    farthest = ((images - theta.new_tensor(maps[0].centre)) @ direction).argmax(0)
    return images[farthest, torch.arange(len(theta))]


def _said(order: Sequence[int], sign: Sequence[float], flips: Sequence[int]) -> str:
    moved = [i for i, j in enumerate(order) if i != j]
    turned = [f"theta{i + 1}" for i, s in enumerate(sign) if s < 0 and i not in moved] + [f"x{j + 1}" for j in flips]
    signs = ", ".join(turned)
    if moved:
        pair = " and ".join(f"theta{i + 1}" for i in moved)
        places = "places and signs" if sign[moved[0]] < 0 else "places"
        return f"{pair} may change {places}" + (f", if {signs} change their signs with them" if signs else "")
    if len(turned) == 1 and not flips:
        return f"observations do not tell the sign of {signs}"
    return f"{signs} may change {'its sign' if len(turned) == 1 else 'their signs together'}"


def _centres(x: Tensor) -> list[float]:
    """Means, or zero where a mean may well be."""
    mean, error = x.mean(0), x.std(0) / math.sqrt(len(x))
    return torch.where(mean.abs() < _ZERO * error, 0.0, mean).tolist()


def _signs(v: Tensor, fixed: Sequence[int]) -> list[list[int]]:
    """Sets of columns whose signs may change together: generators of all of them, those of parameters alone last."""
    size = v.shape[1]
    scale = v.abs().median(0).values
    scale = torch.where(scale > 0, scale, v.square().mean(0).sqrt())
    v = (v / (1.5 * torch.where(scale > 0, scale, 1.0))).clamp(-3, 3)
    a, b = torch.triu_indices(size, size)
    pairs = v[:, a] * v[:, b]
    n = len(v)
    ones, both = torch.eye(size, dtype=torch.bool), torch.zeros(len(a), size, dtype=torch.bool)
    both[torch.arange(len(a)), a] ^= True
    both[torch.arange(len(b)), b] ^= True
    # One column, products of two, of three, and of two with a square: their means, and the means of their squares.
    factors, squares = torch.cat([v, v.square()], 1), torch.cat([v.square(), v.square().square()], 1)
    mean = torch.cat([v.mean(0), pairs.mean(0), (pairs.T @ factors / n).flatten()])
    square = torch.cat([v.square().mean(0), pairs.square().mean(0), (pairs.square().T @ squares / n).flatten()])
    threes = both[:, None] ^ torch.cat([ones, torch.zeros_like(ones)])[None]
    parity = torch.cat([ones, both, threes.flatten(0, 1)])
    odd = parity.any(1)
    mean, square, parity = mean[odd], square[odd], parity[odd]
    matters = mean.abs() > _threshold(len(mean)) * (square / n).sqrt()
    still = torch.zeros(len(fixed), size, dtype=torch.bool)
    still[torch.arange(len(fixed)), torch.tensor(list(fixed), dtype=torch.long)] = True
    equations = torch.cat([parity[matters], still, ones[scale == 0]]).unique(dim=0)
    return _solutions(equations)


def _solutions(equations: Tensor) -> list[list[int]]:
    """A basis of the sets of columns that each equation, a row of bits, meets an even number of times.

    >>> _solutions(torch.tensor([[True, True, False]]))
    [[2], [0, 1]]
    """
    size = equations.shape[1]
    pivots, left = [], equations.clone()
    row = 0
    for column in range(size - 1, -1, -1):  # observations first, so that solutions are told by parameters
        hits = left[row:, column].nonzero().flatten()
        if not len(hits):
            continue
        pivot = row + int(hits[0])
        left[[row, pivot]] = left[[pivot, row]]
        others = left[:, column].clone()
        others[row] = False
        left[others] ^= left[row]
        pivots.append(column)
        row += 1
        if row == len(left):
            break
    free = [column for column in range(size) if column not in pivots]
    basis = [[column, *(p for i, p in enumerate(pivots) if left[i, column])] for column in free]
    return sorted((sorted(solution) for solution in basis), key=len)


def _exchangeable(u: Tensor, x: Tensor) -> tuple[tuple[int, ...], ...]:
    """Blocks of coordinates that nothing tells apart: those of one kind have the same relation to the parameters."""
    k, n = x.shape[1], len(x)
    u = _standard(u)
    a, b = torch.triu_indices(u.shape[1], u.shape[1])
    of_theta = torch.cat([torch.ones_like(u[:, :1]), u, u[:, a] * u[:, b]], 1)
    scale = x.abs().median().clamp(min=1e-12)
    v = (x / scale).asinh()
    forms = torch.stack([v, v.square()])
    threshold = _threshold(k * (k - 1) * of_theta.shape[1])
    kinds: list[list[int]] = []
    for j in range(k):
        for kind in kinds:
            apart = forms[:, :, kind[0]] - forms[:, :, j]
            mean, square = apart @ of_theta / n, apart.square() @ of_theta.square() / n
            if (mean.abs() <= threshold * (square / n).sqrt()).all():
                kind.append(j)
                break
        else:
            kinds.append([j])
    several = [kind for kind in kinds if len(kind) > 1]
    if not several or len({len(kind) for kind in several}) > 1:
        return ()
    return tuple(zip(*several, strict=True))


def pairs_alike(low_and_high: Sequence[tuple[float, float] | None]) -> list[tuple[int, int]]:
    """Pairs of parameters whose intervals are the same."""
    return [
        (i, j)
        for i, j in combinations(range(len(low_and_high)), 2)
        if low_and_high[i] and low_and_high[i] == low_and_high[j]
    ]
