"""The picture at the top of the README: a plane set with its learned density, and digits beside generated ones.

python -m surflow_experiments.gallery        about four minutes on two cores; writes docs/pictures/gallery.png
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

import surflow as sf
from surflow._internal.files import make_folder, written_whole

PICTURE = Path("docs/pictures/gallery.png")


def _plane(name: str, minutes: float) -> sf.Flow:
    torch.manual_seed(0)
    flow = sf.presets.build("auto", 2)
    sf.fit(flow, getattr(sf.data, name), batch_size=512, lr=5e-3, clip=5.0, minutes=minutes, seed=0)
    return flow


def _digits(minutes: float) -> tuple[Tensor, Tensor]:
    """Held-out digits and as many samples, ten of each class in order."""
    splits = sf.data.load("digits", context="digit")
    assert splits.context is not None  # asked for in the line above
    torch.manual_seed(0)
    flow = sf.presets.build("auto", splits.event_shape, context_net=splits.context.network(), support=splits.support)
    pair = (splits.validation.x, splits.validation.context)
    sf.fit(
        flow,
        (splits.train.x, splits.train.context),
        validation=pair,
        batch_size=128,
        minutes=minutes,
        lr=3e-3,
        clip=20.0,
    )
    classes = torch.arange(10.0).repeat_interleave(5)[:, None]
    known = splits.test.context
    assert known is not None
    real = torch.cat([splits.test.x[known[:, 0] == digit][:5] for digit in range(10)])
    return real, flow.sample((), classes, seed=0)


@torch.no_grad()
def _density(ax: Axes, flow: sf.Flow, half: float) -> None:
    n = 300
    axis = (torch.arange(n) + 0.5) / n * 2 * half - half
    image = flow.log_prob(torch.cartesian_prod(axis, axis)).exp().reshape(n, n).T
    top = float(image.flatten().quantile(0.995))
    ax.imshow(image, origin="lower", extent=(-half, half, -half, half), cmap="viridis", vmin=0, vmax=top)


def _points(ax: Axes, x: Tensor, half: float, colour: str) -> None:
    ax.scatter(x[:, 0], x[:, 1], s=0.6, c=colour, linewidths=0)
    ax.set(xlim=(-half, half), ylim=(-half, half), aspect="equal")


def _grid(ax: Axes, images: Tensor) -> None:
    """Fifty images of one channel in five rows, one column a digit."""
    framed = torch.nn.functional.pad(images, (1, 1, 1, 1))
    side = framed.shape[-1]
    ax.imshow(framed.reshape(10, 5, side, side).permute(1, 2, 0, 3).reshape(5 * side, 10 * side), cmap="gray_r")


def main() -> None:
    """Draw the gallery of the README."""
    sets = [("checkerboard", 2.4), ("moons", 2.3), ("spiral", 6.0)]
    figure = Figure(figsize=(12.6, 5.5), layout="constrained")
    parts = np.asarray(figure.subfigures(2, 1, height_ratios=(1, 1.25)))
    top, bottom = parts
    axes = top.subplots(1, 6)
    for i, (name, half) in enumerate(sets):
        flow = _plane(name, minutes=0.6)
        _points(axes[2 * i], flow.sample(8000, seed=1), half, "#d9730d")
        _density(axes[2 * i + 1], flow, half)
        axes[2 * i].set_title(f"{name}: samples", fontsize=11)
        axes[2 * i + 1].set_title("density of the flow", fontsize=11)
    real, fake = _digits(minutes=2)
    grids = bottom.subplots(1, 2)
    for ax, images, title in ((grids[0], real, "held-out digits"), (grids[1], fake, "samples, one class a column")):
        _grid(ax, images)
        ax.set_title(title, fontsize=11)
    for ax in [*axes, *grids]:
        ax.set(xticks=[], yticks=[])
    make_folder(PICTURE.parent)
    with written_whole(PICTURE) as scratch:
        figure.savefig(scratch, dpi=110)
    print(PICTURE)


if __name__ == "__main__":
    main()
