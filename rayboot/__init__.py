"""rayboot: bootstrap single-image 3D face reconstruction without 3D ground truth.

>>> face = rayboot.reconstruct("portrait.jpg")
>>> face.save("face.glb")
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rayboot.errors import FaceRejectedError, RaybootError
    from rayboot.inference.face_model import FaceModel, load, reconstruct
    from rayboot.inference.reconstruction import Reconstruction

__version__ = "0.2.0"
__all__ = [
    "FaceModel",
    "FaceRejectedError",
    "RaybootError",
    "Reconstruction",
    "__version__",
    "load",
    "reconstruct",
]

_MODULES = {
    "FaceModel": "inference.face_model",
    "FaceRejectedError": "errors",
    "RaybootError": "errors",
    "Reconstruction": "inference.reconstruction",
    "load": "inference.face_model",
    "reconstruct": "inference.face_model",
}


def __getattr__(name: str) -> object:
    # Importing the package loads neither PyTorch nor NumPy: every command and worker does it.
    if name in _MODULES:
        value = getattr(importlib.import_module(f"rayboot.{_MODULES[name]}"), name)
        # Found at once the next time.
        globals()[name] = value
        return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
