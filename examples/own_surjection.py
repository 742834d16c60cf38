"""A surjection of your own, the one of CONTRIBUTING.md: z = x^2, whose inverse draws the signs."""

import argparse

import torch

import surflow as sf


class Square(sf.Transform):
    """z = x^2 onto the positive half-line; V = log pi(signs) + sum log 2 |x_i|."""

    random_inverse = True  # and not random_forward: that makes it an inference surjection

    def __init__(self, event_shape: int) -> None:
        super().__init__(event_shape, codomain=sf.positive)
        self.signs = sf.JointBernoulli(event_shape, learned=True)

    def _forward(self, x: torch.Tensor, context: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        z, bits = x.square(), (x >= 0).to(x.dtype)
        return z, self.signs._elbo_of(bits, None) + (torch.log(4 * z) / 2).sum(1)

    def _inverse(self, z: torch.Tensor, context: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        bits, log_pi = self.signs._draw_for(z.shape[0], None)
        return (2 * bits - 1) * z.sqrt(), log_pi + (torch.log(4 * z) / 2).sum(1)


def main(steps: int) -> None:
    """Train a chain that begins with it, and print shares of the quadrants, drawn and true."""
    flow = sf.Flow([Square(2), sf.Log(2), sf.Coupling(2)], base=sf.Normal(2))
    sf.fit(flow, sf.data.moons, steps=steps, lr=0.02, seed=0, progress=False)
    for distribution in (flow, sf.data.moons):
        print(((distribution.sample(10_000, seed=1) > 0).long() @ torch.tensor([2, 1])).bincount() / 10_000)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=300)
    main(parser.parse_args().steps)
