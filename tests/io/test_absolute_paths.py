from pathlib import Path

import pytest

from rayboot.config import FrozenConfig, ModelName, Uri
from rayboot.io.absolute_paths import absolute_model, with_absolute_paths


class InnerConfig(FrozenConfig):
    file: Uri | None = None


class OuterConfig(FrozenConfig):
    inputs: Uri | tuple[Uri, ...]
    models: dict[str, ModelName]
    inner: tuple[InnerConfig, ...] = ()
    name: str = "runs"


def test_every_path_is_resolved_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    written = OuterConfig(
        inputs=("data/a", "s3://bucket/b", "/c", "./d/"),
        models={"x": "x.safetensors", "y": "builtin:compact", "z": "models:/faces@champion"},
        inner=(InnerConfig(file="../e"), InnerConfig()),
    )
    config = with_absolute_paths(written)
    assert config.inputs == (f"{tmp_path}/data/a", "s3://bucket/b", "/c", f"{tmp_path}/d")
    assert config.models == {**written.models, "x": f"{tmp_path}/x.safetensors"}
    assert [inner.file for inner in config.inner] == [f"{tmp_path}/../e", None]
    assert (config.name, written.inputs[0]) == ("runs", "data/a")
    assert with_absolute_paths(config) == config


def test_a_weights_file_may_be_a_file_uri(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert absolute_model("file://a.pth") == f"{tmp_path}/a.pth"
