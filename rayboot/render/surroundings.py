"""What is around and behind the face: the photo on a sheet that turns with the head, or on a plane.

If the face stayed in the photo, a plane would show it flat behind the rotated
head, as a second face. It is therefore filled from its surroundings, smoothly at
every scale.
"""

from typing import Literal, assert_never

import cv2
import numpy as np

from rayboot.errors import DegenerateInputError
from rayboot.geometry.alignment import Similarity
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose
from rayboot.render.inpaint import inpaint
from rayboot.render.photo_charts import Rim
from rayboot.render.scene import Scene, TexturedSurface, textured_square
from rayboot.render.sheet import BACK, surround_with_sheet
from rayboot.render.texturing import ColorMode, texture_mesh
from rayboot.render.visibility import compute_visibility, silhouette_mask

__all__ = ["SurroundingsMode", "build_scene"]

SurroundingsMode = Literal["sheet", "plane", "photo", "none"]
"""``sheet``: the photo on a surface that continues the face to a whole head and shoulders;
``plane``: the photo on the backplane with the face inpainted and the borders extended;
``photo``: the unchanged photo on the backplane, as in the paper; ``none``: nothing."""

_GAP = 2.0
"""Distance between the rearmost vertex, or the sheet, and the plane, px."""

_TEMPLE_RIM, _JAW_RIM = 1.5, 3.0
"""Width of the rim of the face (px of a 96 px crop) whose pixels do not colour the sides of the
head: narrow at the temples, where the rim shows the hair that covers the sides, and wider at the
jaw, where it may show the background."""

_CHEEK_HEIGHT = -0.3
"""Height of the cheekbones in the mean head's frame, above which the temples begin."""

_HALF_WIDTH = 8.0
"""Half the plane's width in crops; this covers the image up to rotations of 80 degrees."""

_CANVAS_SIZE = 3
"""The texture's width in crops; the photo fills its middle. A mirrored photo instead would
show stripes where many crops of a rotated plane are visible side by side."""

_COARSENESS = 4
"""Factor by which the colours beyond the photo are coarser, for speed: they are smooth."""


def build_scene(
    mesh: Mesh, photo: np.ndarray, pose: FacePose, colors: ColorMode, mode: SurroundingsMode
) -> Scene:
    """Returns a reconstructed face in the photo's colours, with its surroundings.

    Seen from the camera of the crop it shows the photo.

    Args:
        mesh: surface of the solid, frame of the crop.
        photo: (S, S, 3) uint8 crop.
        pose: pose of the mesh.
        colors: colours of vertices that the camera does not see.
        mode: what surrounds the face.

    Raises:
        DegenerateInputError: a sheet is asked for, and the pose has no mean face to place it by
            or the face covers next to nothing of the crop.
    """
    if mode != "sheet":
        textured = texture_mesh(mesh, photo, pose, colors)
        return Scene(textured, _build_backplane(photo, mesh.vertices, pose, mode))
    if pose.mean_face is None:
        raise DegenerateInputError(
            "the pose contains no registered mean face, which places the sheet; estimate it with "
            "method='refined' or choose other surroundings than 'sheet'"
        )
    visibility = compute_visibility(mesh, photo.shape[0])
    rim = Rim(_rim_width(photo.shape[0], pose.mean_face), outer_width=0)
    textured = texture_mesh(mesh, photo, pose, colors, visibility, rim)
    canvas = _extend(photo)
    behind = pose.mean_face.apply(np.array([[0.0, 0.0, BACK]]))[0]
    depth = float((behind - pose.centroid) @ pose.gaze)
    plane = _textured_plane(canvas, depth - _GAP, pose, _HALF_WIDTH, _CANVAS_SIZE)
    face, sheet = surround_with_sheet(textured, canvas, visibility, pose.gaze, pose.mean_face)
    return Scene(face, (sheet, plane))


def _rim_width(size: int, mean_face: Similarity) -> np.ndarray:
    """Returns the width (S, S) of the rim at each pixel of the photo, px of a 96 px crop."""
    axis = np.arange(size) - (size - 1) / 2
    x, y = np.meshgrid(axis - mean_face.translation[0], -axis - mean_face.translation[1])
    up = mean_face.rotation[:, 1]
    height = (x * up[0] + y * up[1]) / mean_face.scale
    return np.where(height > _CHEEK_HEIGHT, _TEMPLE_RIM, _JAW_RIM)


def _build_backplane(
    photo: np.ndarray,
    vertices: np.ndarray,
    pose: FacePose,
    mode: Literal["plane", "photo", "none"],
) -> tuple[TexturedSurface, ...]:
    """Returns the plane behind the solid, orthogonal to the gaze, with the photo on it.

    The photo is projected along the camera's axis, so that the unrotated view
    shows it exactly where the photo does.

    Args:
        photo: (S, S, 3) uint8 crop.
        vertices: (N, 3) vertices of the solid, crop frame, px.
        pose: pose of the solid.
        mode: content of the texture; ``none`` returns nothing.
    """
    depth = float(((vertices - pose.centroid) @ pose.gaze).min()) - _GAP
    match mode:
        case "none":
            return ()
        case "photo":
            return (_textured_plane(photo, depth, pose, half_width=0.5, texture_size=1),)
        case "plane":
            hole = silhouette_mask(vertices, photo.shape[0], margin=round(photo.shape[0] / 24))
            texture = _extend(inpaint(photo, hole))
            return (_textured_plane(texture, depth, pose, _HALF_WIDTH, _CANVAS_SIZE),)
        case _:
            assert_never(mode)


def _textured_plane(
    texture: np.ndarray, depth: float, pose: FacePose, half_width: float, texture_size: int
) -> TexturedSurface:
    """Returns a plane orthogonal to the gaze as a square.

    Args:
        texture: (texture_size * S, texture_size * S, 3) uint8.
        depth: of the plane along the gaze, from the centroid, px.
        pose: pose of the solid.
        half_width: in crops.
        texture_size: in crops.
    """
    size = texture.shape[0] // texture_size
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * half_width * size
    # The plane is (p - centroid) . gaze = depth, solved for z at each corner's x and y.
    remainder = depth - (square - pose.centroid[:2]) @ pose.gaze[:2]
    z = pose.centroid[2] + remainder / pose.gaze[2]
    corners = np.column_stack([square, z])
    return textured_square(texture, corners, square / (texture_size * size) + 0.5)


def _extend(photo: np.ndarray) -> np.ndarray:
    """Returns the photo in the middle of a canvas ``_CANVAS_SIZE`` times its size, smoothly."""
    size = photo.shape[0]
    small = cv2.resize(
        photo, (size // _COARSENESS, size // _COARSENESS), interpolation=cv2.INTER_AREA
    )
    margin = small.shape[0] * (_CANVAS_SIZE - 1) // 2
    padding = ((margin, margin), (margin, margin))
    hole = np.pad(np.zeros(small.shape[:2], bool), padding, constant_values=True)
    extended = inpaint(np.pad(small, (*padding, (0, 0))), hole)
    canvas_px = _CANVAS_SIZE * size
    canvas = cv2.resize(extended, (canvas_px, canvas_px), interpolation=cv2.INTER_LINEAR)
    middle = slice(size * (_CANVAS_SIZE - 1) // 2, size * (_CANVAS_SIZE + 1) // 2)
    canvas[middle, middle] = photo
    return canvas
