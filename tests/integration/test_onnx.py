"""The shipped networks as ONNX: the surface that ONNX Runtime gives, against PyTorch's."""

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from rayboot import cli

pytest.importorskip("onnxruntime", reason="needs the extra onnx")


@pytest.mark.parametrize("name", ["compact", "base", "head"])
def test_the_surface_differs_by_less_than_a_hundredth_of_a_pixel(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.onnx"
    done = CliRunner().invoke(
        cli.main, ["export-onnx", "--model", f"builtin:{name}", "--output", str(path)]
    )
    assert done.exit_code == 0, done.output
    assert done.stdout == f"{path}\n"
    (distance,) = re.findall(r"differs by up to (\S+) px", done.stderr)
    assert float(distance) < 0.01
    assert 4e6 < path.stat().st_size < 12e6
