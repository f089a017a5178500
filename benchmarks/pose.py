"""Errors of the estimated pose on heads of several origins, cut in many ways, in degrees.

    python benchmarks/pose.py                         # the held-out heads of the tests
    python benchmarks/pose.py --faces data/faces      # scans and Basel faces as well
    python benchmarks/pose.py --plot reliability.png  # its confidence as well
    python benchmarks/pose.py --cuts development --heads runs/development-heads.npz

The held-out heads are drawn by ``jobs/sample_heads.py`` with seed 503, which nothing was
trained or chosen on, and reach beyond the span of the shipped head model. Each head is cut and
filled back at three depths, turned by up to 45 degrees of yaw, and its pose is estimated on
the surface that is rendered.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import click
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import scipy.io
import trimesh

from rayboot.evaluate.datasets.scan_landmarks import read_scan_landmarks
from rayboot.geometry.alignment import fit_similarity
from rayboot.geometry.camera import gaze_angles, rotation_in_plane, rotation_yaw_pitch
from rayboot.geometry.head_model import load_head_model, mean_landmarks
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.landmarks68 import rotation_from_landmarks
from rayboot.geometry.pose import estimate_pose
from rayboot.synthesis.cut_solids import (
    DEVELOPMENT_CUTS,
    REPORT_CUTS,
    build_cut_solid,
    named_cut,
)

mpl.use("agg")

HELD_OUT = Path(__file__).resolve().parents[1] / "tests/geometry/held_out_heads.npz"
DEPTHS = (50, 65, 85)
RESOLUTIONS = (96, 192)


class Head(NamedTuple):
    """A head in the frame of the head model: vertices, triangles and 68 landmarks."""

    vertices: np.ndarray
    faces: np.ndarray
    landmarks: np.ndarray


class Trial(NamedTuple):
    """What one estimate is grouped by, and its errors."""

    origin: str
    cut: str
    depth: int
    normal: float
    gaze: float
    covariance_gaze: float
    confidence: float
    milliseconds: float


@click.command()
@click.option("--heads", type=click.Path(exists=True, path_type=Path), default=HELD_OUT)
@click.option("--cuts", type=click.Choice(["report", "development"]), default="report")
@click.option("--faces", "folder", type=click.Path(exists=True, path_type=Path))
@click.option("--plot", type=click.Path(path_type=Path), help="Reliability of the confidence.")
@click.option("--seed", default=7, show_default=True, help="Seed of the poses.")
def main(heads: Path, cuts: str, folder: Path | None, plot: Path | None, seed: int) -> None:
    """Prints medians and 95th percentiles by origin of the heads, cut and depth."""
    names = REPORT_CUTS if cuts == "report" else DEVELOPMENT_CUTS
    rng = np.random.default_rng(seed)
    origins: dict[str, list[Head]] = {"held-out heads": list(read_heads(heads))}
    if folder:
        origins["scans"] = [*read_scans(folder / "scans")]
        origins["Basel faces"] = [*read_basel_faces(folder / "BFM-3DDFA")]
        print_conventions(np.loadtxt(folder / "BFM-3DDFA/68pt/u_base.txt").reshape(68, 3))
    trials = [
        trial
        for origin, members in origins.items()
        # As many solids of a scan as give its quantiles a meaning.
        for head in members * max(1, 12 // len(members))
        for cut in names
        for trial in measure(origin, head, cut, rng)
    ]
    click.echo("| heads | cut | depth | solids | normal | gaze | gaze by covariance | confidence |")
    click.echo("|---|---|---|---|---|---|---|---|")
    for origin in origins:
        own = [trial for trial in trials if trial.origin == origin]
        for cut in names:
            print_row(origin, cut, "all", [trial for trial in own if trial.cut == cut])
        for depth in DEPTHS:
            print_row(origin, "all", str(depth), [trial for trial in own if trial.depth == depth])
        print_row(origin, "all", "all", own)
    click.echo(f"median time: {np.median([trial.milliseconds for trial in trials]):.1f} ms")
    print_thresholds(trials)
    if plot:
        plot_reliability(trials, plot)


def print_conventions(landmarks: np.ndarray) -> None:
    """Prints the pitch of the mean head fitted to another model's landmarks, in its frame."""
    rotations = {
        "all 68": fit_similarity(mean_landmarks(), landmarks).rotation,
        "eyes and nose": fit_similarity(mean_landmarks()[27:48], landmarks[27:48]).rotation,
        "all 68, projected": rotation_from_landmarks(landmarks[:, :2] * (1, -1)),
    }
    for label, rotation in rotations.items():
        pitch_deg = np.degrees(gaze_angles(rotation[:, 2])[1])
        click.echo(f"mean head on the Basel mean by {label}: pitch {pitch_deg:+.1f} degrees")


def print_row(origin: str, cut: str, depth: str, trials: list[Trial]) -> None:
    """Prints one row of the table."""
    columns = [
        ", ".join(f"{q:.1f}" for q in np.quantile([getattr(t, name) for t in trials], (0.5, 0.95)))
        for name in ("normal", "gaze", "covariance_gaze")
    ]
    confidence = np.median([trial.confidence for trial in trials])
    row = (origin, cut, depth, str(len(trials)), *columns, f"{confidence:.2f}")
    click.echo(f"| {' | '.join(row)} |")


def print_thresholds(trials: list[Trial]) -> None:
    """Prints what a lower limit on the confidence keeps, and how wrong that is."""
    errors, confidences = (
        np.array([getattr(trial, name) for trial in trials]) for name in ("gaze", "confidence")
    )
    click.echo("\n| least confidence | kept | of these beyond 10 degrees | of the others |")
    click.echo("|---|---|---|---|")
    for limit in (0.0, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7):
        kept = confidences >= limit
        wrong = f"{(errors[kept] > 10).mean():.1%}"
        lost = f"{(errors[~kept] > 10).mean():.1%}" if (~kept).any() else ""
        click.echo(f"| {limit:g} | {kept.mean():.1%} | {wrong} | {lost} |")


def plot_reliability(trials: list[Trial], path: Path) -> None:
    """Draws, by confidence, the fraction of gazes that are right within 5 degrees."""
    figure, axes = plt.subplots(figsize=(5, 4.5), layout="constrained")
    axes.plot([0, 1], [0, 1], color="0.7", linewidth=1, label="what the confidence promises")
    for origin in dict.fromkeys(trial.origin for trial in trials):
        own = sorted(
            (trial.confidence, trial.gaze <= 5) for trial in trials if trial.origin == origin
        )
        bins = np.array_split(np.array(own, float), max(4, len(own) // 60))
        points = np.array([values.mean(axis=0) for values in bins])
        axes.plot(*points.T, marker="o", label=f"{origin} ({len(own)} solids)")
    axes.set(xlabel="confidence", ylabel="fraction with the gaze right within 5 degrees")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.legend(loc="lower right", frameon=False)
    figure.savefig(path, dpi=120)


def measure(origin: str, head: Head, cut: str, rng: np.random.Generator) -> Iterator[Trial]:
    """Turns one cut head at random at each depth, and estimates its pose."""
    for depth in DEPTHS:
        yaw, pitch, roll = np.radians(rng.uniform((-45, -15, -15), (45, 15, 15)))
        rotation = rotation_in_plane(roll) @ rotation_yaw_pitch(yaw, pitch)
        size = int(rng.choice(RESOLUTIONS))
        solid = build_cut_solid(
            *head,
            named_cut(cut, head.landmarks),
            rotation,
            depth=depth,
            size=size,
            smoothing=0.8 * size / 96,
        )
        vertices = extract_surface(solid.volume, cell=size // 96).vertices
        started = time.perf_counter()
        pose = estimate_pose(vertices)
        milliseconds = 1e3 * (time.perf_counter() - started)
        covariance = estimate_pose(vertices, "covariance")
        yield Trial(
            origin,
            cut,
            depth,
            angle_deg(pose.symmetry_normal, rotation[:, 0]),
            angle_deg(pose.gaze, rotation[:, 2]),
            angle_deg(covariance.gaze, rotation[:, 2]),
            pose.confidence,
            milliseconds,
        )


def angle_deg(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the angle between two unit vectors, degrees."""
    return float(np.degrees(np.arccos(np.clip(first @ second, -1, 1))))


def read_heads(path: Path) -> Iterator[Head]:
    """Reads heads drawn by ``jobs/sample_heads.py``."""
    model = load_head_model()
    for vertices in np.load(path)["vertices"].astype(np.float64):
        yield Head(vertices, model.faces, vertices[model.landmarks])


def read_scans(folder: Path) -> Iterator[Head]:
    """Reads two scanned heads. Their frame is that of the mean head's landmarks, fitted to theirs.

    The second has no landmarks of the jaw; the mean head's stand for them.
    """
    points = read_scan_landmarks((folder / "james/james.ljson").read_bytes(), ".ljson")
    yield align(read_mesh(folder / "james/james.obj"), points, slice(0, 68))
    inner = np.load(folder / "flame-fitting/scan_lmks.npy").astype(float)
    jaw = fit_similarity(mean_landmarks()[17:], inner).apply(mean_landmarks()[:17])
    landmarks = np.concatenate([jaw, inner])
    yield align(read_mesh(folder / "flame-fitting/scan.obj"), landmarks, slice(17, 68))


def read_mesh(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Reads vertices and triangles of an OBJ file."""
    mesh: Any = trimesh.load(path, process=False, force="mesh", skip_materials=True)
    return np.asarray(mesh.vertices, float), np.asarray(mesh.faces)


def read_basel_faces(folder: Path) -> Iterator[Head]:
    """Reads the mean of the Basel face model, and faces that were fitted to photos with it."""
    model = scipy.io.loadmat(folder / "model_info.mat")
    faces = model["tri"].T.astype(int) - 1
    landmarks = model["keypoints"].ravel().astype(int) - 1
    mean = np.load(folder / "u_shp.npy") + np.load(folder / "u_exp.npy")
    shapes = [mean.reshape(-1, 3).astype(float)]
    for path in sorted((folder / "vertices-3ddfa-prediction").glob("*.mat")):
        # Image rows grow downward.
        shapes.append(scipy.io.loadmat(path)["vertex"].T.astype(float) * (1, -1, 1))
    for vertices in shapes:
        yield align((vertices, oriented(vertices, faces)), vertices[landmarks], slice(0, 68))


def oriented(vertices: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Returns the triangles, reversed if they face away from +z in the mean."""
    edges = np.diff(vertices[faces], axis=1)[..., :2]
    area = edges[:, 0, 0] * edges[:, 1, 1] - edges[:, 0, 1] * edges[:, 1, 0]
    return faces if area.sum() > 0 else faces[:, ::-1]


def align(mesh: tuple[np.ndarray, np.ndarray], landmarks: np.ndarray, used: slice) -> Head:
    """Moves a mesh to the frame of the head model by its landmarks."""
    fitted = fit_similarity(landmarks[used], mean_landmarks()[used])
    return Head(fitted.apply(mesh[0]), mesh[1], fitted.apply(landmarks))


if __name__ == "__main__":
    main()
