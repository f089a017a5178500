"""Render stage: a reconstructed face to its pose, its views and a row of the pairs data set."""

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
from rayboot.geometry.landmarks68 import NUM_JAW, lift_landmarks
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose, estimate_pose, landmarks_from_pose
from rayboot.geometry.surface_depth import (
    complete_surface_depth,
    measure_columns,
    pack_surface_depth,
)
from rayboot.geometry.views import View, plan_views, view_transform
from rayboot.geometry.volume import clipped_fraction, occupied_points, pack_occupancy
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.stages.records import Row, Solid, decode_solid, map_rows, table_to_rows
from rayboot.render import Renderer, Scene, TexturedMesh
from rayboot.render.relighting import draw_light, light_gain
from rayboot.render.surroundings import build_scene

__all__ = ["RenderViews", "RenderedFace", "reject_render", "render_face_views"]

_REJECT_COLUMNS = ("stage", "reason", "message", "thumbnail")


class RenderedFace(NamedTuple):
    """A face with its rendered views, before they are encoded.

    Attributes:
        occupied: (D, H, W) bool, the stored target.
        mesh: the surface that is rendered.
        pose: pose of the face, estimated from the mesh.
        views: the V views that were rendered.
        transforms: (3, 4) of each view, from the frame of the source crop to that of the view.
        clipped: fraction of each view's target that is outside the volume.
        images: (V, S, S, 3) uint8 renders.
        num_views_left_out: number of planned views whose clipping exceeds the limit.
    """

    occupied: np.ndarray
    mesh: Mesh
    pose: FacePose
    views: list[View]
    transforms: list[np.ndarray]
    clipped: list[float]
    images: np.ndarray
    num_views_left_out: int


class RenderViews:
    """Occupancy volume to pose, views and renders, one EGL renderer per actor.

    Reads    image, landmarks, occupancy, cells, box, columns, target_kind, target
    Gives    rows of :data:`rayboot.data.schema.PAIRS_SCHEMA`, faces and rejects

    Args:
        config: settings of the run.
        shape: (D, H, W) of the network's volume; renders are as large as its crops.
        model_version: identifier of the network, stored in every face.
        config_digest: digest of the config, stored in every face.
    """

    def __init__(
        self,
        config: GenerateConfig,
        shape: tuple[int, int, int],
        model_version: str,
        config_digest: str,
    ) -> None:
        self._config, self._shape = config, shape
        self._provenance = {
            "model_version": model_version,
            "round_index": config.round_index,
            "config_digest": config_digest,
        }
        self._renderer = Renderer(shape[2], render_device=config.pools.render_device)

    def __call__(self, table: pa.Table) -> pa.Table:
        """Renders the views of one batch of reconstructed faces."""
        rows = map_rows(table_to_rows(table), self._process)
        return pa.Table.from_pylist([self._finish(row) for row in rows], schema=PAIRS_SCHEMA)

    def _process(self, row: Row) -> Row:
        size = self._shape[2]
        crop = np.frombuffer(row["image"], np.uint8).reshape(size, size, 3)
        landmarks = row["landmarks"]
        if landmarks is not None:
            landmarks = np.frombuffer(landmarks, np.float64).reshape(68, 2)
        solid = decode_solid(row, self._shape, self._config.cell_px(size))
        try:
            face = render_face_views(
                crop, solid, landmarks, self._config, self._renderer, key=row["content_hash"]
            )
        except DegenerateInputError as error:
            raise FaceRejectedError("pose", "degenerate", str(error)) from error
        is_complete = face.occupied is solid.occupied
        columns = _measure_surface(row["columns"], face.occupied, is_complete)
        depth = pack_surface_depth(complete_surface_depth(columns, size))
        return {**self._encode(face, crop), "surface_depth": depth}

    def _encode(self, face: RenderedFace, crop: np.ndarray) -> Row:
        image_format = self._config.render.image_format
        return {
            "image": encode_image(crop, image_format),
            "occupancy": pack_occupancy(face.occupied),
            "shape": list(face.occupied.shape),
            "symmetry_normal": face.pose.symmetry_normal,
            "gaze": face.pose.gaze,
            "up": face.pose.up,
            "centroid": face.pose.centroid,
            "pose_confidence": face.pose.confidence,
            "num_views_left_out": face.num_views_left_out,
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
        reject_columns = dict.fromkeys(_REJECT_COLUMNS)
        return {**face, **reject_columns, "outcome": "face", "split": split, **self._provenance}


def reject_render(photo: pa.Table, reason: str, message: str) -> pa.Table:
    """Returns the reject of a photo (a table of one row) that ended the process of the stage."""
    (row,) = table_to_rows(photo)
    reject = _as_reject({**row, "stage": "render", "reason": reason, "message": message})
    return pa.Table.from_pylist([reject], schema=PAIRS_SCHEMA)


def _as_reject(row: Row) -> dict[str, Any]:
    names = ("face_id", "source_uri", "unused_landmarks", *_REJECT_COLUMNS)
    return {"outcome": "reject", **{name: row[name] for name in names}}


def render_face_views(
    crop: np.ndarray,
    solid: Solid,
    landmarks: np.ndarray | None,
    config: GenerateConfig,
    renderer: Renderer,
    key: str,
) -> RenderedFace:
    """Renders all views of one reconstructed face.

    Args:
        crop: (S, S, 3) uint8 crop.
        solid: the shape reconstructed from the crop.
        landmarks: (68, 2) column and row in the crop; None uses the landmarks of the mean
            face, aligned with the shape.
        config: settings of the run.
        renderer: renderer of images of S x S pixels.
        key: hexadecimal content hash of the photo; it seeds what is drawn at random.

    Raises:
        FaceRejectedError: the pose is uncertain or not near-frontal, or every view exceeds
            the limits on clipping and angles.
    """
    solid = solid.without_small_components()
    mesh = extract_coarse_surface(solid.cells, solid.occupied.shape, solid.cell, config.isovalue)
    pose = estimate_pose(mesh.vertices, landmarks=landmarks)
    _require_frontal(pose, config)
    landmarks_3d = _place_landmarks(landmarks, solid.occupied, pose)
    planned = _draw_lights(plan_views(pose.gaze, config.views), config, key)
    accepted = _filter_clipped(planned, solid, mesh, landmarks_3d, pose, config)
    if not accepted:
        raise FaceRejectedError(
            "pose",
            "no-view",
            f"each of the {len(planned)} planned views has more than max_clipped = "
            f"{config.max_clipped:g} of its target outside the volume"
            if planned
            else "no turn of this face keeps its gaze within the angles that `views` allows",
        )
    views, transforms, clipped = (list(values) for values in zip(*accepted, strict=True))
    scene = build_scene(mesh, crop, pose, config.render.colors, config.render.surroundings)
    images = renderer.render(scene, transforms, _light_gains(mesh, scene, views))
    num_views_left_out = len(planned) - len(views)
    return RenderedFace(
        solid.occupied, mesh, pose, views, transforms, clipped, images, num_views_left_out
    )


def _place_landmarks(
    landmarks: np.ndarray | None, occupied: np.ndarray, pose: FacePose
) -> np.ndarray:
    """Returns the landmarks (68, 3) on the shape, px, by which the turned face is cropped.

    The jaw gets the depth of the mean face. In the photo it coincides with the silhouette, where
    the front of the shape is before the jaw: lifted there, it would turn into a narrower box, and
    the face would be cropped too large.
    """
    mean = landmarks_from_pose(pose)
    if landmarks is None:
        return mean
    lifted = lift_landmarks(landmarks, occupied)
    lifted[:NUM_JAW, 2] = mean[:NUM_JAW, 2]
    return lifted


def _measure_surface(columns: bytes | None, occupied: np.ndarray, is_complete: bool) -> np.ndarray:
    """Returns front, back and peak (3, h, w) float32 of each column of a shape.

    Args:
        columns: the same of the network's field; None where it has none.
        occupied: (D, S, S) bool, the shape's voxels.
        is_complete: whether the shape is the network's; one that has lost its small components is
            measured in its voxels, in columns of the same width: a data set's maps have one size.
    """
    depth, _, size = occupied.shape
    flat = None if columns is None else np.frombuffer(columns, np.float32)
    side = size if flat is None else int(np.sqrt(flat.size / 3))
    if flat is not None and is_complete:
        return flat.reshape(3, side, side)
    step = size // side
    parts = occupied.reshape(depth, side, step, side, step)
    return measure_columns(parts.mean(axis=(2, 4), dtype=np.float32) - np.float32(0.5))


def _draw_lights(views: list[View], config: GenerateConfig, key: str) -> list[View]:
    """Returns views with a random light each, which depends on no other view.

    Without relighting in the config the views are returned unchanged.
    """
    if config.render.relighting == 0:
        return views
    seeds = [config.seed, config.round_index, int(key[:16], 16)]
    return [
        view._replace(
            light=draw_light(np.random.default_rng([*seeds, index]), config.render.relighting)
        )
        for index, view in enumerate(views)
    ]


def _light_gains(mesh: Mesh, scene: Scene, views: Sequence[View]) -> list[list[np.ndarray]] | None:
    """Returns the factors on the colours of face and surroundings in each view, if it has a light.

    A plane (a square) lies far behind the face and keeps its colours.
    """
    if all(view.light is None for view in views):
        return None
    face = vertex_normals(mesh.vertices, mesh.faces)
    source = scene.mesh.source_vertices if isinstance(scene.mesh, TexturedMesh) else slice(None)
    normals = [face[source]]
    normals += [
        vertex_normals(surface.vertices, surface.faces)
        for surface in scene.surroundings
        if len(surface.faces) > 2
    ]
    return [
        [light_gain(part @ view.rotation().T, view.light) for part in normals]
        for view in views
        if view.light is not None
    ]


def _filter_clipped(
    planned: Sequence[View],
    solid: Solid,
    mesh: Mesh,
    landmarks: np.ndarray,
    pose: FacePose,
    config: GenerateConfig,
) -> list[tuple[View, np.ndarray, float]]:
    """Returns the views whose target fits into the volume.

    Each comes with its transform (3, 4) and the fraction of its target that is clipped.
    """
    shape = solid.occupied.shape
    points = occupied_points(solid.occupied, stride=2 * max(solid.cell, 1))
    accepted = []
    for view in planned:
        transform = view_transform(
            view.rotation(),
            mesh.vertices,
            landmarks,
            pose.centroid,
            shape,
            recrop=config.views.recrop,
        )
        fraction = clipped_fraction(points, transform, shape)
        if fraction <= config.max_clipped:
            accepted.append((view, transform, fraction))
    return accepted


def _require_frontal(pose: FacePose, config: GenerateConfig) -> None:
    limits = config.selection
    if pose.confidence < limits.min_confidence:
        raise FaceRejectedError(
            "pose",
            "pose-uncertain",
            f"the pose confidence is {pose.confidence:.2f}, below the limit of "
            f"{limits.min_confidence:g}: the shape is not symmetric, or not a face",
        )
    yaw, pitch = np.degrees(gaze_angles(pose.gaze))
    if abs(yaw) > limits.max_yaw_deg or abs(pitch) > limits.max_pitch_deg:
        raise FaceRejectedError(
            "select",
            "not-frontal",
            f"the shape's yaw of {yaw:.0f} degrees and pitch of {pitch:.0f} degrees must be within "
            f"{limits.max_yaw_deg:g} and {limits.max_pitch_deg:g} degrees",
        )
