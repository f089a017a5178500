"""Cut heads, and the bounds on the pose that is estimated on those that nothing was tuned on."""

from pathlib import Path

import numpy as np
import pytest

from rayboot.errors import DegenerateInputError
from rayboot.geometry.camera import rotation_yaw_pitch, transform_points
from rayboot.geometry.head_model import load_head_model
from rayboot.geometry.isosurface import extract_surface
from rayboot.geometry.pose import estimate_pose
from rayboot.synthesis.cut_solids import (
    DEVELOPMENT_CUTS,
    REPORT_CUTS,
    build_cut_solid,
    draw_cut,
    named_cut,
)

HELD_OUT = Path(__file__).resolve().parents[1] / "geometry/held_out_heads.npz"
MODEL = load_head_model()
MEAN = MODEL.mean.astype(float)


@pytest.mark.parametrize("name", [*DEVELOPMENT_CUTS, *REPORT_CUTS])
def test_each_named_cut_keeps_another_part_with_the_nose(name: str) -> None:
    landmarks = MEAN[MODEL.landmarks]
    cut = named_cut(name, landmarks)
    others = [named_cut(other, landmarks) for other in (*DEVELOPMENT_CUTS, *REPORT_CUTS)]
    assert sum(np.array_equal(cut, other) for other in others) == 1
    assert 0.1 < cut.mean() < 0.8


def test_drawn_cuts_vary() -> None:
    rng = np.random.default_rng(0)
    sizes = [draw_cut(rng, MEAN[MODEL.landmarks]).mean() for _ in range(20)]
    assert np.ptp(sizes) > 0.15


def test_solid_has_the_front_of_the_head_and_its_depth() -> None:
    landmarks = MEAN[MODEL.landmarks]
    turn = rotation_yaw_pitch(0.3, 0.1)
    solid = build_cut_solid(
        MEAN, MODEL.faces, landmarks, named_cut("ellipse", landmarks), turn, depth=60, smoothing=0.3
    )
    along = extract_surface(solid.volume, cell=0).vertices @ turn[:, 2]
    # 60 px of a crop of 192 px are 30 of one of 96 px.
    assert np.ptp(along) == pytest.approx(30, abs=1.5)
    tip = transform_points(solid.transform, landmarks[30:31])[0]
    assert along.max() == pytest.approx(tip @ turn[:, 2], abs=1.5)


def test_a_cut_beside_the_head_is_refused() -> None:
    landmarks = MEAN[MODEL.landmarks]
    nothing = np.zeros_like(named_cut("ellipse", landmarks))
    with pytest.raises(DegenerateInputError, match="no part of the head"):
        build_cut_solid(MEAN, MODEL.faces, landmarks, nothing, np.eye(3), depth=60)


def pose_errors(name: str) -> np.ndarray:
    """Errors (N, 2) of symmetry normal and gaze on the held-out heads, degrees."""
    rng = np.random.default_rng(11)
    errors = []
    for number, head in enumerate(np.load(HELD_OUT)["vertices"].astype(np.float64)):
        landmarks = head[MODEL.landmarks]
        turn = rotation_yaw_pitch(*np.radians(rng.uniform((-45, -15), (45, 15))))
        cut = named_cut(name, landmarks)
        depth = (50, 65, 85)[number % 3]
        solid = build_cut_solid(head, MODEL.faces, landmarks, cut, turn, depth=depth)
        pose = estimate_pose(extract_surface(solid.volume, cell=1).vertices)
        cosines = (pose.symmetry_normal @ turn[:, 0], pose.gaze @ turn[:, 2])
        errors.append(np.degrees(np.arccos(np.clip(cosines, -1, 1))))
    return np.array(errors)


def test_pose_of_held_out_heads() -> None:
    """Symmetry plane within 1 and 3 degrees, gaze within 3 and 8: median and 95th percentile.

    ``python benchmarks/pose.py`` has the table of which this is a part. A face of which a third
    is missing on one side has the same medians and single errors of 10 degrees and more.
    """
    errors = np.concatenate([pose_errors(name) for name in REPORT_CUTS if name != "one-sided"])
    middle, high = np.quantile(errors, (0.5, 0.95), axis=0)
    assert middle[0] <= 1 and middle[1] <= 3, (middle, high)
    assert high[0] <= 3 and high[1] <= 8, (middle, high)
    one_sided = np.median(pose_errors("one-sided"), axis=0)
    assert one_sided[0] <= 1 and one_sided[1] <= 3, one_sided
