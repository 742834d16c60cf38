"""Flow: a chain of transforms and a base distribution, itself a distribution; checked when it is built."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar, NamedTuple, Protocol, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from surflow._internal.chunks import rows_at_once
from surflow._internal.held_draws import hold_draws
from surflow._internal.number_types import parameter_type, type_for
from surflow._internal.shapes import Shape, check_context, check_rows
from surflow._internal.standardizer import Standardizer
from surflow.distribution import Distribution, Jumps
from surflow.errors import BoundError, DataError, ShapeError
from surflow.flow import gradients
from surflow.flow.chain import check_chain
from surflow.pieces import shared_context
from surflow.supports import Integers, Product, Support
from surflow.transform import Transform, layer_name

T = TypeVar("T")  # what a direction of a layer returns

# A support that takes more letters is too long for a line of the summary.
_LONGEST = 60


class Term(NamedTuple):
    """One row of :meth:`Flow.account`: where nats come from."""

    name: str
    nats: float
    exact: bool


class ContextNet(Protocol):
    """A network that contexts pass through before any layer sees them, with its shapes stated."""

    in_shape: Shape
    out_shape: Shape

    def __call__(self, context: Tensor) -> Tensor: ...


class Flow(Distribution):
    r"""A SurVAE flow: transforms from the data side to the latent side, and a base distribution.

    .. math:: \log p(x) = \log p(z_L) + \sum_l V_l(z_{l-1}, z_l), \qquad z_0 = x

    exactly when every layer is exact; otherwise the right-hand side, one draw of it, is an evidence lower
    bound (``elbo``), and ``log_prob(x, importance_samples=k)`` is the k-sample bound, which tightens with k.

    Args:
        transforms: the layers, data side first.
        base: the distribution of the last latent.
        context_net: a network that every context passes through first (:mod:`surflow.nets`), e.g. ``OneHot(10)``.

    Attributes:
        recompute: False. Set to True, gradients keep only the input of every layer in memory, and compute the layer
            again, with the same random numbers, when the backward pass comes to it: memory for one layer instead of
            all, at the price of one more forward pass. It is no part of what is saved.

    Raises:
        ShapeError: if neighbours differ in shape or two layers want different contexts.
        SupportError: if a layer lands on another support than the next one lives on; the message names what fits.

    Source: Nielsen et al., "SurVAE Flows: Surjections to Bridge the Gap between VAEs and Flows", arXiv 2007.02731;
    the k-sample bound: Burda et al., "Importance Weighted Autoencoders", arXiv 1509.00519.

    >>> import torch, surflow as sf
    >>> flow = sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2))
    >>> flow.exact, flow.support
    (True, real)
    >>> flow.log_prob(torch.ones(1, 2)).item() - 2 * math.log(0.5 / math.sqrt(2 * math.pi)) < 1e-6
    True
    >>> flow.sample(1000, seed=1).shape
    torch.Size([1000, 2])
    """

    recompute: bool = False
    _shortcuts: ClassVar[Mapping[str, tuple[str, ...]]] = {**Distribution._shortcuts, "elbo": ("_log_prob", "_bound")}

    def __init__(
        self, transforms: Sequence[Transform], base: Distribution, context_net: ContextNet | None = None
    ) -> None:
        if isinstance(transforms, nn.Module):
            raise ShapeError(
                f"a flow is built from a list of transforms, got a {type(transforms).__name__}: put it in [ ]"
            )
        transforms = list(transforms)
        check_chain(transforms, base)
        parts: list[Transform | Distribution] = [*transforms, base]
        context_shape = shared_context("all layers of a flow", [(part, part.context_shape) for part in parts])
        if context_net is not None:
            if context_shape is None:
                raise ShapeError("the flow has a context_net, but no layer takes a context: give them context_shape=")
            if not (hasattr(context_net, "in_shape") and hasattr(context_net, "out_shape")):
                raise ShapeError(
                    f"a context_net states in_shape and out_shape, as surflow.MLP does, {type(context_net).__name__} "
                    "does not"
                )
            if tuple(context_net.out_shape) != context_shape:
                raise ShapeError(
                    f"the context_net ends in shape {tuple(context_net.out_shape)}, but the layers take {context_shape}"
                )
            context_shape = tuple(context_net.in_shape)
        first: Transform | Distribution = transforms[0] if transforms else base
        super().__init__(
            first.in_shape if isinstance(first, Transform) else first.event_shape,
            support=first.domain if isinstance(first, Transform) else first.support,
            context_shape=context_shape,
        )
        self.transforms: Sequence[Transform] = nn.ModuleList(transforms)  # type: ignore[assignment]
        self.base = base
        self.context_net = cast("nn.Module | None", context_net)
        # Up to here events keep their own precision, and from here they are of the networks' type: the first part with
        # floats of its own, such as what follows a Standardize.
        self._door = next((i for i, part in enumerate(parts) if not part._any_precision), len(parts))
        for part in self.modules():
            if isinstance(part, Standardizer) and not part.fitted.is_meta and not part.fitted:
                part.looked = False
        # Layers and pieces do not change after they are built, and scoring asks each time.
        self._exact = all(layer.exact for layer in transforms) and base.exact
        self._estimator = self.estimator()

    @property
    def exact(self) -> bool:
        return self._exact

    @property
    def reparameterized(self) -> bool:  # type: ignore[override]
        return self._no_rsample() is None

    def _no_rsample(self) -> str | None:
        return gradients.of_draws(self.transforms, self.base).refusal

    def _jumps(self, *, event: bool, context: bool) -> Jumps:
        learned = self._learned_context()
        return gradients.jumps(self.transforms, self.base, event=event, context=context, learned_context=learned)

    def _learned_context(self) -> bool:
        return self.context_net is not None and any(p.requires_grad for p in self.context_net.parameters())

    @property
    def has_pole(self) -> bool:  # type: ignore[override]
        return any(gradients.has_pole(layer) for layer in self.transforms) or self.base.has_pole

    def estimator(self) -> gradients.Estimator:
        """How the gradient of ``elbo`` is estimated, or why there is no unbiased one: :mod:`surflow.flow.gradients`."""
        return gradients.of_the_bound(self.transforms, self.base, learned_context=self._learned_context())

    def _embed(self, context: Tensor | None) -> Tensor | None:
        if context is None:
            return None
        context = context.to(self._type_of_contexts(context.dtype))
        return context if self.context_net is None else self.context_net(context)

    # -- scoring ------------------------------------------------------------------------------------

    def _no_density(self) -> str:
        bounds = [f"{i}: {type(layer).__name__}" for i, layer in enumerate(self.transforms) if not layer.exact]
        return (
            f"this flow has a bound, not a density (not exact: {', '.join(bounds) or 'its base'}): "
            "use flow.elbo(x), or flow.log_prob(x, importance_samples=k)"
        )

    @property
    def _any_precision(self) -> bool:
        return True  # it casts where it has to

    def _type_of_rows(self, kind: torch.dtype) -> torch.dtype:
        own = super()._type_of_rows(kind)
        if isinstance(self.support, Integers):
            return own
        if self._door == 0:
            return own
        if kind.is_floating_point:
            return torch.promote_types(kind, own) if self.support.largest else kind
        return own if kind.itemsize < 4 else torch.float64  # which holds them

    def _type_of_contexts(self, kind: torch.dtype) -> torch.dtype:
        if not kind.is_floating_point or getattr(self.context_net, "any_precision", False):
            return kind
        return parameter_type(self) or kind

    def _at(self, position: int, x: Tensor) -> Tensor:
        """What the part at a position is given: from the door on it is of the type of the parameters."""
        if position != self._door:
            return x
        own = parameter_type(self)
        part = self.transforms[position] if position < len(self.transforms) else self.base
        support = part.domain if isinstance(part, Transform) else part.support
        return x if own is None else x.to(type_for(own, support.largest))

    def _back_at(self, position: int, z: Tensor) -> Tensor:
        """What the inverse of a layer is given: behind the door, what came out double is cast."""
        if z.dtype == torch.float32 or position < self._door or not z.is_floating_point():
            return z
        own = parameter_type(self)
        return z if own is None else z.to(type_for(own, self.transforms[position].codomain.largest))

    def _summed(self, terms: list[Tensor]) -> Tensor:
        """The sum of log-densities and contributions, in the type of the parameters."""
        total = torch.stack(terms).sum(0)
        return total.to(parameter_type(self) or total.dtype)

    def _log_prob(self, x: Tensor, context: Tensor | None) -> Tensor:
        if not self.exact:
            raise BoundError(self._no_density())
        return self._joint(x, self._embed(context), self.base.log_prob)[0]

    def elbo(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        if not self.exact:
            return super().elbo(x, context)
        # A base with a density may train on a bound of it.
        return self._scored(lambda rows, given: self._joint(rows, self._embed(given))[0], x, context)

    def _bound(self, x: Tensor, context: Tensor | None, k: int) -> Tensor:
        """The k-sample bound; where draws are held, the ELBO is the mean of two, each the baseline of the other."""
        given, held = self._embed(context), self._held()
        if k == 1:
            if not held:
                return self._joint(x, given)[0]
            log_w, log_q = self._weigh(x, given, 2)
            return (log_w + _score_function(log_q, log_w - log_w.flip(0))).mean(0)
        most = max(1, rows_at_once(self.event_shape) // max(1, x.shape[0]))
        parts = [self._weigh(x, given, min(most, k - start)) for start in range(0, k, most)]
        log_w, log_q = (torch.cat(whole) for whole in zip(*parts, strict=True))
        bound = log_w.logsumexp(0) - math.log(k)
        return bound + _score_function(log_q, bound - gradients.leave_one_out(log_w)).sum(0) if held else bound

    def _held(self) -> Collection[int]:
        """The layers whose draws are held fixed, if there is a gradient to compute."""
        return self._estimator.held if torch.is_grad_enabled() else ()

    def _joint(
        self, x: Tensor, given: Tensor | None, of_latent: Callable[..., Tensor] | None = None
    ) -> tuple[Tensor, list[Tensor]]:
        """log p(x, z) - log q(z | x) for a draw of z, and the log-densities of the draws that are held.

        ``of_latent`` scores z, by default the base's ``elbo``.
        """
        outside = self.support.outside(x)
        if torch.is_grad_enabled():  # it is their gradients that need not be finite
            x = self.support.without(x, outside)
        z, V, log_q = self._chain(x, given, self._held())
        log_w = self._summed([*V, (of_latent or self.base.elbo)(z, self.base._own(given))])
        # A layer may be finite beyond its domain (a clamped logarithm); the density there is zero. NaN stays NaN.
        log_w = log_w.masked_fill(outside, -math.inf)
        if self._estimator.refusal and log_w.requires_grad and (refusal := self.estimator().refusal):
            log_w.register_hook(lambda _: _refuse_gradient(refusal))
        return log_w, log_q

    def _weigh(self, x: Tensor, given: Tensor | None, n: int) -> tuple[Tensor, Tensor]:
        """The same of n draws for every row: log-weights and the log-density of what is held, both (n, batch)."""
        rows = x.shape[0]
        repeated = x.repeat(n, *[1] * (x.ndim - 1))
        log_w, log_q = self._joint(repeated, None if given is None else given.repeat(n, *[1] * (given.ndim - 1)))
        log_drawn = torch.stack(log_q).sum(0) if log_q else torch.zeros_like(log_w)
        return log_w.reshape(n, rows), log_drawn.reshape(n, rows)

    def _forward(self, x: Tensor, context: Tensor | None) -> tuple[Tensor, list[Tensor]]:
        return self._chain(x, context, ())[:2]

    def _chain(
        self, x: Tensor, context: Tensor | None, held: Collection[int]
    ) -> tuple[Tensor, list[Tensor], list[Tensor]]:
        """The latent, the contributions, and the log-densities of what the layers ``held`` draw."""
        contributions, log_qs = [], []
        for i, layer in enumerate(self.transforms):
            x = self._at(i, x)
            if i in held:
                x, V, log_q = self._through(partial(_hold, layer), x, context)
                log_qs.append(log_q)
            else:
                x, V = self._through(partial(_release, layer) if layer.random_forward else layer, x, context)
            contributions.append(V)
        return self._at(len(self.transforms), x), contributions, log_qs

    def _through(self, direction: Callable[..., T], x: Tensor, context: Tensor | None) -> T:
        """One direction of a layer, which ``recompute`` takes once more in the backward pass.

        Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", arXiv 1604.06174.
        """
        if self.recompute and torch.is_grad_enabled():
            return checkpoint(direction, x, context, use_reentrant=False)
        return direction(x, context)

    # -- drawing ------------------------------------------------------------------------------------

    def _draw(self, n: int, context: Tensor | None) -> tuple[Tensor, Tensor]:
        context = self._embed(context)
        x, log_prob = self.base._draw_for(n, context)
        contributions = [log_prob]
        for i, layer in reversed([*enumerate(self.transforms)]):
            x, V = self._through(layer.inverse, self._back_at(i, x), context)
            contributions.append(V)
        return x, self._summed(contributions)

    def _sample(self, n: int, context: Tensor | None) -> Tensor:
        context = self._embed(context)
        return self._generate(self.base._sample(n, self.base._own(context)), context)

    def _generate(self, z: Tensor, context: Tensor | None) -> Tensor:
        for i, layer in reversed([*enumerate(self.transforms)]):
            z = self._through(layer.generate, self._back_at(i, z), context)
        return z

    # -- the latent ---------------------------------------------------------------------------------

    def encode(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The latent z_L of x; one draw of it where a layer's forward direction draws."""
        x, context, batch = self._rows(x, context)
        z, _ = self._forward(x, self._embed(context))
        return z.reshape(*batch, *self.base.event_shape)

    def decode(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """The x of a latent z, shape (batch, *event); one draw of it where a layer's inverse draws."""
        check_rows(self, "z", z, self.base.event_shape)
        return self._generate(z, self._embed(check_context(self, context, self.context_shape, z.shape[0])))

    # -- before training ----------------------------------------------------------------------------

    @torch.no_grad()
    def initialize(self, x: Tensor, context: Tensor | None = None, *, weight: Tensor | None = None) -> None:
        """Let what is fitted to data (Standardize, ActNorm, a Summary of contexts) see it, each in its place.

        What was fitted before keeps what it has.

        Args:
            x: rows, (batch, *event).
            context: their contexts.
            weight: (batch,), not negative: a row of weight w counts as w rows, one of weight 0 is absent; None for
                ones.

        Raises:
            DataError: for other weights, or data that are not finite.
        """
        x, context, _ = self._rows(x, context)
        if weight is not None:
            there = _weighted(weight, len(x))
            x, weight = x[there], weight[there]
            context = None if context is None else context[there]
        more = {} if weight is None else {"weight": weight}
        fitted = getattr(self.context_net, "initialize", None)
        if fitted is not None and context is not None:
            fitted(context, **more)
        context = self._embed(context)
        for i, layer in enumerate(self.transforms):
            x = self._at(i, x)
            layer.initialize(x, context, **more)
            x, _ = layer(x, context)
        self.base.initialize(self._at(len(self.transforms), x), self.base._own(context), **more)

    @torch.no_grad()
    def weigh(self, x: Tensor, context: Tensor | None = None) -> None:
        x, context, _ = self._rows(x, context)
        context = self._embed(context)
        for i, layer in enumerate(self.transforms):
            x, _ = layer(self._at(i, x), context)
        self.base.weigh(self._at(len(self.transforms), x), self.base._own(context))

    # -- explanations -------------------------------------------------------------------------------

    @torch.no_grad()
    def account(self, x: Tensor, context: Tensor | None = None) -> list[Term]:
        """Where the nats come from: the mean contribution of every layer and of the base, in nats per event.

        >>> import torch, surflow as sf
        >>> flow = sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2))
        >>> for row in flow.account(torch.ones(1, 2)): print(f"{row.name:8} {row.nats:+.3f} {row.exact}")
        Abs      -1.386 True
        Log      +0.000 True
        Normal   -1.838 True
        """
        x, context, _ = self._rows(x, context)
        given = self._embed(context)
        rows = []
        for i, layer in enumerate(self.transforms):
            x, V = layer(self._at(i, x), given)
            rows.append(Term(layer_name(layer), V.mean().item(), layer.exact))
        x = self._at(len(self.transforms), x)
        base = self.base.elbo(x, self.base._own(given)).mean().item()
        return [*rows, Term(type(self.base).__name__, base, self.base.exact)]

    def summary(self) -> str:
        """One line per layer: kind, shapes, supports, exactness, parameters.

        >>> import surflow as sf
        >>> print(sf.Flow([sf.Abs(2), sf.Log(2)], base=sf.Normal(2)).summary())
        layer     kind                 x                z                exact  parameters
        0 Abs     inference surjection (2,) real        (2,) positive    yes    0
        1 Log     bijection            (2,) positive    (2,) real        yes    0
        Normal    base                                  (2,) real        yes    0
        total     exact density                                                 0
        """
        header = ("layer", "kind", "x", "z", "exact", "parameters")
        rows = [header]
        for i, layer in enumerate(self.transforms):
            rows.append(
                (
                    f"{i} {layer_name(layer)}",
                    layer.kind,
                    _space(layer.in_shape, layer.domain),
                    _space(layer.out_shape, layer.codomain),
                    "yes" if layer.exact else "bound",
                    f"{_count(layer):,}",
                )
            )
        base = self.base
        exact = "yes" if base.exact else "bound"
        rows.append(
            (type(base).__name__, "base", "", _space(base.event_shape, base.support), exact, f"{_count(base):,}")
        )
        if self.context_net is not None:
            rows.append((type(self.context_net).__name__, "context", "", "", "", f"{_count(self.context_net):,}"))
        rows.append(("total", "exact density" if self.exact else "bound", "", "", "", f"{_count(self):,}"))
        minimum = (10, 21, 17, 17, 7, 0)
        widths = [max(w, *(len(row[c]) + 1 for row in rows)) for c, w in enumerate(minimum)]
        return "\n".join("".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows)

    def save(self, path: str | Path) -> None:
        """Write the flow to one .safetensors file; :func:`surflow.load` reads it back."""
        from surflow.serialization.files import save  # the one import upward: [tool.importlinter] says why

        save(self, path)


def _hold(layer: Transform, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """z and V of ``forward``, and the log-density of what it draws, which is held fixed."""
    with hold_draws() as noted:
        z, V = layer(x, context)
    if not noted:
        raise BoundError(
            f"{layer_name(layer)} draws something otherwise than by _draw_for of a piece, and what follows jumps: no "
            "gradient of the bound reaches the parameters that it is drawn with"
        )
    return z, V, torch.stack(noted).sum(0)


def _release(layer: Transform, x: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """z and V of ``forward`` with draws that carry gradients, also where those of a layer around it are held."""
    with hold_draws(hold=False):
        return layer(x, context)


def _score_function(log_q: Tensor, gain: Tensor) -> Tensor:
    """Zero, with the gradient of log q weighed by what a draw gains over its baseline."""
    gain = gain.detach()
    return (log_q - log_q.detach()) * gain.where(gain.isfinite(), 0.0)


def _refuse_gradient(refusal: str) -> None:
    raise BoundError(f"the bound of this flow has no unbiased gradient: {refusal}")


def _space(shape: Shape, support: Support) -> str:
    """A shape and a support in a cell of the summary; of many different columns only how many there are."""
    text = repr(support)
    if len(text) > _LONGEST and isinstance(support, Product):
        text = f"{len(support.parts)} different columns"
    return f"{shape} {text}"


def _weighted(weight: Tensor, rows: int) -> Tensor:
    """Which rows have a weight; booleans."""
    if tuple(weight.shape) != (rows,):
        raise DataError(f"expected one weight a row, shape ({rows},), got {tuple(weight.shape)}")
    if not (weight.isfinite() & (weight >= 0)).all():
        raise DataError("expected weights that are finite and not negative: weights count rows")
    return weight > 0


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())
