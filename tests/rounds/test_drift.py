from pathlib import Path

import pytest
import torch

from rayboot.evaluate.metrics.shape_statistics import ShapeStatistics
from rayboot.rounds.drift import DriftConfig, detect_drift, measure_drift, read_crops
from tests.data.pair_sets import NUM_FACES, SHAPE, face, plain_image, write_pairs

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
def test_statistics_outside_the_first_teachers_range_are_named(
    candidate: ShapeStatistics, word: str
) -> None:
    drift = detect_drift(FIRST, candidate, DriftConfig())
    assert word in drift if word else drift == ""


def test_all_statistics_outside_the_range_are_named() -> None:
    drift = detect_drift(FIRST, ShapeStatistics(64, 0.0, 0.5, 0.2), DriftConfig())
    assert drift.count(";") == 2


def test_crops_are_ordered_by_the_names_of_their_photos(tmp_path: Path) -> None:
    uri = write_pairs(tmp_path / "pairs", [face(index) for index in reversed(range(NUM_FACES))])
    crops = read_crops(uri, 3)
    # Faces 0 and 3 are in the validation split.
    assert crops.shape == (3, *SHAPE[1:], 3)
    assert [crop[0, 0, 0] for crop in crops] == [plain_image(200 + i)[0, 0, 0] for i in (1, 2, 4)]


def test_a_gpu_that_is_there_measures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri, asked = write_pairs(tmp_path / "pairs", [face(1)]), []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(
        "rayboot.rounds.drift.load_network", lambda path, device: asked.append(device)
    )
    monkeypatch.setattr("rayboot.rounds.drift.measure_shapes", lambda network, crops: FIRST)
    measure_drift({"teacher": tmp_path / "teacher"}, uri, DriftConfig())
    assert asked == ["cuda"]
