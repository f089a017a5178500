"""Reconstructed shapes of a few faces, as depth maps for pictures."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from rayboot.evaluate.benchmark import TrueFace
from rayboot.evaluate.config import EvaluateConfig
from rayboot.evaluate.faces import pick_by_yaw
from rayboot.evaluate.plots import plot_shapes
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.surface import extract_surface
from rayboot.geometry.volume import keep_largest_component
from rayboot.models import load_network
from rayboot.models.config import InferenceConfig
from rayboot.models.predictor import Predictor

__all__ = ["draw_examples", "surface_depth"]


def draw_examples(weights: Mapping[str, Path], config: EvaluateConfig, count: int = 7) -> bytes:
    """A picture (PNG) of photos and every model's shapes, from frontal faces to profiles.

    Each shape is shown as the camera sees it and turned back to the front: it is
    there that a profile's shape falls apart.

    Args:
        weights: local files by the models' names; all of one resolution.
        config: of the evaluation whose faces are shown.
        count: of faces.
    """
    networks = {name: load_network(path) for name, path in weights.items()}
    size = next(iter(networks.values())).config.resolution
    faces = pick_by_yaw(config, size, count)
    images = np.stack([face.image for face in faces])
    depths: dict[str, np.ndarray] = {}
    for name, network in networks.items():
        volumes = Predictor(network, InferenceConfig(), batch_size=8).predict(images)
        meshes = [_surface(volume) for volume in volumes]
        depths[name] = np.stack([surface_depth(mesh, size) for mesh in meshes])
        depths[f"{name},\nturned back"] = np.stack(
            [surface_depth(_turned_back(m, f), size) for m, f in zip(meshes, faces, strict=True)]
        )
    return plot_shapes(images, depths, _titles(faces))


def _titles(faces: Sequence[TrueFace]) -> list[str]:
    return [f"yaw {face.yaw_deg:+.0f}°" for face in faces]


def _surface(volume: np.ndarray) -> Mesh | None:
    if not (volume >= 0.5).any():
        return None
    return extract_surface(keep_largest_component(volume))


def _turned_back(mesh: Mesh | None, face: TrueFace) -> Mesh | None:
    if mesh is None:
        return None
    rotation = rotation_yaw_pitch(np.radians(-face.yaw_deg), 0.0)
    centre = mesh.vertices.mean(axis=0)
    return mesh._replace(vertices=(mesh.vertices - centre) @ rotation.T)


def surface_depth(mesh: Mesh | None, size: int) -> np.ndarray:
    """z (size, size) of the front of a surface, NaN where it is not; all NaN for None.

    Every triangle is sampled densely enough for a picture, not for measuring.
    """
    depth = np.full((size, size), -np.inf)
    if mesh is not None:
        corners = mesh.vertices[mesh.faces]
        points = np.concatenate([corners.mean(axis=1), *corners.transpose(1, 0, 2)])
        columns = np.rint(points[:, 0] + (size - 1) / 2).astype(int)
        rows = np.rint((size - 1) / 2 - points[:, 1]).astype(int)
        inside = (columns >= 0) & (columns < size) & (rows >= 0) & (rows < size)
        np.maximum.at(depth, (rows[inside], columns[inside]), points[inside, 2])
    return np.where(np.isfinite(depth), depth, np.nan)
