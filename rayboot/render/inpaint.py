"""Holes of a picture filled from what lies around them, smoothly at every scale."""

import cv2
import numpy as np

__all__ = ["fill_nearest", "inpaint", "nearest_known"]

_BLUR = 1 / 48
"""Standard deviation of the blur of what is extended, as a share of the picture: the
nearest colour alone draws streaks."""


def inpaint(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Fills ``hole`` with colours of its surroundings, coarse to fine.

    Args:
        image: (H, W, 3) uint8.
        hole: (H, W) bool; its pixels are replaced, all others kept.

    Returns:
        (H, W, 3) uint8. Where everything is hole, the mean colour.

    Source:
        The pull-push of Gortler et al., The Lumigraph, SIGGRAPH 1996.
    """
    weight = (~hole).astype(np.float32)
    if not weight.any():
        return np.broadcast_to(image.mean(axis=(0, 1)).astype(np.uint8), image.shape).copy()
    filled = _pull_push(image.astype(np.float32) * weight[..., None], weight)
    return np.where(hole[..., None], np.clip(np.rint(filled), 0, 255).astype(np.uint8), image)


def fill_nearest(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Colours of the nearest known pixels everywhere, a little blurred.

    Args:
        image: (S, S, 3) uint8.
        known: (S, S) bool, at least one; these pixels are kept.

    Returns:
        (S, S, 3) uint8.
    """
    extended = image[nearest_known(known)]
    blurred = cv2.GaussianBlur(extended, (0, 0), _BLUR * len(image))
    return np.where(known[..., None], image, blurred)


def nearest_known(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row and column (H, W) of the nearest True of ``known`` (H, W), at least one."""
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    place = np.zeros((labels.max() + 1, 2), np.intp)
    place[labels[known]] = np.argwhere(known)
    row, column = np.moveaxis(place[labels], -1, 0)
    return row, column


def _pull_push(weighted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    known = weighted / np.maximum(weight, 1e-6)[..., None]
    if min(weight.shape) <= 2 or weight.min() >= 1.0:
        mean = weighted.sum(axis=(0, 1)) / max(float(weight.sum()), 1e-6)
        return np.where(weight[..., None] > 1e-6, known, mean)
    coarse = _pull_push(cv2.pyrDown(weighted), cv2.pyrDown(weight))
    height, width = weight.shape
    below = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    share = np.minimum(weight, 1.0)[..., None]
    return share * known + (1 - share) * below
