import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from rayboot.errors import FaceRejectedError, RequestError
from rayboot.evaluate.datasets import florence
from rayboot.evaluate.datasets.base import DatasetListing
from rayboot.evaluate.datasets.florence import FlorenceDataset
from rayboot.evaluate.datasets.region import RegionConfig
from tests.evaluate.datasets.synthetic_scans import (
    LANDMARKS,
    MILLIMETRES,
    crop_vertices,
    encode_ljson,
    encode_obj,
    make_camera,
    photo_landmarks,
    write_avi,
    write_photo,
    write_stream,
)

COOPERATIVE = "Indoor-Cooperative"


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three people: scans, landmarks, cooperative videos, and frames of the first two."""
    for number in (1, 2, 3):
        subject = f"subject_{number:02d}"
        for folder, payload in (("data", encode_obj()), ("marks", encode_ljson())):
            suffix = "obj" if folder == "data" else "ljson"
            path = tmp_path / folder / subject / f"Model/frontal1/obj/1109{number}.{suffix}"
            path.parent.mkdir(parents=True)
            path.write_bytes(payload)
        write = write_avi if number == 1 else write_stream
        write(tmp_path / "data" / subject / f"Video/{COOPERATIVE}.mjpg", 4 + number)
    for number in (1, 2):
        for frame in range(3):
            path = tmp_path / f"frames/subject_{number:02d}/{COOPERATIVE}/{frame:04d}.png"
            write_photo(path, frame)
            np.save(path.with_suffix(".npy"), photo_landmarks(make_camera(30 * frame - 20)))
    return tmp_path


@pytest.fixture(autouse=True)
def detector_requests(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """Records requests of the face detector, which the tests of scans use."""
    requests: list[None] = []
    monkeypatch.setattr(florence, "require_detector", lambda: requests.append(None))
    return requests


def make_dataset(tree: Path, **fields: Any) -> FlorenceDataset:
    return FlorenceDataset(data=str(tree / "data"), landmarks=str(tree / "marks"), **fields)


def make_dataset_with_frames(tree: Path, **fields: Any) -> FlorenceDataset:
    return make_dataset(tree, frames=str(tree / "frames"), **fields)


def ids(listing: DatasetListing) -> list[str]:
    return listing.rows["face_id"].to_pylist()


def reasons(listing: DatasetListing) -> dict[str, str]:
    return {face.face_id: face.reason for face in listing.excluded}


def test_frames_of_videos_are_counted_and_numbered(
    tree: Path, detector_requests: list[None]
) -> None:
    listing = make_dataset(tree).list_faces()
    assert not listing.excluded and len(listing.rows) == 5 + 6 + 7
    assert ids(listing)[:2] == [f"subject_01/{COOPERATIVE}/{number:04d}" for number in (0, 1)]
    assert "53 subjects and 7,752 frames; 3 subjects and 18 frames" in listing.note
    assert "18 of the frames have no landmarks" in listing.note
    assert detector_requests
    stepped = make_dataset(tree, frame_step=3)
    assert [name[-4:] for name in ids(stepped.list_faces())][:2] == ["0000", "0003"]
    assert len(stepped.list_faces().rows) == 2 + 2 + 3
    assert "one frame of 3" in stepped.describe()["videos"]


def test_landmarks_of_a_frame_align_the_scan(tree: Path, detector_requests: list[None]) -> None:
    faces = make_dataset_with_frames(tree, region=RegionConfig())
    listing = faces.list_faces()
    assert ids(listing)[0] == f"subject_01/{COOPERATIVE}/0000" and len(listing.rows) == 6
    assert list(reasons(listing)) == [f"subject_03/{COOPERATIVE}"]
    assert "landmarks" not in listing.note and not detector_requests
    for row in listing.rows.to_pylist():
        face = faces.read(row, 96)
        yaw_deg = 30 * int(row["face_id"][-4:]) - 20
        assert face.yaw_deg == pytest.approx(yaw_deg, abs=2.5) and face.landmarks is None
        truth = crop_vertices(make_camera(yaw_deg), 96)
        assert face.vertices[:, :2].min(axis=0) == pytest.approx(truth[:, :2].min(axis=0), abs=1e-3)
        assert face.triangles is not None


def test_a_scan_is_cut_95_mm_around_the_nose(tree: Path) -> None:
    face = make_dataset_with_frames(tree).read(
        make_dataset_with_frames(tree).list_faces().rows.to_pylist()[0], 96
    )
    reach = np.ptp(face.vertices[:, 0]) / face.interocular * MILLIMETRES
    assert 100 < reach < 190
    whole_scan = make_dataset_with_frames(tree, region=RegionConfig())
    whole = whole_scan.read(whole_scan.list_faces().rows.to_pylist()[0], 96)
    assert len(face.vertices) < 0.8 * len(whole.vertices)
    assert face.interocular == pytest.approx(whole.interocular)


def test_videos_are_chosen(tree: Path) -> None:
    write_stream(tree / "data/subject_02/Video/PTZ-Outdoor.mjpeg", 3)
    faces = make_dataset(tree, videos=("cooperative", "outdoor"))
    listing = faces.list_faces()
    assert len(listing.rows) == 18 + 3
    assert "subject_02/PTZ-Outdoor/0002" in ids(listing)
    assert list(reasons(listing)) == ["subject_01/PTZ-Outdoor", "subject_03/PTZ-Outdoor"]
    for videos in ((), ("cooperative", "cooperative"), ("profile",)):
        with pytest.raises(ValidationError):
            make_dataset(tree, videos=videos)


def test_a_complete_dataset_has_no_note(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(florence, "_NUM_SUBJECTS", 2)
    monkeypatch.setattr(florence, "_NUM_FRAMES", 6)
    assert make_dataset_with_frames(tree).list_faces().note == ""


def test_missing_files_are_listed_by_subject(tree: Path) -> None:
    shutil.rmtree(tree / "data/subject_01/Model")
    (tree / "marks/subject_02/Model/frontal1/obj/11092.ljson").unlink()
    (tree / f"data/subject_03/Video/{COOPERATIVE}.mjpg").unlink()
    shutil.copytree(tree / "data/subject_03", tree / "data/subject_04")
    (tree / "data/subject_05/Model").mkdir(parents=True)
    (tree / "data/readme.txt").write_text("no subject")
    listing = make_dataset(tree).list_faces()
    excluded = reasons(listing)
    assert not ids(listing)
    assert list(excluded) == ["subject_01", "subject_02", f"subject_03/{COOPERATIVE}", "subject_04"]
    assert "no scan at Model/frontal1" in excluded["subject_01"]
    assert "got 0 of 1" in excluded["subject_02"] and "got 0 of 1" in excluded["subject_04"]
    assert "no video at" in excluded[f"subject_03/{COOPERATIVE}"]
    other = make_dataset(tree, scan="frontal2").list_faces()
    assert "frontal2" in reasons(other)["subject_03"]


def test_damaged_files_are_listed_with_their_names(tree: Path) -> None:
    (tree / "marks/subject_01/Model/frontal1/obj/11091.ljson").write_bytes(b"nonsense")
    (tree / f"data/subject_02/Video/{COOPERATIVE}.mjpg").write_bytes(b"nonsense")
    video = tree / f"data/subject_03/Video/{COOPERATIVE}.mjpg"
    write_avi(video, 11)
    video.write_bytes(video.read_bytes()[: int(0.8 * video.stat().st_size)])
    listing = make_dataset(tree).list_faces()
    excluded = reasons(listing)
    assert "11091.ljson" in excluded["subject_01"]
    assert "OpenCV cannot open it" in excluded[f"subject_02/{COOPERATIVE}"]
    assert "the container declares 11" in excluded[f"subject_03/{COOPERATIVE}"]
    assert 0 < len(listing.rows) < 11 and len(excluded) == 3


def test_a_damaged_scan_rejects_each_of_its_frames(tree: Path) -> None:
    (tree / "data/subject_01/Model/frontal1/obj/11091.obj").write_bytes(encode_obj()[:2000])
    path = tree / "marks/subject_02/Model/frontal1/obj/11092.ljson"
    path.write_bytes(encode_ljson(LANDMARKS + 300))
    faces = make_dataset_with_frames(tree)
    rows = faces.list_faces().rows.to_pylist()
    assert len(rows) == 6
    for row in rows:
        with pytest.raises(FaceRejectedError, match=r"unusable-scan: .*1109\d\.obj"):
            faces.read(row, 96)


def test_damaged_frames_and_landmarks_are_named(tree: Path) -> None:
    faces = make_dataset_with_frames(tree)
    rows = faces.list_faces().rows.to_pylist()
    folder = tree / f"frames/subject_01/{COOPERATIVE}"
    (folder / "0000.png").write_bytes(b"nonsense")
    (folder / "0001.npy").write_bytes(b"nonsense")
    (folder / "0002.npy").unlink()
    with pytest.raises(FaceRejectedError, match=r"undecodable: .*0000\.png"):
        faces.read(rows[0], 96)
    with pytest.raises(FaceRejectedError, match=r"landmarks: unreadable: .*\.npy"):
        faces.read(rows[1], 96)
    with pytest.raises(FaceRejectedError, match=r"missing: .*0002\.npy"):
        faces.read(rows[2], 96)
    assert faces.read(rows[3], 96).face_id == f"subject_02/{COOPERATIVE}/0000"


def test_one_frame_in_two_formats_is_listed_once(tree: Path, detector_requests: list[None]) -> None:
    write_photo(tree / f"frames/subject_01/{COOPERATIVE}/0001.jpg")
    write_photo(tree / f"frames/subject_01/{COOPERATIVE}/0009.jpg")
    faces = make_dataset_with_frames(tree)
    listing = faces.list_faces()
    assert "is the same frame" in reasons(listing)[f"subject_01/{COOPERATIVE}/0001.png"]
    assert len(listing.rows) == 7 and "1 of the frames have no landmarks" in listing.note
    assert detector_requests
    assert len(make_dataset_with_frames(tree, frame_step=2).list_faces().rows) == 4


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="MICC Florence"):
        make_dataset(tmp_path).list_faces()
    with pytest.raises(ValidationError, match="vertices of its own"):
        make_dataset(tmp_path, region=RegionConfig(kind="file", file="mask.mat"))


def test_facts_that_change_the_error_are_described(tmp_path: Path) -> None:
    facts = make_dataset(tmp_path).describe()
    assert "95" in facts["region"] and facts["scan"] == "frontal1"
    assert "each model's own shape" in facts["placement"] and "every frame" in facts["videos"]


def test_published_landmarks_match_the_layout(tree: Path, shared_dir: Path) -> None:
    # The scans are not public; any mesh at the right path shows that names are matched.
    marks = shared_dir / "faces/MICC_landmarks"
    data = tree / "real"
    for file in marks.rglob("*.ljson"):
        scan = data / file.relative_to(marks).with_suffix(".obj")
        scan.parent.mkdir(parents=True)
        scan.write_bytes(b"v 0 0 0\n")
    faces = FlorenceDataset(data=str(data), landmarks=str(marks), frames=str(tree / "frames"))
    listing = faces.list_faces()
    assert len(listing.rows) == 6 and len(listing.excluded) == 8
    assert all("no photo at" in face.reason for face in listing.excluded)
