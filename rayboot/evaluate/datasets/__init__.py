"""Sets of faces whose shape is known, as they lie on disk."""

from typing import Annotated

from pydantic import Field

from rayboot.evaluate.datasets.aflw2000 import Aflw2000Set
from rayboot.evaluate.datasets.aflw2000_dense import Aflw2000DenseSet
from rayboot.evaluate.datasets.florence import FlorenceSet
from rayboot.evaluate.datasets.rendered_pairs import PairsSet
from rayboot.evaluate.datasets.scan_table import TableSet
from rayboot.evaluate.datasets.synthetic import SyntheticSet

__all__ = ["AnySet"]

AnySet = Annotated[
    SyntheticSet | Aflw2000Set | Aflw2000DenseSet | FlorenceSet | TableSet | PairsSet,
    Field(discriminator="kind"),
]
"""Any kind; ``kind`` in a config chooses."""
