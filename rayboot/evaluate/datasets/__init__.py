"""Datasets of photos with ground-truth face shapes, each read from its published layout.

To add a dataset, write one module with a subclass of
:class:`rayboot.evaluate.datasets.base.EvalDataset` and list the class in :data:`AnyDataset`
below. The class is the dataset's config and its reader in one:

- ``kind: Literal["NAME"] = "NAME"`` is the name that selects it in a config, and every further
  field is a config key with its docstring;
- ``truth`` says in a few words what serves as ground truth;
- ``list_faces`` returns one row per face, without opening photos;
- ``read`` returns the crop and the true shape of one row, or raises ``FaceRejectedError``.

Metrics, summary, tables, plots and the report then include it without further changes. Describe
its files in ``docs/reference/evaluation.md``, and add an example config to
``tests/evaluate/datasets/test_kinds.py``.
"""

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
"""Registry of the datasets; ``kind`` in a config selects one."""
