import pytest

from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.rounds.view_angles import AnglesConfig, distribute_steps, measure_agreement

pytestmark = pytest.mark.egl


def test_steps_are_dense_where_the_network_is_weak() -> None:
    weak_from_40 = {
        step: 0.9 if step <= 40 else 0.9 - 0.02 * (step - 40) for step in range(10, 80, 10)
    }
    steps = distribute_steps(weak_from_40, 3)
    assert len(steps) == 3
    assert all(40 < step <= 70 for step in steps)
    # The disagreement grows with the angle.
    assert steps[2] - steps[1] < steps[1] - steps[0]


def test_steps_are_even_where_disagreement_is() -> None:
    steps = distribute_steps({0.0: 0.9, 0.5: 0.5, 60.0: 0.5}, 3)
    assert steps == pytest.approx((10, 30, 50), abs=1)


def test_steps_are_even_for_a_network_that_agrees_everywhere() -> None:
    assert distribute_steps({10.0: 0.9, 70.0: 0.9}, 3) == (20, 40, 60)


def test_the_shipped_network_is_weak_at_profiles(synthetic_set: str) -> None:
    config = AnglesConfig(num_photos=6, tried_deg=(10, 40, 70))
    agreement = measure_agreement(GenerateConfig(input=synthetic_set), config)
    assert list(agreement) == [10, 40, 70]
    assert agreement[10] > agreement[40] > agreement[70]
    assert agreement[10] > 0.8
    assert min(distribute_steps(agreement, 3)) > 20
