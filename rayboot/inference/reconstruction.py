"""The reconstruction of one face: its volume, and what follows from it, computed when asked for."""

import importlib
import os
import sys
from functools import cached_property
from pathlib import Path
from typing import cast, get_args

import numpy as np

from rayboot.data.images import encode_image
from rayboot.data.mesh_files import MESH_SUFFIXES, MeshFileKind, encode_face_mesh
from rayboot.data.obj_files import encode_face_obj
from rayboot.errors import DegenerateInputError, RequestError, ShapeError
from rayboot.geometry.camera import pixel_from_crop
from rayboot.geometry.crop import apply_affine, invert_affine
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.physical_size import MeshUnit
from rayboot.geometry.pose import FacePose, estimate_pose, landmarks_from_pose
from rayboot.inference.face_mesh import build_face_mesh
from rayboot.viewer import ViewedFace, make_face_page

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
        closeup: (T, T, 3) uint8 sRGB, what ``crop`` shows in the resolution of the photo; None
            where that is no finer.
    """

    def __init__(
        self,
        photo: str,
        model: str,
        crop: np.ndarray,
        crop_from_photo: np.ndarray,
        volume: np.ndarray,
        head_landmarks: np.ndarray | None = None,
        closeup: np.ndarray | None = None,
    ) -> None:
        self.photo, self.model = photo, model
        self.crop, self.crop_from_photo, self.volume = crop, crop_from_photo, volume
        self.closeup, self._head_landmarks = closeup, head_landmarks

    def __repr__(self) -> str:
        return f"<face of {self.photo} by {self.model}, volume {self.volume.shape}>"

    @cached_property
    def mesh(self) -> Mesh:
        """The closed surface, with ``vertices``, triangles ``faces`` and ``colors`` (N, 3) uint8.

        Colours are those of the photo. ``mesh.to_trimesh()`` makes it an object of
        the package trimesh.
        """
        return build_face_mesh(self.volume, self.crop)

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

    def encode(self, kind: MeshFileKind, unit: MeshUnit = "metre") -> bytes:
        """Returns the mesh with coloured vertices as the content of one file.

        Args:
            kind: ``glb``, ``ply`` or ``obj``; :meth:`encode_obj` is OBJ with a texture.
            unit: ``metre``, by the mean size of people's faces, or ``pixel`` of the crop.
        """
        return encode_face_mesh(self.mesh, kind, self.crop.shape[0], unit)

    def encode_obj(self, name: str = "face.obj", unit: MeshUnit = "metre") -> dict[str, bytes]:
        """Returns the mesh with the photo as its texture: the OBJ and the files it refers to.

        Args:
            name: name or path of the OBJ file.
            unit: as in :meth:`encode`.

        Returns:
            The content of each file by its name: ``face.obj``, ``face.mtl`` and
            ``face-texture.png``, in this order.
        """
        return encode_face_obj(self.mesh, self.crop, self.closeup, name, unit)

    def save(self, path: str | os.PathLike[str], unit: MeshUnit = "metre") -> None:
        """Writes the mesh with its colours; the suffix of the name chooses the kind of file.

        An OBJ has the photo as its texture, in two more files next to it: ``face.obj`` refers to
        ``face.mtl``, and that to ``face-texture.png``.

        Args:
            path: path or URI that ends in ``.glb``, ``.ply`` or ``.obj``; files are replaced.
            unit: as in :meth:`encode`; the file names it.

        Raises:
            RequestError: another suffix or unit, or the file cannot be written there.
        """
        from rayboot.io.storage import write_bytes

        name = os.fspath(path)
        suffix = Path(name).suffix.lower()
        if suffix not in MESH_SUFFIXES:
            raise RequestError(
                f"{name}: the name of a mesh file must end in {', '.join(MESH_SUFFIXES)}"
            )
        if unit not in get_args(MeshUnit):
            raise RequestError(f"unit must be one of {', '.join(get_args(MeshUnit))}, got {unit!r}")
        try:
            for file, content in self._encode_files(name, suffix, unit).items():
                write_bytes(file, content)
        except OSError as error:
            raise RequestError(
                f"{name}: cannot be written ({error}); give a path that is writable"
            ) from error

    def _encode_files(self, name: str, suffix: str, unit: MeshUnit) -> dict[str, bytes]:
        if suffix == ".obj":
            # The OBJ last, because it is complete only with what it refers to.
            return dict(reversed(self.encode_obj(name, unit).items()))
        return {name: self.encode(cast("MeshFileKind", suffix.removeprefix(".")), unit)}

    def to_html(self, *others: "Reconstruction") -> str:
        """Returns a page that shows the mesh; it needs no other file and no network.

        Args:
            others: further faces, one of which can be chosen on the page.
        """
        faces = [self, *others]
        # Numbered, because the faces of one photo have the same name.
        viewed = [face._view(f"{number}: {face.photo}") for number, face in enumerate(faces, 1)]
        return make_face_page(viewed, f"Face of {self.photo}")

    def _view(self, label: str) -> ViewedFace:
        mesh = self.mesh
        photo = None if self.closeup is None else encode_image(self.closeup, "jpeg")
        return ViewedFace(label, mesh.vertices, mesh.faces, mesh.colors, self.crop.shape[0], photo)

    def show(self, *others: "Reconstruction") -> None:
        """Shows the mesh, which can be turned: below the cell of a notebook, or in a browser.

        Args:
            others: further faces, as in :meth:`to_html`.
        """
        # Whoever works in a notebook has imported it; nothing else needs the package.
        ipython = sys.modules.get("IPython")
        shell = None if ipython is None else ipython.get_ipython()
        if shell is not None and hasattr(shell, "kernel"):
            display = importlib.import_module("IPython.display")
            # As the content of a cell's output: IPython's class HTML warns of frames.
            content = {"text/html": self._frame(*others), "text/plain": repr(self)}
            display.display(content, raw=True)
            return
        import tempfile
        import webbrowser

        with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False) as file:
            file.write(self.to_html(*others))
        if not webbrowser.open(Path(file.name).as_uri()):
            # A machine without a browser: the page can be copied from there.
            print(f"open {file.name} in a browser")

    def _repr_html_(self) -> str:
        """Returns what notebooks show for a face that is the value of a cell."""
        return self._frame()

    def _frame(self, *others: "Reconstruction") -> str:
        import html

        page = html.escape(self.to_html(*others), quote=True)
        style = "width:100%;max-width:720px;height:480px;border:0"
        return f'<iframe srcdoc="{page}" sandbox="allow-scripts" style="{style}"></iframe>'
