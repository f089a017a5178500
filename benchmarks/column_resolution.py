"""What is lost between a face and the U-Net's columns of 2 px, and what decoding brings back.

    python -m benchmarks.column_resolution --photos data/faces/AFLW2000

The first table needs no photographs: true shapes of synthetic faces are brought to the network's
columns and back. The second one decodes a network's predictions in several ways, for the part of
AFLW2000-3D to develop on.
"""

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from scipy.interpolate import RegularGridInterpolator
from torch.nn import functional

from rayboot.evaluate.evaluation_config import MeasureConfig
from rayboot.evaluate.measure_faces import MeasureFaces
from rayboot.geometry.surface_depth import unpack_surface_depth
from rayboot.io.parquet import read_table
from rayboot.models import UNetConfig, load_network
from rayboot.models.soft_occupancy import measure_columns, soft_occupancy
from rayboot.models.unet import MAX_LOGIT, VolumetricUNet
from rayboot.models.volume_filters import smooth_depth, upsample_cubic
from rayboot.pipeline.synthesize import synthesize
from rayboot.registry.resolve import resolve_model
from rayboot.synthesis import SynthesisConfig

Filter = Callable[[torch.Tensor], torch.Tensor]

FACES = SynthesisConfig(
    num_identities=40, yaw={"kind": "uniform", "max_deg": 12}, first_identity=200_000, seed=20
)
LANDMARKS = {"nasal tip": 30, "middle of the bridge": 29, "inner corner of an eye": 39}
BANDS = ((0, 30), (30, 60), (60, 90))
UNET = UNetConfig()


def upsample_linear(fields: torch.Tensor) -> torch.Tensor:
    """Returns fields of twice the height and width, by linear interpolation."""
    return functional.interpolate(fields, scale_factor=2, mode="bilinear", align_corners=False)


def fronts(maps: np.ndarray) -> dict[str, np.ndarray]:
    """Returns fronts (S, S), px, of true depth maps (3, S, S): as they are, and from columns."""
    size = UNET.resolution
    shape = (UNET.slices, size // 2, size // 2)
    soft = soft_occupancy(
        torch.from_numpy(maps)[None], np.eye(3, 4)[None], shape, size, UNET.softness
    )
    logits = torch.logit(soft, eps=1e-5)
    ways: dict[str, Filter] = {"linear": upsample_linear, "cubic": upsample_cubic}
    found = {name: measure_columns(way(logits))[0, 0].numpy() for name, way in ways.items()}
    return {"true maps": maps[0], **found}


def depths_at(front: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Returns how far points (N, 3), px, lie before a front (S, S)."""
    centres = np.arange(len(front)) + 0.5 - len(front) / 2
    surface = RegularGridInterpolator((centres, centres), front)
    return points[:, 2] - surface(np.column_stack([-points[:, 1], points[:, 0]]))


def print_lost_depths() -> None:
    """Prints the depth that landmarks of true shapes lose by way of the columns."""
    lost: dict[str, list[np.ndarray]] = {}
    with tempfile.TemporaryDirectory() as folder:
        synthesize(FACES, folder, num_workers=1)
        for path in sorted(Path(folder, "truth").glob("*.parquet")):
            for row in read_table(str(path)).to_pylist():
                points = np.reshape(row["landmarks"], (68, 3))[list(LANDMARKS.values())]
                maps = unpack_surface_depth(row["surface_depth"], UNET.resolution)
                for name, front in fronts(maps).items():
                    depths = 100 * depths_at(front, points) / row["interocular"]
                    lost.setdefault(name, []).append(depths)
    print("| truth before the surface, % |", " | ".join(lost), "|\n|---|---|---|---|")
    for index, landmark in enumerate(LANDMARKS):
        means = (f"{np.mean([row[index] for row in rows]):+.1f}" for rows in lost.values())
        print(f"| {landmark} |", " | ".join(means), "|")


class Decoding(VolumetricUNet):
    """The network with another way from logits to occupancy."""

    filters: tuple[Filter, ...] = ()

    def occupancy(self, estimate: torch.Tensor) -> torch.Tensor:
        """Returns the filtered logits as occupancy; see the base class."""
        field = estimate.float().clamp(-MAX_LOGIT, MAX_LOGIT)
        for apply in self.filters:
            field = apply(field)
        return (0.5 + field * (0.5 / MAX_LOGIT)).clamp_(0, 1)


def smooth_columns(fields: torch.Tensor) -> torch.Tensor:
    """Returns fields averaged over neighbouring columns, with a standard deviation of 0.6."""
    across = smooth_depth(fields.transpose(1, 2), 0.6).transpose(1, 2)
    return smooth_depth(across.transpose(1, 3), 0.6).transpose(1, 3)


def smooth_slices(fields: torch.Tensor) -> torch.Tensor:
    """Returns fields averaged along the depth axis as the network does it."""
    return smooth_depth(fields, 1.5)


def print_errors(model: str, photos: str) -> None:
    """Prints the errors of a network's predictions on real photos by the way of decoding."""
    weights = resolve_model(model).path
    ways: dict[str, tuple[Filter, ...]] = {
        "linear": (upsample_linear,),
        "cubic": (upsample_cubic,),
        "cubic, depth averaged": (smooth_slices, upsample_cubic),
        "cubic, depth and columns averaged": (smooth_slices, smooth_columns, upsample_cubic),
    }
    networks = {}
    for name, filters in ways.items():
        network = Decoding(UNET)
        network.load_state_dict(load_network(weights).state_dict())
        network.filters = filters
        networks[name] = network.eval()
    data = {"kind": "aflw2000", "data": photos, "part": "development"}
    config = MeasureConfig(datasets={"photos": data})
    rows = MeasureFaces(networks, config, "photos")(config.datasets["photos"].list_faces().rows)
    print("\n| 68 points to the surface, % |", " | ".join(map(str, BANDS)), "|\n|---|---|---|---|")
    for name in ways:
        errors = [
            [
                row["nme_icp"]
                for row in rows.to_pylist()
                if row["model"] == name and first <= abs(row["yaw_deg"]) < last
            ]
            for first, last in BANDS
        ]
        print(f"| {name} |", " | ".join(f"{100 * np.nanmean(band):.2f}" for band in errors), "|")


def main() -> None:
    """Prints both tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="builtin:compact")
    parser.add_argument("--photos", help="folder of AFLW2000-3D; without it, one table")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    print_lost_depths()
    if arguments.photos:
        print_errors(arguments.model, arguments.photos)


if __name__ == "__main__":
    main()
