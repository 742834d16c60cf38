r"""Which gradients of a chain its draws carry, which need a score-function term, and which chains have none.

Reparameterised draws are functions of parameters and noise. The mean of the derivative is the derivative of the mean
where nothing that follows jumps as such a draw moves: a sign, an index, an order, a rounding. Where something jumps,
and where a draw is discrete, the draw is held fixed, and the score-function term is added,

.. math:: \nabla E_q[L] = E_q[\nabla L + (L - b) \nabla \\log q],

with the value of another draw of the same row as the baseline b. It needs no derivative through the draw, and none of
what jumps. One kind of chain is left: parameters of a layer between a continuous draw and a jump move the place where
it jumps, and neither way sees that. Such chains are refused.

Source: Kool et al., "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019 (the baseline); Mnih and Rezende,
"Variational Inference for Monte Carlo Objectives", arXiv 1602.06725 (the same for the k-sample bound).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from surflow._internal.shapes import Shape
from surflow.distribution import Distribution
from surflow.supports import Circle, Integers, Ordered, Permutations, Product, Real, Support
from surflow.transform import Transform, has_circle, layer_name


@dataclass(frozen=True)
class Estimator:
    """How the gradient of a chain is estimated.

    Attributes:
        held: the layers whose draws are held fixed and have a score-function term.
        refusal: why there is no unbiased gradient, or None.
    """

    held: frozenset[int] = frozenset()
    refusal: str | None = None


@dataclass(frozen=True)
class _Step:
    """One direction of a layer, or the base at the end, as far as gradients go."""

    name: str
    discrete: bool  # whether what comes in is
    discrete_after: bool
    event_jumps: bool
    contribution_jumps: bool
    folds: bool
    pole: bool  # whether derivatives have no bound at the ends of the support that values come in on
    ends_after: int
    keeps: bool = True
    learned: bool = False  # whether what comes out depends on parameters beside those of what is drawn
    draws: bool = False
    moving_draw: bool = False  # whether something continuous is drawn
    learned_draw: bool = False
    conditional_draw: bool = False
    pathwise: bool = True
    scorable: bool = True

    def jumps(self, *, folded: bool, contributions: bool) -> bool:
        jumps = self.event_jumps or (contributions and self.contribution_jumps)
        return not self.discrete and (jumps or (folded and self.pole))


def of_the_bound(transforms: Sequence[Transform], base: Distribution, *, of_events: bool = False) -> Estimator:
    """The estimator of the gradient of a flow's bound; with ``of_events`` in the events that are scored, too."""
    if not of_events and not any(layer.random_forward for layer in transforms):
        return _floors(transforms)
    steps = [_step(layer, inverse=False) for layer in transforms]
    ends = _Step(
        f"the base {type(base).__name__}",
        discrete=_discrete(base.support),
        discrete_after=True,
        event_jumps=False,
        contribution_jumps=not base.continuous,
        folds=False,
        pole=base.has_pole,
        ends_after=0,
    )
    return _walk([*steps, ends], moves=of_events, depends=of_events, contributions=True)


def of_draws(transforms: Sequence[Transform], base: Distribution) -> Estimator:
    """The estimator of the gradient of a function of a flow's draws, in which nothing can be held."""
    steps = [_step(layer, inverse=True) for layer in reversed(transforms)]
    moves, depends = not _discrete(base.support), _has_parameters(base)
    blocked = [name for name, pathwise in _draws(transforms, base) if not pathwise]
    if blocked:
        return Estimator(
            refusal=f"{', '.join(dict.fromkeys(blocked))} draws something discrete with learned probabilities"
        )
    return _walk(steps, moves=moves, depends=depends, contributions=False)


def _draws(transforms: Sequence[Transform], base: Distribution) -> list[tuple[str, bool]]:
    layers = [(layer_name(layer), layer._pathwise(inverse=True)) for layer in transforms]
    return [*layers, (f"the base {type(base).__name__}", base.reparameterized)]


def _walk(steps: list[_Step], *, moves: bool, depends: bool, contributions: bool) -> Estimator:
    """Follow a value along the chain.

    ``moves`` says whether it has continuous noise, ``depends`` whether it depends on parameters while that which is
    held stays as it is, ``folded`` whether noise may bring it to an end of its support.
    """
    held = set()
    folded = False
    for i, step in enumerate(steps):
        if depends and not step.discrete and step.discrete_after and step.event_jumps and not step.draws:
            return Estimator(refusal=f"{step.name} rounds what parameters before it decide, and no gradient passes it")
        if moves and depends and step.jumps(folded=folded, contributions=contributions):
            what = "has a pole at the fold of a layer before it" if folded and step.pole else "jumps"
            return Estimator(
                refusal=f"{step.name} {what} as a continuous draw moves, and parameters before it move the place where "
                "it does, which no gradient sees"
            )
        folded = bool(step.ends_after) and not step.discrete and (folded or (step.folds and moves))
        if step.draws:
            learned = step.learned_draw or (step.conditional_draw and depends)
            needed = learned and (not step.pathwise or (contributions and _jump_from(steps, i + 1)))
            if not step.keeps:
                moves = depends = False
            if needed and not step.scorable:
                return Estimator(refusal=f"{step.name} draws otherwise than by a Distribution, and what follows jumps")
            if needed:
                held.add(i)
            depends = depends or (learned and not needed)
            moves = moves or step.moving_draw
        depends = depends or step.learned
        moves = moves and not step.discrete_after
    return Estimator(frozenset(held))


def _jump_from(steps: list[_Step], start: int) -> bool:
    """Whether anything from here on jumps as a value moves."""
    folded = False
    for step in steps[start:]:
        if step.jumps(folded=folded, contributions=True):
            return True
        folded = bool(step.ends_after) and not step.discrete and (folded or step.folds)
    return False


def _floors(transforms: Sequence[Transform]) -> Estimator:
    """Of a chain that draws nothing: only roundings of what was learned are refused."""
    depends = False
    for layer in transforms:
        rounds = _discrete(layer.codomain) and not _discrete(layer.domain)
        if rounds and depends:
            return Estimator(
                refusal=f"{layer_name(layer)} rounds what parameters before it decide, and no gradient passes it"
            )
        depends = depends or _learned(layer)
    return Estimator()


def _step(layer: Transform, *, inverse: bool) -> _Step:
    path = layer._path(inverse=inverse)
    before, after = (layer.codomain, layer.domain) if inverse else (layer.domain, layer.codomain)
    draws = layer.random_inverse if inverse else layer.random_forward
    pieces = layer._drawn(inverse=inverse) if draws else []
    conditional = any(piece.context_shape is not None for piece in pieces)
    seam = has_circle(before) and any(piece.context_shape is not None for piece in _pieces(layer))
    return _Step(
        layer_name(layer),
        discrete=_discrete(before),
        discrete_after=_discrete(after),
        # Networks take angles as numbers, which jump from one end of the circle to the other.
        event_jumps=not path.event or (seam and draws),
        contribution_jumps=not path.contribution or seam,
        folds=path.folds,
        pole=has_pole(layer, inverse=inverse),
        ends_after=_ends(after, layer.in_shape if inverse else layer.out_shape),
        keeps=path.keeps,
        learned=_learned(layer),
        draws=draws,
        moving_draw=any(not _discrete(piece.support) for piece in pieces) or (not pieces and _own_noise(layer)),
        learned_draw=any(_has_parameters(piece) for piece in pieces),
        conditional_draw=conditional,
        pathwise=layer._pathwise(inverse=inverse) and all(piece.continuous for piece in pieces),
        scorable=bool(pieces),
    )


def _own_noise(layer: Transform) -> bool:
    """Whether a layer without pieces draws continuous noise by itself; permutations are the built-in exception."""
    return layer.random_forward != layer.random_inverse


def _pieces(layer: Transform) -> list[Distribution]:
    return [part for part in layer.modules() if isinstance(part, Distribution)]


def _has_parameters(module: nn.Module) -> bool:
    return any(p.requires_grad for p in module.parameters())


def _learned(layer: Transform) -> bool:
    """Whether the layer has parameters beside those of its distributions."""
    of_pieces = {id(p) for piece in _pieces(layer) for p in piece.parameters()}
    return any(p.requires_grad and id(p) not in of_pieces for p in layer.parameters())


def _discrete(support: Support) -> bool:
    if isinstance(support, Product):
        return all(_discrete(part) for part, _ in support.parts)
    if isinstance(support, Ordered):
        return support.levels is not None
    return isinstance(support, Integers | Permutations)


def has_pole(layer: Transform, *, inverse: bool = False) -> bool:
    """Whether derivatives have no bound at the ends of the support that comes in, as a logarithm's at zero."""
    if layer.random_forward or layer.random_inverse:
        return any(piece.has_pole for piece in _pieces(layer))
    ends = _ends(layer.domain, layer.in_shape), _ends(layer.codomain, layer.out_shape)
    return ends[0] < ends[1] if inverse else ends[1] < ends[0]


def _ends(support: Support, shape: Shape) -> int:
    """How many coordinates of the first event axis have an end, which a density may touch."""
    if isinstance(support, Product):
        return sum(_ends(part, (n,)) for part, n in support.parts)
    if isinstance(support, Real | Circle) or _discrete(support):
        return 0
    return shape[0] if shape else 1


def leave_one_out(log_weights: Tensor) -> Tensor:
    r"""The k-sample bound without each of the k draws, for log-weights of shape (k, batch).

    Draw i is replaced by the geometric mean of the others, so that the result does not depend on it:

    .. math:: \log \frac1k \Big(\sum_{j \ne i} w_j + \exp \frac{1}{k - 1} \sum_{j \ne i} \log w_j\Big)

    Source: Mnih and Rezende, "Variational Inference for Monte Carlo Objectives", arXiv 1602.06725, equation 10.

    >>> leave_one_out(torch.tensor([[0.0], [1.0], [3.0]]).log() + 1)[1].exp().div(torch.e).item()  # (0 + 0 + 3) / 3
    1.0
    """
    k = log_weights.shape[0]
    none = torch.full_like(log_weights[:1], -torch.inf)
    before = torch.cat([none, log_weights[:-1].logcumsumexp(0)])
    after = torch.cat([log_weights[1:].flip(0).logcumsumexp(0).flip(0), none])
    others = torch.logaddexp(before, after)
    infinite = ~log_weights.isfinite()
    finite = log_weights.masked_fill(infinite, 0.0)
    mean = (finite.sum(0) - finite) / (k - 1)
    mean = mean.masked_fill(infinite.sum(0) > infinite.long(), -torch.inf)
    return torch.logaddexp(others, mean) - math.log(k)
