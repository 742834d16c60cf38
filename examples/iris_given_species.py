"""Four measurements of an iris given its species: a conditional flow, which by Bayes' rule is a classifier, too."""

import argparse

import torch

import surflow as sf


def main(steps: int) -> None:
    """Train p(measurements | species), draw flowers of one species, and name the species of others."""
    iris = sf.data.load("iris", context="species")
    assert iris.context is not None and iris.train.context is not None and iris.test.context is not None
    flow = sf.presets.build("spline", 4, context_net=iris.context.network(), layers=2, hidden=[16], bins=4)
    sf.fit(flow, (iris.train.x, iris.train.context), steps=steps, seed=0, progress=False)

    virginica = torch.full((1000, 1), 2.0)
    print(
        "mean virginica:", dict(zip(iris.columns, flow.sample(1, virginica, seed=1)[0].mean(0).tolist(), strict=True))
    )

    x, species = iris.test.x, iris.test.context[:, 0]
    with torch.no_grad():
        each = torch.stack([flow.log_prob(x, torch.full((len(x), 1), float(k))) for k in range(3)], 1)
    print(f"{(each.argmax(1) == species).float().mean():.0%} of {len(x)} test flowers named right")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    main(parser.parse_args().steps)
