"""The posterior of a simulator, two moons, learned from simulations alone, beside the exact one."""

import argparse

import torch

import surflow as sf


def main(steps: int) -> None:
    """Train p(parameters | observation), and compare it with the exact posterior of new observations."""
    moons = sf.data.load("two_moons", rows=5000)
    assert moons.context is not None and moons.simulator is not None
    network = moons.context.network()
    flow = sf.presets.build("box", moons.event_shape, context_net=network, support=moons.support)
    sf.fit(flow, (moons.train.x, moons.train.context), steps=steps, seed=0, progress=False)

    theta, x = moons.simulator.sample(500, seed=1)
    exact = moons.simulator.posterior(x).log_prob(theta)
    with torch.no_grad():
        learned = flow.log_prob(theta, x)
    print(f"{(exact - learned).mean():.3f} nats above the exact posterior, in the mean of {len(x)} observations")
    print("draws for the first:", flow.sample(3, x[:1], seed=2)[:, 0].tolist())


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    main(parser.parse_args().steps)
