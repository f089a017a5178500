import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from rayboot.config import parse_config
from rayboot.errors import RequestError
from rayboot.pipeline.generate_config import GenerateConfig
from rayboot.pipeline.in_process_executor import InProcessExecutor
from rayboot.rounds.robustness import (
    RobustnessConfig,
    RobustnessResult,
    prepare_robustness,
    run_robustness,
)

pytestmark = pytest.mark.egl


@pytest.fixture(scope="module")
def config(synthetic_set: str, tmp_path_factory: pytest.TempPathFactory) -> RobustnessConfig:
    return RobustnessConfig(
        input=synthetic_set,
        output=str(tmp_path_factory.mktemp("robustness") / "out"),
        models={"vrn": "builtin:compact", "head": "builtin:head"},
        turns_deg=(15.0, 60.0),
        num_actors=1,
        num_steps=2,
    )


@pytest.fixture(scope="module")
def result(config: RobustnessConfig, ray_local: object) -> RobustnessResult:
    return run_robustness(prepare_robustness(config), InProcessExecutor())


def test_self_consistency_decreases_with_rotation(
    result: RobustnessResult,
) -> None:
    for curve in result.curves.values():
        assert sorted(curve) == [-60, -15, 15, 60]
        assert min(curve[-60].mean, curve[60].mean) > 1.2 * max(curve[-15].mean, curve[15].mean)


def test_models_are_compared_on_the_same_views(result: RobustnessResult) -> None:
    errors = result.results.errors()
    names = [[error.face_id for error in of_model] for of_model in errors.values()]
    assert names[0] == names[1] and len(names[0]) >= 30
    assert all(np.isfinite(error.nme_icp) for of_model in errors.values() for error in of_model)


def test_the_proposal_is_a_config_of_generate(
    result: RobustnessResult, config: RobustnessConfig
) -> None:
    request = parse_config(
        GenerateConfig, yaml.safe_load(result.proposal.read_text("utf-8")), source="proposal"
    )
    assert request.views.yaw_steps() == result.steps_deg
    # Most of the disagreement is at the far turn.
    assert 15 < result.steps_deg[0] < result.steps_deg[-1] <= 60
    assert request.input == config.input


def test_curves_and_plot_are_stored(result: RobustnessResult, config: RobustnessConfig) -> None:
    output = Path(config.output)
    curves = json.loads((output / "curves.json").read_text("utf-8"))
    assert [point["turn_deg"] for point in curves["vrn"]] == [-60, -15, 15, 60]
    assert (output / "robustness.png").read_bytes().startswith(b"\x89PNG")


def test_a_repeated_experiment_returns_the_stored_results(
    result: RobustnessResult, config: RobustnessConfig
) -> None:
    again = run_robustness(prepare_robustness(config))
    assert again.curves == result.curves
    with pytest.raises(RequestError, match="another config_digest"):
        prepare_robustness(config.replace(turns_deg=(15.0, 50.0)))


def test_a_request_without_photos_is_refused() -> None:
    with pytest.raises(RequestError, match="--input"):
        prepare_robustness(RobustnessConfig())
    with pytest.raises(ValueError, match="must be increasing"):
        RobustnessConfig(turns_deg=(30.0, 20.0))
