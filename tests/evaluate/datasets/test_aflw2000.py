from pathlib import Path

import numpy as np
import pytest
import scipy.io
from pydantic import ValidationError

from rayboot.errors import FaceRejectedError, RequestError
from rayboot.evaluate.datasets.aflw2000 import Aflw2000Dataset
from rayboot.evaluate.datasets.base import DatasetListing
from rayboot.geometry.crop import apply_affine
from rayboot.io.torch7 import write_torch7
from tests.evaluate.datasets.synthetic_aflw2000 import SyntheticFit, write_fit

STEMS = [f"image{number:05d}" for number in (2, 4, 8, 13, 20)]
LANDMARKS = np.random.default_rng(0).uniform(40, 110, (68, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Five fits; only the last is implausible, by a full turn of pitch."""
    rng = np.random.default_rng(1)
    for stem in STEMS:
        fit = SyntheticFit.random(rng)
        if stem == STEMS[-1]:
            fit.pose[:3] = np.radians([-320, 100, 10])
        write_fit(tmp_path / "set", stem, LANDMARKS, fit)
    return tmp_path / "set"


def ids(listing: DatasetListing) -> list[str]:
    return listing.rows["face_id"].to_pylist()


def test_landmarks_are_the_truth_and_determine_the_crop(folder: Path) -> None:
    faces = Aflw2000Dataset(data=str(folder))
    listing = faces.list_faces()
    assert ids(listing) == [f"{stem}.jpg" for stem in STEMS[:-1]]
    for row in listing.rows.to_pylist():
        face = faces.read(row, 96)
        pose = scipy.io.loadmat(folder / row["face_id"].replace("jpg", "mat"))["Pose_Para"]
        assert face.yaw_deg == row["yaw_deg"] == pytest.approx(-np.degrees(pose[0, 1]))
        assert face.image.shape == (96, 96, 3) and face.landmarks is None
        assert face.vertices.mean(axis=0) == pytest.approx(0, abs=1e-4)
        assert np.sqrt(np.prod(np.ptp(face.vertices[:, :2], axis=0))) == pytest.approx(45)


def test_an_implausible_fit_is_left_out_or_wrapped(folder: Path) -> None:
    left_out = Aflw2000Dataset(data=str(folder)).list_faces()
    assert [face.face_id for face in left_out.excluded] == [f"{STEMS[-1]}.jpg"]
    assert "pitch -320, yaw 100" in left_out.excluded[0].reason
    faces = Aflw2000Dataset(data=str(folder), implausible="wrap")
    wrapped = faces.list_faces()
    assert ids(wrapped) == [f"{stem}.jpg" for stem in STEMS] and not wrapped.excluded
    assert faces.read(wrapped.rows.to_pylist()[-1], 96).yaw_deg == pytest.approx(-100)


@pytest.mark.parametrize("angles", [(0, 91, 0), (300, 0, 0), (0, 0, -280), (0, 350, 0)])
def test_every_angle_has_a_limit(folder: Path, angles: tuple[float, ...]) -> None:
    fit = SyntheticFit.random(np.random.default_rng(0))
    fit.pose[:3] = np.radians(angles)
    write_fit(folder, STEMS[0], LANDMARKS, fit)
    assert len(Aflw2000Dataset(data=str(folder)).list_faces().excluded) == 2
    assert not Aflw2000Dataset(data=str(folder), implausible="wrap").list_faces().excluded


def test_half_a_turn_of_pitch_and_roll_may_be_a_profile(folder: Path) -> None:
    fit = SyntheticFit.random(np.random.default_rng(0))
    fit.pose[:3] = np.radians([-197, -78, 199])
    write_fit(folder, STEMS[0], LANDMARKS, fit)
    assert len(Aflw2000Dataset(data=str(folder)).list_faces().excluded) == 1


def test_a_head_turned_away_is_implausible_even_when_wrapped(folder: Path) -> None:
    fit = SyntheticFit.random(np.random.default_rng(0))
    fit.pose[:3] = np.radians([360, 150, 0])
    write_fit(folder, STEMS[0], LANDMARKS, fit)
    excluded = Aflw2000Dataset(data=str(folder), implausible="wrap").list_faces().excluded
    assert [face.face_id for face in excluded] == [f"{STEMS[0]}.jpg"]
    assert "pitch 0, yaw 150" in excluded[0].reason


def reannotate(kind: str, folder: Path, points: dict[str, np.ndarray]) -> str:
    folder.mkdir()
    if kind == "t7":
        for stem, landmarks in points.items():
            (folder / f"{stem}.t7").write_bytes(write_torch7(landmarks))
        return str(folder)
    values = np.stack(list(points.values()))
    np.save(folder / "new.pts68.npy", values.transpose(0, 2, 1) if kind == "columns" else values)
    (folder / "new.list").write_text("\n".join(f"{stem}.jpg" for stem in points) + "\n")
    return str(folder)


@pytest.mark.parametrize("kind", ["columns", "rows", "t7"])
def test_the_re_annotation_determines_the_crop_only(folder: Path, kind: str) -> None:
    rng = np.random.default_rng(3)
    points = {stem: rng.uniform(30, 120, (68, 2)) for stem in STEMS[:3]}
    faces = Aflw2000Dataset(
        data=str(folder),
        annotation="reannotated",
        reannotation=reannotate(kind, folder.parent / "new", points),
    )
    listing = faces.list_faces()
    assert ids(listing) == [f"{stem}.jpg" for stem in STEMS[:3]]
    reasons = {face.face_id: face.reason for face in listing.excluded}
    assert "no such photo" in reasons[f"{STEMS[3]}.jpg"] and len(reasons) == 2
    for row in listing.rows.to_pylist():
        fit = faces.read_fit(row["face_id"], 96)
        cropped = apply_affine(fit.affine, points[row["face_id"][:-4]])
        assert cropped.mean(axis=0) == pytest.approx(47.5)
        assert np.sqrt(np.prod(np.ptp(cropped, axis=0))) == pytest.approx(45)
        # The truth keeps its position in the photo.
        x = faces.read(row, 96).vertices[:, 0] + 47.5
        assert x == pytest.approx(apply_affine(fit.affine, LANDMARKS[:, :2] - 1)[:, 0], abs=1e-4)
    assert "re-annotation" in faces.describe()["crop"]
    assert "of the fits" in Aflw2000Dataset(data=str(folder)).describe()["crop"]


def test_a_re_annotation_that_does_not_match_is_refused(folder: Path) -> None:
    def list_with(uri: Path) -> DatasetListing:
        return Aflw2000Dataset(
            data=str(folder), annotation="reannotated", reannotation=str(uri)
        ).list_faces()

    empty = folder.parent / "empty"
    with pytest.raises(RequestError, match="expected one"):
        list_with(empty)
    new = folder.parent / "new"
    points = {stem: np.ones((68, 2)) for stem in STEMS}
    reannotate("rows", new, points)
    (new / "new.list").write_text("image00002.jpg\n")
    with pytest.raises(RequestError, match=r"\(1, 2, 68\)"):
        list_with(new)
    other = folder.parent / "other"
    reannotate("rows", other, points)
    (other / "second.list").write_text("")
    with pytest.raises(RequestError, match=r"second\.list"):
        list_with(other)
    damaged = folder.parent / "damaged"
    reannotate("rows", damaged, points)
    (damaged / "new.pts68.npy").write_bytes(b"nonsense")
    with pytest.raises(RequestError, match="damaged"):
        list_with(damaged)


def test_a_damaged_re_annotation_rejects_its_photo(folder: Path) -> None:
    new = folder.parent / "new"
    points = {stem: np.random.default_rng(0).uniform(30, 120, (68, 2)) for stem in STEMS}
    points[STEMS[2]] = np.full((68, 2), 50.0)
    reannotate("t7", new, points)
    (new / f"{STEMS[0]}.t7").write_bytes(b"nonsense")
    faces = Aflw2000Dataset(data=str(folder), annotation="reannotated", reannotation=str(new))
    rows = faces.list_faces().rows.to_pylist()
    with pytest.raises(FaceRejectedError, match=rf"{STEMS[0]}\.t7"):
        faces.read(rows[0], 96)
    assert faces.read(rows[1], 96).vertices.shape == (68, 3)
    with pytest.raises(FaceRejectedError, match="no area"):
        faces.read(rows[2], 96)
    array = folder.parent / "array"
    points[STEMS[0]] = np.full((68, 2), np.nan)
    reannotate("rows", array, points)
    with pytest.raises(FaceRejectedError, match="is not finite"):
        faces.replace(reannotation=str(array)).read(rows[0], 96)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"annotation": "reannotated"}, "requires the folder of the re-annotation, got none"),
        ({"reannotation": "somewhere"}, "somewhere has no effect with annotation: original"),
        ({"implausible": "keep"}, "leave_out"),
    ],
)
def test_inconsistent_fields_are_refused(fields: dict[str, str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Aflw2000Dataset(data="somewhere", **fields)


def test_missing_and_damaged_files_are_listed_with_their_names(folder: Path) -> None:
    (folder / f"{STEMS[0]}.jpg").unlink()
    (folder / f"{STEMS[1]}.mat").write_bytes(b"nonsense")
    scipy.io.savemat(folder / f"{STEMS[2]}.mat", {"pt3d_68": LANDMARKS.T})
    faces = Aflw2000Dataset(data=str(folder))
    listing = faces.list_faces()
    reasons = {face.face_id[:-4]: face.reason for face in listing.excluded}
    assert list(reasons) == [*STEMS[:3], STEMS[4]]
    assert "photo is missing" in reasons[STEMS[0]] and f"{STEMS[1]}.mat" in reasons[STEMS[1]]
    assert "has no Pose_Para" in reasons[STEMS[2]]
    assert ids(listing) == [f"{STEMS[3]}.jpg"]
    assert "this folder has 5 fits" in listing.note
    row = listing.rows.to_pylist()[0]
    (folder / f"{STEMS[3]}.jpg").write_bytes(b"nonsense")
    with pytest.raises(FaceRejectedError, match=rf"undecodable.*{STEMS[3]}\.jpg"):
        faces.read(row, 96)
    (folder / f"{STEMS[3]}.jpg").unlink()
    with pytest.raises(FaceRejectedError, match=rf"missing.*{STEMS[3]}\.jpg"):
        faces.read(row, 96)
    scipy.io.savemat(
        folder / f"{STEMS[3]}.mat", {"pt3d_68": LANDMARKS.T * np.nan, "Pose_Para": np.ones((1, 7))}
    )
    with pytest.raises(FaceRejectedError, match="expected finite pt3d_68"):
        faces.read(row, 96)


def test_another_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="AFLW2000-3D"):
        Aflw2000Dataset(data=str(tmp_path)).list_faces()


def test_the_published_files_are_read_with_their_conventions(shared_dir: Path) -> None:
    uri = str(shared_dir / "faces/AFLW2000")
    faces = Aflw2000Dataset(data=uri)
    listing = faces.list_faces()
    assert {face.face_id for face in listing.excluded} == {"image00150.jpg", "image01530.jpg"}
    assert len(listing.rows) == 448 and "450 fits" in listing.note
    turned = 0
    for row in listing.rows.to_pylist()[:40]:
        face = faces.read(row, 96)
        # Positive yaw turns the nose to the viewer's right, relative to the midpoint of the eyes.
        offset = face.vertices[30] - face.vertices[[36, 45]].mean(axis=0)
        if abs(face.yaw_deg) > 20:
            assert np.sign(offset[0]) == np.sign(face.yaw_deg)
            turned += 1
        assert offset[2] > 0 or abs(face.yaw_deg) > 60
    assert turned > 10
    assert len(faces.replace(implausible="wrap").list_faces().rows) == 450


def test_the_published_re_annotation_moves_crops_slightly(shared_dir: Path) -> None:
    uri = str(shared_dir / "faces/AFLW2000")
    original = Aflw2000Dataset(data=uri)
    again = Aflw2000Dataset(
        data=uri, annotation="reannotated", reannotation=f"{uri}-3D-Reannotated"
    )
    listing = again.list_faces()
    assert len(listing.rows) == 448
    shifts = []
    for row in listing.rows.to_pylist()[:40]:
        first, second = (faces.read_fit(row["face_id"], 96) for faces in (original, again))
        shifts.append(second.affine[:, 2] - first.affine[:, 2])
        assert second.affine[0, 0] == pytest.approx(first.affine[0, 0], rel=0.25)
    assert 0.1 < np.median(np.linalg.norm(shifts, axis=1)) < 5
