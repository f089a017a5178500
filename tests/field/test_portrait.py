"""`rayboot reconstruct` with one photo or a few, as a newcomer gives it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from rayboot.cli import main
from rayboot.data.images import encode_image
from rayboot.data.readers import list_photos

RECONSTRUCT = ("reconstruct",)


@pytest.fixture
def portraits(synthetic_set: str) -> list[Path]:
    return [Path(row["source_uri"]) for row in list_photos(synthetic_set).to_pylist()[:3]]


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def test_one_portrait_needs_no_ray(portraits: list[Path], tmp_path: Path) -> None:
    arguments = [*RECONSTRUCT, "--input", str(portraits[0]), "--output", str(tmp_path / "out")]
    program = (
        "import json, sys; from rayboot.cli import main; main(sys.argv[1:], standalone_mode=False);"
        "print(json.dumps([name for name in ('ray', 'mlflow') if name in sys.modules]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
    assert {path.suffix for path in (tmp_path / "out").iterdir() if path.is_file()} == {
        ".ply", ".glb", ".parquet",
    }  # fmt: skip
    (row,) = pq.read_table(tmp_path / "out/index.parquet").to_pylist()
    assert (row["face_id"], row["ply"]) == (portraits[0].name, f"{portraits[0].stem}.ply")


def test_a_second_input_does_not_win(portraits: list[Path], tmp_path: Path) -> None:
    inputs = [word for path in portraits for word in ("--input", path)]
    result = run(*RECONSTRUCT, *inputs, "--output", tmp_path)
    assert result.exit_code == 0, result.output
    rows = pq.read_table(tmp_path / "index.parquet").to_pylist()
    assert sorted(row["face_id"] for row in rows) == sorted(path.name for path in portraits)
    assert all((tmp_path / row["glb"]).is_file() for row in rows)


@pytest.mark.parametrize("command", ["reconstruct", "generate", "pack"])
def test_a_refused_input_leaves_nothing(command: str, tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    config = tmp_path / "config.yaml"
    config.write_text("{}")
    options = {
        "reconstruct": ["--model", "builtin:compact"],
        "generate": ["--config", config],
        "pack": [],
    }
    before = set(tmp_path.rglob("*"))
    output = tmp_path / "new/deep"
    result = run(command, *options[command], "--input", tmp_path / "photos", "--output", output)
    assert result.exit_code == 2 and "no photo found" in result.stderr
    assert set(tmp_path.rglob("*")) == before


def test_a_folder_that_was_there_stays(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "out").mkdir()
    run(*RECONSTRUCT, "--input", tmp_path / "photos", "--output", tmp_path / "out")
    assert list((tmp_path / "out").iterdir()) == []


def test_photos_without_a_face_end_with_status_1(tmp_path: Path) -> None:
    (tmp_path / "grey.png").write_bytes(encode_image(np.full((64, 64, 3), 90, np.uint8), "png"))
    (tmp_path / "empty.jpg").write_bytes(b"")
    inputs = ["--input", tmp_path / "grey.png", "--input", tmp_path / "empty.jpg"]
    for _ in range(2):  # the same command again says the same
        result = run(*RECONSTRUCT, *inputs, "--output", tmp_path / "out")
        assert result.exit_code == 1
        assert "none of 2 photos gave a face" in result.stderr
        assert "1 landmarks/no-face" in result.stderr and "1 read/empty" in result.stderr
        assert result.stdout == ""


def test_help_names_the_models_of_the_package() -> None:
    words = " ".join(run("reconstruct", "--help").output.split())
    assert "builtin:compact" in words and "builtin:head" in words
