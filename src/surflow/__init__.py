"""surflow: SurVAE flows for PyTorch.

Bijections, surjections and stochastic layers compose into one likelihood, exact or a bound, and it is
always known which. Two nouns: a :class:`Transform` is a layer between data x and latent z, a
:class:`Distribution` scores and draws; a :class:`Flow` is a chain of transforms and a base.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from surflow._internal.configurable import Configurable
from surflow._internal.kernels import compiled
from surflow._internal.random import seeded
from surflow._internal.version import __version__ as __version__
from surflow.bijections.autoregressive import Autoregressive
from surflow.bijections.coupling import Coupling, MaskedCoupling
from surflow.bijections.elementwise import Exp, Log, Logit, Rescale, Sigmoid, Softplus, Tanh
from surflow.bijections.linear import ConditionalLinear, Linear, LULinear, Orthogonal
from surflow.bijections.normalize import ActNorm, Jitter, Standardize
from surflow.bijections.ordered import LogGaps
from surflow.bijections.polar import Polar
from surflow.bijections.shape import Permute, PermuteAxes, RavelMultiIndex, Reshape, Reverse, Squeeze
from surflow.bijections.splines import CircularSplineMap, IntervalSplineMap, PositiveSplineMap, SplineMap
from surflow.bijections.truncated import TruncatedMap
from surflow.bijections.univariate import AffineMap, Elementwise, UnivariateMap
from surflow.distribution import Distribution
from surflow.distributions.any_order import AnyOrder
from surflow.distributions.ascending import AscendingCategorical
from surflow.distributions.blocks import BlockwiseDiscretizedLogistic
from surflow.distributions.column_classes import ColumnClasses
from surflow.distributions.column_mixture import ColumnMixture
from surflow.distributions.column_tree import ColumnTree
from surflow.distributions.discrete import Bernoulli, Categorical, JointBernoulli, PlackettLuce
from surflow.distributions.gaussian_mixture import GaussianMixture
from surflow.distributions.joint import Joint
from surflow.distributions.levels import AutoregressiveDiscretizedLogistic, DiscretizedLogisticMixture
from surflow.distributions.mixture import Mixture
from surflow.distributions.normal import Exponential, HalfNormal, Logistic, Normal
from surflow.distributions.stacked import Stacked
from surflow.distributions.uniform import Uniform, UniformCircle
from surflow.errors import (
    BoundError,
    ConfigError,
    DataError,
    FileError,
    NonFiniteError,
    ShapeError,
    SupportError,
    SurflowError,
)
from surflow.flow import Flow
from surflow.nets.autoregressive import AutoregressiveNet
from surflow.nets.causal_transformer import CausalTransformer
from surflow.nets.context import ContextColumns, OneHot
from surflow.nets.convolutional import ConvNet
from surflow.nets.masked import MaskedMLP
from surflow.nets.mlp import MLP
from surflow.nets.set_transformer import SetEncoder, SetTransformer
from surflow.nets.summary import Summary
from surflow.serialization.files import load
from surflow.stochastic.permutation import RandomPermutation
from surflow.stochastic.vae import VAE
from surflow.supports import (
    Circle,
    Integers,
    Interval,
    Ordered,
    Permutations,
    Positive,
    Product,
    Ragged,
    Real,
    Support,
    circle,
    positive,
    product,
    real,
    unit_interval,
)
from surflow.supports.columns import Grid, WithAtoms, atoms_of
from surflow.surjections.absolute import Abs
from surflow.surjections.dimension import Augment, Slice
from surflow.surjections.integers import IntegerMaxPool, SortIntegers
from surflow.surjections.maximum import Max, MaxPool
from surflow.surjections.overlap import OverlappingMaxPool
from surflow.surjections.quantize import Dequantize, RaggedCells
from surflow.surjections.sort import Sort
from surflow.transform import Inverse, On, Transform

if TYPE_CHECKING:
    from surflow import data, evaluation, plots, presets, sbi, sklearn
    from surflow.tables.model import TableModel
    from surflow.tables.table import Table
    from surflow.training import fit

# Loaded when first used, because they stand on heavier packages than torch.
_LAZY = {
    "fit": "surflow.training",
    "data": "surflow.data",
    "evaluation": "surflow.evaluation",
    "plots": "surflow.plots",
    "presets": "surflow.presets",
    "sbi": "surflow.sbi",
    "sklearn": "surflow.sklearn",
    "Table": "surflow.tables.table",
    "TableModel": "surflow.tables.model",
}
_MODULES = ("data", "evaluation", "plots", "presets", "sbi", "sklearn")


def __getattr__(name: str) -> object:
    if name not in _LAZY:
        raise AttributeError(f"module 'surflow' has no attribute {name!r}")
    module = importlib.import_module(_LAZY[name])
    return module if name in _MODULES else getattr(module, name)


__all__ = [
    # contract
    "Configurable", "Distribution", "Flow", "Inverse", "On", "Transform", "load",
    # bijections
    "ActNorm", "AffineMap", "Autoregressive", "CircularSplineMap", "ConditionalLinear", "Coupling", "Elementwise",
    "Exp", "IntervalSplineMap", "Jitter", "LULinear", "Linear", "Log", "LogGaps", "Logit", "MaskedCoupling",
    "Orthogonal", "Permute", "PermuteAxes", "Polar", "PositiveSplineMap", "RavelMultiIndex", "Rescale", "Reshape",
    "Reverse", "Sigmoid", "Softplus", "SplineMap", "Squeeze", "Standardize", "Tanh", "TruncatedMap", "UnivariateMap",
    # surjections and stochastic layers
    "Abs", "Augment", "Dequantize", "IntegerMaxPool", "Max", "MaxPool", "OverlappingMaxPool", "RaggedCells",
    "RandomPermutation", "Slice", "Sort", "SortIntegers", "VAE",
    # distributions
    "AnyOrder", "AscendingCategorical", "AutoregressiveDiscretizedLogistic", "Bernoulli",
    "BlockwiseDiscretizedLogistic", "Categorical", "ColumnClasses", "ColumnMixture", "ColumnTree",
    "DiscretizedLogisticMixture", "Exponential", "GaussianMixture", "HalfNormal", "Joint", "JointBernoulli", "Logistic",
    "Mixture", "Normal", "PlackettLuce", "Stacked", "Uniform", "UniformCircle",
    # supports
    "Circle", "Grid", "Integers", "Interval", "Ordered", "Permutations", "Positive", "Product", "Ragged", "Real",
    "Support", "WithAtoms", "atoms_of", "circle", "positive", "product", "real", "unit_interval",
    # networks
    "AutoregressiveNet", "CausalTransformer", "ContextColumns", "ConvNet", "MLP", "MaskedMLP", "OneHot", "SetEncoder",
    "SetTransformer", "Summary",
    # tables
    "Table", "TableModel",
    # training, data, evaluation
    "compiled", "data", "evaluation", "fit", "plots", "presets", "sbi", "seeded", "sklearn",
    # errors
    "BoundError", "ConfigError", "DataError", "FileError", "NonFiniteError", "ShapeError", "SupportError",
    "SurflowError",
]  # fmt: skip
