"""A full-size network that returns real face shapes, for timing without the released weights.

The red channel of its photos contains the depth of the face, and one channel of the network
is passed through all layers unchanged: the predicted volume is the relief of that channel.
All other channels are random, so size and number of operations are those of the released
network, while surfaces, poses and renders are those of faces.
"""

from pathlib import Path

import cv2
import numpy as np
import torch
from torch import nn

from rayboot.data.ground_truth import read_truth
from rayboot.data.images import decode_photo
from rayboot.geometry.volume import unpack_occupancy
from rayboot.io.storage import join_uri, read_bytes
from rayboot.models import VRN, VRNConfig, save_network
from rayboot.models.vrn import BranchSum

__all__ = ["relief_photos", "relief_vrn"]

_SHARPNESS = 400.0
"""Difference of logits over the whole depth: two per slice."""


def relief_photos(faces: str, folder: Path) -> None:
    """Writes PNG photos whose red channel is depth, and their landmarks.

    Args:
        faces: URI of a synthesised data set.
        folder: folder to write to.
    """
    folder.mkdir(parents=True)
    for row in read_truth(faces).to_pylist():
        name = Path(row["face_id"])
        photo = decode_photo(read_bytes(join_uri(faces, row["face_id"])))
        occupied = unpack_occupancy(row["occupancy"], tuple(row["shape"]))
        depth = np.where(occupied.any(axis=0), len(occupied) - np.argmax(occupied[::-1], axis=0), 0)
        height, width = photo.shape[:2]
        photo[:, :, 0] = cv2.warpAffine(
            (255 * depth / len(occupied)).astype(np.float32),
            np.reshape(row["crop"], (2, 3)),
            (width, height),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        )
        cv2.imwrite(str(folder / f"{name.stem}.png"), photo[:, :, ::-1])
        landmarks = join_uri(faces, str(name.with_suffix(".t7")))
        (folder / f"{name.stem}.t7").write_bytes(read_bytes(landmarks))


def relief_vrn(path: Path, back: int = 60, seed: int = 0) -> Path:
    """Writes the network as safetensors and returns its path.

    Args:
        path: path of the weights.
        back: index of the first slice that belongs to the solids.
        seed: seed of the random channels.
    """
    torch.manual_seed(seed)
    network = VRN(VRNConfig())
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    stem, *_, pointwise, last = convolutions
    shortcuts = [
        layer[1][0]
        for layer in network.modules()
        if isinstance(layer, BranchSum) and isinstance(layer[1], nn.Sequential)
    ]
    projections = [layer for layer in shortcuts if isinstance(layer, nn.Conv2d)]
    with torch.no_grad():
        for layer in convolutions:
            layer.weight[0] = 0.0
            layer.bias = nn.Parameter(torch.zeros(layer.out_channels))
        stem.weight[0, 0, 3, 3] = 1.0
        for layer in (*projections, pointwise):
            layer.weight[0, 0] = 1.0
        last.weight.zero_()
        last.weight[:, 0] = _SHARPNESS
        slices = torch.arange(len(last.weight))
        bias = -_SHARPNESS * (slices + 0.5) / len(slices)
        bias[:back] = -_SHARPNESS
        last.bias = nn.Parameter(bias)
    save_network(network.eval(), path)
    return path
