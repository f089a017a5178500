"""Pictures of a textured head scan, turned from the front to both profiles, as a set to measure on.

python jobs/render_scan.py scans/head.obj scans/head.ljson runs/scan

OUT/table.parquet is then a set of kind ``table`` for `rayboot evaluate`: true shape known, real
skin, and nothing but the yaw changes.
"""

from pathlib import Path
from typing import Any

import click
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import trimesh

from rayboot.data.images import encode_image
from rayboot.data.mesh_files import encode_mesh
from rayboot.evaluate.datasets.ljson import read_ljson
from rayboot.evaluate.datasets.scan_table import TABLE_SCHEMA
from rayboot.geometry.alignment import fit_similarity
from rayboot.geometry.camera import pixel_from_crop, rotation_yaw_pitch
from rayboot.geometry.mean_face import load_mean_face
from rayboot.geometry.mesh import Mesh
from rayboot.render import Backplane, Renderer, Scene
from rayboot.render.scene import TexturedMesh

_SIZE = 256
_FACE_SHARE = 0.22
"""Outer eye distance, as a share of the picture's width."""

_UPPER = slice(17, 48)
"""Brows, nose and eyes: the jaw's landmarks slide along its contour, and mouths open."""


@click.command()
@click.argument("scan", type=click.Path(exists=True, path_type=Path))
@click.argument("landmarks", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--step", default=15, show_default=True, help="Between yaws, degrees.")
def main(scan: Path, landmarks: Path, out: Path, step: int) -> None:
    """Writes pictures, the mesh and ``OUT/table.parquet``."""
    points = read_ljson(landmarks.read_bytes())
    head = _load(scan)
    out.mkdir(parents=True, exist_ok=True)
    (out / "scan.ply").write_bytes(encode_mesh(Mesh(head.vertices, head.faces), "ply"))
    # The mean face looks straight ahead, its outer eye corners 1 apart.
    ahead = fit_similarity(points[_UPPER], load_mean_face().landmarks[_UPPER])
    placed, marks = ahead.apply(head.vertices), ahead.apply(points)
    middle = np.append(marks[17:, :2].mean(axis=0), placed[:, 2].mean())
    renderer = Renderer(_SIZE, supersample=2)
    rows = []
    for yaw in range(-90, 91, step):
        view = _view(yaw, middle)
        name = f"yaw{yaw:+03d}.png"
        picture = _picture(renderer, head._replace(vertices=placed.astype(np.float32)), view)
        (out / name).write_bytes(encode_image(picture, "png"))
        pixels = pixel_from_crop(marks @ view[:, :3].T + view[:, 3], _SIZE, _SIZE)[:, :2]
        rows.append(
            {
                "face_id": f"yaw {yaw:+d}",
                "photo": name,
                "landmarks": pixels.ravel().tolist(),
                "mesh": "scan.ply",
                "mesh_landmarks": points.ravel().tolist(),
                "yaw_deg": float(yaw),
                "region": None,
            }
        )
    pq.write_table(pa.Table.from_pylist(rows, schema=TABLE_SCHEMA), out / "table.parquet")
    click.echo(out / "table.parquet")


def _load(path: Path) -> TexturedMesh:
    """The scan with its texture; vertices stand once for each place that they have in it."""
    found: Any = trimesh.load(path, process=False, force="mesh")
    count = len(found.vertices)
    return TexturedMesh(
        np.asarray(found.vertices, np.float64),
        np.asarray(found.faces, np.int32),
        np.ones((count, 3), np.float32),
        np.asarray(found.visual.material.image.convert("RGB")),
        np.asarray(found.visual.uv, np.float32),
        np.arange(count),
    )


def _view(yaw_deg: float, middle: np.ndarray) -> np.ndarray:
    """From a head that looks ahead to the picture, (3, 4)."""
    matrix = _FACE_SHARE * _SIZE * rotation_yaw_pitch(np.radians(yaw_deg), 0.0)
    return np.column_stack([matrix, -matrix @ middle])


def _picture(renderer: Renderer, head: TexturedMesh, view: np.ndarray) -> np.ndarray:
    """(S, S, 3) uint8, before a plain wall that is a little brighter above."""
    inverse = np.linalg.inv(view[:, :3])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * _SIZE / 2
    far = np.column_stack([corners, np.full(4, -4.0 * _SIZE)])
    wall = np.linspace(150, 105, 64)[:, None, None] * np.array([1.0, 1.0, 1.05])
    image = np.repeat(wall, 64, axis=1).clip(0, 255).astype(np.uint8)
    plane = Backplane(image, (far - view[:, 3]) @ inverse.T, corners / _SIZE + 0.5)
    picture = renderer.render(Scene(head, plane), [view])[0]
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), 0.6))


if __name__ == "__main__":
    main()
