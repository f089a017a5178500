"""Made-up scans of the synthetic head, in millimetres and axes of their own."""

import json
from pathlib import Path

import cv2
import numpy as np

from rayboot.geometry.camera import crop_from_pixel, rotation_yaw_pitch
from rayboot.geometry.crop import apply_affine, landmark_crop
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.orthographic_camera import OrthographicCamera

MILLIMETRES = 92.0
TILT = rotation_yaw_pitch(0.1, -0.8)
"""Scanners' axes are not the face's: this head looks down, and lies off the origin."""

VERTICES = MILLIMETRES * load_head_model().mean @ TILT.T + [40.0, -900.0, 1200.0]
FACES = load_head_model().faces
LANDMARKS = VERTICES[load_head_model().landmarks]

LABELS = {
    **{"chin": (0, 17), "leyebrow": (17, 22), "reyebrow": (22, 27), "nose": (27, 36)},
    **{"leye": (36, 42), "reye": (42, 48), "mouth": (48, 68)},
}


def obj_of(vertices: np.ndarray = VERTICES, faces: np.ndarray = FACES) -> bytes:
    """An OBJ with textures and two materials, as scanners write it."""
    lines = ["mtllib scan.mtl", *(f"v {x:.6f} {y:.6f} {z:.6f}" for x, y, z in vertices)]
    lines += ["vt 0 0", "vt 1 1"]
    for part, name in enumerate(("skin", "hair")):
        lines.append(f"usemtl {name}")
        some = faces[part::2] + 1
        lines += [" ".join(["f", *(f"{v}/{1 + v % 2}" for v in face)]) for face in some]
    return "\n".join(lines).encode()


def ljson_of(points: np.ndarray = LANDMARKS, labels: dict = LABELS) -> bytes:
    """Landmarks as menpo writes them, third version."""
    marks = [{"label": name, "mask": list(range(*span))} for name, span in labels.items()]
    group = {"labels": marks, "landmarks": {"points": np.asarray(points).tolist()}}
    return json.dumps({"groups": {"LJSON": group}, "version": 3}).encode()


def camera_of(yaw_deg: float, pitch_deg: float = 0.0) -> OrthographicCamera:
    """That sees the head so turned, 60 px from eye to eye, in the middle of 300 by 240 px.

    Its picture has y up and its origin at the photo's centre.
    """
    turn = rotation_yaw_pitch(np.radians(yaw_deg), np.radians(pitch_deg)) @ TILT.T
    scale = 60.0 / MILLIMETRES
    middle = LANDMARKS.mean(axis=0)
    return OrthographicCamera(scale, turn, -scale * turn[:2] @ middle)


PHOTO_SIZE = (300, 240)
"""Width and height."""


def seen_landmarks(camera: OrthographicCamera) -> np.ndarray:
    """(68, 2) column and row of the photo."""
    width, height = PHOTO_SIZE
    x, y = camera.project(LANDMARKS).T
    return np.column_stack([x + (width - 1) / 2, (height - 1) / 2 - y])


def placed_vertices(camera: OrthographicCamera, size: int) -> np.ndarray:
    """Where all vertices are in the crop's frame; z about any origin."""
    affine = landmark_crop(seen_landmarks(camera), size)
    width, height = PHOTO_SIZE
    x, y, z = camera.transform(VERTICES).T
    pixels = np.column_stack([x + (width - 1) / 2, (height - 1) / 2 - y])
    plane = crop_from_pixel(apply_affine(affine, pixels), size, size)
    return np.column_stack([plane, affine[0, 0] * z])


def photo_of(number: int) -> np.ndarray:
    """(240, 300, 3) uint8 of one grey that tells the number, up to 20."""
    return np.full((*PHOTO_SIZE[::-1], 3), 12 * number + 8, np.uint8)


def write_photo(path: Path, number: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), photo_of(number))


def write_stream(path: Path, count: int) -> None:
    """JPEGs one after the other, which is a video without any count."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        b"".join(cv2.imencode(".jpg", photo_of(number))[1].tobytes() for number in range(count))
    )


def write_avi(path: Path, count: int) -> None:
    """A container of JPEGs, whatever its name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_suffix(".avi")
    code = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(aside), code, 25, PHOTO_SIZE)
    for number in range(count):
        writer.write(photo_of(number))
    writer.release()
    aside.rename(path)
