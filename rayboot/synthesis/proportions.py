"""Proportions of faces that differ between the head model's shapes and people.

The heads that the model was extracted from have flat, short, drooping noses, receding chins, long
lower faces and flat mouths. The means below move them towards published anthropometry: a nasal tip
whose projection is 0.55 to 0.6 of the nose's length (Goode) and that is 0.21 outer eye distances
from the subnasale, lips just behind the line from nasal tip to chin (Ricketts), a nose 0.58 from
nasion to subnasale, a mouth 0.58 to 0.6, a distance from subnasale to stomion 0.24 and one from
subnasale to gnathion 0.76 outer eye distances (Farkas).
"""

from functools import cache

import numpy as np
from scipy.interpolate import RBFInterpolator

from rayboot.geometry.head_model import HeadModel, load_head_model
from rayboot.synthesis.neighbours import neighbour_mean

__all__ = ["NUM_PROPORTIONS", "draw_proportions", "nearest_identity", "proportion_offsets"]

NUM_PROPORTIONS = 13
"""Number of proportions: protrusion of the nose's bridge and of its tip, height of the tip,
projection of the chin, width of the mouth, height of the lower face, width of the face, protrusion
of the brows, length of the nose, and the depth of the mouth's corners, of the brows' outer ends, of
the nose's base, and of the lower lip."""

_MEANS = np.array([1.2, 0.045, 0.075, 0.14, 0.08, -1.0, 0.04, 0.06, 0.09, 0.04, 0.08, 0.035, 0.04])
"""Protrusion of the bridge and height of the lower face are relative to the profiles below; widths
are relative changes; the others are in outer eye distances."""

_DEVIATIONS = np.array(
    [0.15, 0.01, 0.02, 0.05, 0.06, 0.7, 0.03, 0.03, 0.03, 0.015, 0.03, 0.015, 0.02]
)

_NOSE_ROWS = np.array([-0.50, -0.42, -0.33, -0.19, -0.07, 0.03, 0.22])
"""y at which the nose is described, from below its base to between the brows."""

_NOSE_HALF_WIDTHS = np.array([0.30, 0.33, 0.34, 0.28, 0.22, 0.19, 0.16])
_BRIDGE_GAIN = np.array([0.0, 0.0, 0.12, 0.36, 0.6, 0.7, 0.8])
"""Relative increase of the nose's protrusion at each of the rows."""

_LOWER_ROWS = np.array([-1.26, -0.73, -0.42])
_LOWER_SHIFTS = np.array([-0.08, -0.055, 0.0])
"""Shift along y at chin, mouth and subnasale where the lower face is higher by one unit."""

_NOSE_LENGTH_ROWS = np.array([-0.42, 0.0])
_NOSE_LENGTH_SHIFTS = np.array([-1.0, 0.0])
"""Shift along y between nasion and subnasale, and of all below, where the nose is longer."""

_NUM_SMOOTHINGS = 3


def draw_proportions(rng: np.random.Generator) -> np.ndarray:
    """Draws the proportions (NUM_PROPORTIONS,) of a person."""
    return rng.normal(_MEANS, _DEVIATIONS)


@cache
def proportion_offsets() -> np.ndarray:
    """Returns the offsets (NUM_PROPORTIONS, N, 3) float32 of the head's vertices, one unit each."""
    model = load_head_model()
    x, y, _ = model.mean.astype(np.float64).T
    height = _nose_height(model)
    offsets = np.zeros((NUM_PROPORTIONS, len(model.mean), 3))
    offsets[0, :, 2] = height * np.interp(y, _NOSE_ROWS, _BRIDGE_GAIN)
    offsets[1, :, 2] = _bump(x / 0.14, (y + 0.33) / 0.11) * (height > 0)
    offsets[2, :, 1] = _bump(x / 0.16, (y + 0.34) / 0.10) * (height > 0)
    offsets[3, :, 2] = _bump(x / 0.38, (y + 1.22) / 0.24) * (model.mean[:, 2] > -0.6)
    mouth = _bump(x / 0.42, (y + 0.73) / 0.22) * (model.mean[:, 2] > -0.1)
    offsets[4, :, 0] = x * mouth
    offsets[5, :, 1] = np.interp(y, _LOWER_ROWS, _LOWER_SHIFTS)
    offsets[6, :, 0] = x * np.clip((np.abs(x) - 0.4) / 0.3, 0, 1)
    brows = _bump((np.abs(x) - 0.2) / 0.18, (y - 0.22) / 0.09)
    offsets[7, :, 2] = brows * (model.mean[:, 2] > -0.3)
    offsets[8, :, 1] = np.interp(y, _NOSE_LENGTH_ROWS, _NOSE_LENGTH_SHIFTS)
    corners = _bump((np.abs(x) - 0.29) / 0.09, (y + 0.67) / 0.10)
    offsets[9, :, 2] = -corners * (model.mean[:, 2] > -0.1)
    temples = _bump((np.abs(x) - 0.60) / 0.12, (y - 0.17) / 0.16)
    offsets[10, :, 2] = -temples * (model.mean[:, 2] > -0.3)
    base = _bump(x / 0.10, (y + 0.45) / 0.06)
    offsets[11, :, 2] = -base * (model.mean[:, 2] > -0.1)
    lower_lip = _bump((np.abs(x) - 0.12) / 0.12, (y + 0.81) / 0.07)
    offsets[12, :, 2] = -lower_lip * (model.mean[:, 2] > -0.1)
    for _ in range(_NUM_SMOOTHINGS):
        offsets = np.stack([neighbour_mean() @ offset for offset in offsets])
    return offsets.astype(np.float32)


@cache
def _identity_from_proportions() -> np.ndarray:
    """Returns the matrix (I, NUM_PROPORTIONS) to the closest coefficients of the head model."""
    model = load_head_model()
    basis = model.identity[:, model.front].reshape(len(model.identity), -1)
    offsets = proportion_offsets()[:, model.front].reshape(NUM_PROPORTIONS, -1)
    return np.asarray(np.linalg.lstsq(basis.T, offsets.T, rcond=None)[0])


def nearest_identity(identity: np.ndarray, proportions: np.ndarray) -> np.ndarray:
    """Returns coefficients (I,) of the head model for the head that is closest to a sample's.

    Args:
        identity: (I,) coefficients of the sample.
        proportions: (NUM_PROPORTIONS,) of the sample.
    """
    return np.asarray(identity + _identity_from_proportions() @ proportions)


def _nose_height(model: HeadModel) -> np.ndarray:
    """Returns the height (N,) of the mean nose above the face as it would be without it."""
    x, y, z = model.mean.astype(np.float64).T
    half_width = np.interp(y, _NOSE_ROWS, _NOSE_HALF_WIDTHS)
    low, high = _NOSE_ROWS[[0, -1]]
    is_front = np.zeros(len(x), bool)
    is_front[model.front] = True
    is_nose = (np.abs(x) < half_width) & (y > low) & (y < high) & (z > 0)
    is_around = (np.abs(x) < half_width + 0.2) & (y > low - 0.12) & (y < high + 0.12)
    is_skin = (model.masks["lips"] < 0.3) & (model.masks["eyes"] < 0.5)
    known = is_front & is_around & ~is_nose & is_skin
    points = model.mean[:, :2].astype(np.float64)
    base = RBFInterpolator(points[known], z[known], smoothing=1e-3, neighbors=200)
    height = np.zeros(len(x))
    height[is_nose] = np.maximum(z[is_nose] - base(points[is_nose]), 0)
    return height


def _bump(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(np.exp(-0.5 * (np.square(x) + np.square(y))))
