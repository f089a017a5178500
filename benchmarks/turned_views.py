"""Rotated views of synthetic photos beside photos of the same people who really turned.

A view and the photo of that pose should be cropped alike and look alike; what differs, a network
learns wrongly. Prints the scale of the crops of views relative to those of photos, the outer eye
distance in the crops of photos, and by how much models mistake the yaw of the photos; draws both
side by side.

    python -m benchmarks.turned_views --output runs/turned-views
"""

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from rayboot.data.images import decode_photo, encode_image
from rayboot.data.readers import list_photos
from rayboot.evaluate.metrics.nme import Comparison
from rayboot.evaluate.protocol import Protocol
from rayboot.geometry.camera import pixel_from_crop, rotation_yaw_pitch, transform_points
from rayboot.geometry.crop import apply_affine, landmark_crop, warp_photo
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.geometry.landmarks68 import OUTER_EYE_CORNERS
from rayboot.geometry.mesh import Mesh
from rayboot.models import load_network
from rayboot.models.network_config import InferenceConfig
from rayboot.models.predictor import Predictor
from rayboot.pipeline.dry_run import generate_in_process
from rayboot.pipeline.synthesize import synthesize
from rayboot.registry.model_names import BUILTIN_BASE, BUILTIN_COMPACT
from rayboot.registry.resolve import resolve_model
from rayboot.render import Renderer
from rayboot.render.contact_sheet import contact_sheet
from rayboot.rounds.demo import demo_config
from rayboot.synthesis.photo import render_photo
from rayboot.synthesis.sampling import draw_sample

YAWS_DEG = (20, 40, 60)
SIZE = 96
SEED = 5
NUM_ON_SHEET = 6


class TurnedPhoto(NamedTuple):
    """The photo of a person who turned.

    Attributes:
        crop: (S, S, 3) uint8.
        scale: of the crop, crop px per photo px.
        vertices: (T, 3) true front of the head, px of the crop.
        eye_distance: distance of the outer eye corners, px of the crop.
    """

    crop: np.ndarray
    scale: float
    vertices: np.ndarray
    eye_distance: float


def turn_person(number: int, yaw_deg: float, renderer: Renderer) -> TurnedPhoto:
    """Renders the photo of a person of the demo's near-frontal photos, turned by ``yaw_deg``."""
    config, model = demo_config(SEED).photos, load_head_model()
    sample = draw_sample(config, model, config.first_identity + number, 0)
    rotation = rotation_yaw_pitch(np.radians(yaw_deg), 0) @ sample.rotation
    photo = render_photo(sample._replace(rotation=rotation), model, renderer, config.photo_size)
    affine = landmark_crop(photo.landmarks, SIZE)
    head = transform_points(photo.photo_from_head, photo.head)
    places = apply_affine(affine, pixel_from_crop(head, config.photo_size, config.photo_size))
    middle, scale = (SIZE - 1) / 2, float(affine[0, 0])
    vertices = np.column_stack([places[:, 0] - middle, middle - places[:, 1], scale * head[:, 2]])
    corners = vertices[model.landmarks[list(OUTER_EYE_CORNERS)]]
    return TurnedPhoto(
        warp_photo(decode_photo(photo.jpeg), affine, SIZE),
        scale,
        vertices[model.front],
        float(np.linalg.norm(corners[0] - corners[1])),
    )


def yaw_errors(model: str, photos: list[TurnedPhoto]) -> np.ndarray:
    """Returns how far (N,) predicted shapes are turned beyond the true ones, degrees."""
    network = load_network(resolve_model(model).path)
    predictor = Predictor(network, InferenceConfig(), batch_size=16)
    volumes = predictor.predict(np.stack([photo.crop for photo in photos]))
    errors = []
    for photo, volume in zip(photos, volumes, strict=True):
        comparison = Comparison(
            extract_solid_surface(volume),
            Mesh(photo.vertices, load_head_model().front_faces),
            photo.eye_distance,
            Protocol(closest="surface"),
        )
        rotation = comparison.prediction_from_truth.rotation
        errors.append(np.degrees(np.arctan2(rotation[0, 2], rotation[2, 2])))
    return np.array(errors)


def describe(values: np.ndarray | list[float]) -> dict[str, float]:
    """Returns median and standard deviation."""
    return {"median": round(float(np.median(values)), 4), "sd": round(float(np.std(values)), 4)}


class Comparisons(NamedTuple):
    """Views of faces and photos of the same people, by yaw.

    Attributes:
        turned: photos of the people who turned.
        scales: scale of each view's crop relative to the photo's.
        rows: per face the source's crop, then view and photo of each yaw, (S, S, 3) uint8.
    """

    turned: dict[int, list[TurnedPhoto]]
    scales: dict[int, list[float]]
    rows: list[list[np.ndarray | None]]


def compare_views(faces: list[dict[str, Any]], renderer: Renderer) -> Comparisons:
    """Renders the photos that correspond to the views of faces, rows of a pairs data set."""
    found = Comparisons({yaw: [] for yaw in YAWS_DEG}, {yaw: [] for yaw in YAWS_DEG}, [])
    for face in faces:
        images: list[np.ndarray | None] = [decode_photo(face["image"])]
        for yaw in YAWS_DEG:
            person = turn_person(int(Path(face["face_id"]).stem), yaw, renderer)
            found.turned[yaw].append(person)
            view = next((v for v in face["views"] if round(v["yaw_deg"]) == yaw), None)
            images += [decode_photo(view["image"]) if view else None, person.crop]
            if view:
                linear = np.reshape(view["transform"], (3, 4))[:, :3]
                view_scale = np.cbrt(np.linalg.det(linear)) * face["crop"][0]
                found.scales[yaw].append(float(view_scale / person.scale))
        found.rows.append(images)
    return found


def summarise(found: Comparisons) -> dict[str, Any]:
    """Returns the figures that the script prints."""
    people = [person for persons in found.turned.values() for person in persons]
    return {
        "people": len(found.rows),
        "crop scale, view over photo": {yaw: describe(found.scales[yaw]) for yaw in YAWS_DEG},
        "outer eye distance over crop width": describe([p.eye_distance / SIZE for p in people]),
        "yaw beyond the truth, degrees": {
            model: {yaw: describe(yaw_errors(model, found.turned[yaw])) for yaw in YAWS_DEG}
            for model in (BUILTIN_COMPACT, BUILTIN_BASE)
        },
    }


def main() -> None:
    """Prints the figures and writes the sheet."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--people", type=int, default=40)
    args = parser.parse_args()
    torch.set_num_threads(1)
    config, folder = demo_config(SEED), str(args.output / "photos")
    photos = config.photos.replace(num_identities=args.people)
    synthesize(photos, folder, num_workers=1)
    faces = generate_in_process(config.generate, list_photos(folder), args.people)
    found = compare_views(faces, Renderer(photos.photo_size, supersample=2))
    columns = ["photo", *(f"{kind} {yaw}°" for yaw in YAWS_DEG for kind in ("view", "turned"))]
    sheet = contact_sheet(found.rows[:NUM_ON_SHEET], columns=columns)
    (args.output / "views.png").write_bytes(encode_image(sheet, "png"))
    figures = json.dumps(summarise(found), indent=1)
    (args.output / "figures.json").write_text(figures + "\n")
    print(figures)


if __name__ == "__main__":
    main()
