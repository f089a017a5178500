import io
import json
from pathlib import Path

import numpy as np
import pytest

from rayboot.errors import ShapeError
from rayboot.evaluate.datasets.scan_landmarks import read_scan_landmarks
from tests.evaluate.datasets.synthetic_scans import LABELS, LANDMARKS, encode_ljson


def read_ljson(payload: bytes) -> np.ndarray:
    return read_scan_landmarks(payload, ".ljson")


def test_every_version_is_read() -> None:
    content = json.loads(encode_ljson())
    group = content["groups"]["LJSON"]
    first = {"groups": [group], "version": 1}
    for version in (content, {**group, "version": 2}, first):
        assert read_ljson(json.dumps(version).encode()) == pytest.approx(LANDMARKS)


def test_points_of_another_order_are_reordered() -> None:
    """Some published scans have the order jaw, eyes, left brow, nose, right brow, mouth."""
    labels = {
        "chin": (0, 17), "leye": (17, 23), "reye": (23, 29), "leyebrow": (29, 34),
        "nose": (34, 43), "reyebrow": (43, 48), "mouth": (48, 68),
    }  # fmt: skip
    shuffled = LANDMARKS[[*range(17), *range(36, 48), *range(17, 22), *range(27, 36),
                          *range(22, 27), *range(48, 68)]]  # fmt: skip
    points = read_ljson(encode_ljson(shuffled, labels=labels))
    assert points == pytest.approx(LANDMARKS)


def test_labels_that_omit_points_are_refused() -> None:
    with pytest.raises(ShapeError, match="leye has 5 points"):
        read_ljson(encode_ljson(labels={**LABELS, "leye": (36, 41)}))
    with pytest.raises(ShapeError, match="assign each point once"):
        read_ljson(encode_ljson(labels={**LABELS, "leye": (30, 36)}))
    assert read_ljson(encode_ljson(labels={"all": (0, 68)})) == pytest.approx(LANDMARKS)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"[1, 2]",
        b'{"groups": {}}',
        b"[" * 100_000,
        encode_ljson()[:500],
        encode_ljson(LANDMARKS[:50]),
        encode_ljson(LANDMARKS[:, :2]),
        encode_ljson(LANDMARKS * np.nan),
        json.dumps({"landmarks": {"points": [[None, 1, 2]] * 68}}).encode(),
    ],
)
def test_files_without_landmarks_are_refused(payload: bytes) -> None:
    with pytest.raises(ShapeError):
        read_ljson(payload)


def test_published_files_are_read_in_order(shared_dir: Path) -> None:
    files = sorted((shared_dir / "faces/MICC_landmarks").rglob("*.ljson"))
    assert len(files) == 20
    for file in files:
        assert read_ljson(file.read_bytes()).shape == (68, 3)
    # The file of this scan has the eyes first.
    points = read_ljson((shared_dir / "faces/scans/james/james.ljson").read_bytes())
    eyes, brows = points[36:48, 1].mean(), points[17:27, 1].mean()
    assert points[48:, 1].mean() < points[27:36, 1].mean() < eyes < brows


def encode_points(suffix: str, points: np.ndarray) -> bytes:
    if suffix == ".npy":
        buffer = io.BytesIO()
        np.save(buffer, points)
        return buffer.getvalue()
    rows = points.tolist()
    if suffix == ".json":
        return json.dumps({"landmarks": rows}).encode()
    return "\r\n".join(", ".join(map(repr, row)) for row in rows).encode()


@pytest.mark.parametrize("suffix", [".npy", ".NPY", ".txt", ".csv", ".json"])
def test_other_formats_are_read(suffix: str) -> None:
    payload = encode_points(suffix.lower(), LANDMARKS)
    assert read_scan_landmarks(payload, suffix) == pytest.approx(LANDMARKS)


def test_51_landmarks_get_the_jaw_of_the_mean_face() -> None:
    points = read_scan_landmarks(encode_points(".npy", LANDMARKS[17:]), ".npy")
    assert (points[17:] == LANDMARKS[17:]).all()
    # This scan is the mean head itself.
    assert points == pytest.approx(LANDMARKS, abs=0.01)


def test_landmarks_of_a_photo_or_another_format_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"expected 68 finite points \(68, 3\)"):
        read_scan_landmarks(encode_points(".npy", LANDMARKS[:, :2]), ".npy")
    with pytest.raises(ShapeError, match=r"ends in \.t7.*got \.xml"):
        read_scan_landmarks(b"", ".xml")
    with pytest.raises(ShapeError, match="no face"):
        read_scan_landmarks(encode_points(".npy", np.ones((51, 3))), ".npy")
