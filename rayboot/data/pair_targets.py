"""Training targets of single views, made from what a pairs data set stores for their face.

A data set stores one target a face, in the frame of its photo; that of a view is made when it is
read. All are in the frame of the view's image (:mod:`rayboot.geometry.camera`).
"""

from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

import numpy as np
import torch

from rayboot.errors import DegenerateInputError, RequestError
from rayboot.geometry.surface_depth import (
    MAX_OUTLINE_DISTANCE,
    complete_surface_depth,
    measure_columns,
    unpack_surface_depth,
)
from rayboot.geometry.volume import unpack_occupancy
from rayboot.models.head_regressor import transform_heads, unpack_head
from rayboot.models.soft_occupancy import soft_occupancy
from rayboot.models.transform import transform_volumes

__all__ = ["PairTarget", "TargetMaker", "make_target_maker"]

PairTarget: TypeAlias = Literal["occupancy", "soft_occupancy", "surface_depth", "head"]
"""Kind of a view's target.

``occupancy``: (D, S, S) bool. ``soft_occupancy``: (D, S, S) float32 in [0, 1], which falls across
the surface within a pixel, with 0.5 on it. ``surface_depth``: (3, h, w) float32, z of the front and
of the back in px, and the distance to the outline, positive inside. ``head``: (I + E + 12,)
float32, coefficients and affine of the parametric head; only in data sets of such a network.
"""

_SOFTNESS = 1.0
"""Distance over which soft occupancy falls from 1 to 0, px: that of the shipped networks."""


class TargetMaker(NamedTuple):
    """How targets of a kind are made.

    Attributes:
        column: column of the data set that they are made from.
        make: function from a face's row and the (3, 4) float64 transform from its photo's frame to
            the view's, None for the photo itself, to the target.
    """

    column: str
    make: Callable[[Mapping[str, Any], np.ndarray | None], torch.Tensor]


def make_target_maker(kind: PairTarget) -> TargetMaker:
    """Returns how targets of a kind are made.

    Raises:
        RequestError: there is no such kind.
    """
    makers = {
        "occupancy": TargetMaker("occupancy", _make_occupancy),
        "soft_occupancy": TargetMaker("surface_depth", _make_soft_occupancy),
        "surface_depth": TargetMaker("surface_depth", _make_surface_depth),
        "head": TargetMaker("target", _make_head),
    }
    if kind not in makers:
        raise RequestError(f"target must be one of {', '.join(get_args(PairTarget))}, got {kind!r}")
    return makers[kind]


def _make_occupancy(face: Mapping[str, Any], transform: np.ndarray | None) -> torch.Tensor:
    depth, height, width = face["shape"]
    volume = torch.from_numpy(unpack_occupancy(face["occupancy"], (depth, height, width)).copy())
    return volume if transform is None else transform_volumes(volume[None], transform[None])[0]


def _make_soft_occupancy(face: Mapping[str, Any], transform: np.ndarray | None) -> torch.Tensor:
    return _soft_volume(face, transform, tuple(face["shape"]))


def _make_surface_depth(face: Mapping[str, Any], transform: np.ndarray | None) -> torch.Tensor:
    """Returns the depth maps of a view, measured on its soft volume.

    Its values cross 0.5 between two slices where the surface does, so nothing is rounded to them.
    """
    depth, _, width = face["shape"]
    stored = unpack_surface_depth(face["surface_depth"], width)
    if transform is None:
        return torch.from_numpy(stored)
    volume = _soft_volume(face, transform, (depth, *stored.shape[1:]))
    try:
        maps = complete_surface_depth(measure_columns(volume.numpy() - 0.5), width)
    except DegenerateInputError:
        # The solid has left the volume.
        return torch.from_numpy(np.zeros_like(stored)).index_fill_(
            0, torch.tensor([2]), -MAX_OUTLINE_DISTANCE
        )
    return torch.from_numpy(np.stack(maps).astype(np.float32))


def _soft_volume(
    face: Mapping[str, Any], transform: np.ndarray | None, shape: tuple[int, ...]
) -> torch.Tensor:
    width = face["shape"][2]
    maps = torch.from_numpy(unpack_surface_depth(face["surface_depth"], width))
    affine = np.eye(3, 4) if transform is None else transform
    depth, height, columns = shape
    volumes = soft_occupancy(maps[None], affine[None], (depth, height, columns), width, _SOFTNESS)
    return volumes[0]


def _make_head(face: Mapping[str, Any], transform: np.ndarray | None) -> torch.Tensor:
    parameters = torch.from_numpy(unpack_head(face["target"]).copy())
    return (
        parameters if transform is None else transform_heads(parameters[None], transform[None])[0]
    )
