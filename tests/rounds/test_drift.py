import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rayboot.data.images import encode_image
from rayboot.evaluate.metrics.shape_statistics import ShapeStatistics
from rayboot.registry.resolve import resolve_model
from rayboot.rounds.drift import DriftConfig, DriftStatistics, detect_drift, measure_drift
from tests.data.pair_sets import face, write_pairs
from tests.evaluate.synthetic_crops import read_frontal_crops

FIRST = ShapeStatistics(64, spread=0.02, mirror=0.95, volume=0.09)


@pytest.mark.parametrize(
    ("candidate", "word"),
    [
        (FIRST, ""),
        (FIRST._replace(spread=0.0171, mirror=0.901, volume=0.111), ""),
        (FIRST._replace(spread=0.05), ""),
        (FIRST._replace(spread=0.0169), "faces become alike"),
        (FIRST._replace(mirror=0.89), "mirror images"),
        (FIRST._replace(volume=0.067), "change their size"),
        (FIRST._replace(volume=0.113), "change their size"),
    ],
)
@pytest.mark.parametrize("kind", ["photos", "views"])
def test_statistics_outside_the_first_teachers_range_are_named(
    candidate: ShapeStatistics, word: str, kind: str
) -> None:
    measured = DriftStatistics(FIRST, FIRST)._replace(**{kind: candidate})
    drift = detect_drift(FIRST, measured, DriftConfig())
    assert word in drift and f"(on {kind})" in drift if word else drift == ""


def test_all_statistics_outside_the_range_are_named() -> None:
    collapsed = ShapeStatistics(64, 0.0, 0.5, 0.2)
    drift = detect_drift(FIRST, DriftStatistics(collapsed, collapsed), DriftConfig())
    assert drift.count(";") == 5


def test_statistics_are_stored_and_those_of_version_0_1_are_read() -> None:
    for statistics in (DriftStatistics(FIRST, FIRST), DriftStatistics(FIRST)):
        stored = json.loads(json.dumps(statistics.to_json()))
        assert DriftStatistics.from_json(stored) == statistics
    assert DriftStatistics.from_json(FIRST._asdict()) == DriftStatistics(FIRST)


@pytest.mark.parametrize(("num_views", "num_measured"), [(4, 4), (3, None)])
def test_views_are_measured_where_enough_faces_have_one(
    synthetic_set: str, tmp_path: Path, num_views: int, num_measured: int | None
) -> None:
    faces = []
    for number, crop in enumerate(read_frontal_crops(synthetic_set)[:4]):
        # A view that is not rotated has the statistics of the photo.
        view = {"image": encode_image(crop, "png"), "transform": np.eye(3, 4).ravel().tolist()}
        row = {"image": view["image"], "split": "train", "shape": [112, 96, 96]}
        faces.append(face(number) | row | {"views": [view] if number < num_views else []})
    uri = write_pairs(tmp_path / "pairs", faces)
    weights = {"compact": resolve_model("builtin:compact").path}
    statistics = measure_drift(weights, uri, DriftConfig())["compact"]
    assert statistics.photos.num_shapes == 4
    if num_measured is None:
        assert statistics.views is None
    else:
        assert statistics.views == statistics.photos


def test_a_gpu_that_is_there_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, asked = write_pairs(tmp_path / "pairs", [face(1)]), []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        "rayboot.rounds.drift.load_network", lambda path, device: asked.append(device)
    )
    monkeypatch.setattr("rayboot.rounds.drift.measure_shapes", lambda *arguments: FIRST)
    measure_drift({"teacher": tmp_path / "teacher"}, uri, DriftConfig())
    assert asked == ["cuda"]
