"""Head scans as scanners and their programs write them, rendered by ``jobs/render_scan.py``."""

import runpy
from pathlib import Path

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import trimesh
from click.testing import CliRunner

from rayboot.evaluate.datasets.scan_table import ScanTableDataset
from rayboot.geometry.head_model import load_head_model

pytestmark = pytest.mark.egl

JOB = Path(__file__).parents[2] / "jobs/render_scan.py"


def make_scan(folder: Path, kind: str, colors: str) -> Path:
    """The mean head in metres, reddish, with a texture or with vertex colours."""
    model = load_head_model()
    vertices = 0.092 * model.mean.astype(float)
    if colors == "texture":
        image = PIL.Image.new("RGB", (8, 8), (200, 90, 80))
        uv = vertices[:, :2] - vertices[:, :2].min(axis=0)
        visual = trimesh.visual.TextureVisuals(uv=uv / uv.max(), image=image)
    else:
        shade = (147, 26, 21) if kind == "glb" else (200, 90, 80)  # linear in a GLB
        visual = trimesh.visual.ColorVisuals(vertex_colors=np.tile(shade, (len(vertices), 1)))
    path = folder / f"head.{kind}"
    trimesh.Trimesh(vertices, model.faces, process=False, visual=visual).export(path)
    return path


def render(*arguments: str) -> tuple[int, str]:
    main = runpy.run_path(str(JOB))["main"]
    result = CliRunner().invoke(main, list(arguments), catch_exceptions=False)
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("kind", "colors", "marks"),
    [
        ("glb", "texture", "npy51"),
        ("obj", "texture", "txt"),
        ("glb", "vertices", "npy"),
        ("ply", "vertices", "txt"),
    ],
)
def test_a_scan_of_any_kind_is_rendered(kind: str, colors: str, marks: str, tmp_path: Path) -> None:
    scan = make_scan(tmp_path, kind, colors)
    points = 0.092 * load_head_model().mean[load_head_model().landmarks].astype(float)
    if marks == "txt":
        landmarks = tmp_path / "head.txt"
        np.savetxt(landmarks, points)
    else:
        landmarks = tmp_path / "scan_lmks.npy"
        np.save(landmarks, points[17:] if marks == "npy51" else points)
    code, output = render(str(scan), str(landmarks), str(tmp_path / "out"), "--step", "90")
    assert code == 0, output
    image = np.asarray(PIL.Image.open(tmp_path / "out/yaw+00.png"))
    assert np.abs(image[128, 128].astype(int) - (200, 90, 80)).max() <= 6
    assert len(pq.read_table(tmp_path / "out/table.parquet")) == 3
    dataset = ScanTableDataset(data=str(tmp_path / "out/table.parquet"))
    listing = dataset.list_faces()
    assert not listing.excluded
    face = dataset.read(listing.rows.to_pylist()[0], 96)
    assert np.isfinite(face.vertices).all()


def test_landmarks_of_another_kind_are_said_in_one_sentence(tmp_path: Path) -> None:
    scan = make_scan(tmp_path, "ply", "vertices")
    np.save(tmp_path / "five.npy", np.zeros((5, 3)))
    code, output = render(str(scan), str(tmp_path / "five.npy"), str(tmp_path / "out"))
    assert (
        code == 2 and "expected 68 finite points (68, 3), or 51 without jaw, got (5, 3)" in output
    )
    assert not (tmp_path / "out").exists()


def test_a_scan_without_colours_is_refused(tmp_path: Path) -> None:
    scan = tmp_path / "grey.obj"
    scan.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
    np.save(tmp_path / "marks.npy", load_head_model().mean[load_head_model().landmarks])
    code, output = render(str(scan), str(tmp_path / "marks.npy"), str(tmp_path / "out"))
    assert code == 2 and "neither texture nor vertex colours" in output
    assert not (tmp_path / "out").exists()
