"""Rendering a photo of a synthetic head."""

from typing import NamedTuple

import cv2
import numpy as np

from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.head_model import HeadModel
from rayboot.geometry.mesh import Mesh
from rayboot.render import Renderer, Scene, textured_square
from rayboot.synthesis.appearance import grow_hair, paint_head
from rayboot.synthesis.backgrounds import Backgrounds, draw_background
from rayboot.synthesis.sampling import FaceSample

__all__ = ["Photo", "render_photo"]

_EYE_DISTANCE = 0.24
"""Outer eye distance of a face of scale 1, as a fraction of the photo's width."""


class Photo(NamedTuple):
    """A photo and the geometry that it shows.

    Attributes:
        jpeg: bytes of the JPEG file.
        landmarks: (68, 2) float64, column and row in the photo.
        head: (N, 3) float32, vertices without hair, in the head's frame.
        photo_from_head: (3, 4), from the head's frame to the photo's, px.
    """

    jpeg: bytes
    landmarks: np.ndarray
    head: np.ndarray
    photo_from_head: np.ndarray


def render_photo(
    sample: FaceSample,
    model: HeadModel,
    renderer: Renderer,
    size: int,
    backgrounds: Backgrounds | None = None,
) -> Photo:
    """Renders the photo of a sample.

    Args:
        sample: identity, pose, light and all else that the photo shows.
        model: head model.
        renderer: renderer of ``size`` px.
        size: width and height of the photo, px.
        backgrounds: photographs that most backgrounds are cut from; None draws them all.
    """
    head = model.vertices(sample.identity, sample.expression)
    scale = _EYE_DISTANCE * size * sample.scale
    # The photo is centred on the middle of the face, which is below the eyes.
    centre = sample.rotation @ np.array([0.0, -0.35, -0.3])
    shift = np.append(sample.shift * size, 0.0) - scale * centre
    photo_from_head = np.column_stack([scale * sample.rotation, shift])
    vertices = grow_hair(head, sample, model) @ photo_from_head[:, :3].T + shift
    mesh = Mesh(vertices, model.faces, paint_head(vertices, sample, model))
    rng = np.random.default_rng(sample.texture_seed + 1)
    background = draw_background(rng, size, backgrounds)
    mesh = _merge(mesh, _shoulders(rng, sample, photo_from_head))
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    depth = np.full((4, 1), vertices[:, 2].min() - 4 * size)
    plane = textured_square(background, np.hstack([corners, depth]), corners / size + 0.5)
    image = renderer.render(Scene(mesh, (plane,)), [np.eye(3, 4)])[0]
    points = head[model.landmarks] @ photo_from_head[:, :3].T + shift
    return Photo(
        _encode(image, sample, rng), pixel_from_crop(points, size, size), head, photo_from_head
    )


def _encode(image: np.ndarray, sample: FaceSample, rng: np.random.Generator) -> bytes:
    """Blurs the image, adds noise and compresses it to JPEG."""
    degraded: np.ndarray = image.astype(np.float32)
    if sample.blur > 0:
        degraded = cv2.GaussianBlur(degraded, (0, 0), sample.blur)
    if sample.noise > 0:
        degraded = degraded + rng.normal(0, sample.noise, degraded.shape).astype(np.float32)
    pixels = np.clip(np.rint(degraded), 0, 255).astype(np.uint8)
    quality = [cv2.IMWRITE_JPEG_QUALITY, sample.jpeg_quality]
    return cv2.imencode(".jpg", pixels[:, :, ::-1], quality)[1].tobytes()


def _shoulders(rng: np.random.Generator, sample: FaceSample, photo_from_head: np.ndarray) -> Mesh:
    """Mesh of a clothed torso below the neck, in the pose of the head."""
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


def _merge(first: Mesh, second: Mesh) -> Mesh:
    return Mesh(
        np.concatenate([first.vertices, second.vertices]).astype(np.float32),
        np.concatenate([first.faces, second.faces + len(first.vertices)]).astype(np.int32),
        np.concatenate([first.colors, second.colors]),
    )
