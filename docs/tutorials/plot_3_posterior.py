"""
The posterior of a simulator
============================

Two moons is a simulator with two parameters, whose posterior is a pair of crescents and is known exactly. We learn it from simulations alone, look at it, and check its calibration.
"""

import torch

import surflow as sf

# %%
# Pairs of parameters and observations, drawn afresh. The parameters are the data, the observation is the context.

moons = sf.data.load("two_moons", rows=5000)
print(moons.description)
print("the prior's support:", moons.support)

# %%
# ``box`` is the preset for priors with walls: no draw leaves them.

flow = sf.presets.box(2, context_net=moons.context.network(), support=moons.support, layers=2, seed=0)
sf.fit(flow, (moons.train.x, moons.train.context), steps=700, lr=3e-3, seed=0, progress=False)

# %%
# The distance to the truth, in the mean over observations that the flow never saw.

theta, x = moons.simulator.sample(300, seed=1)
exact = moons.simulator.posterior(x)
with torch.no_grad():
    gap = exact.log_prob(theta) - flow.log_prob(theta, x)
print(f"{gap.mean():.2f} nats above the exact posterior")

# %%
# One observation: learned draws over those of the exact posterior.

draws = flow.sample(1000, x[:1], seed=2)[:, 0]
reference = moons.simulator.posterior(x[:1]).sample(1000, seed=3)[:, 0]
corner = sf.plots.corner(draws, moons.columns, reference=reference, truth=theta[0])

# %%
# Calibration: the rank of the true parameter among draws is uniform if the posterior is right. Grey is where 95 % of calibrated bins lie;
# bars beyond it say that a short training such as this one is not there yet.

ranks = sf.evaluation.ranks(theta, sf.evaluation.draws_given(flow, 99, x, seed=4))
histogram = sf.plots.rank_histogram(ranks, 100, moons.columns)
