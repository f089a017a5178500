"""docs/guides/registry.md does what it says, block by block, on versions of the compact network."""

from collections.abc import Callable, Iterator
from importlib import resources
from pathlib import Path

import mlflow.pyfunc
import numpy as np
import pyarrow.parquet
import pytest
import trimesh
from mlflow.pyfunc import scoring_server

from rayboot.data.detector import FaceDetector
from rayboot.data.images import encode_image
from rayboot.models import InferenceConfig, load_network
from rayboot.models.predictor import Predictor
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.registry.promotion import champion_version, promote
from rayboot.registry.registration import InputExamples, register_weights
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import open_run
from tests.docs_blocks import ROOT, find_blocks, run_blocks
from tests.http_thread import serving_app
from tests.integration.portraits import find_portraits
from tests.s3 import S3Server

NAME = "rayboot-vrn"

pytestmark = [
    pytest.mark.egl,
    pytest.mark.s3,
    # The code of a version repeats the one that is imported.
    pytest.mark.filterwarnings("ignore:.*Add type hints to the `predict` method:UserWarning"),
]


@pytest.fixture
def folder(synthetic_set: str, detector: FaceDetector, tmp_path: Path, s3_server: S3Server) -> Path:
    """A folder and a bucket with what the guide names: photos, and pairs of them."""
    portrait, other = (encode_image(p, "jpeg") for p in find_portraits(synthetic_set, detector, 2))
    (tmp_path / "photos/photos").mkdir(parents=True)
    (tmp_path / "portrait.jpg").write_bytes(portrait)
    (tmp_path / "photos/photos/somebody.jpg").write_bytes(portrait)
    (tmp_path / "photos/other.jpg").write_bytes(other)
    config = GenerateConfig(
        input=str(tmp_path / "photos"), output=str(tmp_path / "pairs"), model=BUILTIN_COMPACT
    )
    generate(prepare_generate(config), InProcessExecutor())
    store = s3_server.filesystem()
    if not store.exists("bucket"):
        store.call_s3("create_bucket", Bucket="bucket")
    store.put(str(tmp_path / "photos"), "bucket/photos", recursive=True)
    store.put(str(tmp_path / "pairs"), "bucket/other-pairs", recursive=True)
    return tmp_path


@pytest.fixture
def registry(folder: Path, create_mlflow_store: Callable[[Path], str]) -> str:
    """A registry of three versions that were trained on the pairs; the last is the champion."""
    uri = create_mlflow_store(folder)
    weights = resolve_model(BUILTIN_COMPACT).path
    network = load_network(weights)
    crops = np.full((1, 96, 96, 3), 90, np.uint8)
    volumes = Predictor(network, InferenceConfig(precision="float32"), 1).predict(crops)
    code = Path(str(resources.files("rayboot.inference").joinpath("mlflow_model.py")))
    run = open_run(uri, "tests", "round", (folder / "artifacts").as_uri())
    for number in range(1, 4):
        tags = {"rayboot.pairs": str(folder / "pairs"), "rayboot.weights_digest": str(number)}
        register_weights(run, NAME, weights, code, InputExamples(crops, volumes), tags)
        promote(uri, NAME, str(number), str(number - 1) if number > 1 else None)
    return uri


@pytest.fixture
def address(registry: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """What `mlflow models serve` starts, in a thread: the version that the guide serves."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", registry)
    # MLflow's server sets it, for the whole process.
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "true")
    with serving_app(scoring_server.init(mlflow.pyfunc.load_model(f"models:/{NAME}/2"))) as address:
        yield address


def test_every_block_of_the_guide_runs(
    folder: Path,
    registry: str,
    address: str,
    s3_server: S3Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, value in s3_server.environment.items():
        monkeypatch.setenv(name, value)
    blocks = [b for b in find_blocks(ROOT / "docs/guides/registry.md") if b.reason is None]
    assert len(blocks) == 9
    names = run_blocks(
        blocks,
        folder,
        monkeypatch,
        replacements={
            "https://mlflow.example.org": registry,
            "http://127.0.0.1:5001": address,
        },
        in_process=True,
    )
    # The guide rolls back twice, from 3.
    assert champion_version(registry, NAME) == "1"
    assert names["occupancy"].shape == (1, 112, 96, 96)
    assert len(trimesh.load_mesh(folder / "portrait.glb").faces) > 5000
    assert (folder / "meshes/photos/somebody.glb").exists()
    assert (folder / "champion/requirements.txt").exists()
    store = s3_server.filesystem()
    with store.open("bucket/meshes/index.parquet") as file:
        assert pyarrow.parquet.read_table(file)["reason"].null_count == 2
    printed = capsys.readouterr().out
    assert f"trained   models:/{NAME}/3" in printed
    assert "s3://bucket/other-pairs" in printed
