"""Hair of a synthetic head: a thickened scalp, and strands that grow from it and fall."""

import numpy as np
from scipy.spatial import cKDTree

from rayboot.geometry.head_model import HeadModel
from rayboot.geometry.isosurface import vertex_normals
from rayboot.geometry.mesh import Mesh
from rayboot.synthesis.appearance import hair_fraction, smooth_noise
from rayboot.synthesis.sampling import FaceSample

__all__ = ["grow_strands", "thicken_scalp"]

_NUM_STRANDS = 420
_NUM_SEGMENTS = 9
_STRAND_WIDTH = 0.055
"""Half the width of a strand, outer eye distances; it stands for many hairs."""

_FACE_HALF_WIDTH, _FACE_TOP, _FACE_BOTTOM, _FACE_BACK = 0.76, 0.62, -1.35, -0.7
"""Part of the head's frame that only a fringe may cover."""

_FRINGE_BOTTOM = 0.3
"""Where a fringe ends: at the brows."""


def thicken_scalp(vertices: np.ndarray, sample: FaceSample, model: HeadModel) -> np.ndarray:
    """Moves scalp vertices outward by the thickness of the hair; returns (N, 3) float32."""
    appearance = sample.appearance
    if appearance.baldness:
        return vertices
    rng = np.random.default_rng(sample.texture_seed)
    waves = 1 + 0.35 * smooth_noise(rng, model.mean, 6.0)
    thickness = hair_fraction(sample, model) * appearance.hair_volume * waves
    normals = vertex_normals(vertices, model.faces)
    return np.asarray(vertices + thickness[:, None] * normals, np.float32)


def grow_strands(
    scalp: np.ndarray, sample: FaceSample, model: HeadModel, photo_from_head: np.ndarray
) -> Mesh | None:
    """Returns the strands of a head as ribbons in the photo's frame; None where it is bald.

    Args:
        scalp: (N, 3) vertices of the head, as :func:`thicken_scalp` returns them.
        sample: appearance and light.
        model: head model.
        photo_from_head: (3, 4), from the head's frame to the photo's, px.
    """
    if sample.appearance.baldness:
        return None
    rng = np.random.default_rng(sample.texture_seed + 2)
    roots, normals = _draw_roots(rng, scalp, sample, model)
    paths = _trace(rng, roots, normals, scalp, sample, model)
    return _ribbons(rng, paths, scalp, sample, photo_from_head)


def _draw_roots(
    rng: np.random.Generator, scalp: np.ndarray, sample: FaceSample, model: HeadModel
) -> tuple[np.ndarray, np.ndarray]:
    """Draws points (M, 3) on the hairy part of the scalp, and the normals there."""
    fraction = hair_fraction(sample, model)
    faces = model.faces[(fraction[model.faces] > 0.5).all(axis=1)]
    corners = scalp[faces].astype(np.float64)
    across = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    area = np.linalg.norm(across, axis=1)
    chosen = rng.choice(len(faces), _NUM_STRANDS, p=area / area.sum())
    weights = rng.dirichlet(np.ones(3), _NUM_STRANDS)
    points = np.einsum("mc,mcd->md", weights, corners[chosen])
    return points, across[chosen] / np.maximum(area[chosen], 1e-12)[:, None]


def _trace(
    rng: np.random.Generator,
    roots: np.ndarray,
    normals: np.ndarray,
    scalp: np.ndarray,
    sample: FaceSample,
    model: HeadModel,
) -> np.ndarray:
    """Returns the points (T, M, 3) of falling strands, which stay outside of head and face."""
    look = sample.appearance
    length = look.hair_length * rng.uniform(0.7, 1.15, len(roots))
    # Away from the parting and backward; above the forehead forward where there is a fringe.
    side = np.tanh(4 * (roots[:, 0] - look.parting))
    is_fringe = look.fringe & (roots[:, 2] > -0.6) & (np.abs(roots[:, 0]) < 0.6)
    comb = np.column_stack(
        [np.where(is_fringe, 0.15, 0.6) * side, 0 * side, np.where(is_fringe, 0.3, -0.8)]
    )
    # Short hair stands, long hair falls.
    fall = np.where(is_fringe, 0.8, np.clip(look.hair_length, 0.1, 1.0))
    lift = look.hair_lift * (1 - 0.8 * fall)[:, None]
    heading = _unit(lift * normals + comb + rng.normal(0, 0.2, roots.shape))
    gravity = np.outer(fall, [0.0, -0.7, 0.0])
    curls = rng.normal(0, 1, (3, *roots.shape))
    phase = rng.uniform(0, 2 * np.pi, len(roots))
    step = (length / _NUM_SEGMENTS)[:, None]
    max_distance = 0.06 + 1.6 * look.hair_volume + 0.5 * look.hair_lift * (1 - fall)
    surface = _Surface(scalp, model)
    points, ended = [roots], np.zeros(len(roots), bool)
    for segment in range(_NUM_SEGMENTS):
        turn = 2.4 * segment + phase[:, None]
        curl = look.curl * (curls[0] * np.sin(turn) + curls[1] * np.cos(turn))
        outward = surface.outward(points[-1])
        rise = np.einsum("md,md->m", heading, outward).clip(min=0)
        # The longer the hair, the closer it follows the head.
        heading = heading - (fall * rise)[:, None] * outward
        heading = _unit(heading + (0.4 + 0.3 * segment) * gravity + curl)
        following = points[-1] + step * heading
        # Below the ears it hangs freely.
        limit = np.where(following[:, 1] > -0.2, max_distance, np.inf)
        following = surface.keep_near(following, limit)
        ended |= _covers_face(following, is_fringe)
        points.append(np.where(ended[:, None], points[-1], following))
    return np.stack(points)


class _Surface:
    """The surface of a head with its scalp, along which strands lie."""

    def __init__(self, vertices: np.ndarray, model: HeadModel) -> None:
        self._vertices = vertices.astype(np.float64)
        self._normals = vertex_normals(vertices, model.faces)
        self._tree = cKDTree(vertices)

    def outward(self, points: np.ndarray) -> np.ndarray:
        """Returns the normal (M, 3) of the surface next to each point."""
        return np.asarray(self._normals[self._tree.query(points)[1]])

    def keep_near(self, points: np.ndarray, max_distance: np.ndarray) -> np.ndarray:
        """Returns points moved out of the head, and to within (M,) ``max_distance`` of it."""
        nearest = self._tree.query(points)[1]
        normals = self._normals[nearest]
        distance = np.einsum("md,md->m", points - self._vertices[nearest], normals)
        wanted = np.clip(distance, 0.02, max_distance)
        return np.asarray(points + (wanted - distance)[:, None] * normals)


def _covers_face(points: np.ndarray, is_fringe: np.ndarray) -> np.ndarray:
    """Returns which points (M,) lie before the face, where a fringe alone may, above the brows."""
    before = (np.abs(points[:, 0]) < _FACE_HALF_WIDTH) & (points[:, 2] > _FACE_BACK)
    top = np.where(is_fringe, _FRINGE_BOTTOM, _FACE_TOP)
    return np.asarray(before & (points[:, 1] < top) & (points[:, 1] > _FACE_BOTTOM))


def _ribbons(
    rng: np.random.Generator,
    paths: np.ndarray,
    scalp: np.ndarray,
    sample: FaceSample,
    photo_from_head: np.ndarray,
) -> Mesh:
    """Returns strands as ribbons that lie flat on the head, each with a shade of its own."""
    count, num_strands = paths.shape[:2]
    centre = scalp.mean(axis=0)
    outward = _unit(paths - centre)
    along = np.gradient(paths, axis=0) + 1e-6 * outward
    across = _unit(np.cross(along, outward))
    taper = np.linspace(1.0, 0.5, count)[:, None, None] * _STRAND_WIDTH
    edges = np.stack([paths - taper * across, paths + taper * across], axis=2)
    turn = photo_from_head[:, :3]
    normals = outward @ (turn / np.cbrt(np.linalg.det(turn))).T
    shade = sample.lighting.ambient + sum(
        np.clip(normals @ light.direction, 0, None)[..., None] * light.color
        for light in sample.lighting.lights
    )
    own = rng.uniform(0.6, 1.35, (1, num_strands, 1))
    depth = np.linspace(0.75, 1.1, count)[:, None, None]
    colors = np.clip(255 * sample.appearance.hair * own * depth * shade, 0, 255)
    index = np.arange(count * num_strands * 2).reshape(count, num_strands, 2)
    a, b = index[:-1, :, 0].ravel(), index[:-1, :, 1].ravel()
    c, d = index[1:, :, 1].ravel(), index[1:, :, 0].ravel()
    one_side = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    faces = np.concatenate([one_side, one_side[:, ::-1]])
    vertices = edges.reshape(-1, 3) @ turn.T + photo_from_head[:, 3]
    both_edges = np.repeat(colors[:, :, None], 2, axis=2).reshape(-1, 3)
    return Mesh(vertices.astype(np.float32), faces.astype(np.int32), both_edges.astype(np.uint8))


def _unit(vectors: np.ndarray) -> np.ndarray:
    lengths = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return np.asarray(vectors / np.maximum(lengths, 1e-9))
