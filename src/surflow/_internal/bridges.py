"""What fits between two layers whose supports differ."""

from __future__ import annotations

_BRIDGES = {
    ("Positive", "Real"): "Log(shape) or Inverse(Softplus(shape))",
    ("Real", "Positive"): "Exp(shape) or Softplus(shape)",
    ("Interval", "Real"): "Logit(shape, low, high)",
    ("Real", "Interval"): "Sigmoid(shape, low, high)",
    ("Ordered", "Real"): "LogGaps(shape)",
    ("Real", "Ordered"): "Inverse(LogGaps(shape)) or Sort(shape)",
    ("Integers", "Real"): "Dequantize(shape, levels) and then Logit(shape, 0, levels)",
    ("Integers", "Interval"): "Dequantize(shape, levels)",
    ("Interval", "Integers"): "Inverse(Dequantize(shape, levels))",
    ("Interval", "Interval"): "Rescale(shape, (low, high), (low, high))",
    ("Integers", "Ordered"): "SortIntegers(size, levels)",
    ("Circle", "Circle"): "a layer for circles, such as Coupling(shape, CircularSpline())",
    ("Circle", "Real"): "no continuous map: keep to layers for circles and the base UniformCircle",
    ("Real", "Circle"): "no continuous map: start from layers for circles",
}


def bridge(left: object, right: object) -> str:
    """What fits between a layer that lands in the support ``left`` and one that expects ``right``."""
    known = _BRIDGES.get((type(left).__name__, type(right).__name__))
    if known:
        return known
    return "the layers that map each part of one onto the other, each inside On(shape, part, layer)"
