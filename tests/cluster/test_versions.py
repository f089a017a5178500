import json

import pytest

from rayboot.cluster.versions import (
    SUBMITTER_VARIABLE,
    installed_versions,
    require_matching_versions,
)
from rayboot.errors import RequestError


def test_a_run_that_was_not_submitted_is_not_checked() -> None:
    require_matching_versions({})


def test_equal_versions_pass() -> None:
    require_matching_versions({SUBMITTER_VARIABLE: json.dumps(installed_versions())})


@pytest.mark.parametrize("name", ["rayboot", "ray", "Python"])
def test_another_version_is_refused_and_both_are_named(name: str) -> None:
    submitted = json.dumps({**installed_versions(), name: "0.0"})
    with pytest.raises(
        RequestError, match=f"{name} 0.0 submitted, {installed_versions()[name]} on"
    ):
        require_matching_versions({SUBMITTER_VARIABLE: submitted})
