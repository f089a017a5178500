"""Every file in configs/ is accepted by the command that configs/README.md names for it."""

import pickle
import pickletools
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rayboot.cli import main
from rayboot.cluster.broadcast import BroadcastFile
from rayboot.config import FrozenConfig, load_config
from rayboot.data.images import encode_image
from rayboot.evaluate import measure
from rayboot.evaluate.evaluation_config import EvaluateConfig
from rayboot.io.absolute_paths import with_absolute_paths
from rayboot.models import UNetConfig
from rayboot.pipeline.export_meshes import ExportJob
from rayboot.pipeline.export_request import ReconstructConfig, prepare_export
from rayboot.pipeline.generate import generate_stages
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.pack import prepare_pack
from rayboot.pipeline.synthesize import prepare_synthesis
from rayboot.rounds.robustness import RobustnessConfig
from rayboot.rounds.round_config import RoundConfig
from rayboot.serving.serve_config import ServeConfig
from rayboot.synthesis import SynthesisConfig
from rayboot.train.finetune import FinetuneTask
from rayboot.train.pretrain import PretrainTask
from rayboot.train.training_config import FinetuneConfig, PretrainConfig

CONFIGS = Path(__file__).resolve().parents[1] / "configs"
NAMES = sorted(path.name for path in CONFIGS.glob("*.yaml"))

# Class by the beginning of a file name.
CONFIG_TYPES: dict[str, type[FrozenConfig]] = {
    "evaluate-": EvaluateConfig,
    "finetune-": FinetuneConfig,
    "generate-": GenerateConfig,
    "paper.yaml": RoundConfig,
    "pretrain-": PretrainConfig,
    "reconstruct-": ReconstructConfig,
    "robustness": RobustnessConfig,
    "round-": RoundConfig,
    "serve-": ServeConfig,
    "synthesize-": SynthesisConfig,
}


def load(name: str) -> FrozenConfig:
    (config_type,) = (
        config_type for start, config_type in CONFIG_TYPES.items() if name.startswith(start)
    )
    return load_config(config_type, CONFIGS / name)


@pytest.mark.parametrize("name", NAMES)
def test_a_config_is_accepted_by_its_command(name: str) -> None:
    load(name)


def strings_of(pickled: bytes) -> Iterator[str]:
    """Every text in a pickled value, those in pickles within it included."""
    for _, argument, _ in pickletools.genops(pickled):
        if isinstance(argument, str):
            yield argument
        elif isinstance(argument, bytes) and argument.startswith(pickle.PROTO):
            yield from strings_of(argument)


def relative_paths(value: Any) -> set[str]:
    """Texts of a value that are paths of the working folder."""
    texts = strings_of(pickle.dumps(value))
    return {text for text in texts if re.match(r"(data|runs)/", text)}


@pytest.mark.parametrize("name", NAMES)
def test_every_path_of_a_config_is_resolved(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written = load(name)
    resolved = with_absolute_paths(written)
    assert not relative_paths(resolved.model_dump())
    # Only paths have changed, and only by the folder before them.
    expected = written.model_dump_json()
    for path in sorted(relative_paths(written.model_dump())):
        expected = expected.replace(f'"{path}"', f'"{tmp_path}/{path}"')
    assert resolved.model_dump_json() == expected


# What each config reads first and does not bring.
FIRST_MISSING = {
    "evaluate-annotations.yaml": "data/faces/AFLW2000",
    "evaluate-made-faces.yaml": "data/test-faces",
    "evaluate-scan.yaml": "runs/scan/table.parquet",
    "finetune-paper.yaml": "data/vrn-unguided.safetensors",
    "generate-laptop.yaml": "data/photos",
    "generate-paper.yaml": "data/vrn-unguided.safetensors",
    "paper.yaml": "data/AFLW2000-3D",
    "pretrain-base-detail.yaml": "data/base",
    "pretrain-base.yaml": "data/base",
    "pretrain-baseline.yaml": "data/baseline",
    "pretrain-head.yaml": "data/baseline",
    "robustness-rounds.yaml": "runs/demo/round/candidate.safetensors",
    "robustness.yaml": "data/photos",
    "round-photos.yaml": "data/test-faces",
    "round-real-photos-as-turned.yaml": "data/faces/AFLW2000",
    "round-real-photos.yaml": "data/faces/AFLW2000",
    "synthesize-base.yaml": "data/backgrounds",
    "synthesize-baseline.yaml": "data/backgrounds",
}

FLAGS = {
    "generate-laptop.yaml": "--input data/photos --output runs/pairs",
    "robustness.yaml": "--experiment robustness --input data/photos",
    "robustness-rounds.yaml": "--experiment robustness --input data/photos",
    "synthesize-base.yaml": "--output runs/faces",
    "synthesize-baseline.yaml": "--output runs/faces",
}


@pytest.mark.parametrize("name", FIRST_MISSING)
def test_a_config_names_the_folder_that_it_was_looked_for_in(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another folder than that of the config, before Ray starts and anything is written."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("rayboot.cluster.session.connect", None)
    task = Path(name).stem.partition("-")[0]
    command = {"paper": "round", "robustness": "evaluate"}.get(task, task)
    arguments = [command, "--config", str(CONFIGS / name), *FLAGS.get(name, "").split()]
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 2, done.output
    assert f"{tmp_path}/{FIRST_MISSING[name]}" in done.output
    assert list(tmp_path.iterdir()) == []


def test_every_config_that_reads_a_folder_of_the_project_is_tried() -> None:
    """The others read stores and shared volumes, or make faces out of nothing."""
    for name in NAMES:
        names_data = any(p.startswith("data/") for p in relative_paths(load(name).model_dump()))
        reads_store = "s3://" in (CONFIGS / name).read_text("utf-8")
        assert name in FIRST_MISSING or reads_store or not names_data, name


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder of a command, with photos and weights named by relative paths."""
    (tmp_path / "data/photos").mkdir(parents=True)
    (tmp_path / "data/photos/a.jpg").write_bytes(b"photo")
    weights = Path(measure.__file__).parents[1] / "models/compact.safetensors"
    shutil.copy(weights, tmp_path / "data/weights.safetensors")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_stages_receive_no_relative_path(project: Path) -> None:
    photos, model = "data/photos", "data/weights.safetensors"
    config = load_config(GenerateConfig, CONFIGS / "generate-paper.yaml")
    generation = prepare_generate(config.replace(input=photos, model=model))
    export = prepare_export(model, photos, "runs/meshes")
    packing = prepare_pack((photos,), "runs/packed")
    sent = {
        generation.output: [spec.stage for spec in generate_stages(generation)],
        export.output: [spec.stage for spec in ExportJob(export).stages()],
        packing.output: [],
    }
    for output, stages in sent.items():
        assert Path(output).is_relative_to(project)
        listing = pq.read_table(f"{output}/_run/listing.parquet")
        assert listing["source_uri"].to_pylist() == [f"{project}/data/photos/a.jpg"]
        assert not relative_paths([stages, listing.to_pylist()])
    # The same command resumes, from a record of the paths as they were written.
    assert prepare_generate(config.replace(input=photos, model=model)).run_id == generation.run_id


def test_training_workers_receive_no_relative_path(project: Path) -> None:
    weights = BroadcastFile("weights.safetensors", None)  # type: ignore[arg-type]
    finetuning = load_config(FinetuneConfig, CONFIGS / "finetune-paper.yaml")
    pretraining = load_config(PretrainConfig, CONFIGS / "pretrain-baseline.yaml")
    tasks = [
        FinetuneTask(finetuning, weights),
        PretrainTask(pretraining, UNetConfig(), weights),
    ]
    assert [task.config.data for task in tasks] == [
        f"{project}/runs/paper-pairs",
        f"{project}/data/baseline",
    ]
    assert not any(relative_paths(task.config.model_dump()) for task in tasks)


def test_renderers_receive_no_relative_path(project: Path) -> None:
    (project / "data/backgrounds").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (64, 640, 3), np.uint8)
    (project / "data/backgrounds/a.jpg").write_bytes(encode_image(noise, "jpeg"))
    config = load_config(SynthesisConfig, CONFIGS / "synthesize-baseline.yaml")
    plan = prepare_synthesis(config, "runs/faces")
    assert not relative_paths([plan.config.model_dump(), plan.output])


def test_measuring_actors_receive_no_relative_path(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = {
        "photo": ["photos/a.jpg"],
        "mesh": ["photos/a.ply"],
        "mesh_landmarks": [[0.0] * 204],
        "landmarks": [[float(i) for i in range(136)]],
    }
    pq.write_table(pa.table(table), "data/table.parquet")
    datasets = {"scans": {"kind": "table", "data": "data/table.parquet"}}
    config = EvaluateConfig(datasets=datasets)
    received: list[Any] = []

    def record(name: str, listed: pa.Table, *arguments: Any) -> None:
        received.extend([listed.to_pylist(), arguments[1].model_dump()])

    monkeypatch.setattr(measure, "_measure_dataset", record)
    measure.measure_models({}, config, Path("runs/rows"), {})
    rows, _ = received
    assert not relative_paths(received)
    assert rows[0]["photo"] == f"{project}/data/photos/a.jpg"
    measure.measure_models({}, config, Path("runs/rows"), {})


def test_all_configs_are_listed() -> None:
    listed = re.findall(r"`([\w-]+\.yaml)`", (CONFIGS / "README.md").read_text("utf-8"))
    assert set(listed) == set(NAMES)


def test_the_round_on_ls3d_w_is_the_papers() -> None:
    paper = load_config(RoundConfig, CONFIGS / "paper.yaml")
    cluster = load_config(RoundConfig, CONFIGS / "round-ls3d-w.yaml")
    # Locations and the sizes of pools may differ.
    assert cluster.evaluation.datasets.keys() == paper.evaluation.datasets.keys()
    same = {
        "photos": paper.photos,
        "output": paper.output,
        "storage": paper.storage,
        "model": paper.model,
        "tracking_uri": paper.tracking_uri,
        "evaluation": paper.evaluation,
        "generate": cluster.generate.replace(pools=paper.generate.pools),
        "finetune": cluster.finetune.replace(
            num_workers=paper.finetune.num_workers, max_failures=paper.finetune.max_failures
        ),
    }
    assert cluster.replace(**same) == paper
