import re
import sysconfig
from pathlib import Path

import pytest
import torch

from rayboot.models import VRN
from rayboot.models.compilation import compile_on_gpu, explain_no_compiler

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine that has all that compilation needs."""
    (tmp_path / "gcc").touch(mode=0o755)
    (tmp_path / "Python.h").touch()
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(sysconfig, "get_path", lambda _name: str(tmp_path))
    monkeypatch.setattr("rayboot.models.compilation.find_spec", lambda name: name)
    return tmp_path


def test_nothing_is_compiled_on_a_cpu(tiny: VRN) -> None:
    assert compile_on_gpu(tiny, CPU) is tiny


def test_a_machine_with_a_compiler_compiles(machine: Path, tiny: VRN) -> None:
    assert explain_no_compiler() == ""
    assert compile_on_gpu(tiny, GPU) is not tiny


@pytest.mark.parametrize(
    ("removed", "words"),
    [("gcc", "no C compiler.*apt-get install gcc"), ("Python.h", "Python.h is missing.*-dev")],
)
def test_what_is_missing_is_reported_and_the_network_runs_without(
    machine: Path, tiny: VRN, caplog: pytest.LogCaptureFixture, removed: str, words: str
) -> None:
    (machine / removed).unlink()
    assert compile_on_gpu(tiny, GPU) is tiny
    assert caplog.records[0].levelname == "WARNING"
    assert re.search(words, caplog.text)


def test_the_users_compiler_counts(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "my-compiler")
    assert "(my-compiler)" in explain_no_compiler()
    (machine / "my-compiler").touch(mode=0o755)
    assert explain_no_compiler() == ""


def test_triton_is_required(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rayboot.models.compilation.find_spec", lambda name: None)
    assert "extra `gpu`" in explain_no_compiler()
