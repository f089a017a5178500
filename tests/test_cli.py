import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import UserExceptionWithTraceback

from rayboot import __version__, cli
from rayboot.diagnostics import support_bundle
from rayboot.diagnostics.doctor import Check
from rayboot.errors import FaceRejectedError, RaybootError, RequestError
from rayboot.submission.tasks import TASKS


def _chained(error: Exception, cause: Exception) -> Exception:
    error.__cause__ = cause
    return error


@pytest.fixture
def raising(monkeypatch: pytest.MonkeyPatch) -> click.Command:
    """The command line with one more command, ``fail KIND``."""

    class WorkerError(Exception):
        """Imitates Ray's error: the worker's error in ``cause``, its traceback as text."""

        def __init__(self, cause: Exception) -> None:
            super().__init__("Traceback (most recent call last):\n ...")
            self.cause = cause

    errors = {
        "request": RequestError("input photos/ does not exist;\n  give --input an existing URI"),
        "run": FaceRejectedError("read", "undecodable", "a.jpg"),
        "worker": WorkerError(RaybootError("disk full on n7")),
        "user-code": WorkerError(_chained(RuntimeError("UDF failed"), RaybootError("disk full"))),
        "training": WorkerGroupError(
            "Traceback ...",
            {1: UserExceptionWithTraceback(RequestError("no val face"), "Traceback ...")},
        ),
        "login": RaybootError("http://me:hunter2@host is unavailable"),
        "bug": ZeroDivisionError("division by zero"),
    }

    @click.command("fail")
    @click.argument("kind")
    def fail(kind: str) -> None:
        raise errors[kind]

    monkeypatch.setitem(cli.main.commands, "fail", fail)
    return cli.main


@pytest.mark.parametrize(
    ("kind", "status", "sentence"),
    [
        (
            "request",
            2,
            "rayboot: input photos/ does not exist; give --input an existing URI\n",
        ),
        ("run", 1, "rayboot: read: undecodable: a.jpg\n"),
        ("worker", 1, "rayboot: disk full on n7\n"),
        ("training", 2, "rayboot: no val face\n"),
        ("user-code", 1, "rayboot: disk full\n"),
    ],
)
def test_an_error_is_one_sentence(
    raising: click.Command, kind: str, status: int, sentence: str
) -> None:
    result = CliRunner().invoke(raising, ["fail", kind])
    assert (result.exit_code, result.stderr, result.stdout) == (status, sentence, "")


def test_debug_shows_the_traceback(raising: click.Command) -> None:
    result = CliRunner().invoke(raising, ["--debug", "fail", "request"])
    assert result.exit_code == 2
    assert "Traceback (most recent call last)" in result.stderr
    assert "RequestError" in result.stderr


def test_an_unexpected_error_is_raised(raising: click.Command) -> None:
    result = CliRunner().invoke(raising, ["fail", "bug"])
    assert isinstance(result.exception, ZeroDivisionError)


@pytest.mark.parametrize("arguments", [["nonsense"], ["--nonsense"], ["doctor", "--nonsense"]])
def test_an_unknown_command_or_option_is_a_wrong_request(arguments: list[str]) -> None:
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 2
    assert "onsense" in result.stderr
    assert "Traceback" not in result.stderr


def test_commands_that_need_a_config_refuse_a_missing_one(tmp_path: Path) -> None:
    for name, command in cli.main.commands.items():
        required = [p for p in command.params if isinstance(p, click.Option) and p.required]
        if [option.name for option in required] != ["config_path"]:
            continue
        result = CliRunner().invoke(cli.main, [name, "--config", str(tmp_path / "none.yaml")])
        assert result.exit_code == 2, (name, result.output, result.exception)
        assert "none.yaml" in result.stderr
        assert result.stderr.count("\n") == 1


@pytest.mark.egl
def test_pretrain_prints_nothing_but_the_weights_to_stdout(
    synthetic_set: str,
    tmp_path: Path,
    ray_local: Any,
    create_mlflow_store: Callable[[Path], str],
) -> None:
    config = tmp_path / "pretrain.yaml"
    config.write_text(
        f"data: {synthetic_set}\noutput: {tmp_path}\nnetwork: head\noptimizer: {{num_epochs: 1}}\n"
        f"tracking_uri: {create_mlflow_store(tmp_path)}\n"
    )
    done = CliRunner().invoke(cli.main, ["pretrain", "--config", str(config)])
    assert (done.exit_code, done.stdout) == (0, f"{tmp_path / 'head.safetensors'}\n"), done.output
    assert (tmp_path / "head.safetensors").exists()


def test_serve_checks_a_request_before_ray_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAYBOOT_SERVE_TOKEN", raising=False)
    config = tmp_path / "serve.yaml"
    config.write_text("replica: 2")
    for arguments, words in (
        (["--host", "0.0.0.0"], "RAYBOOT_SERVE_TOKEN"),
        (["--model", "none.safetensors"], "none.safetensors"),
        (["--port", "0"], "--port"),
        (["--config", str(config)], "replica: unknown key, did you mean replicas?"),
    ):
        result = CliRunner().invoke(cli.main, ["serve", *arguments])
        assert result.exit_code == 2 and words in result.stderr, result.output
        assert result.stdout == ""


def test_the_version_is_that_of_the_package() -> None:
    result = CliRunner().invoke(cli.main, ["--version"])
    assert result.stdout == f"rayboot, version {__version__}\n"


def test_help_is_fast() -> None:
    started = time.monotonic()
    command = [sys.executable, "-m", "rayboot", "--help"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    assert "doctor" in done.stdout
    # Half a second on an idle machine; importing Ray or PyTorch alone takes longer than the limit.
    assert time.monotonic() - started < 3


def test_an_interrupted_run_prints_the_command_that_resumes_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(**options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(cli.main.commands["generate"], "callback", interrupt)
    arguments = ["generate", "--config", "my configs/a.yaml", "--output", "pairs"]
    result = CliRunner().invoke(cli.main, arguments)
    assert result.exit_code == 130
    expected = "resume with: rayboot generate --config 'my configs/a.yaml' --output pairs\n"
    assert result.stderr.endswith(expected)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        ([], "needs --config"),
        (["--experiment", "robustness"], "--input"),
        (["--config", "evaluate-scan", "--input", "photos"], "--experiment robustness"),
    ],
)
def test_an_incomplete_evaluation_request_is_refused(arguments: list[str], word: str) -> None:
    done = CliRunner().invoke(cli.main, ["evaluate", *arguments])
    assert done.exit_code == 2 and word in done.output


def test_submit_offers_all_tasks() -> None:
    (task, *_) = cli.main.commands["submit"].params
    assert isinstance(task.type, click.Choice)
    assert tuple(task.type.choices) == tuple(TASKS)
    assert set(TASKS) < set(cli.main.commands)


@pytest.mark.parametrize(
    ("kind", "level", "words"),
    [
        ("request", "ERROR", "input photos/ does not exist; give --input an existing URI"),
        ("login", "ERROR", "http://***@host is unavailable"),
        ("bug", "CRITICAL", "division by zero"),
    ],
)
def test_errors_are_log_lines_where_logs_are_json(
    raising: click.Command, monkeypatch: pytest.MonkeyPatch, kind: str, level: str, words: str
) -> None:
    environment = {"RAYBOOT_LOG_FORMAT": "json"}
    for name in ("TQDM_DISABLE", "MLFLOW_CONFIGURE_LOGGING"):
        monkeypatch.setenv(name, "")  # restores what the command sets
    result = CliRunner().invoke(raising, ["fail", kind], env=environment)
    assert result.exit_code == (2 if kind == "request" else 1)
    (line,) = [json.loads(text) for text in result.stderr.splitlines()]
    assert (line["level"], line["command"]) == (level, "fail")
    assert words in line["message"]
    assert ("Traceback" in line.get("exception", "")) == (kind == "bug")


def test_a_login_in_an_error_is_not_shown(raising: click.Command) -> None:
    for arguments in (["fail", "login"], ["--debug", "fail", "login"]):
        result = CliRunner().invoke(raising, arguments)
        assert "rayboot: http://***@host is unavailable" in result.stderr
        assert "hunter2" not in result.output


def test_support_bundle_prints_its_contents(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        support_bundle, "diagnose", lambda requirements: iter([Check("Ray", "ok", "starts")])
    )
    (tmp_path / "run").mkdir()
    (tmp_path / "run/round.json").write_text("{}")
    out = tmp_path / "b.tar.gz"
    arguments = ["support-bundle", "--run", str(tmp_path / "run"), "--out", str(out)]
    done = CliRunner().invoke(cli.main, arguments, env={"RAY_TMPDIR": str(tmp_path)})
    assert (done.exit_code, done.stdout) == (0, f"{out}\n"), done.output
    assert "bytes  run/ (2 files)" in done.stderr
    assert "missing: ray: RequestError: no session of Ray" in done.stderr
    assert out.stat().st_size > 1000


def test_doctor_writes_what_the_parts_of_the_gpu_check_found(tmp_path: Path) -> None:
    out = tmp_path / "check.json"
    command = ["doctor", "--gpu", "--out", str(out), "--inputs", str(tmp_path), "--parts"]
    done = CliRunner().invoke(cli.main, [*command, "evaluation"])
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("skipped  evaluation")
    (part,) = json.loads(out.read_text())["parts"].values()
    assert part["status"] == "skipped" and "rayboot synthesize" in part["reason"]
    # A folder without the files of the faces: the part fails.
    (tmp_path / "truth").mkdir()
    failed = CliRunner().invoke(cli.main, [*command, "evaluation"])
    assert failed.exit_code == 1 and failed.stdout.startswith("FAILED   evaluation")
    refused = CliRunner().invoke(cli.main, [*command, "everything"])
    assert refused.exit_code == 2 and "expected some of machine" in refused.stderr
