"""Draws heads of every age and build from anny; needs ``pip install rayboot[head]``.

    python -m jobs.sample_heads --count 3000 --seed 501 --out runs/pose-heads.npz

They train and measure the pose estimation, and reach beyond the span of the shipped head
model. Vertices and landmarks are numbered as in the head model.

anny's own frame is not that of the face: build and age tilt a head in it, by 50 degrees and
more at the ends of their range, and so does an expression. Each head is therefore aligned by
its landmarks without expression and by its plane of symmetry, and with expression by its skull.
"""

from pathlib import Path

import anny
import click
import numpy as np
import torch
from scipy.spatial import cKDTree

from jobs.build_head_model import (
    EXCLUDED_CHANGES,
    FACE_PARTS,
    as_tensors,
    head_vertices,
    kept_vertices,
)
from rayboot.geometry.alignment import Similarity, fit_similarity
from rayboot.geometry.camera import gaze_angles
from rayboot.geometry.head_model import load_head_model

BATCH_SIZE = 20
MAX_RESIDUAL = 0.14
"""Largest mean distance of a head's landmarks to the mean head's, in outer eye distances. One
head in forty is beyond it: its landmarks are no face's."""


@click.command()
@click.option("--count", default=3000, show_default=True, help="Heads to draw.")
@click.option("--seed", default=501, show_default=True, help="Seed of the random numbers.")
@click.option("--out", type=click.Path(dir_okay=False, path_type=Path), required=True)
def main(count: int, seed: int, out: Path) -> None:
    """Writes ``vertices`` (B, N, 3) float16, in the frame and unit of the head model."""
    model = anny.create_head_model(
        local_changes="all", facial_actions=True, triangulate_faces=True, all_phenotypes=True
    )
    kept = kept_vertices(model, len(head_vertices(model)[0]))
    rng = np.random.default_rng(seed)
    heads, tilts_deg = [], []
    for _ in range(-(-count // BATCH_SIZE)):
        settings = draw_settings(model, rng)
        plain = head_vertices(model, **settings)[:, kept]
        expressive = head_vertices(model, **settings, facial_actions=draw_actions(model, rng))
        aligned = (align(*pair) for pair in zip(plain, expressive[:, kept], strict=True))
        heads += [head for head in aligned if head is not None]
        tilts_deg += [tilt_deg(head) for head in plain]
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(out, vertices=np.array(heads, np.float16))
    print(f"wrote {out}: {len(heads)} of {len(tilts_deg)} heads, the others are no faces")
    low, middle, high = np.quantile(tilts_deg, (0.05, 0.5, 0.95))
    print(
        f"pitch in anny's frame: median {middle:.0f}, from {low:.0f} to {high:.0f} degrees (90 %)"
    )


def draw_settings(model: torch.nn.Module, rng: np.random.Generator) -> dict[str, object]:
    """Draws phenotypes over their whole range, and local changes of one strength for each head."""
    names = ("muscle", "weight", "height", "proportions", "gender", "age")
    ancestry = rng.dirichlet(np.full(3, 0.6), BATCH_SIZE).T
    phenotype = {name: rng.uniform(0, 1, BATCH_SIZE) for name in names}
    phenotype |= dict(zip(("african", "asian", "caucasian"), ancestry, strict=True))
    strength = rng.uniform(0.2, 0.7, BATCH_SIZE)
    common: dict[str, np.ndarray] = {}
    changes = {}
    for label in model.local_change_labels:
        name = label[2:] if label[:2] in ("l-", "r-") else label
        if not name.startswith(FACE_PARTS) or name.startswith(EXCLUDED_CHANGES):
            continue
        spread = strength * (0.5 if name.startswith("head") else 1.0)
        if name not in common:
            common[name] = rng.normal(0, 1, BATCH_SIZE) * spread
        own = rng.normal(0, 0.06, BATCH_SIZE) if name != label else 0.0
        changes[label] = np.clip(common[name] + own, -1, 1)
    return {
        "phenotype_kwargs": as_tensors(phenotype, model.phenotype_labels),
        "local_changes_kwargs": as_tensors(changes, model.local_change_labels),
    }


def draw_actions(model: torch.nn.Module, rng: np.random.Generator) -> dict[str, torch.Tensor]:
    """Draws an expression of a few facial actions for each head."""
    strengths = {
        name: np.where(rng.random(BATCH_SIZE) < 0.15, rng.uniform(0, 0.8, BATCH_SIZE), 0.0)
        for name in model.facial_action_labels
    }
    return as_tensors(strengths, list(strengths))


def tilt_deg(plain: np.ndarray) -> float:
    """Returns the pitch of a head (N, 3) in anny's frame, by its landmarks, degrees."""
    model = load_head_model()
    fitted = fit_similarity(model.mean[model.landmarks], plain[model.landmarks])
    return float(np.degrees(gaze_angles(fitted.rotation[:, 2])[1]))


def align(plain: np.ndarray, expressive: np.ndarray) -> np.ndarray | None:
    """Returns a head's vertices (N, 3) in the head model's frame; None where it is no face.

    Args:
        plain: (N, 3) without expression, anny's frame.
        expressive: (N, 3) the same head with its expression.
    """
    model = load_head_model()
    mean = model.mean[model.landmarks]
    fitted = fit_similarity(plain[model.landmarks], mean)
    upright = fitted.apply(plain)
    if np.linalg.norm(upright[model.landmarks] - mean, axis=1).mean() > MAX_RESIDUAL:
        return None
    upright = mirror_frame(upright).apply(upright)
    skull = model.mean[:, 1] > 0.45
    return fit_similarity(expressive[skull], upright[skull]).apply(expressive)


def mirror_frame(vertices: np.ndarray) -> Similarity:
    """Returns the motion that moves a head's plane of symmetry to x = 0."""
    model = load_head_model()
    partner = cKDTree(model.mean).query(model.mean * (-1, 1, 1))[1]
    sides = np.sign(model.mean[partner] - model.mean)[model.front, :1]
    normal = ((vertices[partner] - vertices)[model.front] * sides).sum(axis=0)
    normal /= np.linalg.norm(normal)
    ahead = np.array([0.0, 0.0, 1.0]) - normal[2] * normal
    ahead /= np.linalg.norm(ahead)
    rotation = np.stack([normal, np.cross(ahead, normal), ahead])
    middle = rotation @ (vertices[partner] + vertices)[model.front].mean(axis=0) / 2
    return Similarity(1.0, rotation, np.array([-middle[0], 0.0, 0.0]))


if __name__ == "__main__":
    main()
