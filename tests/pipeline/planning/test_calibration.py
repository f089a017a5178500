from pathlib import Path
from typing import Any

import pytest

from rayboot.io.storage import list_files
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.planning.calibration import calibrate, calibrate_input
from rayboot.pipeline.planning.capacity import Node
from rayboot.pipeline.planning.limits import InputSpec

pytestmark = [pytest.mark.egl, pytest.mark.slow]


def test_a_sample_is_measured_and_its_output_is_removed(
    ray_local: Any, synthetic_set: str, tmp_path: Path
) -> None:
    config = GenerateConfig(
        input=synthetic_set,
        output=str(tmp_path),
        selection={"detect_faces": False},
        pools={"batch_size": 4},
    )
    plan = prepare_generate(config)
    before = list_files(str(tmp_path))
    calibration = calibrate(plan, Node(1), num_photos=16)
    assert list_files(str(tmp_path)) == before
    assert calibration.num_photos == 16
    # Half of the set is near-frontal.
    assert 4 <= calibration.num_faces <= 12
    assert list(calibration.cpu_s) == ["read", "reconstruct", "turn"]
    assert all(0 < calibration.cpu_s[stage] < 1 for stage in calibration.cpu_s)
    assert 0 < calibration.start_s < 120
    assert calibration.engine_rate > 20
    assert 0 < calibration.write_cpu_s <= calibration.write_s < 10
    assert 0 < calibration.count_s < 10
    assert calibration.shape == (112, 96, 96)
    assert calibration.storage is not None
    assert calibration.storage.num_faces == calibration.num_faces


def test_an_input_is_measured_without_an_output(ray_local: Any, synthetic_set: str) -> None:
    config = GenerateConfig(
        input=synthetic_set, selection={"detect_faces": False}, pools={"batch_size": 4}
    )
    calibrated = calibrate_input(config)
    assert calibrated.photos == InputSpec(24, packed=False, in_object_store=False)
    assert calibrated.calibration.num_photos == 24
    assert calibrated.node.cpus >= 1
