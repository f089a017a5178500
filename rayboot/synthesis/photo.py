"""A photograph of a synthetic head, and where its face lies in it."""

from typing import NamedTuple

import cv2
import numpy as np

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.head_model import HeadModel
from rayboot.geometry.mesh import Mesh
from rayboot.render import Backplane, Renderer, Scene
from rayboot.synthesis.appearance import grow_hair, paint_head
from rayboot.synthesis.sampling import FaceSample

__all__ = ["Photo", "take_photo"]

_FACE_SHARE = 0.24
"""Outer eye distance of a face of scale 1, as a share of the photo's width."""


class Photo(NamedTuple):
    """A photo and the geometry behind it.

    Attributes:
        jpeg: bytes.
        landmarks: (68, 2) float64, column and row of the photo.
        head: (N, 3) float32, vertices without hair, head's frame.
        photo_from_head: (3, 4), to x, y, z of the photo's frame, px.
    """

    jpeg: bytes
    landmarks: np.ndarray
    head: np.ndarray
    photo_from_head: np.ndarray


def take_photo(sample: FaceSample, model: HeadModel, renderer: Renderer, size: int) -> Photo:
    """Renders one sample.

    Args:
        sample: what to show.
        model: of the head.
        renderer: of ``size`` px.
        size: width and height of the photo, px.
    """
    head = model.vertices(sample.identity, sample.expression)
    scale = _FACE_SHARE * size * sample.scale
    # About the middle of the face, which lies below and before the eyes' line.
    centre = sample.rotation @ np.array([0.0, -0.35, -0.3])
    shift = np.append(sample.shift * size, 0.0) - scale * centre
    photo_from_head = np.column_stack([scale * sample.rotation, shift])
    haired = grow_hair(head, sample, model) @ photo_from_head[:, :3].T + shift
    mesh = Mesh(haired, model.faces, paint_head(haired, sample, model))
    rng = np.random.default_rng(sample.texture_seed + 1)
    backdrop = _backdrop(rng, size)
    mesh = _join(mesh, _shoulders(rng, sample, photo_from_head))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    depth = np.full((4, 1), haired[:, 2].min() - 4 * size)
    plane = Backplane(backdrop, np.hstack([corners, depth]), corners / size + 0.5)
    image = renderer.render(Scene(mesh, plane), [np.eye(3, 4)])[0]
    points = head[model.landmarks] @ photo_from_head[:, :3].T + shift
    return Photo(
        _develop(image, sample, rng), pixel_from_crop(points, size, size), head, photo_from_head
    )


def _develop(image: np.ndarray, sample: FaceSample, rng: np.random.Generator) -> bytes:
    picture: np.ndarray = image.astype(np.float32)
    if sample.blur > 0:
        picture = cv2.GaussianBlur(picture, (0, 0), sample.blur)
    if sample.noise > 0:
        picture = picture + rng.normal(0, sample.noise, picture.shape).astype(np.float32)
    pixels = np.clip(np.rint(picture), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, sample.jpeg_quality]
    return cv2.imencode(".jpg", pixels[:, :, ::-1], quality)[1].tobytes()


def _backdrop(rng: np.random.Generator, size: int) -> np.ndarray:
    """A blurred something: noise at several scales, sometimes bars, over a gradient."""
    picture: np.ndarray = np.zeros((size, size, 3), np.float32)
    for cells in (2, 4, 9, 24):
        layer = rng.random((cells, cells, 3)).astype(np.float32) - 0.5
        # Rooms and streets are mostly grey.
        grey = layer.mean(axis=2, keepdims=True)
        layer = 1.6 * grey + rng.uniform(0, 0.6) * (layer - grey)
        weight = rng.uniform(0, 1.2) / np.sqrt(cells)
        picture += weight * cv2.resize(layer, (size, size), interpolation=cv2.INTER_CUBIC)
    if rng.random() < 0.35:
        bars = np.sign(np.sin(np.linspace(0, rng.uniform(8, 40), size) + rng.uniform(0, 6)))
        pattern = bars[None, :, None] if rng.random() < 0.6 else bars[:, None, None]
        picture += rng.uniform(0.03, 0.2) * pattern.astype(np.float32)
    picture += (rng.uniform(0.15, 0.85) + rng.uniform(-0.12, 0.12, 3)).astype(np.float32)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.5, 4.0))
    return np.clip(255 * picture, 0, 255).astype(np.uint8)


def _shoulders(rng: np.random.Generator, sample: FaceSample, photo_from_head: np.ndarray) -> Mesh:
    """A dressed torso below the neck, half as turned as the head is."""
    across, up = np.meshgrid(np.linspace(0, 2 * np.pi, 25), np.linspace(0, 1, 9))
    radius = np.sin(np.pi / 2 * np.clip(up * 1.02, 0, 1))
    points = np.stack(
        [
            2.1 * radius * np.cos(across),
            -1.25 - 1.7 * (1 - np.cos(np.pi / 2 * up)),
            -0.8 + 0.9 * radius * np.sin(across),
        ],
        axis=-1,
    ).reshape(-1, 3)
    index = np.arange(points.shape[0]).reshape(up.shape)
    a, b, c, d = index[:-1, :-1], index[:-1, 1:], index[1:, 1:], index[1:, :-1]
    faces = np.concatenate(
        [np.stack([a, b, c], -1).reshape(-1, 3), np.stack([a, c, d], -1).reshape(-1, 3)]
    )
    shade = rng.uniform(0.5, 0.9) + 0.25 * np.sin(points @ rng.normal(0, 3, 3))
    colors = np.clip(255 * sample.appearance.cloth * shade[:, None] * sample.light.tint, 0, 255)
    vertices = points @ photo_from_head[:, :3].T + photo_from_head[:, 3]
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), colors.astype(np.uint8))


def _join(first: Mesh, second: Mesh) -> Mesh:
    return Mesh(
        np.concatenate([first.vertices, second.vertices]).astype(np.float32),
        np.concatenate([first.faces, second.faces + len(first.vertices)]).astype(np.int32),
        np.concatenate([first.colors, second.colors]),
    )
