"""Relighting of rotated faces, so that a network cannot infer the pose from the light.

A photo's own light is the same in all views of its face. Relighting gives each
view a soft light from its own direction, as a factor on the colours: surfaces that
face the light become brighter, others darker, and the face as a whole keeps its
exposure.
"""

import numpy as np

__all__ = ["draw_light", "light_gain"]

_MAX_ANGLE_DEG = 75.0
"""Largest angle between the light's direction and the camera's axis; a light from behind would
leave the visible side dark."""

_GAMMA = 2.2
"""Gamma of the stored colours: a factor on the light is a factor to the power of 1 / gamma on
the colours."""


def draw_light(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Draws a direction uniformly from the cap about the camera's axis.

    Args:
        rng: source of randomness.
        strength: fraction of the light that comes from that direction, 0 to 1.

    Returns:
        (3,) float64 towards the light, in the view's frame, with ``strength`` as its length.
    """
    z = rng.uniform(np.cos(np.radians(_MAX_ANGLE_DEG)), 1.0)
    angle = rng.uniform(0.0, 2 * np.pi)
    sine = np.sqrt(1 - z**2)
    return strength * np.array([sine * np.cos(angle), sine * np.sin(angle), z])


def light_gain(normals: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Returns factors on stored colours whose mean light over the camera's side is 1.

    Args:
        normals: (N, 3) unit normals, in the view's frame.
        light: (3,) as :func:`draw_light` returns.

    Returns:
        (N,) float32.
    """
    strength = float(np.linalg.norm(light))
    if strength == 0:
        return np.ones(len(normals), np.float32)
    # Wrapped diffuse light, like that of a large lamp: it has no hard edge between light and dark.
    wrapped = ((1 + normals @ (light / strength)) / 2) ** 2
    facing = normals[:, 2] > 0
    mean = wrapped[facing].mean() if facing.any() else 1.0
    gain = (1 - strength) + strength * wrapped / mean
    return (gain ** (1 / _GAMMA)).astype(np.float32)
