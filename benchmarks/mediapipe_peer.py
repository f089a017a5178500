"""MediaPipe Face Mesh on AFLW2000-3D, measured by rayboot's protocol beside rayboot's networks.

MediaPipe (Apache-2.0) needs NumPy below 2, so it runs in an environment of its own; its wheel
contains its models. Three steps, each a command:

    python benchmarks/mediapipe_peer.py crops --photos data/faces/AFLW2000 --output runs/peer
    python -m venv runs/peer/env && runs/peer/env/bin/pip install mediapipe==0.10.14 "numpy<2"
    runs/peer/env/bin/python benchmarks/mediapipe_peer.py meshes --output runs/peer
    python benchmarks/mediapipe_peer.py compare --photos data/faces/AFLW2000 --output runs/peer \
        --model builtin:compact

A photo without a found face is tried again with more of its surroundings. ``--crops detector``
crops by the face detector instead of by the landmarks of the ground truth.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np

PADDINGS = (1.0, 1.6, 2.5)
"""Widths of the tried squares, as multiples of the crop."""

PHOTO_SIZE = 256
NUM_SUBDIVISIONS = 3
"""Each quarters the triangles: 854 become 54,656, as many vertices as an isosurface has."""

BANDS = ((0, 30), (30, 60), (60, 90))
CROP_SIZE = 96


def main() -> None:
    """Runs one of the three steps."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", choices=("crops", "meshes", "compare"))
    parser.add_argument("--photos", default="data/faces/AFLW2000")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--part", choices=("all", "development", "report"), default="all")
    parser.add_argument("--crops", choices=("truth", "detector"), default="truth")
    parser.add_argument("--model", action="append", default=[])
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    {"crops": write_crops, "meshes": write_meshes, "compare": compare}[arguments.step](arguments)


def read_dataset(photos: str, part: str) -> Any:
    """Returns AFLW2000-3D or a part of it."""
    from rayboot.evaluate.evaluation_config import MeasureConfig

    config = MeasureConfig(
        datasets={"AFLW2000-3D": {"kind": "aflw2000", "data": photos, "part": part}}
    )
    return config.datasets["AFLW2000-3D"]


def write_crops(arguments: argparse.Namespace) -> None:
    """Writes squares of every photo, and the affine from photo px to px of rayboot's crop."""
    from rayboot.data.detector import FaceDetector, crop_from_detection
    from rayboot.errors import FaceRejectedError
    from rayboot.geometry.crop import warp_photo

    dataset = read_dataset(arguments.photos, "all")
    detector = FaceDetector() if arguments.crops == "detector" else None
    names, squares, affines = [], [], []
    for row in dataset.list_faces().rows.to_pylist():
        fit = dataset.read_fit(row["face_id"], CROP_SIZE)
        affine = fit.affine
        if detector is not None:
            try:
                affine = crop_from_detection(detector.detect(fit.photo)[0], CROP_SIZE)
            except FaceRejectedError:
                continue
        names.append(row["face_id"])
        affines.append(affine)
        squares.append([warp_photo(fit.photo, pad(affine, p), PHOTO_SIZE) for p in PADDINGS])
    np.savez_compressed(
        arguments.output / "crops.npz",
        names=np.array(names),
        squares=np.array(squares, np.uint8),
        affines=np.array(affines),
    )
    print(f"{len(names)} photos")


def pad(affine: np.ndarray, padding: float) -> np.ndarray:
    """Returns the affine (2, 3) to a square that is ``padding`` times as wide, of PHOTO_SIZE px."""
    scale = PHOTO_SIZE / (CROP_SIZE * padding)
    shift = (PHOTO_SIZE - 1) / 2 - scale * (CROP_SIZE - 1) / 2
    return scale * np.asarray(affine) + [[0, 0, shift], [0, 0, shift]]


def write_meshes(arguments: argparse.Namespace) -> None:
    """Runs MediaPipe, and writes its points in px of the squares."""
    import mediapipe as mp

    data = np.load(arguments.output / "crops.npz")
    edges = mp.solutions.face_mesh.FACEMESH_TESSELATION
    points = np.full((len(data["names"]), 468, 3), np.nan)
    used = np.full(len(points), -1)
    with mp.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1) as mesh:
        for index, squares in enumerate(data["squares"]):
            for attempt, square in enumerate(squares):
                found = mesh.process(square).multi_face_landmarks
                if found:
                    values = [[p.x, p.y, p.z] for p in found[0].landmark[:468]]
                    points[index] = np.array(values) * PHOTO_SIZE
                    used[index] = attempt
                    break
    np.savez_compressed(
        arguments.output / "meshes.npz", points=points, used=used, triangles=triangles_of(edges)
    )
    print({str(k): int((used == k).sum()) for k in range(-1, len(PADDINGS))})


def triangles_of(edges: Any) -> np.ndarray:
    """Returns the triangles (F, 3) whose three edges all belong to the tesselation."""
    neighbours: dict[int, set[int]] = {}
    for first, second in edges:
        neighbours.setdefault(first, set()).add(second)
        neighbours.setdefault(second, set()).add(first)
    found = {
        tuple(sorted((a, b, c)))
        for a, near in neighbours.items()
        for b in near
        for c in near & neighbours[b]
    }
    return np.array(sorted(found))


def compare(arguments: argparse.Namespace) -> None:
    """Prints the errors of MediaPipe and of networks by band, on the same photos."""
    from rayboot.models import InferenceConfig, load_network
    from rayboot.models.predictor import Predictor
    from rayboot.registry.resolve import resolve_model

    crops, meshes = (dict(np.load(arguments.output / f"{n}.npz")) for n in ("crops", "meshes"))
    dataset = read_dataset(arguments.photos, arguments.part)
    index_of = {name: i for i, name in enumerate(crops["names"])}
    networks = {
        name: Predictor(load_network(resolve_model(name).path), InferenceConfig(), 1)
        for name in arguments.model
    }
    rows = []
    for row in dataset.list_faces().rows.to_pylist():
        index = index_of.get(row["face_id"])
        if index is None:
            continue
        face = read_face(dataset, row, crops["affines"][index])
        errors = {name: network_error(face, network) for name, network in networks.items()}
        used = int(meshes["used"][index])
        errors["MediaPipe"] = np.nan if used < 0 else peer_error(face, meshes, index)
        rows.append((abs(row["yaw_deg"]), used, errors))
    print_table(rows, [*networks, "MediaPipe"])


def read_face(dataset: Any, row: dict[str, Any], affine: np.ndarray) -> Any:
    """Returns a face with its truth in the frame of the crop that an affine (2, 3) cuts."""
    from rayboot.geometry.camera import crop_from_pixel
    from rayboot.geometry.crop import apply_affine, warp_photo

    fit, face = dataset.read_fit(row["face_id"], CROP_SIZE), dataset.read(row, CROP_SIZE)
    scale = float(np.sqrt(np.linalg.det(affine[:, :2] @ np.linalg.inv(fit.affine[:, :2]))))
    pixels = apply_affine(affine, fit.values["pt3d_68"][:2].T - 1)
    xy = crop_from_pixel(pixels, CROP_SIZE, CROP_SIZE)
    return face._replace(
        image=warp_photo(fit.photo, affine, CROP_SIZE),
        vertices=np.column_stack([xy, scale * face.vertices[:, 2]]),
        interocular=scale * face.interocular,
    )


def network_error(face: Any, network: Any) -> float:
    """Returns the NME of a network's shape."""
    from rayboot.evaluate.measure_faces import measure_face

    return float(measure_face(face, network.predict(face.image[None])[0]).nme_icp)


def peer_error(face: Any, meshes: dict[str, np.ndarray], index: int) -> float:
    """Returns the NME of MediaPipe's mesh, which is moved from px of its square to the crop's."""
    import trimesh

    from rayboot.evaluate.metrics.nme import Comparison
    from rayboot.evaluate.protocol import Protocol
    from rayboot.geometry.mesh import Mesh

    zoom = CROP_SIZE * PADDINGS[meshes["used"][index]] / PHOTO_SIZE
    middle = (PHOTO_SIZE - 1) / 2
    vertices = zoom * (meshes["points"][index] - [middle, middle, 0]) * [1, -1, -1]
    fine = trimesh.Trimesh(vertices, meshes["triangles"], process=False)
    for _ in range(NUM_SUBDIVISIONS):
        fine = fine.subdivide()
    mesh = Mesh(np.asarray(fine.vertices), np.asarray(fine.faces))
    return Comparison(mesh, face.vertices, face.interocular, Protocol()).nme()


def print_table(rows: list[Any], names: list[str]) -> None:
    """Prints the mean errors by band, of all photos and of those where MediaPipe finds a face."""
    yaws, used = (np.array([row[k] for row in rows]) for k in (0, 1))
    print("| |yaw| | faces | found at once, later, not | " + " | ".join(names) + " |")
    for low, high in BANDS:
        band = (yaws >= low) & (yaws <= high)
        counts = [
            int((used[band] == 0).sum()),
            int((used[band] > 0).sum()),
            int((used[band] < 0).sum()),
        ]
        for title, chosen in (("all", band), ("found at once", band & (used == 0))):
            cells = []
            for name in names:
                values = np.array([row[2][name] for row in rows])[chosen]
                cells.append(f"{100 * np.nanmean(values):.2f} ({np.isfinite(values).sum()})")
            print(
                f"| {low}-{high}, {title} | {int(chosen.sum())} | {counts} | "
                + " | ".join(cells)
                + " |"
            )


if __name__ == "__main__":
    main()
