"""Sizes of meshes: programs that print, measure or try glasses on take them for metres."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from rayboot.cli import main
from rayboot.data.mesh_files import decode_mesh
from rayboot.data.readers import list_photos
from rayboot.evaluate.datasets.synthetic import SyntheticDataset
from rayboot.geometry.physical_size import MEAN_OUTER_EYE_DISTANCE_M, metres_per_pixel

SIZE = 96


def reconstruct(photo: str, output: Path, *options: str) -> dict[str, object]:
    arguments = ["--model", "builtin:compact", "--input", photo, "--output", str(output), *options]
    result = CliRunner().invoke(main, ["reconstruct", *arguments])
    assert result.exit_code == 0, result.output
    (row,) = pq.read_table(output / "index.parquet").to_pylist()
    return row


@pytest.mark.egl
def test_meshes_are_in_metres_and_say_so(synthetic_set: str, tmp_path: Path) -> None:
    photo = list_photos(synthetic_set)["source_uri"][0].as_py()
    row = reconstruct(photo, tmp_path / "m")
    assert row["unit"] == "metre"
    assert row["units_per_pixel"] == pytest.approx(metres_per_pixel(SIZE))
    ply, glb = ((tmp_path / "m" / str(row[kind])).read_bytes() for kind in ("ply", "glb"))
    assert b"\ncomment unit metre\n" in ply[:500]
    assert b'"extras":{"unit":"metre"}' in glb
    # A face, of a person and not of a giant.
    for mesh in (decode_mesh(ply, ".ply"), decode_mesh(glb, ".glb")):
        assert 0.15 < np.ptp(mesh.vertices[:, 1]) < 0.3
    pixels = reconstruct(photo, tmp_path / "px", "--unit", "pixel")
    assert (pixels["unit"], pixels["units_per_pixel"]) == ("pixel", 1.0)
    in_pixels = decode_mesh((tmp_path / "px" / str(pixels["ply"])).read_bytes(), ".ply")
    in_metres = decode_mesh(ply, ".ply")
    scaled = in_pixels.vertices * metres_per_pixel(SIZE)
    assert np.abs(scaled - in_metres.vertices).max() < 1e-6
    assert b"\ncomment unit pixel\n" in (tmp_path / "px" / str(pixels["ply"])).read_bytes()[:500]


@pytest.mark.egl
def test_the_mean_outer_eye_distance_is_that_of_people(synthetic_set: str) -> None:
    """Heads of another seed than the ones that the constant was measured on."""
    dataset = SyntheticDataset(data=synthetic_set)
    rows = dataset.list_faces()[0].to_pylist()
    metres = [dataset.read(row, SIZE).interocular * metres_per_pixel(SIZE) for row in rows]
    assert len(metres) >= 20
    assert np.mean(metres) == pytest.approx(MEAN_OUTER_EYE_DISTANCE_M, rel=0.05)
    assert np.std(metres) < 0.1 * MEAN_OUTER_EYE_DISTANCE_M
