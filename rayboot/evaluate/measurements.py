"""The outcome of measuring models: errors, and the faces that were not measured."""

from typing import NamedTuple

from rayboot.evaluate.datasets.base import ExcludedFace
from rayboot.evaluate.results import Results

__all__ = ["Measurements"]


class Measurements(NamedTuple):
    """Errors of all models on all datasets.

    Attributes:
        results: Errors of every face and model.
        excluded: Faces of each dataset that were found but are not measured, by dataset.
        notes: Remarks on the number of faces, by dataset; datasets without one are missing.
    """

    results: Results
    excluded: dict[str, list[ExcludedFace]]
    notes: dict[str, str]
