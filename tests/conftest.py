"""Fixtures that the tests of several packages use."""

import contextlib
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

# Set before ray and OpenGL are imported, which read them once.
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ["PYOPENGL_PLATFORM"] = "egl"

# What a shell runs in the background ignores Ctrl-C, and so would the commands that tests start and
# interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Triton (in CUDA builds of torch) and Mesa's renderer each contain an LLVM. If Triton's is loaded
# after Mesa's, the process crashes; only tests render and train in one process.
with contextlib.suppress(ImportError):
    import triton  # noqa: F401

import pytest

from rayboot.cluster.session import LOCAL_ENVIRONMENT
from tests.s3 import S3Server

if TYPE_CHECKING:
    from rayboot.data.detector import FaceDetector

NUM_RAY_STARTS = 4
"""Attempts to start Ray, whose fixed time-outs are too short while a machine is very busy."""

SHARED = Path(__file__).resolve().parents[1] / "../shared"


LONG_FILES = (
    "integration/test_demo",
    "submission/test_job",
    "evaluate/test_run",
    "infra/test_tracking",
    "rounds/test_robustness",
    "diagnostics/test_service_checks",
    "pipeline/test_generate",
    "pipeline/test_export_meshes",
    "infra/test_mlflow_login",
    "integration/test_tracking_server",
    "evaluate/report/test_page_in_browser",
    "serving/test_page_in_browser",
    "registry/test_registration",
    "infra/test_audit",
    "infra/test_kubernetes",
    "train/test_loop",
    "train/test_pretrain",
)
"""Files that take longest, most of them a minute or more: they run first, since at the end one
process would wait for the other."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Moves the longest files to the front; the order within files stays."""
    folder = Path(__file__).parent

    def position(item: pytest.Item) -> int:
        name = str(item.path.relative_to(folder).with_suffix(""))
        return LONG_FILES.index(name) if name in LONG_FILES else len(LONG_FILES)

    items.sort(key=position)


@pytest.fixture(scope="session")
def shared_dir() -> Path:
    """Folder of real photos, scans and reference values next to the repository."""
    if not (SHARED / "faces").is_dir():
        sentence = f"needs the real test data in {SHARED}, which does not exist"
        if os.environ.get("RAYBOOT_REQUIRE_SHARED") == "1":
            pytest.fail(f"{sentence}; RAYBOOT_REQUIRE_SHARED=1 forbids skipping")
        pytest.skip(sentence)
    return SHARED.resolve()


@pytest.fixture(scope="session")
def ray_local() -> Iterator[Any]:
    """One local Ray with 5 logical CPUs, which all tests share.

    These may be more than the cores of the machine: two actor pools, the reader and the
    checkpoint filter use one CPU each, and a pool that used all of them would wait for ever.
    """
    import ray

    for name, value in LOCAL_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    for attempt in range(1, NUM_RAY_STARTS + 1):
        try:
            ray.init(
                address="local",
                num_cpus=5,
                include_dashboard=False,
                object_store_memory=200 * 2**20,
                log_to_driver=False,
            )
            break
        except Exception:
            ray.shutdown()
            if attempt == NUM_RAY_STARTS:
                raise
    yield ray
    ray.shutdown()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """A real S3 server that requires signatures (SeaweedFS); each test creates its buckets."""
    server = S3Server(tmp_path_factory.mktemp("seaweedfs"))
    server.start()
    try:
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def create_mlflow_store(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], str]:
    """Creates an empty MLflow store in a folder and returns its URI.

    MLflow takes seconds to create the tables, so that it does this once and the file is copied.
    """
    from rayboot.registry.runs import make_client

    template = tmp_path_factory.mktemp("mlflow-template") / "mlflow.db"
    make_client(f"sqlite:///{template}").search_experiments()

    def create(folder: Path) -> str:
        return f"sqlite:///{shutil.copy(template, folder / 'mlflow.db')}"

    return create


@pytest.fixture(scope="session")
def detector() -> "FaceDetector":
    """The face detector; tests skip, with its words, where its package is absent."""
    from rayboot.data.detector import FaceDetector
    from rayboot.errors import RequestError

    try:
        return FaceDetector()
    except RequestError as error:
        if os.environ.get("RAYBOOT_REQUIRE_SHARED") == "1":
            pytest.fail(f"{error}; RAYBOOT_REQUIRE_SHARED=1 forbids skipping")
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def synthetic_set(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A small synthetic data set: 12 near-frontal and 12 faces at every yaw, with their shapes."""
    from rayboot.pipeline.synthesize import synthesize
    from rayboot.synthesis import SynthesisConfig

    uri = str(tmp_path_factory.mktemp("faces") / "set")
    yaw = {"kind": "steps", "steps_deg": (0, 10, 45, 75)}
    synthesize(
        SynthesisConfig(num_identities=24, yaw=yaw, solid_depth=84, seed=5), uri, num_workers=1
    )
    return uri


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
