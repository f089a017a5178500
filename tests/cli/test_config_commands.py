import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from rayboot.cli import main
from rayboot.submission.tasks import CONFIG_TYPES

CONFIGS = Path(__file__).resolve().parents[2] / "configs"


def run(*arguments: str) -> str:
    done = CliRunner().invoke(main, list(arguments))
    assert done.exit_code == 0, done.output
    return done.stdout


def test_configs_are_listed_shown_and_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    lines = run("configs", "list").splitlines()
    assert [line.split()[0] for line in lines] == sorted(
        path.stem for path in CONFIGS.glob("*.yaml")
    )
    (line,) = [line for line in lines if line.startswith("round-photos ")]
    assert line.split()[1] == "round" and "folder of photos" in line
    assert run("configs", "show", "paper") == (CONFIGS / "paper.yaml").read_text("utf-8")
    assert run("configs", "copy", "paper") == "paper.yaml\n"
    assert (tmp_path / "paper.yaml").exists()


def test_a_name_is_a_shipped_config_where_no_file_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ["generate", "--config", "generate-laptop", "--input", "none", "--output", "out"]
    done = CliRunner().invoke(main, command)
    # The config was read; its paths begin at the working folder.
    assert done.exit_code == 2 and f"{tmp_path}/none: there is no such file" in done.stderr
    Path("generate-laptop").write_text("no_such_key: 1\n")
    assert "no_such_key: unknown key" in CliRunner().invoke(main, command).stderr
    # A name with a folder is a file's.
    command[2] = "./generate-paper"
    assert "cannot be read" in CliRunner().invoke(main, command).stderr


def test_schema_takes_the_tasks_that_have_configs() -> None:
    (task,) = main.commands["schema"].params
    assert isinstance(task.type, click.Choice)
    assert set(task.type.choices) == set(CONFIG_TYPES)
    assert json.loads(run("schema", "serve"))["title"] == "ServeConfig"


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_of_a_shell_calls_rayboot(shell: str) -> None:
    assert f"_RAYBOOT_COMPLETE={shell}_complete" in run("completion", shell)


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        ("rayboot recon", "plain,reconstruct"),
        ("rayboot round --config round-ph", "plain,round-photos"),
        ("rayboot configs show paper", "plain,paper"),
    ],
)
def test_words_are_completed(words: str, completed: str) -> None:
    environment = {
        **os.environ,
        "_RAYBOOT_COMPLETE": "bash_complete",
        "COMP_WORDS": words,
        "COMP_CWORD": str(len(words.split()) - 1),
    }
    code = "from rayboot.cli import main; main(prog_name='rayboot')"
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert completed in done.stdout.splitlines()
