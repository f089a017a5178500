"""What synthetic heads and solids are like: proportions, the error of a perfect prediction, depth.

python -m benchmarks.head_proportions
"""

import numpy as np

from rayboot.evaluate.metrics.registration import Surface
from rayboot.geometry.crop import landmark_crop
from rayboot.geometry.face_solid import build_face_solid, fill_soft_volume, solid_bounds
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.geometry.landmarks68 import depth_of_features
from rayboot.synthesis import SynthesisConfig
from rayboot.synthesis.sampling import FaceSample, draw_sample

SIZE, SLICES, NUM_HEADS = 96, 128, 200
CONFIG = SynthesisConfig(
    num_identities=NUM_HEADS,
    yaw={"kind": "uniform", "max_deg": 25},
    max_pitch_deg=20,
    max_roll_deg=20,
)
DEPTHS = (65, 84)
"""Depths of solids, px of a 192 px crop."""

NUM_SOLIDS = 20


def proportions(points: np.ndarray) -> dict[str, float]:
    """Returns proportions of landmarks (68, 3) in outer eye distances; z is the gaze."""
    points = points / np.linalg.norm(points[36] - points[45])
    tip, base = points[30], points[[31, 35]].mean(axis=0)
    return {
        "nose: projection over length": (tip - base)[2] / np.linalg.norm(tip - points[27]),
        "nasal tip to subnasale": float(np.linalg.norm(tip - points[33])),
        "subnasale to chin, height": points[33, 1] - points[8, 1],
        "width of the mouth": float(np.linalg.norm(points[48] - points[54])),
    }


def perfect_errors(head: np.ndarray, depth: float) -> np.ndarray:
    """Returns the distance (68,) of a frontal head's landmarks to its own solid, %."""
    model = load_head_model()
    landmarks = head[model.landmarks]
    scale = landmark_crop(landmarks[:, :2] * (1, -1), SIZE)[0, 0]
    solid = build_face_solid(head, model.faces, landmarks[:17], depth * SIZE / 192 / scale)
    transform = np.column_stack([scale * np.eye(3), np.zeros(3)])
    transform[:, 3] = -solid_bounds(solid, transform).mean(axis=0)
    mesh = extract_solid_surface(fill_soft_volume(solid, transform, (SLICES, SIZE, SIZE)))
    points = scale * landmarks + transform[:, 3]
    closest = Surface(mesh.vertices).closest(points, mesh.faces)
    return 100 * closest.distance / np.linalg.norm(points[36] - points[45])


def feature_depth(sample: FaceSample, depth: float) -> float:
    """Returns the mean z of a turned head's features, px, if its solid's extent is centred."""
    model = load_head_model()
    head = sample.vertices(model)
    landmarks = head[model.landmarks] @ sample.rotation.T
    scale = landmark_crop(landmarks[:, :2] * (1, -1), SIZE)[0, 0]
    solid = build_face_solid(
        head, model.faces, head[model.landmarks[:17]], depth * SIZE / 192 / scale
    )
    transform = np.column_stack([scale * sample.rotation, np.zeros(3)])
    return depth_of_features(scale * landmarks) - solid_bounds(solid, transform)[:, 2].mean()


def main() -> None:
    """Prints three tables."""
    model = load_head_model()
    samples = [draw_sample(CONFIG, model, identity, 0) for identity in range(NUM_HEADS)]
    neutral = [sample._replace(expression=0 * sample.expression) for sample in samples]
    heads = {
        "head model": [model.vertices(sample.identity, sample.expression) for sample in neutral],
        "with proportions": [sample.vertices(model) for sample in neutral],
    }
    measured = {
        name: [proportions(head[model.landmarks]) for head in part] for name, part in heads.items()
    }
    print("| outer eye distances, means |", " | ".join(heads), "|\n|---|---|---|")
    for key in measured["head model"][0]:
        means = (f"{np.mean([row[key] for row in rows]):.2f}" for rows in measured.values())
        print(f"| {key} |", " | ".join(means), "|")
    print("\n| error of a perfect prediction, % | all | jaw |\n|---|---|---|")
    for name, part in heads.items():
        for depth in DEPTHS:
            errors = np.stack([perfect_errors(head, depth) for head in part[:NUM_SOLIDS]])
            print(
                f"| {name}, solids of {depth} px | {errors.mean():.2f} "
                f"| {errors[:, :17].mean():.2f} |"
            )
    depths = [feature_depth(sample, DEPTHS[-1]) for sample in samples]
    print(f"\ndepth of the features where the extent is centred: sd {np.std(depths):.2f} px")


if __name__ == "__main__":
    main()
