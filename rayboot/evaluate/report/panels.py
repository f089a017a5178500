"""Panels: photo, every model's shape, and the truth coloured by its distance to them."""

import textwrap
from collections.abc import Sequence

import cv2
import matplotlib
import matplotlib.cm
import matplotlib.colors
import matplotlib.figure
import numpy as np

from rayboot.evaluate.report.examples import EvaluatedFace, Example
from rayboot.evaluate.report.plots import png_of, round_up
from rayboot.evaluate.report.rasterizer import rasterize, shade
from rayboot.geometry.camera import rotation_yaw_pitch
from rayboot.geometry.mesh import Mesh

__all__ = ["ERROR_COLORS", "draw_panels", "error_limit"]

ERROR_COLORS = "YlOrRd"
"""Colour map of distances: it darkens all the way, so that no colour vision misses it, and is
pale where there is none, so that the form can be seen."""

_SIZE = 180
"""Width of a picture, px; drawn at twice that and averaged, for smooth edges."""

_PAPER = 1.0
_LETTERS = 22
"""That fit beside a picture."""

_DISC, _RIM = 0.017, 0.004
"""Radius of a true point's disc and width of its rim, of a picture's width."""

_RELIEF = 0.45
"""How much of the shading is left on the coloured truth: enough to see the form."""


def error_limit(examples: Sequence[Example], models: Sequence[str]) -> float:
    """Where the common scale of distances ends, %: 98 of 100 points shown lie below."""
    distances = [example.seen[model].distances for example in examples for model in models
             if model in example.seen]  # fmt: skip
    return round_up(100 * float(np.quantile(np.concatenate(distances), 0.98))) if distances else 1.0


def draw_panels(examples: Sequence[Example], models: Sequence[str]) -> bytes:
    """A picture (PNG): a column a face, from the photo down to the errors of first and last model.

    Every shape is drawn as the camera sees it; the first and the last also turned back to the
    front: it is there that a profile's shape falls apart.

    Args:
        examples: faces, in the order of the columns.
        models: in order.
    """
    ends = list(dict.fromkeys([models[0], models[-1]]))
    limit, share = error_limit(examples, ends), _window(examples)
    rows: list[tuple[str, Sequence[np.ndarray | None]]]
    rows = [("photo", [_middle(example.photo, share) for example in examples])]
    for model in models:
        rows.append((model, [_shape(example, model, share) for example in examples]))
    for model in ends:
        back = [_shape(example, model, share, back=True) for example in examples]
        rows.append((f"{model},\nturned back", back))
    for model in ends:
        errors = [_error(example, model, share, limit) for example in examples]
        rows.append((f"truth by error\nof {model}", errors))
    return _compose(rows, [_title(example) for example in examples], limit)


def _title(example: Example) -> str:
    return f"yaw {example.yaw_deg:+.0f}°" if np.isfinite(example.yaw_deg) else "yaw unknown"


def _window(examples: Sequence[Example]) -> float:
    """The share of the crop's width, in its middle, that holds nearly all that is drawn."""
    reach = [
        np.quantile(np.abs(points[:, :2]), 0.995) / (seen.crop / 2)
        for example in examples
        for seen in example.seen.values()
        for points in (seen.mesh.vertices, seen.truth.vertices)
    ]
    return float(np.clip(1.1 * max(reach, default=1.0), 0.3, 1.0))


def _middle(photo: np.ndarray, share: float) -> np.ndarray:
    edge = round(photo.shape[0] * (1 - share) / 2)
    return photo[edge : photo.shape[0] - edge, edge : photo.shape[1] - edge]


def _shape(example: Example, model: str, share: float, *, back: bool = False) -> np.ndarray | None:
    seen = example.seen.get(model)
    if seen is None:
        return None
    mesh = seen.mesh
    if back:
        if not np.isfinite(example.yaw_deg):
            return None
        rotation = rotation_yaw_pitch(np.radians(-example.yaw_deg), 0.0)
        mesh = mesh._replace(vertices=(mesh.vertices - mesh.vertices.mean(axis=0)) @ rotation.T)
    grey = shade(mesh, rasterize(mesh, share * seen.crop, 2 * _SIZE))
    return _averaged(np.repeat(grey[..., None], 3, axis=-1))


def _error(example: Example, model: str, share: float, limit: float) -> np.ndarray | None:
    """The truth coloured by distance: its surface, or its points over the photo."""
    seen = example.seen.get(model)
    if seen is None:
        return None
    if seen.truth.triangles is None:
        return _points_on_photo(seen, share, limit)
    mesh = Mesh(seen.truth.vertices, seen.truth.triangles)
    raster = rasterize(mesh, share * seen.crop, 2 * _SIZE)
    light = 1 - _RELIEF + _RELIEF * shade(mesh, raster)
    return _averaged(_colored(raster.spread(100 * seen.distances), limit) * light[..., None])


def _colored(values: np.ndarray, limit: float) -> np.ndarray:
    """Colours (..., 3) in [0, 1] of distances in %."""
    return matplotlib.colormaps[ERROR_COLORS](np.clip(np.nan_to_num(values) / limit, 0, 1))[..., :3]


def _averaged(picture: np.ndarray) -> np.ndarray:
    """A picture (2 S, 2 S, 3) float with NaN outside, on paper, at half the size."""
    filled = np.where(np.isfinite(picture), picture, _PAPER)
    return filled.reshape(_SIZE, 2, _SIZE, 2, 3).mean(axis=(1, 3))


def _points_on_photo(seen: EvaluatedFace, share: float, limit: float) -> np.ndarray:
    """The photo in pale grey, and on it a disc for every true point, the worst on top."""
    size, window = 2 * _SIZE, share * seen.crop
    column = ((np.arange(size) + 0.5) * window / size + (seen.crop - window) / 2).astype(int)
    grey = seen.truth.image.mean(axis=-1)[np.ix_(column, column)] / 255
    picture = np.ascontiguousarray(np.repeat(0.55 + 0.45 * grey[..., None], 3, axis=-1))
    centres = (seen.truth.vertices[:, :2] * [1, -1] / window + 0.5) * size - 0.5
    colors = _colored(100 * seen.distances, limit)
    for number in np.argsort(seen.distances):
        for radius, color in ((_DISC + _RIM, (0.15,) * 3), (_DISC, colors[number].tolist())):
            # OpenCV takes sixteenths of pixels as whole numbers.
            column, row = np.rint(16 * centres[number]).astype(int).tolist()
            cv2.circle(picture, (column, row), round(16 * radius * size), color, -1, shift=4)
    return _averaged(picture)


def _compose(
    rows: Sequence[tuple[str, Sequence[np.ndarray | None]]], titles: Sequence[str], limit: float
) -> bytes:
    width, height = len(titles), len(rows)
    figure = matplotlib.figure.Figure(figsize=(1.0 + 1.6 * width, 0.9 + 1.6 * height), dpi=110)
    grid = figure.add_gridspec(
        height, width, left=0.9 / (1.0 + 1.6 * width), right=0.995, top=1 - 0.25 / (1.6 * height),
        bottom=0.62 / (0.9 + 1.6 * height), wspace=0.04, hspace=0.04,
    )  # fmt: skip
    for line, (name, pictures) in enumerate(rows):
        for place, picture in enumerate(pictures):
            axis = figure.add_subplot(grid[line, place])
            axis.set_axis_off()
            if picture is None:
                axis.text(0.5, 0.5, "nothing", ha="center", va="center", fontsize=9, color="0.4")
            else:
                axis.imshow(picture, interpolation="lanczos")
            if line == 0:
                axis.set_title(titles[place], fontsize=10)
            if place == 0:
                label = "\n".join(textwrap.fill(line, _LETTERS) for line in name.split("\n"))
                axis.text(
                    -0.06, 0.5, label, transform=axis.transAxes, fontsize=9, rotation=90,
                    ha="right", va="center", parse_math=False,
                )  # fmt: skip
    _add_scale(figure, limit, height)
    return png_of(figure)


def _add_scale(figure: matplotlib.figure.Figure, limit: float, height: int) -> None:
    total = 0.9 + 1.6 * height
    axis = figure.add_axes((0.3, 0.42 / total, 0.4, 0.11 / total))
    scale = matplotlib.cm.ScalarMappable(matplotlib.colors.Normalize(0, limit), ERROR_COLORS)
    bar = figure.colorbar(scale, cax=axis, orientation="horizontal", extend="max")
    bar.set_label("distance after ICP, % of the outer eye distance", fontsize=9)
    bar.ax.tick_params(labelsize=9)
