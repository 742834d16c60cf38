"""The simulators that have a name."""

from __future__ import annotations

from collections.abc import Callable

from surflow.data.simulators.base import Simulator
from surflow.data.simulators.epidemic import SIR
from surflow.data.simulators.gaussians import GaussianLinear, GaussianLinearUniform, GaussianMixture
from surflow.data.simulators.glm import BernoulliGLM
from surflow.data.simulators.moons import TwoMoons
from surflow.data.simulators.populations import BenchmarkSIR, LotkaVolterra
from surflow.data.simulators.slcp import SLCP, SLCPDistractors
from surflow.errors import ConfigError, unknown_name

_SIMULATORS: dict[str, Callable[[], Simulator]] = {
    "bernoulli_glm": BernoulliGLM,
    "bernoulli_glm_raw": lambda: BernoulliGLM(raw=True),
    "gaussian_linear": GaussianLinear,
    "gaussian_linear_uniform": GaussianLinearUniform,
    "gaussian_mixture": GaussianMixture,
    "lotka_volterra": LotkaVolterra,
    "sir": SIR,
    "sir_benchmark": BenchmarkSIR,
    "sir_degenerate": lambda: SIR(degenerate=True),
    "sir_poisson": lambda: SIR(noise="poisson"),
    "slcp": SLCP,
    "slcp_distractors": SLCPDistractors,
    "two_moons": TwoMoons,
}


def simulator_names() -> list[str]:
    """Names of the simulators: parameters to infer from observations, with exact posteriors to compare with.

    >>> "sir" in simulator_names()
    True
    """
    return sorted(_SIMULATORS)


def simulator(name: str) -> Simulator:
    """A simulator by its name.

    Args:
        name: one of ``simulator_names()``.

    Raises:
        ConfigError: for an unknown name; the message gives the nearest right one.
    """
    if name not in _SIMULATORS:
        raise ConfigError(unknown_name("simulator", name, _SIMULATORS))
    return _SIMULATORS[name]()
