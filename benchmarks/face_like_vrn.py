"""Full-size network whose volumes look like faces, for timing without the released weights.

All layers but the last are random; the last is fitted by ridge regression to made
faces. Its shapes are blurred mean faces: nothing to measure errors with, but
surfaces, poses and renders cost what they cost with the released network.
"""

from pathlib import Path

import numpy as np
import torch

from rayboot.data.images import decode_photo
from rayboot.data.storage import join_uri, read_bytes
from rayboot.data.truth import truth_table
from rayboot.geometry.crop import warp_photo
from rayboot.geometry.volume import unpack_occupancy
from rayboot.models import VRN, VRNConfig, save_vrn

__all__ = ["face_like_vrn"]

_LOGIT = 6.0
_RIDGE = 1.0


def face_like_vrn(faces: str, path: Path, num_faces: int = 24, seed: int = 0) -> Path:
    """Writes the network as safetensors.

    Args:
        faces: URI of a synthesised set with 192 px crops and 200 slices.
        path: of the weights.
        num_faces: that the last layer is fitted to.
        seed: of the random layers.
    """
    torch.manual_seed(seed)
    network = VRN(VRNConfig()).eval()
    last = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)][-1]
    seen: list[torch.Tensor] = []
    handle = last.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    gram, moment = torch.zeros(257, 257), torch.zeros(257, 200)
    for row in truth_table(faces).to_pylist()[:num_faces]:
        photo = decode_photo(read_bytes(join_uri(faces, row["face_id"])))
        image = warp_photo(photo, np.reshape(row["crop"], (2, 3)), 192)
        with torch.inference_mode():
            network(torch.from_numpy(image).permute(2, 0, 1)[None].float() / 255)
        features = torch.cat([seen.pop()[0].flatten(1).T, torch.ones(48 * 48, 1)], dim=1)
        volume = unpack_occupancy(row["occupancy"], tuple(row["shape"])).astype(np.float32)
        coarse = torch.nn.functional.avg_pool2d(torch.from_numpy(volume), 4).flatten(1).T
        gram += features.T @ features
        moment += features.T @ (_LOGIT * (2 * coarse - 1))
    handle.remove()
    solved = torch.linalg.solve(gram + _RIDGE * gram.diag().mean() * 1e-4 * torch.eye(257), moment)
    with torch.no_grad():
        last.weight.copy_(solved[:256].T[:, :, None, None])
        last.bias.copy_(solved[256])
    save_vrn(network, path)
    return path
