"""Hats, caps and headscarves of a synthetic head."""

import numpy as np

from rayboot.geometry.head_model import HeadModel
from rayboot.geometry.mesh import Mesh
from rayboot.synthesis.accessories import Headwear
from rayboot.synthesis.surfaces import Surface, build_sheet, join_surfaces

__all__ = ["build_headwear", "hide_hair"]

_NUM_AZIMUTHS = 49
_NUM_ROWS = 9

_SLOPES = {"beanie": 0.4, "cap": 0.38, "brimmed": 0.3, "scarf": 0.1}
"""Rise of the lower edge from the back to the front of the head."""

_BOXINESS = {"beanie": 2.5, "cap": 2.5, "brimmed": 4.0}
"""Exponent of the crown's profile; that of an ellipse is 2."""

_MARGIN = 0.11
"""Distance between head and headwear: hair is below it."""

_VISOR_ANGLE = 1.05
"""Half the angle that a visor spans, rad."""

_FRINGE_BACK, _FRINGE_LENGTH = -0.5, 0.6
"""z of the rearmost strands of a fringe, and its longest part below headwear."""


class _Fit:
    """The lower edge of headwear on a head, and the frame in which it is upright."""

    def __init__(self, head: np.ndarray, headwear: Headwear, model: HeadModel) -> None:
        brow = head[model.landmarks[17:27]].astype(np.float64)
        self.slope = _SLOPES[headwear.kind]
        # The edge is a plane through a point above the brows.
        self.edge = brow[:, 1].max() + headwear.brow_height - self.slope * brow[:, 2].max()
        above = head[self.height(head) > 0].astype(np.float64)
        self.top = float(self.height(above).max())
        self.ring = _convex_ring(above[:, [0, 2]])

    def height(self, points: np.ndarray) -> np.ndarray:
        """Returns the height (...) of points (..., 3) above the plane of the edge."""
        return np.asarray(points[..., 1] - self.edge - self.slope * points[..., 2])

    def place(self, horizontal: np.ndarray, height: np.ndarray) -> np.ndarray:
        """Returns points (..., 3) of given x and z (..., 2) and height above the edge."""
        x, z = horizontal[..., 0], horizontal[..., 1]
        return np.stack([x, self.edge + self.slope * z + height, z], axis=-1)


def _convex_ring(points: np.ndarray) -> np.ndarray:
    """Returns the smoothed outline (A, 2) of points (N, 2); it begins and ends at the back."""
    azimuth = np.linspace(-np.pi, np.pi, _NUM_AZIMUTHS)
    normals = np.column_stack([np.sin(azimuth), np.cos(azimuth)])
    support = (points @ normals.T).max(axis=0)
    # A convex outline follows from the distance of its tangents and the change of it.
    waves = np.fft.rfft(support[:-1])
    waves[6:] = 0
    order = np.arange(len(waves))
    smooth, change = np.fft.irfft(waves, 48), np.fft.irfft(1j * order * waves, 48)
    tangents = np.column_stack([np.cos(azimuth), -np.sin(azimuth)])
    ring = smooth[:, None] * normals[:-1] + change[:, None] * tangents[:-1]
    return np.concatenate([ring, ring[:1]])


def build_headwear(
    head: np.ndarray, headwear: Headwear, model: HeadModel, rng: np.random.Generator
) -> Surface:
    """Returns headwear that fits a head.

    Args:
        head: (N, 3) vertices without hair, in the head's frame.
        headwear: kind, colours and size.
        model: head model.
        rng: random generator of folds and pattern.
    """
    fit = _Fit(head, headwear, model)
    if headwear.kind == "scarf":
        surface = _drape(fit, head, headwear, model, rng)
        return surface._replace(colors=np.clip(surface.colors, 0, 1))
    parts = [_crown(fit, headwear, rng)]
    if headwear.kind == "beanie":
        parts.append(_cuff(fit, headwear))
    elif headwear.kind == "cap":
        parts.append(_visor(fit, headwear))
    else:
        parts += [_brim(fit, headwear), _band(fit, headwear)]
    surface = join_surfaces(parts)
    return surface._replace(colors=np.clip(surface.colors, 0, 1))


def _widen(ring: np.ndarray, distance: float) -> np.ndarray:
    """Returns an outline (A, 2) moved outward from its middle."""
    middle = ring[:-1].mean(axis=0)
    offset = ring - middle
    length = np.linalg.norm(offset, axis=1, keepdims=True)
    return np.asarray(middle + offset * (1 + distance / length))


def _crown(fit: _Fit, headwear: Headwear, rng: np.random.Generator) -> Surface:
    extra = {"beanie": 0.08, "cap": 0.05, "brimmed": 0.2}[headwear.kind]
    height = fit.top + extra + headwear.crown * (0.25 if headwear.kind == "cap" else 1.0)
    boxiness = _BOXINESS[headwear.kind]
    angle = np.linspace(0, np.pi / 2, _NUM_ROWS)
    width, rise = np.cos(angle) ** (2 / boxiness), np.sin(angle) ** (2 / boxiness)
    ring = _widen(fit.ring, _MARGIN)
    middle = ring[:-1].mean(axis=0)
    horizontal = middle + width[:, None, None] * (ring - middle)
    points = fit.place(horizontal, (rise * height)[:, None] * np.ones(len(ring)))
    folds = rng.normal(0, 0.012 if headwear.kind == "cap" else 0.022, (3,))
    azimuth = np.linspace(0, 2 * np.pi, len(ring))
    ripple = sum(
        f * np.sin(k * azimuth + 2 * f * 100) for k, f in zip((5, 8, 13), folds, strict=True)
    )
    outward = np.concatenate([ring - middle, np.zeros((len(ring), 1))], axis=1)[:, [0, 2, 1]]
    points = points + (width * rise)[:, None, None] * ripple[:, None] * outward
    if headwear.kind == "brimmed":
        # The crown is pinched along its middle.
        points[..., 1] -= 0.25 * rise[:, None] ** 8 * np.exp(-np.square(points[..., 0] / 0.25))
    return build_sheet(points, _cloth(headwear, points, rng))


def _cloth(headwear: Headwear, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Returns reflectances (..., 3) of woven or knitted cloth with stripes or spots."""
    grain = 1 + 0.08 * rng.normal(0, 1, (*points.shape[:2], 1))
    waves = rng.normal(0, 9.0, 3) if headwear.kind != "beanie" else np.array([0.0, 16.0, 0.0])
    pattern = 1 + headwear.pattern * np.sin(points @ waves + 1.0)[..., None]
    shade = np.ones((*points.shape[:2], 1))
    # Seams and the lower edge are darker.
    shade[0] *= 0.75
    return np.asarray(headwear.color * grain * pattern * shade)


def _cuff(fit: _Fit, headwear: Headwear) -> Surface:
    margin = _MARGIN
    rows = [(0.0, margin - 0.02), (0.03, margin + 0.045), (0.24, margin + 0.05), (0.27, margin)]
    points = np.stack(
        [fit.place(_widen(fit.ring, out), np.full(len(fit.ring), up)) for up, out in rows]
    )
    ribs = 0.85 + 0.15 * np.resize([-1.0, 1.0], len(fit.ring))[:, None]
    return build_sheet(points, headwear.trim * ribs)


def _band(fit: _Fit, headwear: Headwear) -> Surface:
    ring = _widen(fit.ring, _MARGIN + 0.012)
    points = np.stack([fit.place(ring, np.full(len(ring), up)) for up in (0.0, 0.2)])
    return build_sheet(points, headwear.trim)


def _brim(fit: _Fit, headwear: Headwear) -> Surface:
    azimuth = np.linspace(-np.pi, np.pi, len(fit.ring))
    inner = _widen(fit.ring, _MARGIN - 0.03)
    rows = []
    for part in np.linspace(0, 1, 5):
        ring = _widen(fit.ring, _MARGIN - 0.03 + part * headwear.brim)
        # The brim is flatter than the edge of the crown, and bends up at the sides.
        up = part**1.5 * headwear.brim * (0.3 * np.sin(azimuth) ** 2 - 0.15 * np.cos(azimuth))
        rows.append(fit.place(ring, up - 0.8 * fit.slope * (ring - inner)[:, 1]))
    points = np.stack(rows)
    shade = np.linspace(0.75, 1.0, len(points))[:, None, None]
    return build_sheet(points, headwear.color * shade)


def _visor(fit: _Fit, headwear: Headwear) -> Surface:
    ring = _widen(fit.ring, _MARGIN)
    azimuth = np.linspace(-np.pi, np.pi, len(ring)) - headwear.turn
    front = np.flatnonzero(np.abs(azimuth) < _VISOR_ANGLE)
    across = azimuth[front] / _VISOR_ANGLE
    base = fit.place(ring[front], np.full(len(front), 0.02))
    reach = (headwear.brim + 0.15) * np.sqrt(np.clip(1 - across**2, 0, 1))
    # It slopes down, and is arched across.
    forward = np.array([np.sin(headwear.turn), -0.12, np.cos(headwear.turn)])
    arch = np.array([0.0, -0.14, 0.0]) * across[:, None] ** 2
    points = np.stack(
        [
            base + part * (reach[:, None] * forward + arch * (reach[:, None] > 0))
            for part in np.linspace(0, 1, 6)
        ]
    )
    upper = build_sheet(points, headwear.trim)
    below = build_sheet(points - np.array([0.0, 0.02, 0.0]), 0.5 * headwear.trim)
    return join_surfaces([upper, below])


def _drape(
    fit: _Fit, head: np.ndarray, headwear: Headwear, model: HeadModel, rng: np.random.Generator
) -> Surface:
    """Returns a headscarf: cloth from around the face over the head and onto the shoulders."""
    opening, angle = _face_opening(fit, head, model)
    sine, cosine = np.sin(angle), np.cos(angle)
    low = np.clip(-cosine, 0, 1)
    # The widest outline behind the face, and the place at the back of the head where it closes.
    half_width = np.abs(head[:, 0]).max() + 0.03
    crown, back = head[:, 1].max() + 0.08, fit.ring[:, 1].min() - 0.1
    middle = opening[:, 1].mean()
    height = np.where(cosine > 0, crown - middle, middle - opening[:, 1].min() + 0.95)
    sine_outer = np.sign(sine) * np.abs(sine) ** 0.75
    outer = np.column_stack(
        [
            half_width * sine_outer * (1 - 0.1 * low),
            middle + height * np.sign(cosine) * np.abs(cosine) ** 0.75,
            -0.85 + 0.35 * low,
        ]
    )
    folds = rng.normal(0, 0.014, 3)
    ripple = sum(
        fold * np.sin(count * angle + 40 * fold)
        for count, fold in zip((6, 10, 15), folds, strict=True)
    )
    # A lining closes the gap between cheeks and cloth.
    rows = [(opening - opening.mean(axis=0)) * 0.8 + opening.mean(axis=0) - [0.0, 0.0, 0.45]]
    for turn in np.linspace(0, np.pi / 2, 7):
        out, behind = np.sin(turn), 1 - np.cos(turn) ** 0.9
        point = opening + (outer - opening) * [1.0, 1.0, 0.0] * out
        rows.append(point + (outer - opening) * [0.0, 0.0, 1.0] * behind)
    closed = np.array([0.0, middle, back])
    for turn in np.linspace(0, np.pi / 2, 5)[1:-1]:
        width = np.cos(turn) ** 0.7
        shrink = outer * [1.0, 1.0, 0.0] * width + closed * [0.0, 1.0, 0.0] * (1 - width)
        depth = outer[:, 2] + (back - outer[:, 2]) * np.sin(turn) * (1 - low)
        rows.append(shrink + depth[:, None] * [0.0, 0.0, 1.0])
    points = np.stack(rows)
    growth = np.sin(np.linspace(0, np.pi, len(points)))[:, None]
    wave = (growth * ripple)[..., None]
    points = points + wave * np.column_stack([sine, cosine, 0 * sine])
    return build_sheet(points, _cloth(headwear, points, rng) * (1 + 5 * wave))


def _face_opening(fit: _Fit, head: np.ndarray, model: HeadModel) -> tuple[np.ndarray, np.ndarray]:
    """Returns the edge (41, 3) of a headscarf about the face, and its angles from the forehead."""
    jaw = head[model.landmarks[:17]].astype(np.float64)
    top, bottom = fit.edge, jaw[8, 1] + 0.02
    angle = np.linspace(-np.pi, np.pi, 41)
    half_width = 0.95 * np.abs(jaw[[0, 16], 0]).mean()
    sine, cosine = np.sin(angle), np.cos(angle)
    y = (top + bottom) / 2 + (top - bottom) / 2 * cosine
    # The cloth frames the cheeks, however wide they are.
    is_near = (np.abs(head[:, 1] - y[:, None]) < 0.12) & (head[:, 2] > -0.65)
    reach = np.where(is_near, np.abs(head[:, 0]), 0.0).max(axis=1)
    x = np.sign(sine) * np.minimum(half_width * np.abs(sine), 0.9 * reach)
    distance = np.hypot(head[:, 0] - x[:, None], head[:, 1] - y[:, None])
    # The cloth lies on the skin.
    depth = np.where(distance < 0.16, head[:, 2], -np.inf).max(axis=1)
    depth = np.where(np.isfinite(depth), depth, -0.6).clip(-0.75)
    for _ in range(3):
        ends = np.concatenate([depth[-2:-1], depth, depth[1:2]])
        depth = np.maximum(depth, (ends[:-2] + ends[1:-1] + ends[2:]) / 3)
    depth = depth - 0.16 * np.clip(-cosine - 0.6, 0, 1) + 0.02
    return np.column_stack([x, y, depth]), angle


def hide_hair(
    strands: Mesh,
    scalp: np.ndarray,
    head: np.ndarray,
    headwear: Headwear,
    model: HeadModel,
    photo_from_head: np.ndarray,
) -> tuple[Mesh, np.ndarray]:
    """Removes the hair that headwear covers.

    Args:
        strands: strands in the photo's frame.
        scalp: (N, 3) vertices of the head with the thickness of its hair, in the head's frame.
        head: (N, 3) vertices without hair.
        headwear: headwear on the head.
        model: head model.
        photo_from_head: (3, 4), from the head's frame to the photo's, px.

    Returns:
        The other strands, and the scalp (N, 3) flattened below the headwear.
    """
    fit = _Fit(head, headwear, model)
    inverse = np.linalg.inv(photo_from_head[:, :3])
    points = (strands.vertices - photo_from_head[:, 3]) @ inverse.T
    covered = fit.height(points) > -0.02
    # Without its roots a fringe would float before the forehead.
    covered |= (points[:, 2] > _FRINGE_BACK) & (fit.height(points) > -_FRINGE_LENGTH)
    if headwear.kind == "scarf":
        covered[:] = True
    kept = strands.faces[~covered[strands.faces].any(axis=1)]
    thickness = scalp - head
    length = np.linalg.norm(thickness, axis=1, keepdims=True)
    flat = head + thickness * np.minimum(1, 0.03 / np.maximum(length, 1e-9))
    under = (fit.height(head) > -0.05)[:, None]
    if headwear.kind == "scarf":
        under[:] = True
    return strands._replace(faces=kept), np.where(under, flat, scalp).astype(np.float32)
