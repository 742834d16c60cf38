r"""Which gradients of a chain its draws carry, which need a score-function term, and which chains have none.

Reparameterised draws are functions of parameters and noise. The mean of the derivative is the derivative of the mean
where nothing that follows jumps as such a draw moves: a sign, an index, an order, a rounding. Where something jumps,
and where a draw is discrete, the draw is held fixed, and the score-function term is added,

.. math:: \nabla E_q[L] = E_q[\nabla L + (L - b) \nabla \log q],

with the value of another draw of the same row as the baseline b. It needs no derivative through the draw, and none of
what jumps. One kind of chain is left: parameters of a layer between a continuous draw and a jump move the point where
it jumps, and neither way sees that. Such chains are refused.

Source: Kool et al., "Buy 4 REINFORCE Samples, Get a Baseline for Free!", 2019 (the baseline); Mnih and Rezende,
"Variational Inference for Monte Carlo Objectives", arXiv 1602.06725 (the same for the k-sample bound).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from surflow._internal.shapes import Shape
from surflow.distribution import Distribution, Jumps
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
    contribution: Jumps
    folds: bool
    pole: bool  # whether derivatives have no bound at the ends of the support that values come in on
    ends_after: int
    keeps: bool = True
    learned: bool = False  # whether what comes out depends on parameters beside those of what is drawn
    conditional: bool = False
    draws: bool = False
    drawn: Jumps = Jumps.NONE
    moving_draw: bool = False  # whether something continuous is drawn
    learned_draw: bool = False
    conditional_draw: bool = False
    pathwise: bool = True
    scorable: bool = True

    def jumps(self, *, folded: bool, contributions: bool = True) -> Jumps:
        """Whether something jumps as what comes in moves, which noise may have brought to an end of its support."""
        if self.discrete:
            return Jumps.NONE
        sudden = self.event_jumps or (folded and self.pole)
        return max(Jumps.FIXED if sudden else Jumps.NONE, self.contribution if contributions else Jumps.NONE)

    def folded_after(self, *, folded: bool, moves: bool) -> bool:
        return bool(self.ends_after) and not self.discrete and (folded or (self.folds and moves))


def of_the_bound(transforms: Sequence[Transform], base: Distribution, *, learned_context: bool = False) -> Estimator:
    """The estimator of the gradient of a flow's bound, given contexts that may come from a network that learns."""
    if not any(layer.random_forward for layer in transforms):
        return _floors(transforms)
    steps = _steps(transforms, base)
    if learned_context:
        steps = [
            replace(
                s,
                learned=s.learned or (s.conditional and not s.draws),
                learned_draw=s.learned_draw or s.conditional_draw,
            )
            for s in steps
        ]
    return _walk(steps, moves=False, depends=False, contributions=True)


def of_draws(transforms: Sequence[Transform], base: Distribution) -> Estimator:
    """The estimator of the gradient of a function of a flow's draws, in which nothing can be held."""
    layers = [(layer_name(layer), layer._pathwise(inverse=True)) for layer in transforms]
    blocked = [name for name, pathwise in [*layers, (_base_name(base), base.reparameterized)] if not pathwise]
    if blocked:
        return Estimator(
            refusal=f"{', '.join(dict.fromkeys(blocked))} draws something discrete with learned probabilities"
        )
    steps = [_step(layer, inverse=True) for layer in reversed(transforms)]
    return _walk(steps, moves=not _discrete(base.support), depends=_has_parameters(base), contributions=False)


def jumps(
    transforms: Sequence[Transform], base: Distribution, *, event: bool, context: bool, learned_context: bool
) -> Jumps:
    """Whether a flow's log-density, or its bound, jumps as the event or the context moves."""
    found, folded, moves, depends = Jumps.NONE, False, event, False
    held = of_the_bound(transforms, base, learned_context=learned_context).held
    for i, step in enumerate(_steps(transforms, base)):
        level = step.jumps(folded=folded) if moves else Jumps.NONE
        found = max(found, Jumps.LEARNED if level and depends else level)
        folded = step.folded_after(folded=folded, moves=moves)
        by_context = context and step.conditional and i not in held  # what is held moves with no context
        moves = (moves or by_context) and not step.discrete_after
        depends = depends or step.learned or (by_context and learned_context) or (step.learned_draw and i not in held)
    return max(found, base._jumps(event=False, context=context))


def _steps(transforms: Sequence[Transform], base: Distribution) -> list[_Step]:
    """The chain from data to the base."""
    ends = _Step(
        _base_name(base),
        discrete=_discrete(base.support),
        discrete_after=True,
        event_jumps=False,
        contribution=base._jumps(event=True, context=False),
        folds=False,
        pole=base.has_pole,
        ends_after=0,
    )
    return [*(_step(layer, inverse=False) for layer in transforms), ends]


def _base_name(base: Distribution) -> str:
    return f"the base {type(base).__name__}"


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
        level = step.jumps(folded=folded, contributions=contributions) if moves else Jumps.NONE
        if level == Jumps.LEARNED or (level and depends):
            what = "has a pole at the fold of a layer before it" if folded and step.pole else "jumps"
            return Estimator(refusal=f"{step.name} {what} as a continuous draw moves, {_MOVED}")
        folded = step.folded_after(folded=folded, moves=moves)
        if step.draws:
            drawn = step.drawn if contributions and step.moving_draw else Jumps.NONE
            if drawn == Jumps.LEARNED:
                return Estimator(refusal=f"{step.name} jumps as what it draws moves, {_MOVED}")
            learned = step.learned_draw or (step.conditional_draw and depends)
            after = contributions and _jump_from(steps, i + 1)
            needed = learned and (not step.pathwise or bool(drawn) or after)
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


_MOVED = "and parameters move the point where it does, which no gradient sees"


def _jump_from(steps: list[_Step], start: int) -> bool:
    """Whether anything from here on jumps as a value moves."""
    folded = False
    for step in steps[start:]:
        if step.jumps(folded=folded):
            return True
        folded = step.folded_after(folded=folded, moves=True)
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
    # Networks take angles as numbers, which jump from one end of the circle to the other.
    both = [*layer._drawn(inverse=False), *layer._drawn(inverse=True)]
    by_angle = [piece for piece in both if piece.context_shape is not None and not _periodic(piece)]
    seam = has_circle(before) and bool(by_angle)
    seam_drawn = has_circle(after) and any(all(piece is not drawn for drawn in pieces) for piece in by_angle)
    return _Step(
        layer_name(layer),
        discrete=_discrete(before),
        discrete_after=_discrete(after),
        event_jumps=not path.event or (seam and draws),
        contribution=max(path.contribution, Jumps.FIXED if seam else Jumps.NONE),
        folds=path.folds,
        pole=has_pole(layer, inverse=inverse),
        ends_after=_ends(after, layer.in_shape if inverse else layer.out_shape),
        keeps=path.keeps,
        learned=_learned(layer),
        conditional=layer.context_shape is not None,
        draws=draws,
        drawn=max(path.drawn, Jumps.FIXED if seam_drawn else Jumps.NONE),
        moving_draw=any(not _discrete(piece.support) for piece in pieces) or (not pieces and _own_noise(layer)),
        learned_draw=any(_has_parameters(piece) for piece in pieces),
        conditional_draw=any(piece.context_shape is not None for piece in pieces),
        pathwise=layer._pathwise(inverse=inverse),
        scorable=bool(pieces),
    )


def _periodic(piece: Distribution) -> bool:
    """Whether a piece takes angles by their cosines and sines, as its network says."""
    return bool(getattr(getattr(piece, "net", None), "periodic", False))


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
