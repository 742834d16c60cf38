"""A variational autoencoder of black and white digits: a bound, and the density that importance samples find."""

import argparse

import torch

import surflow as sf


def main(steps: int) -> None:
    """Train encoder, decoder and a prior of couplings together, and print bound and density in nats."""
    digits = sf.data.load("digits")
    train, test = ((part.x.flatten(1) >= 8).float() for part in (digits.train, digits.test))
    layer = sf.VAE(
        encoder=sf.Normal(8, 64, net=sf.MLP(64, (2, 8), hidden=(128,))),
        decoder=sf.Bernoulli(64, 8, net=sf.MLP(8, 64, hidden=(128,))),
    )
    flow = sf.Flow([layer, sf.Coupling(8), sf.Reverse(8), sf.Coupling(8)], base=sf.Normal(8))
    sf.fit(flow, train, steps=steps, seed=0, progress=False)
    print(flow.summary())
    with torch.no_grad():
        bound = flow.elbo(test).mean()
        density = flow.log_prob(test, importance_samples=100).mean()
    print(f"ELBO {bound:.2f} nats, log-density by 100 importance samples {density:.2f} nats")
    for row in flow.sample(1, seed=1).reshape(8, 8):
        print("".join(".#"[int(pixel)] for pixel in row))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    main(parser.parse_args().steps)
