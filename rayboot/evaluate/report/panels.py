"""Panels: crop, every model's shape, and the truth coloured by its distance to the shapes."""

import textwrap
from collections.abc import Sequence

import cv2
import matplotlib
import matplotlib.cm
import matplotlib.colors
import matplotlib.figure
import numpy as np
from scipy import ndimage

from rayboot.evaluate.report.examples import EvaluatedFace, Example
from rayboot.evaluate.report.plots import encode_png, round_up
from rayboot.evaluate.report.rasterizer import rasterize, shade
from rayboot.geometry.camera import pixel_from_crop, rotation_yaw_pitch
from rayboot.geometry.mesh import Mesh

__all__ = ["ERROR_COLORMAP", "compute_error_limit", "draw_panels"]

ERROR_COLORMAP = "YlOrRd"
"""Colour map of distances. It darkens monotonically, so that it is readable with any colour vision,
and is pale at 0, so that the shading stays visible."""

_PANEL_SIZE = 180
"""Width of a panel, px. Panels are drawn at twice that size and averaged, for smooth edges."""

_BACKGROUND = 1.0
_MAX_LABEL_LETTERS = 22
"""Maximum number of letters in a line beside a panel."""

_DISC_RADIUS, _DISC_RIM = 0.017, 0.004
"""Radius of the disc of a true point and width of its rim, as fractions of a panel's width."""

_SIDE_YAW_DEG = 60.0
"""Yaw at which shapes are drawn from the side."""

_SHADING = 0.45
"""Strength of the shading on the coloured truth; the form stays visible."""


def compute_error_limit(examples: Sequence[Example], models: Sequence[str]) -> float:
    """Returns the end of the common scale of distances, %; 98 % of the points are below it."""
    distances = [
        example.evaluated[model].distances
        for example in examples
        for model in models
        if model in example.evaluated
    ]
    return round_up(100 * float(np.quantile(np.concatenate(distances), 0.98))) if distances else 1.0


def draw_panels(examples: Sequence[Example], models: Sequence[str]) -> bytes:
    """Draws a PNG with a column per face, from the crop down to the errors of two models.

    Every shape is drawn as the camera sees it. The shapes of the first and the last model are also
    drawn from the front and from the side, where the flaws of a shape are visible, and that of the
    last one with the photo's colours.

    Args:
        examples: Faces, in the order of the columns.
        models: Models in order.
    """
    ends = list(dict.fromkeys([models[0], models[-1]]))
    limit, fraction = compute_error_limit(examples, ends), _compute_window(examples)
    rows: list[tuple[str, Sequence[np.ndarray | None]]]
    rows = [("photo", [_cut_centre(example.crop, fraction) for example in examples])]
    for model in models:
        rows.append((model, [_draw_shape(example, model, fraction) for example in examples]))
    for label, yaw_deg in (("front", 0.0), ("side", _SIDE_YAW_DEG)):
        for model in ends:
            turned = [_draw_shape(example, model, fraction, yaw_deg) for example in examples]
            rows.append((f"{model},\n{label}", turned))
    textured = [_draw_textured(example, ends[-1], fraction) for example in examples]
    rows.append((f"{ends[-1]},\nside, with photo", textured))
    for model in ends:
        errors = [_draw_error(example, model, fraction, limit) for example in examples]
        rows.append((f"truth by error\nof {model}", errors))
    return _compose(rows, [_format_title(example) for example in examples], limit)


def _format_title(example: Example) -> str:
    # Rounded first: nearly 0 must not become -0.
    return f"yaw {round(example.yaw_deg):+d}°" if np.isfinite(example.yaw_deg) else "yaw unknown"


def _compute_window(examples: Sequence[Example]) -> float:
    """Returns the central fraction of the crop's width that holds nearly all that is drawn."""
    extents = [
        np.quantile(np.abs(points[:, :2]), 0.995) / (face.crop_size / 2)
        for example in examples
        for face in example.evaluated.values()
        for points in (face.mesh.vertices, face.truth.vertices)
    ]
    return float(np.clip(1.1 * max(extents, default=1.0), 0.3, 1.0))


def _cut_centre(crop: np.ndarray, fraction: float) -> np.ndarray:
    edge = round(crop.shape[0] * (1 - fraction) / 2)
    return crop[edge : crop.shape[0] - edge, edge : crop.shape[1] - edge]


def _draw_shape(
    example: Example, model: str, fraction: float, yaw_deg: float | None = None
) -> np.ndarray | None:
    """Draws a shape as the camera sees it, or at a given yaw."""
    face = example.evaluated.get(model)
    if face is None:
        return None
    mesh = face.mesh if yaw_deg is None else _turned(face.mesh, example.yaw_deg, yaw_deg)
    if mesh is None:
        return None
    grey = shade(mesh, rasterize(mesh, fraction * face.crop_size, 2 * _PANEL_SIZE))
    return _downsample(np.repeat(grey[..., None], 3, axis=-1))


def _draw_textured(example: Example, model: str, fraction: float) -> np.ndarray | None:
    """Draws a shape from the side in the colours of the photo."""
    face = example.evaluated.get(model)
    mesh = None if face is None else _turned(face.mesh, example.yaw_deg, _SIDE_YAW_DEG)
    if face is None or mesh is None:
        return None
    position = pixel_from_crop(face.mesh.vertices, face.crop_size, face.crop_size)
    column, row = position.clip(0, face.crop_size - 1).T
    channels = np.moveaxis(face.truth.image / 255, -1, 0)
    colors = np.stack([ndimage.map_coordinates(c, [row, column], order=1) for c in channels], -1)
    raster = rasterize(mesh, fraction * face.crop_size, 2 * _PANEL_SIZE)
    return _downsample(raster.interpolate(colors))


def _turned(mesh: Mesh, from_deg: float, to_deg: float) -> Mesh | None:
    """Returns the shape of a face of one yaw turned to another; None where the yaw is unknown."""
    if not np.isfinite(from_deg):
        return None
    # Away from the side that the photo shows: that side stays in sight.
    target = -to_deg if from_deg < 0 else to_deg
    rotation = rotation_yaw_pitch(np.radians(target - from_deg), 0.0)
    return mesh._replace(vertices=(mesh.vertices - mesh.vertices.mean(axis=0)) @ rotation.T)


def _draw_error(example: Example, model: str, fraction: float, limit: float) -> np.ndarray | None:
    """Draws the truth coloured by distance: its surface, or its points over the crop."""
    face = example.evaluated.get(model)
    if face is None:
        return None
    if face.truth.triangles is None:
        return _draw_points(face, fraction, limit)
    mesh = Mesh(face.truth.vertices, face.truth.triangles)
    raster = rasterize(mesh, fraction * face.crop_size, 2 * _PANEL_SIZE)
    light = 1 - _SHADING + _SHADING * shade(mesh, raster)
    colors = _error_colors(raster.interpolate(100 * face.distances), limit)
    return _downsample(colors * light[..., None])


def _error_colors(values: np.ndarray, limit: float) -> np.ndarray:
    """Returns the colours (..., 3) in [0, 1] of distances in %."""
    colormap = matplotlib.colormaps[ERROR_COLORMAP]
    return np.asarray(colormap(np.clip(np.nan_to_num(values) / limit, 0, 1))[..., :3])


def _downsample(image: np.ndarray) -> np.ndarray:
    """Halves an image (2 S, 2 S, 3) float, with the background where it is NaN."""
    filled = np.where(np.isfinite(image), image, _BACKGROUND)
    pixels = filled.reshape(_PANEL_SIZE, 2, _PANEL_SIZE, 2, 3)
    return np.asarray(pixels.mean(axis=(1, 3)))


def _draw_points(face: EvaluatedFace, fraction: float, limit: float) -> np.ndarray:
    """Draws the crop in pale grey with a disc for every true point, the worst on top."""
    size, window = 2 * _PANEL_SIZE, fraction * face.crop_size
    columns = ((np.arange(size) + 0.5) * window / size + (face.crop_size - window) / 2).astype(int)
    grey = face.truth.image.mean(axis=-1)[np.ix_(columns, columns)] / 255
    image = np.ascontiguousarray(np.repeat(0.55 + 0.45 * grey[..., None], 3, axis=-1))
    centres = (face.truth.vertices[:, :2] * [1, -1] / window + 0.5) * size - 0.5
    colors = _error_colors(100 * face.distances, limit)
    for index in np.argsort(face.distances):
        rim = _DISC_RADIUS + _DISC_RIM, (0.15,) * 3
        for radius, color in (rim, (_DISC_RADIUS, colors[index].tolist())):
            # OpenCV's integer coordinates are in sixteenths of a pixel (shift=4).
            column, row = np.rint(16 * centres[index]).astype(int).tolist()
            cv2.circle(image, (column, row), round(16 * radius * size), color, -1, shift=4)
    return _downsample(image)


def _compose(
    rows: Sequence[tuple[str, Sequence[np.ndarray | None]]], titles: Sequence[str], limit: float
) -> bytes:
    width, height = len(titles), len(rows)
    figure = matplotlib.figure.Figure(figsize=(1.0 + 1.6 * width, 0.9 + 1.6 * height), dpi=110)
    grid = figure.add_gridspec(
        height, width, left=0.9 / (1.0 + 1.6 * width), right=0.995, top=1 - 0.25 / (1.6 * height),
        bottom=0.62 / (0.9 + 1.6 * height), wspace=0.04, hspace=0.04,
    )  # fmt: skip
    for row_index, (name, panels) in enumerate(rows):
        for column_index, panel in enumerate(panels):
            axis = figure.add_subplot(grid[row_index, column_index])
            axis.set_axis_off()
            if panel is None:
                axis.text(0.5, 0.5, "nothing", ha="center", va="center", fontsize=9, color="0.4")
            else:
                axis.imshow(panel, interpolation="lanczos")
            if row_index == 0:
                axis.set_title(titles[column_index], fontsize=10)
            if column_index == 0:
                lines = name.split("\n")
                label = "\n".join(textwrap.fill(line, _MAX_LABEL_LETTERS) for line in lines)
                axis.text(
                    -0.06, 0.5, label, transform=axis.transAxes, fontsize=9, rotation=90,
                    ha="right", va="center", parse_math=False,
                )  # fmt: skip
    _add_scale(figure, limit, height)
    return encode_png(figure)


def _add_scale(figure: matplotlib.figure.Figure, limit: float, num_rows: int) -> None:
    total = 0.9 + 1.6 * num_rows
    axis = figure.add_axes((0.3, 0.42 / total, 0.4, 0.11 / total))
    scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, limit), ERROR_COLORMAP)
    bar = figure.colorbar(scale, cax=axis, orientation="horizontal", extend="max")
    bar.set_label("distance after ICP, % of the outer eye distance", fontsize=9)
    bar.ax.tick_params(labelsize=9)
