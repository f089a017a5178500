"""Pose of the shapes that a network predicts for photos, against that of the photos' landmarks.

    python benchmarks/pose_photos.py --photos data/faces/300W
    python benchmarks/pose_photos.py --photos data/faces/AFLW2000

Two things are compared with the estimate, which reads the front of the shape only: the back
plane, which the network puts behind the face on its own account and which the estimate never
sees; and the landmarks, which nothing but the photo determines.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import click
import numpy as np
import scipy.io
from PIL import Image
from scipy import ndimage

from rayboot.data.landmarks import read_landmarks
from rayboot.geometry.alignment import fit_similarity
from rayboot.geometry.camera import SLICES_PER_PIXEL, gaze_angles, rotation_yaw_pitch
from rayboot.geometry.crop import apply_affine, landmark_crop, warp_photo
from rayboot.geometry.head_model import mean_landmarks
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.geometry.landmarks68 import lift_landmarks, rotation_from_landmarks
from rayboot.geometry.pose import estimate_pose, landmarks_from_pose
from rayboot.models import InferenceConfig, load_network
from rayboot.models.predictor import Predictor

SHIPPED = Path(__file__).resolve().parents[1] / "rayboot/models/compact.safetensors"
BATCH_SIZE = 16
MAX_YAW_DEG = 45
CROP_YAWS_DEG = (0, 60)
INNER = slice(17, 68)
"""Landmarks without the jaw."""


class Crop(NamedTuple):
    """A photo's crop (S, S, 3) uint8 and its landmarks (68, 2) in the crop."""

    image: np.ndarray
    landmarks: np.ndarray


@click.command()
@click.option("--photos", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--weights", type=click.Path(exists=True, path_type=Path), default=SHIPPED)
def main(photos: Path, weights: Path) -> None:
    """Prints yaw and pitch of shape, back plane and landmarks against each other."""
    network = load_network(weights)
    predictor = Predictor(network, InferenceConfig(), BATCH_SIZE)
    crops = list(read_crops(photos, network.config.resolution))
    rows, ratios = [], []
    for first in range(0, len(crops), BATCH_SIZE):
        batch = crops[first : first + BATCH_SIZE]
        volumes = predictor.predict(np.stack([crop.image for crop in batch]))
        rows += [angles(volume, crop) for volume, crop in zip(volumes, batch, strict=True)]
        ratios += [compare_crops(volume, crop) for volume, crop in zip(volumes, batch, strict=True)]
    values = np.array(rows)
    values = values[np.abs(values[:, 0, 0]) <= MAX_YAW_DEG]
    landmarks, shape, both, back = values.transpose(1, 0, 2)
    click.echo(f"{len(values)} photos with landmarks within {MAX_YAW_DEG} degrees of yaw")
    click.echo("| degrees | median | median, 95 % of the distance from it | correlation, slope |")
    click.echo("|---|---|---|---|")
    pairs = {
        "shape, landmarks": (shape, landmarks),
        "shape and landmarks, landmarks": (both, landmarks),
        "shape, back plane": (shape, back),
    }
    for axis, name in enumerate(("yaw", "pitch")):
        for label, (first_angles, second_angles) in pairs.items():
            print_row(f"{name}: {label}", first_angles[:, axis], second_angles[:, axis])
    for yaw_deg, compared in zip(CROP_YAWS_DEG, np.array(ratios).transpose(1, 2, 0), strict=True):
        scale, height = compared
        click.echo(
            f"crops turned by {yaw_deg} degrees, by the pose against by the landmarks: scale "
            f"{np.median(scale):.2f} (standard deviation {scale.std():.2f}), height "
            f"{np.median(height):+.1f} px ({height.std():.1f})"
        )
    print_turned_scales(photos)


def turned_scales(points: np.ndarray) -> float:
    """Returns the scale of a crop after a turn to the side against that at the front.

    Args:
        points: (68, 3) landmarks of a face that looks along +z.
    """
    front, side = (
        landmark_crop((points @ rotation_yaw_pitch(np.radians(yaw), 0).T)[:, :2] * (1, -1), 96)
        for yaw in CROP_YAWS_DEG
    )
    return float(side[0, 0] / front[0, 0])


def print_turned_scales(folder: Path) -> None:
    """Prints how much larger a crop shows faces after a turn, of the mean head and of true shapes.

    The true shapes are those of ``pt3d_68`` in the folder's ``.mat`` files.
    """
    ratios = []
    for file in sorted(folder.rglob("*.mat")):
        stored = scipy.io.loadmat(file).get("pt3d_68")
        if stored is not None:
            points = stored.T * (1.0, -1.0, 1.0)
            turn = fit_similarity(mean_landmarks()[INNER], points[INNER]).rotation
            ratios.append(turned_scales((points - points.mean(axis=0)) @ turn))
    if ratios:
        click.echo(
            f"scale of crops turned by {CROP_YAWS_DEG[1]} degrees against the front: mean head "
            f"{turned_scales(mean_landmarks()):.3f}, {len(ratios)} true shapes "
            f"{np.median(ratios):.3f} (standard deviation {np.std(ratios):.3f})"
        )


def compare_crops(volume: np.ndarray, crop: Crop) -> list[list[float]]:
    """Returns scale and height (2, 2) of crops by the pose against those by the landmarks.

    The crops are of the shape turned by each of ``CROP_YAWS_DEG``; the landmarks are the
    photo's, lifted to the shape. The height is that of the landmarks' mean in the crop, px.
    """
    vertices = extract_solid_surface(volume, cell=1).vertices
    pose, compared = estimate_pose(vertices), []
    lifted = lift_landmarks(crop.landmarks, volume >= 0.5)
    for yaw_deg in CROP_YAWS_DEG:
        turn = rotation_yaw_pitch(np.radians(yaw_deg), 0)[:2].T
        own, true = (
            (points - pose.centroid) @ turn * (1, -1)
            for points in (landmarks_from_pose(pose), lifted)
        )
        first, second = (landmark_crop(points, len(crop.image)) for points in (own, true))
        middle = true.mean(axis=0, keepdims=True)
        height = apply_affine(first, middle)[0, 1] - apply_affine(second, middle)[0, 1]
        compared.append([float(first[0, 0] / second[0, 0]), float(height)])
    return compared


def print_row(label: str, first: np.ndarray, second: np.ndarray) -> None:
    """Prints how the first angle differs from the second, and follows it."""
    difference = first - second
    spread = np.quantile(np.abs(difference - np.median(difference)), (0.5, 0.95))
    slope = np.polyfit(second, first, 1)[0]
    click.echo(
        f"| {label} | {np.median(difference):+.1f} | {spread[0]:.1f}, {spread[1]:.1f} "
        f"| {np.corrcoef(first, second)[0, 1]:.2f}, {slope:.2f} |"
    )


def read_crops(folder: Path, size: int) -> Iterator[Crop]:
    """Reads the photos of a folder that have landmarks beside them."""
    for path in sorted(folder.rglob("*")):
        files = [path.with_suffix(suffix) for suffix in (".pts", ".mat")]
        found = [file for file in files if file.exists()]
        if path.suffix not in (".jpg", ".png") or not found:
            continue
        photo = np.asarray(Image.open(path).convert("RGB"))
        extent = (photo.shape[1], photo.shape[0])
        landmarks = read_landmarks(found[0].read_bytes(), found[0].suffix, extent)
        affine = landmark_crop(landmarks, size)
        yield Crop(warp_photo(photo, affine, size), apply_affine(affine, landmarks))


def angles(volume: np.ndarray, crop: Crop) -> np.ndarray:
    """Returns yaw and pitch (4, 2), degrees, of landmarks, shape, both together, back plane."""
    vertices = extract_solid_surface(volume, cell=1).vertices
    gazes = (
        rotation_from_landmarks(crop.landmarks)[:, 2],
        estimate_pose(vertices).gaze,
        estimate_pose(vertices, landmarks=crop.landmarks).gaze,
        back_plane_normal(volume >= 0.5),
    )
    return np.degrees([gaze_angles(gaze) for gaze in gazes])


def back_plane_normal(occupied: np.ndarray) -> np.ndarray:
    """Returns the normal (3,), towards the viewer, of the plane that closes a solid behind."""
    inner = ndimage.binary_erosion(occupied.any(axis=0), iterations=4)
    rows, columns = np.nonzero(inner)
    z = np.argmax(occupied, axis=0)[inner] / SLICES_PER_PIXEL
    design = np.column_stack([columns, -rows, np.ones(len(rows))])
    weight = np.ones(len(z))
    # Robust against cells in which the back is not flat.
    for _ in range(10):
        plane = np.linalg.lstsq(design * weight[:, None], z * weight, rcond=None)[0]
        weight = np.maximum(np.abs(design @ plane - z), 0.5) ** -0.5
    normal = np.array([-plane[0], -plane[1], 1.0])
    return normal / np.linalg.norm(normal)


if __name__ == "__main__":
    main()
