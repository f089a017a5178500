"""Synthetic scans of the synthetic head, in millimetres and axes of their own."""

import json
from collections.abc import Mapping
from pathlib import Path

import cv2
import numpy as np

from rayboot.geometry.camera import crop_from_pixel, rotation_yaw_pitch
from rayboot.geometry.crop import apply_affine, landmark_crop
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.orthographic_camera import OrthographicCamera

MILLIMETRES = 92.0
TILT = rotation_yaw_pitch(0.1, -0.8)
"""The axes of a scanner are not the face's: this head looks down and is far from the origin."""

VERTICES = MILLIMETRES * load_head_model().mean @ TILT.T + [40.0, -900.0, 1200.0]
FACES = load_head_model().faces
LANDMARKS = VERTICES[load_head_model().landmarks]

LABELS = {
    **{"chin": (0, 17), "leyebrow": (17, 22), "reyebrow": (22, 27), "nose": (27, 36)},
    **{"leye": (36, 42), "reye": (42, 48), "mouth": (48, 68)},
}


def encode_obj(vertices: np.ndarray = VERTICES, faces: np.ndarray = FACES) -> bytes:
    """An OBJ with textures and two materials, as scanners write them."""
    lines = ["mtllib scan.mtl", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices)]
    lines += ["vt 0 0", "vt 1 1"]
    for part, name in enumerate(("skin", "hair")):
        lines.append(f"usemtl {name}")
        corners = faces[part::2] + 1
        lines += [" ".join(["f", *(f"{v}/{1 + v % 2}" for v in face)]) for face in corners]
    return "\n".join(lines).encode()


def encode_ljson(
    points: np.ndarray = LANDMARKS, labels: Mapping[str, tuple[int, int]] = LABELS
) -> bytes:
    """Landmarks in version 3 of menpo's format."""
    marks = [{"label": name, "mask": list(range(*span))} for name, span in labels.items()]
    group = {"labels": marks, "landmarks": {"points": np.asarray(points).tolist()}}
    return json.dumps({"groups": {"LJSON": group}, "version": 3}).encode()


def make_camera(yaw_deg: float, pitch_deg: float = 0.0) -> OrthographicCamera:
    """A camera that sees the head rotated, in the centre of 300 by 240 px, eyes 60 px apart.

    Its image has y up and its origin at the photo's centre.
    """
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), np.radians(pitch_deg)) @ TILT.T
    scale = 60.0 / MILLIMETRES
    centre = LANDMARKS.mean(axis=0)
    return OrthographicCamera(scale, rotation, -scale * rotation[:2] @ centre)


PHOTO_SIZE = (300, 240)
"""Width and height of a photo, px."""


def photo_landmarks(camera: OrthographicCamera) -> np.ndarray:
    """Landmarks (68, 2), column and row of the photo."""
    width, height = PHOTO_SIZE
    x, y = camera.project(LANDMARKS).T
    return np.column_stack([x + (width - 1) / 2, (height - 1) / 2 - y])


def crop_vertices(camera: OrthographicCamera, size: int) -> np.ndarray:
    """All vertices in the frame of the crop; the origin of z is arbitrary."""
    affine = landmark_crop(photo_landmarks(camera), size)
    width, height = PHOTO_SIZE
    x, y, z = camera.transform(VERTICES).T
    pixels = np.column_stack([x + (width - 1) / 2, (height - 1) / 2 - y])
    xy = crop_from_pixel(apply_affine(affine, pixels), size, size)
    return np.column_stack([xy, affine[0, 0] * z])


def make_photo(number: int) -> np.ndarray:
    """A uniform photo (240, 300, 3) uint8 whose grey encodes a number up to 20."""
    return np.full((*PHOTO_SIZE[::-1], 3), 12 * number + 8, np.uint8)


def write_photo(path: Path, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), make_photo(number))


def write_stream(path: Path, count: int) -> None:
    """Writes concatenated JPEGs, which is a video without a frame count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"".join(cv2.imencode(".jpg", make_photo(number))[1].tobytes() for number in range(count))
    )


def write_avi(path: Path, count: int) -> None:
    """Writes an AVI of JPEGs under any name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".avi")
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(temporary), code, 25, PHOTO_SIZE)
    for number in range(count):
        writer.write(make_photo(number))
    writer.release()
    temporary.rename(path)
