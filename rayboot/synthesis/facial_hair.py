"""Brows, lashes and beard of a synthetic head as short strokes on its skin."""

import numpy as np

from rayboot.geometry.head_model import HeadModel
from rayboot.synthesis.appearance import face_regions
from rayboot.synthesis.sampling import FaceSample
from rayboot.synthesis.surfaces import Surface, build_tube, join_surfaces, unit_vectors

__all__ = ["grow_facial_hair"]

_NUM_BROW_HAIRS, _NUM_BEARD_HAIRS = 90, 420
_UPPER_LIDS = ((36, 37, 38, 39), (42, 43, 44, 45))
_LASH_RADIUS = 0.012
_LIFT = 0.012
"""Height of strokes above the skin, outer eye distances."""


def grow_facial_hair(
    head: np.ndarray, sample: FaceSample, model: HeadModel, rng: np.random.Generator
) -> Surface:
    """Returns brows, lashes and beard in the head's frame.

    Args:
        head: (N, 3) vertices in the head's frame.
        sample: colours and strengths.
        model: head model.
        rng: random generator of the places and directions of hairs.
    """
    look, regions = sample.appearance, face_regions()
    # Sparse hair lets the skin through.
    brow_color = look.skin + (0.1 + 0.75 * look.brow) * (0.9 * look.hair - look.skin)
    brows = _Strokes(rng, head, regions.brow**3, model, _NUM_BROW_HAIRS)
    outward = np.sign(brows.roots[:, :1])
    rise = 0.45 - 1.6 * (np.abs(brows.roots[:, :1]) - 0.17)
    direction = np.concatenate([outward, rise, 0 * rise], axis=1)
    parts = [brows.draw(direction, (0.05, 0.09), 0.009, brow_color)]
    parts += [_lash_line(head[model.landmarks[list(lid)]], look.hair) for lid in _UPPER_LIDS]
    if look.beard:
        num_hairs = round(_NUM_BEARD_HAIRS * (0.3 + 0.7 * look.beard))
        beard = _Strokes(rng, head, regions.beard, model, num_hairs)
        down = np.tile([0.0, -1.0, 0.1], (num_hairs, 1))
        color = look.skin + (0.15 + 0.5 * look.beard) * (0.8 * look.hair - look.skin)
        parts.append(beard.draw(down, (0.02, 0.03 + 0.07 * look.beard), 0.007, color))
    return join_surfaces(parts)


class _Strokes:
    """Roots of hairs on the skin, drawn with the density of a region."""

    def __init__(
        self,
        rng: np.random.Generator,
        head: np.ndarray,
        density: np.ndarray,
        model: HeadModel,
        num_strokes: int,
    ) -> None:
        self._rng = rng
        faces = model.faces[(density[model.faces] > 0.1).all(axis=1)]
        corners = head[faces].astype(np.float64)
        across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
        weight = np.linalg.norm(across, axis=1) * density[faces].mean(axis=1)
        chosen = rng.choice(len(faces), num_strokes, p=weight / weight.sum())
        shares = rng.dirichlet(np.ones(3), num_strokes)
        self.normals = unit_vectors(across[chosen])
        self.roots = np.einsum("mc,mcd->md", shares, corners[chosen]) + _LIFT * self.normals

    def draw(
        self,
        direction: np.ndarray,
        lengths: tuple[float, float],
        half_width: float,
        color: np.ndarray,
    ) -> Surface:
        """Returns hairs along directions (M, 3) as pointed ribbons that lie on the skin.

        Args:
            direction: (M, 3), from root to tip, any length.
            lengths: shortest and longest, outer eye distances.
            half_width: half the width at the root, outer eye distances.
            color: (3,) reflectance.
        """
        rng, count = self._rng, len(self.roots)
        along = unit_vectors(direction) + rng.normal(0, 0.22, (count, 3))
        slope = np.einsum("md,md->m", along, self.normals)[:, None]
        along = unit_vectors(along - (slope - 0.08) * self.normals)
        across = half_width * np.cross(self.normals, along)
        tips = self.roots + rng.uniform(*lengths, (count, 1)) * along
        corners = [
            self.roots - across,
            self.roots + across,
            tips + 0.4 * across,
            tips - 0.4 * across,
        ]
        vertices = np.stack(corners, axis=1).reshape(-1, 3)
        first = 4 * np.arange(count)[:, None]
        faces = np.concatenate([first + np.array([0, 1, 2]), first + np.array([0, 2, 3])])
        shades = np.repeat(rng.uniform(0.7, 1.3, (count, 1)), 4, axis=0)
        return Surface(vertices, faces, np.clip(color * shades, 0, 1))


def _lash_line(lid: np.ndarray, hair: np.ndarray) -> Surface:
    """Returns the lashes of an upper lid, whose landmarks are (4, 3), as a dark line."""
    parameter = np.linspace(0, 3, 10)
    path = np.column_stack([np.interp(parameter, np.arange(4), axis) for axis in lid.T])
    path = path + np.array([0.0, 0.0, 0.012])
    radius = _LASH_RADIUS * np.sin(np.pi * np.linspace(0.08, 0.92, 10))
    return build_tube(path, radius, 0.25 * hair + 0.01)
