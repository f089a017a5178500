"""A small evaluation with names that nobody should trust, and a browser to open its page in."""

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
from rayboot.evaluate.measure import Measurements
from rayboot.evaluate.report.outputs import ReportInput, write_outputs
from rayboot.evaluate.results import RESULT_SCHEMA, Results
from rayboot.registry.resolve import resolve_model
from tests.evaluate.report.synthetic_examples import ODD


class OddlyNamed(SyntheticDataset):
    """A made set whose photos have the worst of names."""

    def list_faces(self) -> DatasetListing:
        rows = super().list_faces().rows
        ids = [f"../{ODD}/{face_id}" for face_id in rows["face_id"].to_pylist()]
        rows = rows.append_column("own_id", rows["face_id"])
        rows = rows.set_column(rows.schema.get_field_index("face_id"), "face_id", pa.array(ids))
        return DatasetListing(
            rows, [ExcludedFace(f"../{ODD}", f"left out {ODD}")], f"A note {ODD}."
        )

    def read(self, row: Mapping[str, Any], size: int) -> GroundTruthFace:
        face = super().read({**row, "face_id": row["own_id"]}, size)
        return face._replace(face_id=row["face_id"])


@pytest.fixture(scope="session")
def odd_subject(synthetic_set: str) -> ReportInput:
    """Two models on a set of 24 faces, all names odd; one face has no number from the second."""
    faces = OddlyNamed(data=synthetic_set)
    models = {"first <b>&_$": "builtin:compact", "second <td>": "builtin:compact"}
    config = EvaluateConfig(
        datasets={'made "<i>" & .. 100 %': faces},
        models=models,
        output="-",
        bands=((0, 30), (30, 90)),
    )
    weights = {name: resolve_model(model, None).path for name, model in models.items()}
    listing = faces.list_faces()
    rng = np.random.default_rng(3)
    rows = []
    for place, model in enumerate(models):
        for number, row in enumerate(listing.rows.to_pylist()):
            failed = place == 1 and number == 5
            error = np.nan if failed else 0.03 + 0.01 * place + 0.01 * rng.random()
            rows.append(
                {
                    "set": next(iter(config.datasets)),
                    "model": model,
                    "face_id": row["face_id"],
                    "yaw_deg": row["yaw_deg"],
                    "nme_icp": error,
                    "nme_correspondence": 2 * error,
                    "nme_none": 3 * error,
                    "reason": f"nothing there {ODD}" if failed else "",
                }
            )
    results = Results(
        pa.Table.from_pylist(rows, schema=RESULT_SCHEMA), list(config.datasets), list(models)
    )
    (name,) = config.datasets
    measured = Measurements(results, {name: listing.faults}, {name: listing.note})
    return ReportInput(config, models, weights, measured)


@pytest.fixture(scope="session")
def odd_outputs(
    odd_subject: ReportInput, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path]]:
    """The page of that evaluation, and all its files."""
    return write_outputs(odd_subject, tmp_path_factory.mktemp("odd") / "evaluation")


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A headless Chromium that draws 3D without a GPU and logs what it does."""
    paths = {name: shutil.which(name) for name in ("chromium", "chromedriver")}
    if None in paths.values():
        missing = ", ".join(name for name, path in paths.items() if path is None)
        sentence = (
            f"needs a browser, and {missing} is not there; on Debian: apt-get install "
            "--no-install-recommends chromium chromium-driver"
        )
        if os.environ.get("RAYBOOT_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{sentence}; RAYBOOT_REQUIRE_BROWSER=1 forbids skipping")
        pytest.skip(sentence)
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = paths["chromium"]
    for flag in (
        "headless=new",
        # Containers run as root and have no room for Chromium's shared memory.
        "no-sandbox",
        "disable-dev-shm-usage",
        # WebGL on the processor.
        "use-angle=swiftshader",
        "enable-unsafe-swiftshader",
        # Nothing but the page shall want the network.
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
