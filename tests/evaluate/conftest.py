"""A small evaluation with malicious names."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rayboot.evaluate.datasets.base import DatasetListing, ExcludedFace, GroundTruthFace
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.evaluate.measurements import Measurements
from rayboot.evaluate.report.outputs import ReportInput
from rayboot.evaluate.report.summary import summarize
from rayboot.evaluate.results import RESULT_SCHEMA, Results
from rayboot.registry.resolve import resolve_model
from tests.evaluate.report.synthetic_examples import MALICIOUS_NAME


class MaliciouslyNamedDataset(SyntheticDataset):
    """A synthetic dataset whose photos have names that try to run a script."""

    def list_faces(self) -> DatasetListing:
        rows = super().list_faces().rows
        ids = [f"../{MALICIOUS_NAME}/{face_id}" for face_id in rows["face_id"].to_pylist()]
        rows = rows.append_column("original_id", rows["face_id"])
        rows = rows.set_column(rows.schema.get_field_index("face_id"), "face_id", pa.array(ids))
        return DatasetListing(
            rows,
            [ExcludedFace(f"../{MALICIOUS_NAME}", f"left out {MALICIOUS_NAME}")],
            f"A note {MALICIOUS_NAME}.",
        )

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        face = super().read({**row, "face_id": row["original_id"]}, size)
        return face._replace(face_id=row["face_id"])


@pytest.fixture(scope="session")
def report_input(synthetic_set: str) -> ReportInput:
    """Two models on 24 faces, all with malicious names; the second has no error for one face."""
    dataset = MaliciouslyNamedDataset(data=synthetic_set)
    models = {"first <b>&_$": "builtin:compact", "second <td>": "builtin:compact"}
    config = EvaluateConfig(
        datasets={'made "<i>" & .. 100 %': dataset},
        models=models,
        output="-",
        bands=((0, 30), (30, 90)),
    )
    weights = {name: resolve_model(model).path for name, model in models.items()}
    listing = dataset.list_faces()
    rng = np.random.default_rng(3)
    rows = []
    for index, model in enumerate(models):
        for number, row in enumerate(listing.rows.to_pylist()):
            failed = index == 1 and number == 5
            error = np.nan if failed else 0.03 + 0.01 * index + 0.01 * rng.random()
            rows.append(
                {
                    "dataset": next(iter(config.datasets)),
                    "model": model,
                    "face_id": row["face_id"],
                    "yaw_deg": row["yaw_deg"],
                    "nme_icp": error,
                    "nme_correspondence": 2 * error,
                    "nme_none": 3 * error,
                    "reason": f"nothing there {MALICIOUS_NAME}" if failed else "",
                }
            )
    results = Results(
        pa.Table.from_pylist(rows, schema=RESULT_SCHEMA), list(config.datasets), list(models)
    )
    (name,) = config.datasets
    measurements = Measurements(results, {name: listing.excluded}, {name: listing.note})
    summary = summarize(measurements, config, models, {})
    return ReportInput(config, models, weights, measurements, summary)
