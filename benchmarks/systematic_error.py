"""How much of a network's error on AFLW2000-3D is the same for all faces, by part of the face.

An error that all faces share is a difference between the faces that a network was trained on and
people, or between two definitions of a shape, and no training on more of the same faces removes it.

    python -m benchmarks.systematic_error --model builtin:compact --data data/faces/AFLW2000
"""

import argparse

import numpy as np
import torch

from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.metrics.registration import Surface
from rayboot.evaluate.protocol import Protocol
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.geometry.mesh import Mesh
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.registry.resolve import resolve_model

PARTS = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "mouth": slice(48, 68),
}


def residuals(model: str, data: str, part: str | None, max_yaw_deg: float) -> np.ndarray:
    """Returns truth minus prediction (F, 68, 3), % of the outer eye distance, frame of the truth.

    Args:
        model: name of the model.
        data: folder of AFLW2000-3D.
        part: part of the data set; None is all of it.
        max_yaw_deg: faces that are turned further are left out.
    """
    config = MeasureConfig(datasets={"photos": {"kind": "aflw2000", "data": data, "part": part}})
    dataset = config.datasets["photos"]
    listed = dataset.list_faces().rows.to_pylist()
    network = load_network(resolve_model(model).path)
    size = network.config.resolution
    rows = [row for row in listed if abs(row["yaw_deg"]) <= max_yaw_deg]
    faces = [dataset.read(row, size) for row in rows]
    predictor = Predictor(network, InferenceConfig(), batch_size=16)
    volumes = predictor.predict(np.stack([face.image for face in faces]))
    found = []
    for face, volume in zip(faces, volumes, strict=True):
        mesh = extract_solid_surface(volume)
        found.append(100 * _residual(mesh, face.vertices, face.interocular) / face.interocular)
    return np.stack(found)


def _residual(mesh: Mesh, truth: np.ndarray, interocular: float) -> np.ndarray:
    comparison = Comparison(mesh, truth, interocular, Protocol(closest="surface"))
    transform = comparison.prediction_from_truth
    points = transform.apply(truth)
    closest = Surface(mesh.vertices).closest(points, mesh.faces)
    return np.asarray((points - closest.point) @ transform.rotation)


def main() -> None:
    """Prints a table: the error of each part, and the length of its mean residual."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="builtin:compact")
    parser.add_argument("--data", required=True)
    parser.add_argument("--part", choices=["development", "report"])
    parser.add_argument("--max-yaw-deg", type=float, default=30.0)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    found = residuals(arguments.model, arguments.data, arguments.part, arguments.max_yaw_deg)
    error = np.linalg.norm(found, axis=2).mean(axis=0)
    shared = np.linalg.norm(found.mean(axis=0), axis=1)
    print(f"{len(found)} faces, % of the outer eye distance\n")
    print("| part | error | shared by all faces |\n|---|---|---|")
    for name, part in {"all": slice(0, 68), **PARTS}.items():
        print(f"| {name} | {error[part].mean():.2f} | {shared[part].mean():.2f} |")


if __name__ == "__main__":
    main()
