"""Files and configurations of the first format: they load under their old names, with the same likelihoods."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

import surflow as sf
from surflow.app.config import from_table
from surflow.serialization.old_names import ARGUMENTS, CLASSES

FOLDER = Path(__file__).parent / "format_1"
VALUES = json.loads((FOLDER / "values.json").read_text())


@pytest.mark.parametrize("name", VALUES)
def test_files_of_the_first_format_load_with_the_same_likelihoods(name: str) -> None:
    flow, known = sf.load(FOLDER / f"{name}.safetensors"), VALUES[name]
    context = None if known["context"] is None else torch.tensor(known["context"])
    torch.manual_seed(3)
    with torch.no_grad():
        elbo = flow.elbo(torch.tensor(known["x"]), context)
    # To the bit on the processor that wrote them; products round otherwise on others.
    torch.testing.assert_close(elbo, torch.tensor(known["elbo"]), rtol=1e-5, atol=1e-5)


def test_old_names_are_those_of_no_class_and_no_argument_today() -> None:
    assert not set(CLASSES) & set(sf.__all__) and set(CLASSES.values()) <= set(sf.__all__)
    for name, arguments in ARGUMENTS.items():
        known = set(getattr(sf, name).__init__.__annotations__)
        assert not set(arguments) & known and set(arguments.values()) & known


def test_tables_of_the_first_round_are_read() -> None:
    pool = from_table({"class": "MaxPool", "shape": [1, 4, 4], "block": 2})
    assert pool.in_shape == (1, 4, 4) and pool.kernel_size == (2, 2)
    assert isinstance(from_table({"class": "Orthonormal", "shape": 3}), sf.Orthogonal)


def test_couplings_of_halves_and_of_masks_were_one_class() -> None:
    layers = sf.load(FOLDER / "masked.safetensors").transforms
    assert [type(layer) for layer in layers] == [sf.MaskedCoupling, sf.MaskedCoupling, sf.Coupling, sf.Autoregressive]
    masked = from_table({"class": "Coupling", "shape": 3, "axis": 0, "mask": [True, False, True]})
    assert isinstance(masked, sf.MaskedCoupling) and masked.mask.tolist() == [True, False, True]
    with pytest.raises(sf.ConfigError, match="unknown argument of MaskedCoupling 'axis'"):
        from_table({"class": "MaskedCoupling", "event_shape": 3, "axis": 0, "mask": [True, False, True]})
