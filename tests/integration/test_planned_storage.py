"""The bytes that `rayboot plan` announces, against those that runs write."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet
import pytest
import torch

from rayboot.models import load_network, save_network
from rayboot.pipeline.export_meshes import export_on_this_machine
from rayboot.pipeline.export_request import prepare_export
from rayboot.pipeline.generate import generate
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import GeneratePlan, prepare_generate
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.pipeline.planning.storage import (
    StorageSizes,
    format_bytes,
    format_storage,
    measure_storage,
)
from rayboot.train.train_state import TrainState
from rayboot.train.training_config import OptimizerConfig

pytestmark = pytest.mark.egl

TOLERANCE = 0.2


@pytest.fixture(scope="module")
def plan(synthetic_set: str, tmp_path_factory: pytest.TempPathFactory) -> GeneratePlan:
    """A finished run; half of its 24 photos become faces."""
    config = GenerateConfig(
        input=synthetic_set,
        output=str(tmp_path_factory.mktemp("pairs")),
        selection={"detect_faces": False},
        views={"preset": "small"},
        pools={"batch_size": 4},
    )
    plan = prepare_generate(config)
    generate(plan, InProcessExecutor())
    return plan


@pytest.fixture(scope="module")
def sizes(plan: GeneratePlan, tmp_path_factory: pytest.TempPathFactory) -> StorageSizes:
    """What a sample of two thirds of the photos tells."""
    files = pyarrow.dataset.dataset(
        [str(path) for path in Path(plan.output).glob("outcome=*/*.parquet")],
        partitioning=pyarrow.dataset.HivePartitioning(pa.schema([("outcome", pa.string())])),
        schema=_schema(plan),
    )
    rows = files.to_table().sort_by("face_id")
    sample = rows.take([index for index in range(len(rows)) if index % 3])
    folder = tmp_path_factory.mktemp("scratch")
    sizes = measure_storage(sample, str(folder), plan.weights)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
    return sizes


def _schema(plan: GeneratePlan) -> pa.Schema:
    """Columns of faces and rejects, which are in files of their own."""
    paths = [*Path(plan.output).glob("outcome=*/*.parquet")]
    schemas = [pa.parquet.read_schema(path) for path in paths]
    return pa.unify_schemas([*schemas, pa.schema([("outcome", pa.string())])])


def test_pairs_are_as_large_as_planned(plan: GeneratePlan, sizes: StorageSizes) -> None:
    files = [*Path(plan.output).glob("outcome=*/*.parquet")]
    written = sum(path.stat().st_size for path in files)
    assert sizes.pairs * plan.num_photos == pytest.approx(written, rel=TOLERANCE)


def test_meshes_are_as_large_as_planned(
    plan: GeneratePlan, sizes: StorageSizes, tmp_path: Path
) -> None:
    model = str(plan.config.model)
    summary = export_on_this_machine(
        prepare_export(model, str(plan.config.input), str(tmp_path / "meshes"))
    )
    files = [path for path in (tmp_path / "meshes").rglob("*") if path.suffix in (".ply", ".glb")]
    assert len(files) == 2 * summary.num_meshes
    written = sum(path.stat().st_size for path in files) / summary.num_meshes
    assert sizes.meshes == pytest.approx(written, rel=TOLERANCE)


@pytest.mark.parametrize("ema_decay", [0.0, 0.9])
def test_a_checkpoint_is_as_large_as_planned(
    plan: GeneratePlan, sizes: StorageSizes, tmp_path: Path, ema_decay: float
) -> None:
    network = load_network(plan.weights)
    state = TrainState(network, OptimizerConfig(ema_decay=ema_decay))
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    state.optimizer.step()
    torch.save(state.position(), tmp_path / "state.pt")
    save_network(state.result, tmp_path / "weights.safetensors")
    written = sum(path.stat().st_size for path in tmp_path.iterdir())
    planned = sizes.checkpoint + (sizes.weights if ema_decay else 0)
    assert planned == pytest.approx(written, rel=TOLERANCE)


def test_the_line_of_plan_names_all_bytes(sizes: StorageSizes) -> None:
    text = format_storage(StorageSizes(50e3, 1.5e6, 30_000_000, 10_000_000, 10, 5), 1_000_000)
    assert text == (
        "storage: pairs 50 GB (50 kB per photo); meshes as PLY and GLB 750 GB (1.5 MB per face); "
        "a training keeps 2 checkpoints of 30 MB (40 MB with ema_decay)"
    )
    assert format_bytes(999) == "999 B" and format_bytes(1e3) == "1 kB"


def test_a_sample_without_faces_has_no_meshes(plan: GeneratePlan, tmp_path: Path) -> None:
    rejects: Any = pa.Table.from_pylist(
        [{"face_id": "a", "outcome": "reject", "occupancy": None, "shape": None}],
        schema=pa.schema(
            [
                ("face_id", pa.string()),
                ("outcome", pa.string()),
                ("occupancy", pa.binary()),
                ("shape", pa.list_(pa.int32())),
            ]
        ),
    )
    measured = measure_storage(rejects, str(tmp_path), plan.weights)
    assert measured.meshes == 0 and measured.num_faces == 0 and np.isfinite(measured.pairs)
