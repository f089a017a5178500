"""Pose, views and rendering: a reconstructed face to a row of the pairs data set."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from rayboot.data.images import encode_image
from rayboot.data.schema import PAIRS_SCHEMA
from rayboot.data.splits import assign_split
from rayboot.errors import DegenerateInputError, FaceRejectedError
from rayboot.geometry.camera import gaze_angles
from rayboot.geometry.isosurface import extract_coarse_surface, vertex_normals
from rayboot.geometry.landmarks68 import landmarks_from_pose, lift_landmarks
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose, estimate_pose
from rayboot.geometry.views import View, plan_views, view_transform
from rayboot.geometry.volume import clipped_fraction, occupied_points, pack_occupancy
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.stages.records import Row, Solid, decode_solid, map_rows, table_to_rows
from rayboot.render import Renderer, Scene
from rayboot.render.backplane import build_backplane
from rayboot.render.relighting import draw_light, light_gain
from rayboot.render.texturing import texture_mesh

__all__ = ["RenderViews", "RenderedFace", "reject_render", "render_face_views"]


class RenderedFace(NamedTuple):
    """A face with its views, before they are encoded.

    Attributes:
        occupied: (D, H, W) bool, the stored target.
        mesh: its surface, as drawn.
        pose: of it.
        views: those kept.
        transforms: (3, 4) of each.
        clipped: share of each target outside the volume.
        images: (V, S, S, 3) uint8.
        num_left_out: views over the bound on clipping.
    """

    occupied: np.ndarray
    mesh: Mesh
    pose: FacePose
    views: list[View]
    transforms: list[np.ndarray]
    clipped: list[float]
    images: np.ndarray
    num_left_out: int


class RenderViews:
    """Volume to pose, views and their renders, one EGL renderer per actor.

    Reads    image, landmarks, occupancy, cells, box, target_kind, target
    Gives    rows of :data:`rayboot.data.schema.PAIRS_SCHEMA`, faces and rejects
    """

    def __init__(
        self,
        config: GenerateConfig,
        shape: tuple[int, int, int],
        model_version: str,
        config_digest: str,
    ) -> None:
        self._config, self._shape = config, shape
        self._stamp = {
            "model_version": model_version,
            "round_index": config.round_index,
            "config_digest": config_digest,
        }
        self._renderer = Renderer(shape[2], render_device=config.pools.render_device)

    def __call__(self, table: pa.Table) -> pa.Table:
        """One batch of reconstructed faces."""
        rows = map_rows(table_to_rows(table), self._process)
        return pa.Table.from_pylist([self._finish(row) for row in rows], schema=PAIRS_SCHEMA)

    def _process(self, row: Row) -> Row:
        size = self._shape[2]
        photo = np.frombuffer(row["image"], np.uint8).reshape(size, size, 3)
        landmarks = row["landmarks"]
        if landmarks is not None:
            landmarks = np.frombuffer(landmarks, np.float64).reshape(68, 2)
        solid = decode_solid(row, self._shape, self._config.cell_px(size))
        try:
            face = render_face_views(
                photo, solid, landmarks, self._config, self._renderer, key=row["content_hash"]
            )
        except DegenerateInputError as error:
            raise FaceRejectedError("pose", "degenerate", str(error)) from error
        return self._encode(face, photo)

    def _encode(self, face: RenderedFace, photo: np.ndarray) -> Row:
        image_format = self._config.render.image_format
        return {
            "image": encode_image(photo, image_format),
            "occupancy": pack_occupancy(face.occupied),
            "shape": list(face.occupied.shape),
            "symmetry_normal": face.pose.symmetry_normal,
            "gaze": face.pose.gaze,
            "up": face.pose.up,
            "centroid": face.pose.centroid,
            "pose_confidence": face.pose.confidence,
            "num_views_left_out": face.num_left_out,
            "views": [
                {
                    "yaw_deg": view.yaw_deg,
                    "pitch_deg": view.pitch_deg,
                    "transform": transform.ravel(),
                    "view_gaze": view.gaze,
                    "light": view.light,
                    "clipped": clipped,
                    "image": encode_image(image, image_format),
                }
                for view, transform, clipped, image in zip(
                    face.views, face.transforms, face.clipped, face.images, strict=True
                )
            ],
        }

    def _finish(self, row: Row) -> dict[str, Any]:
        if row["reason"]:
            return _as_reject(row)
        split = assign_split(row["group_id"], self._config.seed, self._config.val_fraction)
        face = {name: value for name, value in row.items() if name in PAIRS_SCHEMA.names}
        dropped = dict.fromkeys(("stage", "reason", "message", "thumbnail"))
        return {**face, **dropped, "outcome": "face", "split": split, **self._stamp}


def reject_render(photo: pa.Table, reason: str, message: str) -> pa.Table:
    """The row of a photo (a table of one) whose turning ended the process."""
    (row,) = table_to_rows(photo)
    rejected = _as_reject({**row, "stage": "render", "reason": reason, "message": message})
    return pa.Table.from_pylist([rejected], schema=PAIRS_SCHEMA)


def _as_reject(row: Row) -> dict[str, Any]:
    kept = ("face_id", "source_uri", "stage", "reason", "message", "thumbnail")
    return {"outcome": "reject", **{name: row[name] for name in kept}}


def render_face_views(
    photo: np.ndarray,
    solid: Solid,
    landmarks: np.ndarray | None,
    config: GenerateConfig,
    renderer: Renderer,
    key: str,
) -> RenderedFace:
    """All views of one reconstructed face.

    Args:
        photo: (S, S, 3) uint8 crop.
        solid: its reconstruction.
        landmarks: (68, 2) column and row in the crop; None takes those of the
            mean face, laid onto the shape.
        config: of the run.
        renderer: of S pixels.
        key: hexadecimal, of the photo's content; what is drawn by chance depends on it.

    Raises:
        FaceRejectedError: the pose is not trusted or not near-frontal, or no view is left.
    """
    solid = solid.without_small_components()
    mesh = extract_coarse_surface(solid.cells, solid.occupied.shape, solid.cell, config.isovalue)
    pose = estimate_pose(mesh.vertices)
    _require_frontal(pose, config)
    if landmarks is None:
        lifted = landmarks_from_pose(pose)
    else:
        lifted = lift_landmarks(landmarks, solid.occupied)
    planned = _lit(plan_views(pose.gaze, config.views), config, key)
    kept = _views_inside(planned, solid, mesh, lifted, pose, config)
    if not kept:
        raise FaceRejectedError(
            "pose",
            "no-view",
            f"none of {len(planned)} planned views stays inside the volume and the angles allowed",
        )
    views, transforms, clipped = (list(values) for values in zip(*kept, strict=True))
    draped = texture_mesh(mesh, photo, pose, config.render.colors)
    scene = Scene(draped, build_backplane(photo, mesh.vertices, pose, config.render.surroundings))
    images = renderer.render(scene, transforms, _gains(mesh, draped.source_vertices, views))
    num_left_out = len(planned) - len(views)
    return RenderedFace(
        solid.occupied, mesh, pose, views, transforms, clipped, images, num_left_out
    )


def _lit(views: list[View], config: GenerateConfig, key: str) -> list[View]:
    """Views with a light each, where the run has that; a light depends on no other view."""
    if config.render.relighting == 0:
        return views
    seeds = [config.seed, config.round_index, int(key[:16], 16)]
    return [
        view._replace(
            light=draw_light(np.random.default_rng([*seeds, place]), config.render.relighting)
        )
        for place, view in enumerate(views)
    ]


def _gains(mesh: Mesh, origin: np.ndarray, views: Sequence[View]) -> list[np.ndarray] | None:
    """Factors on the colours of each view; None where no view has a light."""
    if all(view.light is None for view in views):
        return None
    normals = vertex_normals(mesh.vertices, mesh.faces)[origin]
    return [
        light_gain(normals @ view.rotation().T, view.light)
        for view in views
        if view.light is not None
    ]


def _views_inside(
    planned: Sequence[View],
    solid: Solid,
    mesh: Mesh,
    landmarks: np.ndarray,
    pose: FacePose,
    config: GenerateConfig,
) -> list[tuple[View, np.ndarray, float]]:
    """Views whose target the volume holds, with its transform and the share cut off."""
    shape = solid.occupied.shape
    inside = occupied_points(solid.occupied, stride=2 * max(solid.cell, 1))
    kept = []
    for view in planned:
        transform = view_transform(
            view.rotation(),
            mesh.vertices,
            landmarks,
            pose.centroid,
            shape,
            recrop=config.views.recrop,
        )
        share = clipped_fraction(inside, transform, shape)
        if share <= config.max_clipped:
            kept.append((view, transform, share))
    return kept


def _require_frontal(pose: FacePose, config: GenerateConfig) -> None:
    limits = config.selection
    if pose.confidence < limits.min_confidence:
        raise FaceRejectedError(
            "pose",
            "pose-uncertain",
            f"pose confidence {pose.confidence:.2f} is below {limits.min_confidence}: the shape "
            "is not symmetric, or no face",
        )
    yaw, pitch = np.degrees(gaze_angles(pose.gaze))
    if abs(yaw) > limits.max_yaw_deg or abs(pitch) > limits.max_pitch_deg:
        raise FaceRejectedError(
            "select",
            "not-frontal",
            f"the shape's yaw {yaw:.0f} and pitch {pitch:.0f} degrees exceed "
            f"{limits.max_yaw_deg:g} and {limits.max_pitch_deg:g}",
        )
