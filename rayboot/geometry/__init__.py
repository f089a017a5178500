"""Cameras, meshes, volumes, pose and alignment: pure functions on NumPy arrays, without Ray."""

from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.mesh import Mesh
from rayboot.geometry.pose import FacePose, estimate_pose
from rayboot.geometry.volume import transform_volume

__all__ = ["FacePose", "Mesh", "estimate_pose", "extract_surface", "transform_volume"]
