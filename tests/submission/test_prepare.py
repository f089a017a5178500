import logging
from pathlib import Path
from typing import Any

import pytest

from rayboot.cluster.versions import installed_versions
from rayboot.config import load_config
from rayboot.errors import RequestError
from rayboot.submission.prepare import Submission, prepare_submission
from rayboot.submission.tasks import TASKS
from tests.fake_dashboard import serve_dashboard

TOKEN = "t" * 64
RAY = installed_versions()["ray"]
CONFIGS = Path(__file__).resolve().parents[2] / "configs"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "generate.yaml"
    path.write_text("input: s3://bucket/photos\noutput: s3://bucket/pairs\n")
    return path


@pytest.fixture(autouse=True)
def own_token(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_AUTH_TOKEN", TOKEN)


def prepare(config: Path, *, token: str | None = TOKEN, ray: str = RAY, **more: Any) -> Submission:
    with serve_dashboard(ray, token) as address:
        return prepare_submission("generate", config, address, **more)


def test_the_config_is_copied_and_named_in_the_command(config: Path) -> None:
    submission = prepare(
        config, arguments=["--output", "s3://b/other pairs"], environment=["A=b=c"]
    )
    assert submission.config == config.read_bytes()
    assert (
        submission.entrypoint
        == "rayboot generate --config config.yaml --output 's3://b/other pairs'"
    )
    assert submission.environment == {"A": "b=c"}


def test_a_wrong_config_is_refused_before_the_cluster_is_queried(config: Path) -> None:
    config.write_text("inptu: photos\n")
    with pytest.raises(RequestError, match="inptu"):
        prepare_submission("generate", config, "http://127.0.0.1:9")


def test_relative_paths_are_named(config: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Configs that ran on a laptop before."""
    with caplog.at_level(logging.WARNING):
        prepare(config)
        assert not caplog.records
        config.write_text(
            "input: [photos, /mnt/photos]\noutput: s3://b/pairs\nmodel: w.safetensors\n"
        )
        assert prepare(config).config == config.read_bytes()
    assert "the relative paths photos, w.safetensors begin at the job's folder" in caplog.text


def test_an_open_cluster_is_refused_unless_allowed(config: Path) -> None:
    with pytest.raises(RequestError, match="--allow-open-cluster"):
        prepare(config, token=None)
    assert prepare(config, token=None, allow_open=True).task == "generate"


def test_a_wrong_token_is_refused(config: Path) -> None:
    with pytest.raises(RequestError, match="refuses this token"):
        prepare(config, token="other")


def test_a_missing_token_is_refused(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    with pytest.raises(RequestError, match="requires a token"):
        prepare(config)


def test_another_version_of_ray_is_refused_and_both_are_named(config: Path) -> None:
    with pytest.raises(RequestError, match=rf"runs Ray 1\.2\.3, but Ray {RAY} is installed here"):
        prepare(config, ray="1.2.3")


@pytest.mark.parametrize("address", ["ray://head:10001", "head:8265", "auto"])
def test_an_address_of_another_kind_is_refused(config: Path, address: str) -> None:
    with pytest.raises(RequestError, match="http://HOST:8265"):
        prepare_submission("generate", config, address)


def test_an_address_without_a_server_is_refused(config: Path) -> None:
    with pytest.raises(RequestError, match="does not answer"):
        prepare_submission("generate", config, "http://127.0.0.1:9")


@pytest.mark.parametrize(
    "variable",
    ["AWS_SECRET_ACCESS_KEY=x", "AWS_ACCESS_KEY_ID=x", "MLFLOW_TRACKING_PASSWORD=x", "MY_TOKEN=x"],
)
def test_a_secret_is_not_sent(config: Path, variable: str) -> None:
    with pytest.raises(RequestError, match="shown to everyone") as refused:
        prepare(config, environment=[variable])
    assert "=x" not in str(refused.value)


def test_a_password_in_a_url_is_not_sent(config: Path) -> None:
    secret = "postgresql://me:hunter2@db/mlflow"
    for more in ({"environment": [f"URI={secret}"]}, {"arguments": ["--output", secret]}):
        with pytest.raises(RequestError, match="password") as refused:
            prepare(config, **more)
        assert "hunter2" not in str(refused.value)
    config.write_text(f"{config.read_text()}tracking_uri: {secret}\n")
    with pytest.raises(RequestError, match="password"):
        prepare(config)


def test_every_task_has_an_entry_point() -> None:
    jobs = Path(__file__).resolve().parents[2] / "jobs"
    for task in TASKS:
        assert f'main(["{task}", *sys.argv[1:]])' in (jobs / f"{task}.py").read_text()


def test_pack_is_submitted_without_a_config(config: Path) -> None:
    arguments = ["--input", "s3://bucket/photos", "--output", "s3://bucket/packed"]
    with serve_dashboard(RAY, TOKEN) as address:
        submission = prepare_submission("pack", None, address, arguments=arguments)
        assert submission.config is None
        assert submission.entrypoint == f"rayboot pack {' '.join(arguments)}"
        with pytest.raises(RequestError, match="takes no config"):
            prepare_submission("pack", config, address, arguments=arguments)


def test_pretraining_is_submitted_with_its_config() -> None:
    config = CONFIGS / "pretrain-baseline.yaml"
    with serve_dashboard(RAY, TOKEN) as address:
        submission = prepare_submission("pretrain", config, address)
    assert submission.config == config.read_bytes()
    assert submission.entrypoint == "rayboot pretrain --config config.yaml"


def test_only_tasks_that_work_without_a_config_are_submitted_without_one() -> None:
    with serve_dashboard(RAY, TOKEN) as address:
        for task, arguments in (("reconstruct", []), ("evaluate", ["--experiment", "robustness"])):
            assert prepare_submission(task, None, address, arguments=arguments).config is None
        for task in ("synthesize", "plan", "generate", "pretrain", "finetune", "evaluate", "round"):
            with pytest.raises(RequestError, match=f"submit {task} needs --config"):
                prepare_submission(task, None, address)


@pytest.mark.parametrize(
    ("task", "name"),
    [
        ("round", "paper.yaml"),
        ("generate", "generate-bucket.yaml"),
        ("pretrain", "pretrain-head.yaml"),
    ],
)
def test_the_shipped_configs_are_of_their_tasks(task: str, name: str) -> None:
    config_type = TASKS[task].config_type
    assert config_type is not None
    assert load_config(config_type, CONFIGS / name)
