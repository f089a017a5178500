"""The reconstruction of one face: its volume, and what follows from it, computed when asked for."""

import importlib
import os
import sys
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np

from rayboot.data.mesh_files import MESH_SUFFIXES, encode_mesh
from rayboot.errors import DegenerateInputError, RequestError, ShapeError
from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.crop import apply_affine, invert_affine
from rayboot.geometry.isosurface import extract_solid_surface
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose, estimate_pose, landmarks_from_pose
from rayboot.render.texturing import color_vertices
from rayboot.render.viewer import make_viewer_page

__all__ = ["Reconstruction"]

_MIN_CONFIDENCE = 0.4
"""Confidence of the pose from which on it places landmarks; below, they are off by a quarter of
the outer eye distance and more (``benchmarks/landmarks.py``)."""


class Reconstruction:
    """The face that a model reconstructed from a photo.

    Lengths are pixels of the crop, in the frame of :mod:`rayboot.geometry.camera`: x to the right,
    y up, z towards the viewer, origin in the middle of the crop.

    Attributes:
        photo: name of the photo.
        model: name of the model, an alias replaced by the version that it pointed to.
        crop: (S, S, 3) uint8 sRGB, the part of the photo that the network saw.
        crop_from_photo: (2, 3) float64 affine from pixels of the photo to pixels of the crop.
        volume: (D, S, S) float32, occupancy in [0, 1]; slices are half a pixel thick and grow
            towards the viewer.
    """

    def __init__(
        self,
        photo: str,
        model: str,
        crop: np.ndarray,
        crop_from_photo: np.ndarray,
        volume: np.ndarray,
        head_landmarks: np.ndarray | None = None,
    ) -> None:
        self.photo, self.model = photo, model
        self.crop, self.crop_from_photo, self.volume = crop, crop_from_photo, volume
        self._head_landmarks = head_landmarks

    def __repr__(self) -> str:
        return f"<face of {self.photo} by {self.model}, volume {self.volume.shape}>"

    @cached_property
    def mesh(self) -> Mesh:
        """The closed surface, with ``vertices``, triangles ``faces`` and ``colors`` (N, 3) uint8.

        Colours are those of the photo. ``mesh.to_trimesh()`` makes it an object of
        the package trimesh.
        """
        # The face may have any pose, so no symmetry plane is estimated.
        return color_vertices(extract_solid_surface(self.volume), self.crop, None, "mirrored")

    @cached_property
    def pose(self) -> FacePose:
        """Axes of the face, its ``yaw_deg`` and ``pitch_deg``, and a ``confidence`` from 0 to 1.

        Faces that turn away by more than 45 degrees mostly have a confidence below 0.4.

        Raises:
            DegenerateInputError: the shape is flat.
        """
        return estimate_pose(self.mesh.vertices)

    @cached_property
    def landmarks(self) -> np.ndarray | None:
        """The 68 landmarks (68, 3) float32 in iBUG order, or None where they are not known.

        A regressor of the parametric head gives its own. For other models they are those of a mean
        face with the pose of this one, on the surface: features that differ from the mean are off.
        They are None where the confidence of the pose is below 0.4.
        """
        if self._head_landmarks is not None:
            return self._head_landmarks
        try:
            pose = self.pose
        except DegenerateInputError:
            return None
        if pose.confidence < _MIN_CONFIDENCE:
            return None
        from scipy.spatial import cKDTree

        vertices = self.mesh.vertices
        _, nearest = cKDTree(vertices).query(landmarks_from_pose(pose))
        return np.asarray(vertices[nearest], np.float32)

    def to_photo(self, points: np.ndarray) -> np.ndarray:
        """Returns where points of the face are in the photo.

        Args:
            points: (N, 3), such as ``mesh.vertices`` or ``landmarks``.

        Returns:
            (N, 2) float64, column and row in the photo, as it is shown upright.

        Raises:
            ShapeError: the points are not (N, 3).
        """
        points = np.asarray(points, np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ShapeError(f"expected points (N, 3), got {points.shape}")
        height, width = self.crop.shape[:2]
        pixels = pixel_from_crop(points, width, height)
        return apply_affine(invert_affine(self.crop_from_photo), pixels)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the mesh with its colours; the suffix of the name chooses the kind of file.

        Args:
            path: path or URI that ends in ``.glb``, ``.ply`` or ``.obj``; a file is replaced.

        Raises:
            RequestError: another suffix, or the file cannot be written there.
        """
        from rayboot.io.storage import write_bytes

        name = os.fspath(path)
        suffix = Path(name).suffix.lower()
        encode: dict[str, Callable[[], bytes]] = {
            ".glb": lambda: encode_mesh(self.mesh, "glb"),
            ".ply": lambda: encode_mesh(self.mesh, "ply"),
            ".obj": lambda: encode_mesh(self.mesh, "obj"),
        }
        if suffix not in encode:
            raise RequestError(
                f"{name}: the name of a mesh file must end in {', '.join(MESH_SUFFIXES)}"
            )
        try:
            write_bytes(name, encode[suffix]())
        except OSError as error:
            raise RequestError(
                f"{name}: cannot be written ({error}); give a path that is writable"
            ) from error

    def to_html(self) -> str:
        """Returns a page that shows the mesh; it needs no other file and no network."""
        return make_viewer_page(self.mesh, self.crop.shape[0], f"Face of {self.photo}")

    def show(self) -> None:
        """Shows the mesh, which can be turned: below the cell of a notebook, or in a browser."""
        # Whoever works in a notebook has imported it; nothing else needs the package.
        ipython = sys.modules.get("IPython")
        shell = None if ipython is None else ipython.get_ipython()
        if shell is not None and hasattr(shell, "kernel"):
            importlib.import_module("IPython.display").display(self)
            return
        import tempfile
        import webbrowser

        with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False) as file:
            file.write(self.to_html())
        if not webbrowser.open(Path(file.name).as_uri()):
            # A machine without a browser: the page can be copied from there.
            print(f"open {file.name} in a browser")

    def _repr_html_(self) -> str:
        """Returns what notebooks show for a face that is the value of a cell."""
        import html

        page = html.escape(self.to_html(), quote=True)
        style = "width:100%;max-width:720px;height:480px;border:0"
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="{style}"></iframe>'
