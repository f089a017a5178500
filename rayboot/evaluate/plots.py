"""Figures of a report, as PNG bytes."""

import io
from collections.abc import Mapping, Sequence

import matplotlib
import numpy as np

from rayboot.evaluate.benchmark import FaceError
from rayboot.evaluate.statistics import mean_interval

matplotlib.use("Agg")  # no display

import matplotlib.pyplot as plt  # noqa: E402

__all__ = ["plot_nme_against_yaw", "plot_shapes"]


def plot_nme_against_yaw(errors: Mapping[str, Sequence[FaceError]]) -> bytes:
    """ICP NME against |yaw| with 95 % intervals, one line a model.

    Args:
        errors: by the name of the model; yaws are grouped to the nearest 15 degrees.
    """
    figure, axis = plt.subplots(figsize=(6.4, 3.6), dpi=120)
    for name, faces in errors.items():
        yaw = np.array([abs(face.yaw_deg) for face in faces])
        value = np.array([100 * face.nme_icp for face in faces])
        groups = np.rint(yaw / 15) * 15
        kept = [g for g in np.unique(groups) if np.isfinite(value[groups == g]).any()]
        intervals = [mean_interval(value[(groups == g) & np.isfinite(value)]) for g in kept]
        line = axis.plot(kept, [i.mean for i in intervals], marker="o", label=name)[0]
        axis.fill_between(
            kept,
            [i.low for i in intervals],
            [i.high for i in intervals],
            color=line.get_color(),
            alpha=0.18,
            linewidth=0,
        )
    axis.set_xlabel("|yaw|, degrees")
    axis.set_ylabel("NME after ICP, % of outer eye distance")
    axis.set_ylim(bottom=0)
    axis.grid(alpha=0.3)
    axis.legend(frameon=False)
    return _png(figure)


def plot_shapes(
    images: np.ndarray, depths: Mapping[str, np.ndarray], titles: Sequence[str]
) -> bytes:
    """Photos, and below each the shapes of the models, shaded and seen as the camera sees them.

    Args:
        images: (N, S, S, 3) uint8.
        depths: by the name of the model, (N, S, S) float z of the front, NaN outside.
        titles: of the columns.
    """
    names = list(depths)
    figure, axes = plt.subplots(
        1 + len(names),
        len(images),
        figsize=(1.5 * len(images), 1.6 * (1 + len(names))),
        dpi=110,
        squeeze=False,
    )
    for column, image in enumerate(images):
        axes[0, column].imshow(image)
        axes[0, column].set_title(titles[column], fontsize=8)
        for row, name in enumerate(names, start=1):
            axes[row, column].imshow(_shade(depths[name][column]), cmap="gray", vmin=0, vmax=1)
            if column == 0:
                axes[row, 0].set_ylabel(name, fontsize=8)
    for axis in axes.ravel():
        axis.set_xticks([])
        axis.set_yticks([])
    figure.tight_layout(pad=0.4)
    return _png(figure)


def _shade(depth: np.ndarray) -> np.ndarray:
    """Lambert shading of a depth map, light from the upper left; white outside."""
    dy, dx = np.gradient(np.where(np.isfinite(depth), depth, np.nanmin(depth, initial=0.0)))
    normal = np.stack([-dx, dy, np.ones_like(dx)], axis=-1)
    normal /= np.linalg.norm(normal, axis=-1, keepdims=True)
    light = np.array([-0.4, 0.5, 0.8]) / np.linalg.norm([-0.4, 0.5, 0.8])
    return np.where(np.isfinite(depth), np.clip(normal @ light, 0, 1), 1.0)


def _png(figure: plt.Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()
