"""Another light on a turned face: one more thing that the network shall not tell poses by.

A photo brings its own light, and all views of a face would share it. Here each view
gets a soft light from a direction of its own, as a factor on the colours: what is
turned towards it brightens, what is turned away darkens, and the face as a whole keeps
its exposure.
"""

import numpy as np

__all__ = ["draw_light", "light_gain"]

_WIDEST_DEG = 75.0
"""Between the light's direction and the camera's axis; a face lit from behind shows nothing."""

_GAMMA = 2.2
"""Light adds up linearly, colours are stored to a power; a factor is stored to the same."""


def draw_light(rng: np.random.Generator, strength: float) -> np.ndarray:
    """A direction, uniform on the cap about the camera's axis, with a strength as its length.

    Args:
        rng: source of chance.
        strength: share of the light that comes from there, 0 to 1.

    Returns:
        (3,) float64 towards the light, in the view's frame.
    """
    z = rng.uniform(np.cos(np.radians(_WIDEST_DEG)), 1.0)
    angle = rng.uniform(0.0, 2 * np.pi)
    across = np.sqrt(1 - z**2)
    return strength * np.array([across * np.cos(angle), across * np.sin(angle), z])


def light_gain(normals: np.ndarray, light: np.ndarray) -> np.ndarray:
    """Factors on stored colours, 1 in the mean over what faces the camera.

    Args:
        normals: (N, 3) unit, in the view's frame.
        light: (3,) from :func:`draw_light`.

    Returns:
        (N,) float32.
    """
    strength = float(np.linalg.norm(light))
    if strength == 0:
        return np.ones(len(normals), np.float32)
    # Light that wraps around, as a large lamp's: no hard edge between day and night.
    wrapped = ((1 + normals @ (light / strength)) / 2) ** 2
    facing = normals[:, 2] > 0
    mean = wrapped[facing].mean() if facing.any() else 1.0
    gain = (1 - strength) + strength * wrapped / mean
    return (gain ** (1 / _GAMMA)).astype(np.float32)
