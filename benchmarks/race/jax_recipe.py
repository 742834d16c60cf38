"""flowjax: its masked autoregressive spline flow, trained by `fit_to_data` with that function's defaults."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from flowjax.bijections import RationalQuadraticSpline
from flowjax.distributions import Normal
from flowjax.flows import masked_autoregressive_flow
from flowjax.train import fit_to_data, loops

from benchmarks.race.track import Rows, Scale, Score, Track


def flowjax(name: str, rows: Rows, track: Track) -> None:
    """8 layers of width 50, splines of 8 knots on [-4, 4], Adam 5e-4, batches of 100, a tenth held out, patience 5."""
    x, context = rows.of("train")  # with the noise that is on them: fit_to_data takes arrays
    scale, context_scale = Scale.of(x), None if context is None else Scale.of(context)
    keys = jr.split(jr.key(0))
    flow = masked_autoregressive_flow(
        keys[0],
        base_dist=Normal(jnp.zeros(rows.dim)),
        transformer=RationalQuadraticSpline(knots=8, interval=4),
        cond_dim=rows.context_dim or None,
    )
    log_prob = eqx.filter_jit(lambda flow, x, context: flow.log_prob(x, context))

    def score_of(flow: eqx.Module) -> Score:
        def score(x: np.ndarray, context: np.ndarray | None) -> np.ndarray:
            given = None if context is None or context_scale is None else context_scale(context)
            return np.asarray(log_prob(flow, scale(x), given)) + scale.log_det

        return score

    step = loops.step

    def timed(params: Any, static: Any, *args: Any, **kwargs: Any) -> Any:  # noqa: ANN401 -- whatever flowjax takes
        result = jax.block_until_ready(step(params, static, *args, **kwargs))
        track.step(score_of(eqx.combine(result[0], static)))
        return result

    loops.step = timed  # fit_to_data has no callback
    data = scale(x) if context is None or context_scale is None else (scale(x), context_scale(context))
    flow, _ = fit_to_data(keys[1], flow, data, show_progress=False)
    track.mark(score_of(flow))
