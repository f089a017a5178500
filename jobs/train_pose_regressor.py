"""Trains the networks of the pose estimation on heads that are cut in many ways.

    python -m jobs.sample_heads --count 3000 --seed 501 --out runs/pose-heads.npz
    python -m jobs.train_pose_regressor --heads runs/pose-heads.npz

It cuts the heads into solids (10 minutes on two cores; kept beside the heads), trains (40
minutes on one core) and writes ``rayboot/geometry/pose_regressor.npz``.
"""

import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import click
import numpy as np
import torch
from torch import nn

from rayboot.errors import DegenerateInputError
from rayboot.geometry.camera import rotation_in_plane, rotation_yaw_pitch
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.pose_regressor import GRID_SIZE, X_RANGE, Y_RANGE, Z_MIDDLE, Z_RANGE
from rayboot.synthesis.cut_solids import build_cut_solid, draw_cut

TARGET = Path(__file__).resolve().parents[1] / "rayboot/geometry/pose_regressor.npz"
NUM_POINTS = 3000
CHUNK_SIZE = 250
CHANNELS, HIDDEN = (24, 40, 64), 96
BATCH_SIZE, RATE = 48, 2e-3
NUM_FINE_STEPS = 2
NO_FACE_FRACTION = 0.04
MIRROR = torch.tensor([-1.0, 1.0, 1.0])


class Solids(NamedTuple):
    """Points of the solids' surfaces, and the true frames of their faces."""

    points: torch.Tensor
    rotation: torch.Tensor
    origin: torch.Tensor
    scale: torch.Tensor


@click.command()
@click.option("--heads", type=click.Path(exists=True, path_type=Path), required=True)
@click.option("--solids", "num_solids", default=6000, show_default=True)
@click.option("--steps", default=20000, show_default=True)
@click.option("--workers", default=2, show_default=True, help="Processes that cut heads.")
@click.option("--seed", default=0, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), default=TARGET, show_default=False)
def main(heads: Path, num_solids: int, steps: int, workers: int, seed: int, out: Path) -> None:
    """Writes the weights of both networks."""
    folder = heads.with_suffix("") / f"seed-{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    chunks = [
        (heads, folder / f"{index:03d}.npz", (seed, index))
        for index in range(-(-num_solids // CHUNK_SIZE))
    ]
    with ProcessPoolExecutor(workers) as pool:
        for path in pool.map(cut_chunk, chunks):
            print("cut", path, flush=True)
    torch.manual_seed(seed)
    torch.set_num_threads(1)
    networks = train(read_solids([path for _, path, _ in chunks]), steps)
    weights: dict[str, Any] = export(networks)
    np.savez_compressed(out, **weights)
    print(f"wrote {out}, {out.stat().st_size / 1e3:.0f} kB")


def cut_chunk(task: tuple[Path, Path, tuple[int, int]]) -> Path:
    """Cuts and turns random heads, and writes points of their surfaces, unless this is done."""
    heads, path, seed = task
    if path.exists():
        return path
    vertices, rng = np.load(heads)["vertices"], np.random.default_rng(seed)
    points: list[np.ndarray] = []
    transforms: list[np.ndarray] = []
    while len(points) < CHUNK_SIZE:
        head = vertices[rng.integers(len(vertices))].astype(np.float64)
        drawn = draw_solid(head, rng)
        if drawn is not None:
            points.append(drawn[0])
            transforms.append(drawn[1])
    np.savez(path, points=np.stack(points), transforms=np.stack(transforms))
    return path


def draw_solid(head: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns points (P, 3) float16 on a random solid and its transform (3, 4) from the head.

    None where the cut leaves next to nothing of the face.
    """
    model = load_head_model()
    landmarks = head[model.landmarks]
    yaw, pitch, roll = np.radians([rng.uniform(-50, 50), *np.clip(rng.normal(0, 12, 2), -35, 35)])
    rotation = rotation_in_plane(roll) @ rotation_yaw_pitch(yaw, pitch)
    size = int(rng.choice([72, 96, 96, 128]))
    smoothing = float(np.exp(rng.uniform(np.log(0.5), np.log(3.0)))) * size / 96
    try:
        solid = build_cut_solid(
            head,
            model.faces,
            landmarks,
            draw_cut(rng, landmarks),
            rotation,
            depth=rng.uniform(38, 95),
            size=size,
            smoothing=smoothing,
            zoom=rng.uniform(0.85, 1.1),
        )
        surface = extract_surface(solid.volume, cell=1).vertices
    except DegenerateInputError:
        return None
    along = surface @ rotation[:, 2]
    front = surface[along > along.min() + 0.12 * np.ptp(along)]
    if len(front) < NUM_POINTS // 4:
        return None
    picked = rng.choice(len(front), NUM_POINTS, replace=len(front) < NUM_POINTS)
    return front[picked].astype(np.float16), solid.transform.astype(np.float32)


def read_solids(paths: list[Path]) -> Solids:
    """Reads the chunks into memory."""
    transforms = np.concatenate([np.load(path)["transforms"] for path in paths])
    points = np.concatenate([np.load(path)["points"] for path in paths])
    scale = np.linalg.det(transforms[:, :, :3]) ** (1 / 3)
    return Solids(
        torch.from_numpy(points),
        torch.from_numpy(transforms[:, :, :3] / scale[:, None, None]),
        torch.from_numpy(transforms[:, :, 3].copy()),
        torch.from_numpy(scale),
    )


class Network(nn.Module):
    """Predicts rotation vector, shift, logarithm of the scale and of the rotation's errors."""

    def __init__(self) -> None:
        super().__init__()
        pairs = zip((2, *CHANNELS), CHANNELS, strict=False)
        self.convolutions = nn.ModuleList([nn.Conv2d(a, b, 3, 2, 1) for a, b in pairs])
        cells = (GRID_SIZE // 2 ** len(CHANNELS)) ** 2
        self.first, self.last = nn.Linear(CHANNELS[-1] * cells, HIDDEN), nn.Linear(HIDDEN, 10)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, drawn: torch.Tensor) -> torch.Tensor:
        """Returns the ten predictions (B, 10) for depth maps (B, 2, G, G)."""
        for convolution in self.convolutions:
            drawn = torch.relu(convolution(drawn))
        predicted: torch.Tensor = self.last(torch.relu(self.first(drawn.flatten(1))))
        return predicted


def train(solids: Solids, steps: int) -> tuple[Network, Network]:
    """Trains both networks together: each starts where the one before it arrived."""
    coarse, fine = Network(), Network()
    parameters = [*coarse.parameters(), *fine.parameters()]
    optimizer = torch.optim.AdamW(parameters, RATE, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, steps, pct_start=0.05)
    started, errors = time.monotonic(), torch.zeros(3)
    for step in range(1, steps + 1):
        batch = augment(solids, torch.randint(0, len(solids.points), (BATCH_SIZE,)))
        frame = start(batch.points)
        total = torch.zeros(())
        for network in (coarse, *[fine] * NUM_FINE_STEPS):
            predicted = network(draw_fronts(batch.points, *frame))
            loss, error = measure(predicted, frame, batch)
            total = total + loss
            frame = correct(frame, predicted.detach())
        optimizer.zero_grad()
        total.backward()
        nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        schedule.step()
        errors += error.detach()
        if step % 500 == 0:
            degrees = np.degrees((errors / 500).numpy()).round(2)
            print(f"step {step}, {time.monotonic() - started:.0f} s, degrees {degrees}", flush=True)
            errors.zero_()
    return coarse, fine


def augment(solids: Solids, index: torch.Tensor) -> Solids:
    """Returns a batch, mirrored, turned, scaled, thinned and with noise on its points."""
    points, rotation = solids.points[index].float(), solids.rotation[index]
    origin, scale, count = solids.origin[index], solids.scale[index], len(index)
    flipped = torch.rand(count) < 0.5
    points = torch.where(flipped[:, None, None], points * MIRROR, points)
    origin = torch.where(flipped[:, None], origin * MIRROR, origin)
    mirrored = MIRROR[:, None] * rotation * MIRROR
    rotation = torch.where(flipped[:, None, None], mirrored, rotation)
    turn = rotation_matrices(torch.randn(count, 3) * torch.tensor([0.1, 0.08, 0.12]))
    factor = torch.exp(0.2 * torch.randn(count))
    points = points @ turn.transpose(1, 2) * factor[:, None, None]
    origin = (turn @ origin[..., None])[..., 0] * factor[:, None]
    scale = scale * factor
    noise = 0.012 * scale * torch.rand(count)
    points = points + torch.randn_like(points) * noise[:, None, None]
    points = spoil(points)
    kept = torch.randperm(NUM_POINTS)[: int(torch.randint(700, NUM_POINTS + 1, (1,)))]
    return Solids(points[:, kept], turn @ rotation, origin, scale)


def spoil(points: torch.Tensor) -> torch.Tensor:
    """Turns and stretches a few solids at random: shapes that are no faces and have no pose.

    The networks learn to expect large errors there.
    """
    chosen = torch.rand(len(points)) < NO_FACE_FRACTION
    turn = torch.linalg.qr(torch.randn(len(points), 3, 3))[0]
    stretch = torch.exp(0.4 * torch.randn(len(points), 1, 3))
    middle = points.mean(dim=1, keepdim=True)
    spoilt = (points - middle) @ turn * stretch + middle
    return torch.where(chosen[:, None, None], spoilt, points)


Frame = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Rotation (B, 3, 3), origin (B, 3) and scale (B,)."""


def start(points: torch.Tensor) -> Frame:
    """Returns what :func:`rayboot.geometry.pose_regressor.initial_frame` does, for a batch."""
    low = torch.quantile(points[:, ::7], 0.02, dim=1)
    high = torch.quantile(points[:, ::7], 0.98, dim=1)
    origin, scale = (low + high) / 2, 0.6 * ((high - low)[:, 0] * (high - low)[:, 1]).sqrt()
    origin[:, 2], origin[:, 1] = high[:, 2] - 0.5 * scale, origin[:, 1] + 0.3 * scale
    return torch.eye(3).expand(len(points), 3, 3), origin, scale


def draw_fronts(
    points: torch.Tensor, rotation: torch.Tensor, origin: torch.Tensor, scale: torch.Tensor
) -> torch.Tensor:
    """Returns what :func:`rayboot.geometry.pose_regressor.depth_map` does, for a batch."""
    local = (points - origin[:, None]) @ rotation / scale[:, None, None]
    column = ((local[..., 0] - X_RANGE[0]) / (X_RANGE[1] - X_RANGE[0]) * GRID_SIZE).floor()
    row = ((local[..., 1] - Y_RANGE[0]) / (Y_RANGE[1] - Y_RANGE[0]) * GRID_SIZE).floor()
    drawn = (column >= 0) & (column < GRID_SIZE) & (row >= 0) & (row < GRID_SIZE)
    last = GRID_SIZE - 1
    cell = (row.clamp(0, last) * GRID_SIZE + column.clamp(0, last)).long()
    z = torch.where(drawn, local[..., 2], torch.full_like(row, -9.0))
    highest = torch.full((len(points), GRID_SIZE**2), -9.0).scatter_reduce(1, cell, z, "amax")
    highest = highest.view(-1, 1, GRID_SIZE, GRID_SIZE)
    filled = (highest > Z_RANGE[0]).float()
    depth = (highest.clamp(max=Z_RANGE[1]) - Z_MIDDLE) * filled
    around = torch.ones(1, 1, 3, 3)
    count = nn.functional.conv2d(filled, around, padding=1)
    mean = nn.functional.conv2d(depth, around, padding=1) / count.clamp(min=1)
    gap = (filled == 0) & (count >= 5)
    return torch.cat([torch.where(gap, mean, depth), torch.where(gap, 1.0, filled)], dim=1)


def measure(
    predicted: torch.Tensor, frame: Frame, truth: Solids
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the loss, and the mean absolute error (3,) of the rotation vector, radians.

    The rotation's error is Laplacian, with a width that is predicted too.
    """
    rotation, origin, scale = frame
    turn = rotation_vectors(rotation.transpose(1, 2) @ truth.rotation)
    shift = truth.origin - origin
    shift = (rotation.transpose(1, 2) @ shift[..., None])[..., 0] / scale[:, None]
    error, log_width = (predicted[:, :3] - turn).abs(), predicted[:, 7:10].clamp(-9, 2) / 2
    likelihood = (1.4 * error * torch.exp(-log_width) + log_width).sum(dim=1)
    placement = (predicted[:, 3:6] - shift).abs().sum(dim=1)
    placement = placement + (predicted[:, 6] - torch.log(truth.scale / scale)).abs()
    return (likelihood + 4 * placement).mean(), error.mean(dim=0)


def correct(frame: Frame, predicted: torch.Tensor) -> Frame:
    """Applies the predictions to the frames."""
    rotation, origin, scale = frame
    shift = (rotation @ predicted[:, 3:6, None])[..., 0] * scale[:, None]
    factor = torch.exp(predicted[:, 6].clamp(-0.5, 0.5))
    return rotation @ rotation_matrices(predicted[:, :3]), origin + shift, scale * factor


def rotation_matrices(vectors: torch.Tensor) -> torch.Tensor:
    """Returns the rotations (B, 3, 3) of rotation vectors (B, 3)."""
    x, y, z = vectors.unbind(dim=1)
    zero = torch.zeros_like(x)
    skew = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    return torch.matrix_exp(skew)


def rotation_vectors(matrices: torch.Tensor) -> torch.Tensor:
    """Returns the rotation vectors (B, 3) of rotations (B, 3, 3)."""
    trace = matrices.diagonal(dim1=1, dim2=2).sum(dim=1)
    angle = torch.acos(((trace - 1) / 2).clamp(-1 + 1e-6, 1 - 1e-6))
    skew = (matrices - matrices.transpose(1, 2)).flatten(1)[:, [7, 2, 3]]
    return skew * (angle / (2 * torch.sin(angle)).clamp(min=1e-6))[:, None]


def export(networks: tuple[Network, Network]) -> dict[str, np.ndarray]:
    """Returns the weights by the names that the inference expects."""
    arrays = {}
    for name, network in zip(("coarse", "fine"), networks, strict=True):
        layers = {f"convolution{i}": layer for i, layer in enumerate(network.convolutions)}
        layers |= {"linear0": network.first, "linear1": network.last}
        for layer, module in layers.items():
            weight, bias = (value.detach().numpy() for value in module.parameters())
            arrays[f"{name}.{layer}.weight"] = weight.reshape(len(weight), -1).astype(np.float16)
            arrays[f"{name}.{layer}.bias"] = bias
    return arrays


if __name__ == "__main__":
    main()
