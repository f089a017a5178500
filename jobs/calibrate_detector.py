"""Fits the map from a detected face to the crop by 68 landmarks, on photos with landmarks.

``python jobs/calibrate_detector.py 300W`` prints the constants of :mod:`rayboot.data.detector`,
fitted on one half of the photos, and their errors on the other half.
"""

import posixpath
import re
from typing import NamedTuple

import click
import numpy as np

from rayboot.data.detector import CropFit, Detection, FaceDetector, crop_from_detection
from rayboot.data.images import decode_photo
from rayboot.data.landmarks import read_landmarks
from rayboot.data.readers import list_photos
from rayboot.data.splits import assign_split
from rayboot.errors import FaceRejectedError, RequestError
from rayboot.geometry.crop import apply_affine, invert_affine, landmark_crop
from rayboot.io.storage import read_bytes

CROP = 192


class Sample(NamedTuple):
    """A face with landmarks that was detected."""

    landmarks: np.ndarray
    detection: Detection
    is_held_out: bool


class Photos(NamedTuple):
    """Results of the detector on a data set: detected faces, and ids of photos without one."""

    samples: list[Sample]
    missed: list[str]


def read_photos(uri: str, val_fraction: float = 0.5) -> Photos:
    """Detects the face with landmarks in every photo that has a landmark file."""
    detector, photos = FaceDetector(), Photos([], [])
    for row in list_photos(uri, include_test=True).to_pylist():
        if row["landmarks_uri"] is None:
            continue
        photo = decode_photo(read_bytes(row["source_uri"]))
        suffix = posixpath.splitext(row["landmarks_uri"])[1].lower()
        landmarks = read_landmarks(
            read_bytes(row["landmarks_uri"]), suffix, (photo.shape[1], photo.shape[0])
        )
        try:
            detection = _nearest(detector.detect(photo), landmarks)
        except FaceRejectedError:
            detection = None
        if detection is None:
            photos.missed.append(row["face_id"])
            continue
        # 300W appends the number of the face to the photo's name; all go to the same half.
        group = re.sub(r"_\d\d?$", "", posixpath.splitext(row["face_id"])[0])
        held_out = assign_split(group, 0, val_fraction) == "val"
        photos.samples.append(Sample(landmarks, detection, held_out))
    return photos


def _nearest(faces: list[Detection], landmarks: np.ndarray) -> Detection | None:
    """Returns the detection nearest to the landmarks among those inside their box."""
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    inside = [face for face in faces if ((low < face.centre) & (face.centre < high)).all()]
    middle = landmarks.mean(axis=0)
    return min(inside, key=lambda face: np.linalg.norm(face.centre - middle), default=None)


def fit_crop(samples: list[Sample]) -> CropFit:
    """Fits by least squares, without a constant in x because faces are symmetric on average."""
    size = np.array([sample.detection.size for sample in samples])
    middle = np.array([sample.detection.centre for sample in samples])
    keypoints = np.array([sample.detection.keypoints.mean(axis=0) for sample in samples])
    centre = np.array([sample.landmarks.mean(axis=0) for sample in samples])
    marked = [np.sqrt(np.prod(np.ptp(sample.landmarks, axis=0))) for sample in samples]
    (towards_x, towards_y), (x, y) = ((keypoints - middle).T / size, (centre - middle).T / size)
    design = np.column_stack([towards_y, np.ones(len(samples))])
    (share_y, below), *_ = np.linalg.lstsq(design, y, rcond=None)
    return CropFit(
        keypoint_fraction_x=round(float(towards_x @ x / (towards_x @ towards_x)), 3),
        keypoint_fraction_y=round(float(share_y), 3),
        offset_y=round(float(below), 3),
        landmark_size=round(float(np.exp(np.mean(np.log(marked / size)))), 3),
    )


def crop_errors(samples: list[Sample], fit: CropFit) -> np.ndarray:
    """Returns errors (N, 2) in percent: of the centre by the crop's width, and of the scale."""
    errors = []
    for sample in samples:
        truth = landmark_crop(sample.landmarks, CROP)
        predicted = crop_from_detection(sample.detection, CROP, fit)
        middle = np.full((1, 2), (CROP - 1) / 2)
        shift = apply_affine(truth, apply_affine(invert_affine(predicted), middle)) - middle
        scale = predicted[0, 0] / truth[0, 0]
        errors.append((100 * np.linalg.norm(shift) / CROP, 100 * abs(scale - 1)))
    return np.array(errors)


@click.command()
@click.argument("uri")
def main(uri: str) -> None:
    """Fits on half of the photos at URI, which have landmark files of the same name."""
    try:
        photos = read_photos(uri)
    except RequestError as error:
        raise click.UsageError(str(error)) from error
    held_out = [sample for sample in photos.samples if sample.is_held_out]
    fitted = [sample for sample in photos.samples if not sample.is_held_out]
    if len(fitted) < 10 or len(held_out) < 10:
        raise click.UsageError(
            f"{uri}: at least 20 detected faces are needed, 10 in each half; found "
            f"{len(photos.samples)}"
        )
    fit = fit_crop(fitted)
    click.echo(f"fitted on {len(fitted)} faces, {len(photos.missed)} photos missed: {fit}")
    for name, errors in zip(("centre", "scale"), crop_errors(held_out, fit).T, strict=True):
        median, high = np.percentile(errors, (50, 95))
        click.echo(
            f"{name}, {len(held_out)} held out: median {median:.2f} %, 95th percentile {high:.2f} %"
        )


if __name__ == "__main__":
    main()
