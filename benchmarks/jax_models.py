"""Models of flowjax: the compiled training step, score and draw."""

from __future__ import annotations

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import optax
import paramax

from benchmarks.model import Model

_RING = 4


def standard_normal(size: int) -> eqx.Module:
    """A base that is not trained, as in the other libraries."""
    from flowjax.distributions import Normal

    return paramax.non_trainable(Normal(jnp.zeros(size)))


def density(flow: eqx.Module, shape: tuple[int, ...], batch: int, context: int | None = None) -> Model:
    """A flow whose layers are stacked under one scan, as flowjax builds them."""
    data = jr.normal(jr.key(1), (_RING, batch, *shape))
    contexts = jr.normal(jr.key(2), (_RING, batch, context)) if context else itertools.repeat(None)
    ring = itertools.cycle(list(zip(data, contexts, strict=False)))
    keys = map(jr.key, itertools.count())
    trained, fixed = eqx.partition(
        flow, eqx.is_inexact_array, is_leaf=lambda leaf: isinstance(leaf, paramax.NonTrainable)
    )
    optimizer = optax.adam(1e-4)

    @eqx.filter_jit
    def step(
        trained: eqx.Module, state: optax.OptState, x: jax.Array, given: jax.Array | None
    ) -> tuple[eqx.Module, optax.OptState]:
        def loss(trained: eqx.Module) -> jax.Array:
            return -eqx.combine(trained, fixed).log_prob(x, given).mean()

        updates, state = optimizer.update(eqx.filter_grad(loss)(trained), state)
        return eqx.apply_updates(trained, updates), state

    score_all = eqx.filter_jit(lambda trained, x, given: eqx.combine(trained, fixed).log_prob(x, given))
    draw_all = eqx.filter_jit(
        lambda trained, key, given: eqx.combine(trained, fixed).sample(
            key, (batch,) if given is None else (), condition=given
        )
    )
    now = [trained, optimizer.init(eqx.filter(trained, eqx.is_inexact_array))]

    def train_step() -> None:
        now[:] = jax.block_until_ready(step(*now, *next(ring)))

    def score() -> jax.Array:
        return jax.block_until_ready(score_all(now[0], *next(ring)))

    def draw() -> jax.Array:
        return jax.block_until_ready(draw_all(now[0], next(keys), next(ring)[1]))

    def sound() -> bool:
        x, scores = draw(), score()
        shapes = (x.shape, scores.shape) == ((batch, *shape), (batch,))
        return shapes and bool(jnp.isfinite(x).all() and jnp.isfinite(scores).all())

    leaves = jax.tree.leaves(trained)
    # Stacked over the layers, a matrix has three axes and a bias has two.
    weights = sum(leaf.size for leaf in leaves if leaf.ndim > 2)
    return Model(
        {"train_step": train_step, "log_prob": score, "sample": draw},
        sum(leaf.size for leaf in leaves),
        batch * weights,
        sound,
    )
