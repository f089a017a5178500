"""Outputs of a small evaluation, and a browser that opens its page."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rayboot.evaluate.report.outputs import ReportInput, write_outputs


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
