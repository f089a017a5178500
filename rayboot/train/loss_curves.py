"""A plot of the losses of a run."""

import io
from collections.abc import Sequence

import matplotlib

matplotlib.use("Agg")
from matplotlib import pyplot as plt

from rayboot.train.train_state import EpochRecord

__all__ = ["draw_curves"]


def draw_curves(epochs: Sequence[EpochRecord]) -> bytes:
    """Draws training loss, validation loss and validation IoU by epoch, as a PNG file."""
    numbers = [record.epoch + 1 for record in epochs]
    figure, (losses, ious) = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    losses.plot(numbers, [record.train_loss for record in epochs], "o-", label="training")
    losses.plot(numbers, [record.val_loss for record in epochs], "s-", label="validation")
    losses.set_ylabel("loss")
    losses.legend()
    ious.plot(numbers, [record.val_iou for record in epochs], "s-", color="tab:green")
    ious.set_ylabel("intersection over union")
    for axes in (losses, ious):
        axes.set_xlabel("epoch")
        axes.set_xticks(numbers)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return buffer.getvalue()
