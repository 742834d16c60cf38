"""Runs: the folder that a training leaves behind, and the steps that fill it."""

from surflow.app.runs.facts import DataSpec
from surflow.app.runs.fit import build
from surflow.app.runs.folder import RunFolder, next_folder
from surflow.app.runs.others import tell_none, train_along
from surflow.app.runs.rows import OtherRows, other_rows, reload_splits, splits_without_data, trained_on
from surflow.app.runs.source import load_splits
from surflow.app.runs.steps import evaluate, report, train

__all__ = [
    "DataSpec",
    "OtherRows",
    "RunFolder",
    "build",
    "evaluate",
    "load_splits",
    "next_folder",
    "other_rows",
    "reload_splits",
    "report",
    "splits_without_data",
    "tell_none",
    "train",
    "train_along",
    "trained_on",
]
