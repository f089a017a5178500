"""A synthetic AFLW2000-3D: photos, fits and their shape model, in the published layout."""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import scipy.io

from rayboot.geometry.head_model import load_head_model

NUM_SHAPE, NUM_EXPRESSION = 5, 3
WIDTH, HEIGHT = 200, 150


class SyntheticModel(NamedTuple):
    """Content of the licensed files; vertices (N, 3) are in micrometres."""

    mean: np.ndarray
    mean_expression: np.ndarray
    shape: np.ndarray
    expression: np.ndarray
    triangles: np.ndarray
    keypoints: np.ndarray

    @staticmethod
    def make() -> "SyntheticModel":
        """The synthetic head, with random basis vectors."""
        head, rng = load_head_model(), np.random.default_rng(0)
        count = 3 * len(head.mean)
        return SyntheticModel(
            9e4 * head.mean.astype(float),
            rng.normal(size=head.mean.shape) * 100,
            rng.normal(size=(count, NUM_SHAPE)),
            rng.normal(size=(count, NUM_EXPRESSION)),
            # Clockwise, as those of 3DDFA.
            head.faces[:, ::-1],
            head.landmarks,
        )

    def write(self, folder: Path) -> str:
        """Writes files as 3DDFA names them, with single and double precision mixed."""
        folder.mkdir(parents=True, exist_ok=True)
        scipy.io.savemat(
            folder / "Model_Shape.mat",
            {
                "mu_shape": self.mean.reshape(-1, 1).astype(np.float32),
                "w": self.shape,
                "sigma": np.full((self.shape.shape[1], 1), 7.0),
                "tri": self.triangles.T + 1.0,
                "keypoints": self.keypoints[None] + 1.0,
            },
        )
        scipy.io.savemat(
            folder / "Model_Exp.mat",
            {"mu_exp": self.mean_expression.reshape(-1, 1), "w_exp": self.expression},
        )
        return str(folder)


class SyntheticFit(NamedTuple):
    """Parameters fitted to a photo."""

    pose: np.ndarray
    shape: np.ndarray
    expression: np.ndarray

    @staticmethod
    def random(rng: np.random.Generator) -> "SyntheticFit":
        """Random parameters of a face of about 70 px."""
        angles, shift = rng.uniform(-0.6, 0.6, 3), [*rng.uniform(70, 130, 2), -60.0]
        return SyntheticFit(
            np.array([*angles, *shift, 4e-4]),
            rng.normal(size=NUM_SHAPE) * 1e3,
            rng.normal(size=NUM_EXPRESSION) * 1e3,
        )


def reference_projection(model: SyntheticModel, fit: SyntheticFit, height: int) -> np.ndarray:
    """Photo px (N, 3), counted from 1, rows down, by the literal formulas, vertex by vertex."""
    pitch, yaw, roll, tx, ty, tz, scale = (float(value) for value in fit.pose)
    c, s = np.cos, np.sin
    rx = [[1, 0, 0], [0, c(pitch), s(pitch)], [0, -s(pitch), c(pitch)]]
    ry = [[c(yaw), 0, -s(yaw)], [0, 1, 0], [s(yaw), 0, c(yaw)]]
    rz = [[c(roll), s(roll), 0], [-s(roll), c(roll), 0], [0, 0, 1]]
    rotation = np.matmul(np.matmul(rx, ry), rz)
    offsets = model.shape @ fit.shape + model.expression @ fit.expression
    projected = []
    for number, (mean, other) in enumerate(zip(model.mean, model.mean_expression, strict=True)):
        point = mean + other + offsets[3 * number : 3 * number + 3]
        x, y, z = (scale * sum(row[k] * point[k] for k in range(3)) for row in rotation)
        projected.append([x + tx, height + 1 - (y + ty), z + tz])
    return np.array(projected)


def write_fit(folder: Path, stem: str, landmarks: np.ndarray, fit: SyntheticFit) -> None:
    """Writes a photo of noise, its parameters and its landmarks (68, 3)."""
    folder.mkdir(parents=True, exist_ok=True)
    photo = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)
    cv2.imwrite(str(folder / f"{stem}.jpg"), photo)
    scipy.io.savemat(
        folder / f"{stem}.mat",
        {
            "pt3d_68": landmarks.T.astype(np.float32),
            "Pose_Para": fit.pose[None],
            "Shape_Para": fit.shape[:, None],
            "Exp_Para": fit.expression[:, None].astype(np.float32),
        },
    )
