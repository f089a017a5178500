"""A small evaluation with untrusted names, and a browser that opens its page."""

import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from rayboot.evaluate.datasets.base import DatasetListing, ExcludedFace, GroundTruthFace
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.evaluate.measurements import Measurements
from rayboot.evaluate.report.outputs import ReportInput, write_outputs
from rayboot.evaluate.report.summary import summarize
from rayboot.evaluate.results import RESULT_SCHEMA, Results
from rayboot.registry.registration import resolve_weights
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
    weights = {name: resolve_weights(model, None) for name, model in models.items()}
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


@pytest.fixture(scope="session")
def report_outputs(
    report_input: ReportInput, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path]]:
    """The page of that evaluation, and the paths of all its files."""
    return write_outputs(report_input, tmp_path_factory.mktemp("report") / "evaluation")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium that renders WebGL on the CPU and logs its console and requests."""
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if None in paths.values():
        missing = ", ".join(name for name, path in paths.items() if path is None)
        message = (
            f"requires a browser, and {missing} is missing; on Debian: apt-get install "
            "--no-install-recommends chromium chromium-driver"
        )
        if os.environ.get("RAYBOOT_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{message}; RAYBOOT_REQUIRE_BROWSER=1 forbids skipping")
        pytest.skip(message)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = paths["chromium"]
    for flag in (
        "headless=new",
        # Containers run as root and have too little shared memory for Chromium.
        "no-sandbox",
        "disable-dev-shm-usage",
        # WebGL on the CPU.
        "use-angle=swiftshader",
        "enable-unsafe-swiftshader",
        # Only the page itself may use the network.
        "disable-background-networking",
        "disable-component-update",
        "disable-sync",
        "no-first-run",
        "window-size=1100,900",
        f"user-data-dir={tmp_path_factory.mktemp('chromium')}",
    ):
        options.add_argument(f"--{flag}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(options, Service(paths["chromedriver"]))
    try:
        yield driver
    finally:
        driver.quit()
