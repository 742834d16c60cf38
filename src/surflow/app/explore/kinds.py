"""Which explorer a run has."""

from __future__ import annotations

from surflow.app.explore.images import Images
from surflow.app.explore.numbers import Numbers
from surflow.app.explore.plane import Plane
from surflow.app.explore.posteriors import Posteriors
from surflow.app.explore.questions import Explorer
from surflow.app.explore.tables import Tables
from surflow.app.runs import RunFolder
from surflow.data.sources import simulator_of
from surflow.errors import ConfigError
from surflow.serialization.files import load
from surflow.supports import Integers
from surflow.tables.model import TableModel


def explorer_of(run: RunFolder) -> Explorer:
    """What asks the model of a run.

    Raises:
        ConfigError: for a model of events that no page shows, such as sets of points.
    """
    facts, source = run.facts(), run.config().data.source
    model = load(run.model_path)
    if isinstance(model, TableModel):
        return Tables(model, facts.name)
    model.eval()
    simulator = simulator_of(source)
    if simulator is not None and facts.context is not None:
        return Posteriors(model, simulator, facts)
    shape = facts.event_shape
    if len(shape) == 3 and shape[0] in (1, 3):
        return Images(model, facts)
    if len(shape) == 1 and not isinstance(facts.support, Integers):
        return Plane(model, facts, source) if shape == (2,) else Numbers(model, facts)
    raise ConfigError(
        f"surflow explore shows tables, the plane, images and posteriors, and the events of {run.path} have the shape "
        f"{shape}: surflow sample and surflow report show them"
    )
