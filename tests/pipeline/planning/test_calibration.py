from pathlib import Path
from typing import Any

import pytest

from rayboot.io.storage import list_files
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.generate_request import prepare_generate
from rayboot.pipeline.planning.calibration import measure_input, measure_sample
from rayboot.pipeline.planning.capacity import Node
from rayboot.pipeline.planning.limits import Input

pytestmark = pytest.mark.egl


def test_a_sample_is_measured_and_nothing_is_written(
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
    measured = measure_sample(plan, Node(2), num_photos=16)
    assert list_files(str(tmp_path)) == before
    assert measured.num_photos == 16
    # Half of the set is near-frontal.
    assert 4 <= measured.num_faces <= 12
    assert list(measured.cpu_s) == ["read", "reconstruct", "turn"]
    assert all(0 < measured.cpu_s[stage] < 1 for stage in measured.cpu_s)
    assert 0 < measured.start_s < 120
    assert measured.engine_rate > 20
    assert 0 < measured.write_cpu_s <= measured.write_s < 10
    assert 0 < measured.count_s < 10
    assert measured.shape == (96, 96, 96)


def test_an_input_is_measured_without_an_output(ray_local: Any, synthetic_set: str) -> None:
    config = GenerateConfig(
        input=synthetic_set, selection={"detect_faces": False}, pools={"batch_size": 4}
    )
    size = measure_input(config)
    assert size.photos == Input(24, packed=False, in_store=False)
    assert size.measured.num_photos == 24
    assert size.node.cpus >= 1
