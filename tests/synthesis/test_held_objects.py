from typing import get_args

import numpy as np
import pytest
from scipy.spatial import cKDTree

from rayboot.synthesis.accessories import HeldObject, ObjectKind
from rayboot.synthesis.held_objects import build_held_object
from tests.synthesis.heads import HEADS, MODEL, rng

SKIN = np.array([0.8, 0.6, 0.5])


def held(kind: ObjectKind, side: float = 1.0) -> HeldObject:
    return HeldObject(kind, np.zeros(3), side, 0.0, 1.0, np.full(3, 0.1), 0.5)


@pytest.mark.parametrize("kind", get_args(ObjectKind))
def test_objects_are_near_the_face_and_leave_the_eyes_free(kind: ObjectKind) -> None:
    surface = build_held_object(HEADS[0], held(kind), SKIN, MODEL, rng())
    assert cKDTree(HEADS[0]).query(surface.vertices)[0].min() < 0.3
    x, y, z = surface.vertices.T
    assert not ((np.abs(x) < 0.5) & (y > -0.1) & (z > 0)).any()
    assert (surface.faces < len(surface.vertices)).all()


def test_a_hand_changes_sides_and_has_the_colour_of_skin() -> None:
    left, right = (
        build_held_object(HEADS[0], held("hand", side), SKIN, MODEL, rng()) for side in (-1.0, 1.0)
    )
    assert left.vertices[:, 0].mean() < 0 < right.vertices[:, 0].mean()
    assert np.allclose(left.colors.mean(axis=0) / SKIN, 1, atol=0.15)
