"""The layer that CONTRIBUTING.md shows is right, and as short as it says."""

import re
from pathlib import Path

import pytest
import torch

import surflow as sf
from quadrature import grid

TEXT = (Path(__file__).parent.parent / "CONTRIBUTING.md").read_text()


def test_the_example_is_a_layer_with_the_right_likelihood(tmp_path: Path) -> None:
    code = re.search(r"```python\n(.*?)```", TEXT, re.DOTALL)[1]
    assert len(code.splitlines()) <= 40
    space: dict = {"__name__": __name__}
    exec(code, space)
    with pytest.raises(sf.ShapeError, match=r"Square expects signs of shape \(2,\) on integers\(2\), got Bernoulli"):
        space["Square"](2, sf.Bernoulli(3))
    assert space["Square"](2, sf.Bernoulli(2, context_shape=5)).context_shape == (3,)
    layer = space["Square"](2, sf.JointBernoulli(2, context_shape=2))
    flow = sf.Flow([layer, sf.Log(2)], base=sf.Normal(2)).double()
    x, log_weight = grid(flow.support, (2,), 800)
    with torch.no_grad():
        assert (flow.log_prob(x) + log_weight).exp().sum().item() == pytest.approx(1, abs=1e-3)
    z = torch.rand(5, 2).double() + 0.1
    back, V = layer.inverse(z)
    again, V_again = layer(back)
    assert torch.allclose(again, z) and torch.allclose(V, V_again)
    flow.save(tmp_path / "square.safetensors")
    assert torch.equal(sf.load(tmp_path / "square.safetensors").log_prob(x[:9]), flow.log_prob(x[:9]))
