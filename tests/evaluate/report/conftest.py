"""Outputs of a small evaluation."""

from pathlib import Path

import pytest

from rayboot.evaluate.report.outputs import ReportInput, write_outputs


@pytest.fixture(scope="session")
def report_outputs(
    report_input: ReportInput, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path]]:
    """The page of that evaluation, and the paths of all its files."""
    return write_outputs(report_input, tmp_path_factory.mktemp("report") / "evaluation")
