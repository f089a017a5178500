"""The perspective of a near camera, in photos whose geometry is otherwise orthographic."""

from typing import NamedTuple

import numpy as np

__all__ = ["PerspectiveCamera"]


class PerspectiveCamera(NamedTuple):
    """A camera before the middle of a photo.

    Only x and y change, so a shape that is seen in perspective is one that an orthographic camera
    shows in the same place: photo, landmarks and shape agree.

    Attributes:
        distance: distance from the plane z = 0, whose size is kept, px.
    """

    distance: float

    def project(self, points: np.ndarray) -> np.ndarray:
        """Returns points (N, 3) of the photo's frame where the camera sees them, with their z."""
        factor = self.distance / (self.distance - points[:, 2:])
        return np.concatenate([points[:, :2] * factor, points[:, 2:]], axis=1)
