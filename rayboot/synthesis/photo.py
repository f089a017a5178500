"""Rendering a photo of a synthetic head."""

from typing import NamedTuple

import numpy as np

from rayboot.geometry.camera import pixel_from_crop, transform_points
from rayboot.geometry.head_model import HeadModel
from rayboot.geometry.mesh import Mesh
from rayboot.render import Renderer, Scene, textured_square
from rayboot.synthesis.accessories import Glasses
from rayboot.synthesis.appearance import paint_head
from rayboot.synthesis.backgrounds import Backgrounds, draw_background
from rayboot.synthesis.clothes import build_shoulders
from rayboot.synthesis.degradation import encode_photo
from rayboot.synthesis.eyes import build_catchlights, build_irises
from rayboot.synthesis.facial_hair import grow_facial_hair
from rayboot.synthesis.glasses import (
    build_frame,
    build_lenses,
    lens_outlines,
    look_through_lenses,
)
from rayboot.synthesis.hair import grow_strands, thicken_scalp
from rayboot.synthesis.headwear import build_headwear, hide_hair
from rayboot.synthesis.held_objects import build_held_object
from rayboot.synthesis.perspective import PerspectiveCamera
from rayboot.synthesis.sampling import FaceSample
from rayboot.synthesis.shadows import cast_shadows
from rayboot.synthesis.surfaces import Surface, light_surface, merge_meshes
from rayboot.synthesis.teeth import build_teeth

__all__ = ["Photo", "render_photo"]

_EYE_DISTANCE = 0.24
"""Outer eye distance of a face of scale 1, as a fraction of the photo's width."""


class Photo(NamedTuple):
    """A photo and the geometry that it shows.

    Attributes:
        jpeg: bytes of the JPEG file.
        landmarks: (68, 2) float64, column and row in the photo.
        head: (N, 3) float32, vertices without hair, in the head's frame, as the camera shows them:
            they project to the photo without perspective.
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
    head = sample.vertices(model)
    scale = _EYE_DISTANCE * size * sample.scale
    # The photo is centred on the middle of the face, which is below the eyes.
    centre = sample.rotation @ np.array([0.0, -0.35, -0.3])
    shift = np.append(sample.shift * size, 0.0) - scale * centre
    photo_from_head = np.column_stack([scale * sample.rotation, shift])
    camera = PerspectiveCamera(sample.camera_distance * scale)
    rng = np.random.default_rng(sample.texture_seed + 1)
    background = draw_background(rng, size, backgrounds)
    mesh = _build_mesh(rng, head, sample, model, photo_from_head)
    mesh = mesh._replace(vertices=camera.project(mesh.vertices))
    mesh = _add_lens_tint(mesh, head, sample, model, photo_from_head, camera)
    corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * size / 2
    depth = np.full((4, 1), mesh.vertices[:, 2].min() - 4 * size)
    plane = textured_square(background, np.hstack([corners, depth]), corners / size + 0.5)
    image = renderer.render(Scene(mesh, (plane,)), [np.eye(3, 4)])[0]
    seen = _as_seen(head, photo_from_head, camera)
    points = seen[model.landmarks] @ photo_from_head[:, :3].T + shift
    return Photo(
        encode_photo(image, sample, rng), pixel_from_crop(points, size, size), seen, photo_from_head
    )


def _as_seen(
    head: np.ndarray, photo_from_head: np.ndarray, camera: PerspectiveCamera
) -> np.ndarray:
    """Returns the head (N, 3) float32 that looks without perspective as it does with it."""
    points = camera.project(transform_points(photo_from_head, head))
    back = np.linalg.inv(photo_from_head[:, :3])
    return np.asarray((points - photo_from_head[:, 3]) @ back.T, np.float32)


def _build_mesh(
    rng: np.random.Generator,
    head: np.ndarray,
    sample: FaceSample,
    model: HeadModel,
    photo_from_head: np.ndarray,
) -> Mesh:
    """Returns the person with all that is worn and held, in the photo's frame."""
    # Details have a generator of their own, so that other draws do not depend on them.
    details = np.random.default_rng(sample.texture_seed + 3)
    scalp = thicken_scalp(head, sample, model)
    strands = grow_strands(scalp, sample, model, photo_from_head)
    if sample.headwear is not None and strands is not None:
        strands, scalp = hide_hair(strands, scalp, head, sample.headwear, model, photo_from_head)
    accessories = [
        light_surface(surface, sample.lighting, photo_from_head)
        for surface in _build_accessories(details, head, sample, model)
    ]
    skin = _light_skin(scalp, accessories, sample, model, photo_from_head)
    surfaces = [
        build_shoulders(sample, rng, details),
        grow_facial_hair(head, sample, model, details),
        build_irises(head, sample, model),
        build_catchlights(head, sample, model),
        build_teeth(head, model),
    ]
    lit = [light_surface(s, sample.lighting, photo_from_head) for s in surfaces if s is not None]
    return merge_meshes([skin, *lit, *([strands] if strands else []), *accessories])


def _build_accessories(
    rng: np.random.Generator, head: np.ndarray, sample: FaceSample, model: HeadModel
) -> list[Surface]:
    """Returns what is worn and held, in the head's frame."""
    surfaces, glasses = [], _worn_glasses(sample)
    if sample.headwear is not None:
        surfaces.append(build_headwear(head, sample.headwear, model, rng))
    if sample.held_object is not None:
        skin = sample.appearance.skin
        surfaces.append(build_held_object(head, sample.held_object, skin, model, rng))
    if glasses is not None:
        surfaces.append(build_frame(head, glasses, model))
        lenses = build_lenses(head, glasses, model)
        surfaces += [] if lenses is None else [lenses]
    return surfaces


def _worn_glasses(sample: FaceSample) -> Glasses | None:
    return sample.appearance.glasses if sample.sunglasses is None else sample.sunglasses


def _light_skin(
    scalp: np.ndarray,
    accessories: list[Mesh],
    sample: FaceSample,
    model: HeadModel,
    photo_from_head: np.ndarray,
) -> Mesh:
    """Returns the coloured head in the photo's frame, with the shadows that are cast on it."""
    vertices = transform_points(photo_from_head, scalp).astype(np.float32)
    bare, shadow = Mesh(vertices, model.faces), None
    if sample.shadow:
        unit = float(np.cbrt(np.linalg.det(photo_from_head[:, :3])))
        direction = sample.lighting.lights[0].direction
        blocked = cast_shadows(vertices, [bare, *accessories], direction, unit)
        shadow = sample.shadow * blocked
    return bare._replace(colors=paint_head(vertices, sample, model, shadow))


def _add_lens_tint(
    mesh: Mesh,
    head: np.ndarray,
    sample: FaceSample,
    model: HeadModel,
    photo_from_head: np.ndarray,
    camera: PerspectiveCamera,
) -> Mesh:
    """Returns the projected mesh as it looks through the person's glasses."""
    glasses = _worn_glasses(sample)
    if glasses is None:
        return mesh
    outlines = lens_outlines(head, glasses, model)
    seen = camera.project(transform_points(photo_from_head, outlines.reshape(-1, 3)))
    light = sample.lighting.ambient + 0.5 * sample.lighting.lights[0].color
    return look_through_lenses(mesh, seen.reshape(outlines.shape), glasses, light)
