"""Former name of :mod:`rayboot.inference.face_reconstructor`.

The code of versions that rayboot 0.1 registered imports this module. Loading such a version in
a fresh process finds it in the version's own copy of rayboot, which MLflow puts first on the
import path. A process that has imported rayboot already, however, looks for it here.
"""

from rayboot.inference.face_reconstructor import FaceReconstructor

__all__ = ["FaceReconstructor"]
