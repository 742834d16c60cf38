"""
A conditional flow is a classifier, too
=======================================

150 flowers of three species, four measurements each. We learn the distribution of the measurements given the species, draw flowers of each, and ask by Bayes' rule which species a
new flower is.
"""

import torch

import surflow as sf

# %%
# ``sf.data.load`` reads, checks and splits. The species is the context: what the distribution is given.

iris = sf.data.load("iris", context="species")
print(iris.description)
print(iris.columns, iris.context.columns[0].categories)

# %%
# The context passes through a network that makes a one-hot vector of the category. 105 training flowers are few, so the flow is small, and the validation flowers decide which weights are kept.

flow = sf.presets.spline(4, context_net=iris.context.network(), layers=2, hidden=(16,), bins=4, seed=0)
train, held_out = (iris.train.x, iris.train.context), (iris.validation.x, iris.validation.context)
history = sf.fit(flow, train, validation=held_out, steps=200, lr=5e-3, seed=0, progress=False)
print(f"best at step {history.best_step}: {history.best_nll:.3f} nats a flower")

# %%
# Draws: one hundred for each row of the context.

species = torch.arange(3.0)[:, None]
drawn = flow.sample(100, species, seed=1)
print("shape:", tuple(drawn.shape))
for k, name in enumerate(iris.context.columns[0].categories):
    means = ", ".join(f"{column} {value:.1f}" for column, value in zip(iris.columns, drawn[:, k].mean(0), strict=True))
    print(f"{name}: {means}")

# %%
# Data below the diagonal, draws above it:

pairs = sf.plots.pairs(iris.train.x, drawn.reshape(-1, 4), iris.columns)

# %%
# By Bayes' rule the species is the one under which the flower is most probable, as all three are equally frequent.

x, true = iris.test.x, iris.test.context[:, 0]
with torch.no_grad():
    each = torch.stack([flow.log_prob(x, torch.full((len(x), 1), float(k))) for k in range(3)], 1)
print(f"{(each.argmax(1) == true).float().mean():.0%} of {len(x)} flowers named right")
