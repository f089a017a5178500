"""Folders that grow, shrink and change between two runs of one command."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
from click.testing import CliRunner, Result

from rayboot.cli import main
from rayboot.data.readers import list_photos


def reconstruct(photos: Path, output: Path, *options: str) -> Result:
    arguments = ["reconstruct", "--input", str(photos), "--output", str(output), *options]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 0, result.output
    return result


def test_a_folder_that_is_filled_further(synthetic_set: str, tmp_path: Path) -> None:
    """A download that goes on, and a person who asks to be taken out."""
    rows = list_photos(synthetic_set).to_pylist()[:3]
    names = [Path(row["source_uri"]).name for row in rows]
    photos, output = tmp_path / "photos", tmp_path / "meshes"
    photos.mkdir()
    for row in rows[:2]:
        shutil.copy(row["source_uri"], photos)
        shutil.copy(row["landmarks_uri"], photos)
    assert "input" not in reconstruct(photos, output).stderr
    shutil.copy(rows[2]["source_uri"], photos)
    shutil.copy(rows[2]["landmarks_uri"], photos)
    (photos / names[0]).unlink()
    grown = reconstruct(photos, output)
    assert "1 photo was added to the input: this one is processed now" in grown.stderr
    assert f"no longer in the input ({names[0]})" in grown.stderr
    assert "--prune takes it out" in grown.stderr
    ids = pq.read_table(output / "index.parquet")["face_id"].to_pylist()
    assert ids == names
    reconstruct(photos, output, "--prune")
    ids = pq.read_table(output / "index.parquet")["face_id"].to_pylist()
    assert ids == names[1:]
    stems = {Path(face_id).stem for face_id in ids}
    assert {path.stem for path in output.glob("*.ply")} == stems
