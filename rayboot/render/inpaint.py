"""Filling of holes in images from the surrounding pixels."""

import cv2
import numpy as np

__all__ = ["fill_nearest", "inpaint", "nearest_known"]

_BLUR_FRACTION = 1 / 48
"""Standard deviation of the blur of extended colours, as a fraction of the image's width: the
nearest colour alone produces streaks."""


def inpaint(image: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """Fills ``hole`` with the colours of its surroundings, smoothly at every scale.

    Args:
        image: (H, W, 3) uint8.
        hole: (H, W) bool; these pixels are replaced, all others kept.

    Returns:
        (H, W, 3) uint8. If all pixels are in the hole, each is the mean colour.

    Source:
        The pull-push algorithm of Gortler et al., The Lumigraph, SIGGRAPH 1996.
    """
    weight = (~hole).astype(np.float32)
    if not weight.any():
        return np.broadcast_to(image.mean(axis=(0, 1)).astype(np.uint8), image.shape).copy()
    filled = _pull_push(image.astype(np.float32) * weight[..., None], weight)
    return np.where(hole[..., None], np.clip(np.rint(filled), 0, 255).astype(np.uint8), image)


def fill_nearest(image: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Fills unknown pixels with the colour of the nearest known pixel, slightly blurred.

    Args:
        image: (S, S, 3) uint8.
        known: (S, S) bool, at least one True; these pixels are kept.

    Returns:
        (S, S, 3) uint8.
    """
    extended = image[nearest_known(known)]
    blurred = cv2.GaussianBlur(extended, (0, 0), _BLUR_FRACTION * len(image))
    return np.where(known[..., None], image, blurred)


def nearest_known(known: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the row and column (H, W) of the nearest True of ``known`` (H, W).

    ``known`` must contain at least one True.
    """
    _, labels = cv2.distanceTransformWithLabels(
        (~known).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    pixel_of_label = np.zeros((labels.max() + 1, 2), np.intp)
    pixel_of_label[labels[known]] = np.argwhere(known)
    row, column = np.moveaxis(pixel_of_label[labels], -1, 0)
    return row, column


def _pull_push(weighted: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Returns the colours (H, W, 3) at one level of the pyramid, filled from the coarser ones.

    Args:
        weighted: (H, W, 3) float32 colours, multiplied by their weights.
        weight: (H, W) float32, 0 where the colour is unknown.
    """
    known: np.ndarray = weighted / np.maximum(weight, 1e-6)[..., None]
    if min(weight.shape) <= 2 or weight.min() >= 1.0:
        mean = weighted.sum(axis=(0, 1)) / max(float(weight.sum()), 1e-6)
        return np.asarray(np.where(weight[..., None] > 1e-6, known, mean))
    coarse = _pull_push(cv2.pyrDown(weighted), cv2.pyrDown(weight))
    height, width = weight.shape
    upsampled = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_LINEAR)
    fraction = np.minimum(weight, 1.0)[..., None]
    return np.asarray(fraction * known + (1 - fraction) * upsampled)
