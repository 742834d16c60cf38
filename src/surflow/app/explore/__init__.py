"""``surflow explore``: a page in the browser that asks a trained model, served to this machine alone."""

from surflow.app.explore.kinds import explorer_of
from surflow.app.explore.server import Server

__all__ = ["Server", "explorer_of"]
