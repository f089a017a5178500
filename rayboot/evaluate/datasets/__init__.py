"""Sets of faces whose shape is known, as they lie on disk."""

from typing import Annotated

from pydantic import Field

from rayboot.evaluate.sets.aflw2000 import Aflw2000Set
from rayboot.evaluate.sets.aflw2000_dense import Aflw2000DenseSet
from rayboot.evaluate.sets.florence import FlorenceSet
from rayboot.evaluate.sets.pairs import PairsSet
from rayboot.evaluate.sets.synthetic import SyntheticSet
from rayboot.evaluate.sets.table import TableSet

__all__ = ["AnySet"]

AnySet = Annotated[
    SyntheticSet | Aflw2000Set | Aflw2000DenseSet | FlorenceSet | TableSet | PairsSet,
    Field(discriminator="kind"),
]
"""Any kind; ``kind`` in a config chooses."""
