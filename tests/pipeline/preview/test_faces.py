from pathlib import Path

import numpy as np
import pytest

from rayboot.data.images import decode_photo
from rayboot.geometry.camera import gaze_angles
from rayboot.pipeline.preview.faces import FaceIndex, index_faces, make_cards
from tests.data.pair_sets import YAWS, face, write_pairs
from tests.pipeline.preview.pairs import CONFIDENCES, YAWS_DEG, posed_face


def index_of(folder: Path, faces: list[dict[str, object]], rows_per_file: int = 4) -> FaceIndex:
    uri = write_pairs(folder, faces, rows_per_file)
    files = sorted(str(path.relative_to(folder)) for path in folder.glob("outcome=face/*"))
    return index_faces(uri, files)


@pytest.fixture
def faces(tmp_path: Path) -> FaceIndex:
    poses = zip(CONFIDENCES, YAWS_DEG, strict=True)
    return index_of(tmp_path / "pairs", [posed_face(i, *pose) for i, pose in enumerate(poses)])


def test_numbers_of_all_faces_are_read(faces: FaceIndex) -> None:
    assert len(faces) == 6
    assert faces.confidence == pytest.approx(CONFIDENCES, abs=1e-6)
    gazes = [posed_face(0, 0, yaw_deg)["gaze"] for yaw_deg in YAWS_DEG]
    assert np.radians(faces.yaw_deg) == pytest.approx([gaze_angles(g)[0] for g in gazes], abs=1e-6)
    assert faces.view_yaws_deg == pytest.approx(YAWS * 6, abs=1e-4)


def test_faces_are_chosen_by_what_is_to_be_checked(faces: FaceIndex) -> None:
    assert faces.least_confident(3).tolist() == [3, 1, 5]
    assert faces.most_turned(3).tolist() == [3, 1, 5]
    assert sorted(faces.random(99)) == list(range(6))
    assert len(set(faces.random(4))) == 4


def test_the_random_sample_does_not_depend_on_the_files(tmp_path: Path) -> None:
    rows = [posed_face(index, 0.5, 0.0) for index in range(6)]
    first = index_of(tmp_path / "a", rows, 4)
    second = index_of(tmp_path / "b", rows[::-1], 1)
    ids = [
        [card.face_id for card in index.read_cards(index.random(3))] for index in (first, second)
    ]
    assert ids[0] == ids[1]
    assert [row.face_id for row in second.read_rows(second.random(3))] == ids[0]


def test_cards_show_the_crop_and_the_views_by_yaw(faces: FaceIndex) -> None:
    (card,) = faces.read_cards(np.array([4]))
    assert card.face_id == "photos/4.jpg"
    assert (card.confidence, card.yaw_deg) == pytest.approx((0.7, -8.0), abs=0.1)
    assert [image.name for image in card.images] == [
        *("photo", "turned −60°", "turned −20°"),
        *("not turned", "turned +20°", "turned +60°"),
    ]
    grey = [int(decode_photo(image.image).mean()) for image in card.images]
    assert grey == pytest.approx([204, 40, 41, 42, 43, 44], abs=2)


def test_rows_have_numbers_and_the_crop(faces: FaceIndex) -> None:
    second, first = faces.read_rows(np.array([5, 0]))
    assert (first.face_id, first.split, first.num_views) == ("photos/0.jpg", "val", 5)
    assert first.view_yaws_deg == pytest.approx((-60, 60), abs=1e-4)
    assert (second.face_id, second.split) == ("photos/5.jpg", "train")
    assert decode_photo(second.image).mean() == pytest.approx(205, abs=2)


def test_unknown_poses_and_missing_views_are_left_empty(tmp_path: Path) -> None:
    rows = [face(0), posed_face(1, 0.5, 9.0), {**face(2), "views": []}]
    index = index_of(tmp_path / "pairs", rows)
    assert np.isnan(index.confidence).tolist() == [True, False, True]
    assert index.least_confident(9).tolist() == index.most_turned(9).tolist() == [1]
    first, _, third = index.read_rows(np.arange(3))
    assert np.isnan(first.yaw_deg) and first.num_views == 5
    assert third.num_views == 0 and np.isnan(third.view_yaws_deg).all()
    assert [len(card.images) for card in index.read_cards(np.arange(3))] == [6, 6, 1]


def test_cards_of_generated_rows_are_the_same(faces: FaceIndex) -> None:
    row = posed_face(1, CONFIDENCES[1], YAWS_DEG[1])
    (made,), (read,) = make_cards([row]), faces.read_cards(np.array([1]))
    assert made.images == read.images
    assert made.confidence == pytest.approx(read.confidence)
    assert made.yaw_deg == pytest.approx(read.yaw_deg, abs=1e-4)
