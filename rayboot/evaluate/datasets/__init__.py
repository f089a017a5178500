"""Sets of faces whose shape is known, as they lie on disk."""

from typing import Annotated

from pydantic import Field

from rayboot.evaluate.datasets.aflw2000 import Aflw2000Dataset
from rayboot.evaluate.datasets.aflw2000_dense import Aflw2000DenseDataset
from rayboot.evaluate.datasets.florence import FlorenceDataset
from rayboot.evaluate.datasets.rendered_pairs import RenderedPairsDataset
from rayboot.evaluate.datasets.scan_table import ScanTableDataset
from rayboot.evaluate.datasets.synthetic import SyntheticDataset

__all__ = ["AnyDataset"]

AnyDataset = Annotated[
    SyntheticDataset
    | Aflw2000Dataset
    | Aflw2000DenseDataset
    | FlorenceDataset
    | ScanTableDataset
    | RenderedPairsDataset,
    Field(discriminator="kind"),
]
"""Any kind; ``kind`` in a config chooses."""
