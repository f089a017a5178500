import numpy as np
import pytest

from rayboot.geometry.mesh import Mesh
from rayboot.synthesis.accessories import Glasses
from rayboot.synthesis.glasses import (
    build_frame,
    build_lenses,
    lens_outlines,
    look_through_lenses,
)
from tests.synthesis.heads import HEADS, MODEL

GLASSES = Glasses(
    half_width=0.27,
    half_height=0.19,
    squareness=2.6,
    taper=0.1,
    thickness=0.02,
    has_rim=True,
    color=np.full(3, 0.1),
    tint=np.array([0.2, 0.1, 0.1]),
    opacity=0.5,
    glare=0.0,
    slip=0.0,
)


@pytest.mark.parametrize("head", HEADS)
def test_lenses_are_before_the_eyes(head: np.ndarray) -> None:
    for outline, eye in zip(lens_outlines(head, GLASSES, MODEL), (36, 42), strict=True):
        corners = head[MODEL.landmarks[eye : eye + 6]]
        low, high = outline.min(axis=0), outline.max(axis=0)
        assert (corners[:, :2] > low[:2]).all() and (corners[:, :2] < high[:2]).all()
        assert corners[:, 2].max() < outline[:, 2].mean() < corners[:, 2].max() + 0.3


@pytest.mark.parametrize("head", HEADS)
def test_arms_reach_the_ears_outside_of_the_head(head: np.ndarray) -> None:
    frame = build_frame(head, GLASSES, MODEL).vertices
    ears = head[MODEL.masks["ears"] > 0.2]
    ends = frame[frame[:, 2] < np.quantile(frame[:, 2], 0.02)]
    assert np.abs(ends[:, 2:] - ears[:, 2]).min(axis=1).max() < 0.1
    assert np.abs(ends[:, 0]).min() > 0.7


def test_dark_lenses_alone_are_surfaces() -> None:
    assert build_lenses(HEADS[0], GLASSES, MODEL) is None
    lenses = build_lenses(HEADS[0], GLASSES._replace(opacity=0.9, tint=np.zeros(3)), MODEL)
    assert lenses is not None and lenses.colors.max() < 0.2


def test_the_tint_is_only_behind_the_lenses() -> None:
    angle = np.linspace(0, 2 * np.pi, 20)
    outline = np.column_stack([10 * np.cos(angle), 5 * np.sin(angle), 0 * angle])
    points = np.array([[0, 0, -5], [0, 0, 5], [9, 4.5, -5], [20, 0, -5]], np.float32)
    mesh = Mesh(points, np.zeros((0, 3), np.int32), np.full((4, 3), 200, np.uint8))
    colors = look_through_lenses(mesh, outline[None], GLASSES, np.ones(3)).colors
    assert colors is not None
    assert colors[0].tolist() == [120, 110, 110]
    assert (colors[1:] == 200).all()
