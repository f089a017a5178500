"""A full-size network with true shapes, for timing without the released weights.

Photos are made whose red channel is the depth of the face that they show, and a
network whose layers hand one channel on unchanged: its volume is the relief of that
channel. It is as large as the released network and computes as much, all its other
channels being random; and surfaces, poses and renders are those of faces.
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
"""Logits for the whole depth: two a slice."""


def relief_photos(faces: str, folder: Path) -> None:
    """Writes PNG photos with red for depth, and their landmarks.

    Args:
        faces: URI of a synthesised set.
        folder: to write to.
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
    """Writes the network as safetensors.

    Args:
        path: of the weights.
        back: slice that all solids begin with.
        seed: of the random channels.
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
