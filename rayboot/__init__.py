"""rayboot: bootstrap single-image 3D face reconstruction without 3D ground truth."""

__version__ = "0.2.0"
__all__ = ["__version__"]
