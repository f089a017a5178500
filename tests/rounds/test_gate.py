import numpy as np
import pytest

from rayboot.evaluate.results import FaceError
from rayboot.rounds.gate import GateConfig, decide_promotion


def faces(front: float, profile: float, noise: float = 0.002, seed: int = 0) -> list[FaceError]:
    rng = np.random.default_rng(seed)
    yaws = np.concatenate(
        [rng.uniform(-15, 15, 60), rng.choice([-1, 1], 60) * rng.uniform(60, 75, 60)]
    )
    error = np.where(np.abs(yaws) <= 15, front, profile) + rng.normal(0, noise, 120)
    return [
        FaceError(str(i), yaw, e, e) for i, (yaw, e) in enumerate(zip(yaws, error, strict=True))
    ]


CONFIG = GateConfig(max_front_loss=0.07)


def test_better_profiles_and_an_equal_front_pass() -> None:
    decision = decide_promotion(faces(0.04, 0.09), faces(0.041, 0.06, seed=1), CONFIG)
    assert decision.passed
    assert decision.profile.mean == pytest.approx(-0.333, abs=0.02)
    assert decision.front.mean == pytest.approx(0.025, abs=0.02)


def test_a_front_that_worsens_too_much_fails() -> None:
    decision = decide_promotion(faces(0.04, 0.09), faces(0.045, 0.06, seed=1), CONFIG)
    assert not decision.passed
    assert "front" in decision.reason


def test_a_gain_within_the_noise_fails() -> None:
    decision = decide_promotion(
        faces(0.04, 0.09, noise=0.03), faces(0.04, 0.0899, noise=0.03, seed=1), CONFIG
    )
    assert not decision.passed
    assert "no clear gain" in decision.reason


def test_without_profile_faces_no_candidate_passes() -> None:
    front = [face for face in faces(0.04, 0.09) if abs(face.yaw_deg) < 20]
    assert not decide_promotion(front, front, CONFIG).passed


def test_faces_that_were_not_reconstructed_do_not_count() -> None:
    before, after = faces(0.04, 0.09), faces(0.04, 0.06, seed=1)
    after = [f._replace(nme_icp=float("nan")) if i % 7 == 0 else f for i, f in enumerate(after)]
    decision = decide_promotion(before, after, CONFIG)
    assert np.isfinite(decision.profile.mean)
    assert decision.profile.num_faces < 60


def with_details(errors: list[FaceError], normal_deg: float, nose: float) -> list[FaceError]:
    return [face._replace(normal_deg=normal_deg, nme_nose=nose) for face in errors]


@pytest.mark.parametrize(
    ("normal_deg", "nose", "fault"), [(10.5, 0.02, ""), (14, 0.02, "normals"), (10, 0.03, "nose")]
)
def test_details_may_not_worsen_more_than_the_limit(
    normal_deg: float, nose: float, fault: str
) -> None:
    before = with_details(faces(0.04, 0.09), 10, 0.02)
    after = with_details(faces(0.04, 0.06, seed=1), normal_deg, nose)
    assert decide_promotion(before, after, CONFIG).passed
    decision = decide_promotion(before, after, CONFIG.replace(max_detail_loss=0.1))
    assert decision.passed == (not fault)
    assert fault in decision.reason


def test_details_that_the_truth_lacks_are_not_limited() -> None:
    strict = CONFIG.replace(max_detail_loss=0.0)
    assert decide_promotion(faces(0.04, 0.09), faces(0.04, 0.06, seed=1), strict).passed
