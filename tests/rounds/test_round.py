import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rayboot.data.manifest import Manifest, write_manifest
from rayboot.errors import RequestError
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.registry import download
from rayboot.registry.download import WEIGHTS_FILE
from rayboot.registry.model_names import BUILTIN_COMPACT
from rayboot.registry.resolve import resolve_model
from rayboot.registry.runs import make_client
from rayboot.rounds import round as round_module
from rayboot.rounds.provenance import version_tags
from rayboot.rounds.round import run_round
from rayboot.rounds.round_config import RoundConfig
from rayboot.rounds.round_state import RoundState
from rayboot.rounds.steps import plan_evaluation
from rayboot.rounds.view_angles import AnglesConfig
from rayboot.train.finetune import prepare_finetune
from rayboot.train.training_config import FinetuneConfig

pytestmark = pytest.mark.egl


class GenerateCalledError(Exception):
    """Ends a round where its preparation is complete."""


@pytest.fixture
def store(tmp_path: Path, create_mlflow_store: Callable[[Path], str]) -> str:
    """A registry whose champion is the built-in network."""
    uri = create_mlflow_store(tmp_path)
    client = make_client(uri)
    folder = tmp_path / "version-1" / "artifacts"
    folder.mkdir(parents=True)
    shutil.copy(resolve_model(BUILTIN_COMPACT).path, folder / WEIGHTS_FILE)
    client.create_registered_model("faces")
    client.create_model_version("faces", str(folder.parent))
    client.set_registered_model_alias("faces", "champion", "1")
    return uri


def test_a_round_downloads_its_teacher_once(
    store: str, synthetic_set: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    uris: list[str] = []
    original = download.mlflow.artifacts.download_artifacts

    def counted(uri: str) -> str:
        uris.append(uri)
        return original(uri)

    def stop(plan: Any) -> None:
        raise GenerateCalledError

    monkeypatch.setattr(download.mlflow.artifacts, "download_artifacts", counted)
    monkeypatch.setattr(round_module, "connect", lambda num_cpus: contextlib.nullcontext())
    monkeypatch.setattr(round_module, "generate", stop)
    config = RoundConfig(
        photos=synthetic_set,
        evaluation=MeasureConfig(datasets={"faces": SyntheticDataset(data=synthetic_set)}),
        output=str(tmp_path / "round"),
        model="models:/faces@champion",
        registered_model="faces",
        angles=AnglesConfig(num_photos=4, tried_deg=(20.0, 40.0), num_steps=1),
        tracking_uri=store,
    ).with_absolute_paths()
    for _ in ("a new round", "a round that resumes"):
        with pytest.raises(GenerateCalledError):
            run_round(config)

    # The steps that follow resolve the teacher too.
    state = RoundState.model_validate_json((tmp_path / "round/round.json").read_text("utf-8"))
    assert state.model == "models:/faces/1"
    teacher = resolve_model(state.model, store)
    candidate = tmp_path / "round/candidate.safetensors"
    shutil.copy(teacher.path, candidate)
    manifest = Manifest(
        config={}, config_digest="", model_digest=teacher.sha256, code_version="", counts={}
    )
    write_manifest(config.pairs_uri, manifest)
    request = FinetuneConfig(data=config.pairs_uri, model=state.model, tracking_uri=store)
    with pytest.raises(RequestError, match="contains no face"):
        prepare_finetune(request.replace(storage=config.training_uri))
    evaluation = plan_evaluation(config, teacher, state.model, candidate)
    assert evaluation.models["original"] == "models:/faces/1"
    tags = version_tags(config, state, candidate)
    assert tags["rayboot.teacher_digest"] == evaluation.digests["original"] == teacher.sha256

    assert uris == [f"models:/faces/1/artifacts/{WEIGHTS_FILE}"]
