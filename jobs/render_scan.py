"""Renders of a head scan from both profiles, as an evaluation data set.

python jobs/render_scan.py scans/head.obj scans/head.ljson runs/scan

The scan is a GLB, OBJ or PLY with a texture or vertex colours; its 68 landmarks, or 51 without the
jaw, are an ``.ljson``, ``.npy``, ``.txt`` or another file of points.

OUT/table.parquet is a data set of kind ``table`` for `rayboot evaluate`: its shape is known, its
texture is real, and only the yaw changes.
"""

from pathlib import Path

import click
import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rayboot.data.images import encode_image
from rayboot.data.mesh_files import encode_mesh
from rayboot.data.textured_meshes import read_textured_mesh
from rayboot.errors import ShapeError
from rayboot.evaluate.datasets.scan_landmarks import read_scan_landmarks
from rayboot.evaluate.datasets.scan_table import TABLE_SCHEMA
from rayboot.geometry.alignment import fit_similarity
from rayboot.geometry.camera import pixel_from_crop, rotation_yaw_pitch
from rayboot.geometry.head_model import mean_landmarks
from rayboot.geometry.mesh import Mesh
from rayboot.render import Renderer, Scene, textured_square
from rayboot.render.scene import TexturedMesh

_SIZE = 256
_EYE_DISTANCE_FRACTION = 0.22
"""Outer eye distance as a fraction of the image's width."""

_ALIGNED = slice(17, 48)
"""Landmarks of brows, nose and eyes; those of the jaw depend on the view, and mouths open."""


@click.command()
@click.argument("scan", type=click.Path(exists=True, path_type=Path))
@click.argument("landmarks", type=click.Path(exists=True, path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--step", default=15, show_default=True, help="Difference between yaws, degrees.")
def main(scan: Path, landmarks: Path, out: Path, step: int) -> None:
    """Writes the images, the mesh and ``OUT/table.parquet``."""
    try:
        points = read_scan_landmarks(landmarks.read_bytes(), landmarks.suffix)
        head = _load(scan)
    except ShapeError as error:
        raise click.UsageError(str(error)) from error
    out.mkdir(parents=True, exist_ok=True)
    (out / "scan.ply").write_bytes(encode_mesh(Mesh(head.vertices, head.faces), "ply"))
    # The gaze of the mean face is +z, and its outer eye distance is 1.
    similarity = fit_similarity(points[_ALIGNED], mean_landmarks()[_ALIGNED])
    vertices, landmarks_3d = similarity.apply(head.vertices), similarity.apply(points)
    centre = np.append(landmarks_3d[17:, :2].mean(axis=0), vertices[:, 2].mean())
    renderer = Renderer(_SIZE, supersample=2)
    rows = []
    for yaw in range(-90, 91, step):
        view = _view(yaw, centre)
        name = f"yaw{yaw:+03d}.png"
        image = _render(renderer, head._replace(vertices=vertices.astype(np.float32)), view)
        (out / name).write_bytes(encode_image(image, "png"))
        pixels = pixel_from_crop(landmarks_3d @ view[:, :3].T + view[:, 3], _SIZE, _SIZE)[:, :2]
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
    """Returns the scan with its colours; vertices are repeated for each texture coordinate."""
    scan = read_textured_mesh(path)
    if scan.colors == "none":
        # Renders are emissive: without colours they are a flat silhouette, which shows no face.
        raise ShapeError(
            f"{path} has neither texture nor vertex colours, so its renders would show only an "
            "outline; expected a scan with colours"
        )
    return TexturedMesh(
        scan.vertices,
        scan.faces,
        scan.factors,
        scan.image,
        scan.texture_coordinates,
        np.arange(len(scan.vertices)),
    )


def _view(yaw_deg: float, centre: np.ndarray) -> np.ndarray:
    """Returns the transform (3, 4) from the frontal head to the frame of the image."""
    matrix = _EYE_DISTANCE_FRACTION * _SIZE * rotation_yaw_pitch(np.radians(yaw_deg), 0.0)
    return np.column_stack([matrix, -matrix @ centre])


def _render(renderer: Renderer, head: TexturedMesh, view: np.ndarray) -> np.ndarray:
    """Returns the image (S, S, 3) uint8, in front of a plain wall that is brighter at the top."""
    inverse = np.linalg.inv(view[:, :3])
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * _SIZE / 2
    far = np.column_stack([corners, np.full(4, -4.0 * _SIZE)])
    wall = np.linspace(150, 105, 64)[:, None, None] * np.array([1.0, 1.0, 1.05])
    image = np.repeat(wall, 64, axis=1).clip(0, 255).astype(np.uint8)
    plane = textured_square(image, (far - view[:, 3]) @ inverse.T, corners / _SIZE + 0.5)
    rendered = renderer.render(Scene(head, (plane,)), [view])[0]
    return np.asarray(cv2.GaussianBlur(rendered, (0, 0), 0.6))


if __name__ == "__main__":
    main()
