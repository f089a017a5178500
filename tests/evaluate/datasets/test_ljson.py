import json
from pathlib import Path

import numpy as np
import pytest

from rayboot.errors import ShapeError
from rayboot.evaluate.datasets.ljson import read_ljson
from tests.evaluate.datasets.synthetic_scans import LABELS, LANDMARKS, ljson_of


def test_every_version_is_read() -> None:
    content = json.loads(ljson_of())
    group = content["groups"]["LJSON"]
    first = {"groups": [group], "version": 1}
    for version in (content, {**group, "version": 2}, first):
        assert read_ljson(json.dumps(version).encode()) == pytest.approx(LANDMARKS)


def test_points_of_another_order_are_put_in_order() -> None:
    """The order of some published scans: jaw, eyes, left brow, nose, right brow, mouth."""
    labels = {
        "chin": (0, 17), "leye": (17, 23), "reye": (23, 29), "leyebrow": (29, 34),
        "nose": (34, 43), "reyebrow": (43, 48), "mouth": (48, 68),
    }  # fmt: skip
    shuffled = LANDMARKS[[*range(17), *range(36, 48), *range(17, 22), *range(27, 36),
                          *range(22, 27), *range(48, 68)]]  # fmt: skip
    found = read_ljson(ljson_of(shuffled, labels=labels))
    assert found == pytest.approx(LANDMARKS)


def test_labels_that_leave_points_out_are_refused() -> None:
    with pytest.raises(ShapeError, match="leye has 5 points"):
        read_ljson(ljson_of(labels={**LABELS, "leye": (36, 41)}))
    with pytest.raises(ShapeError, match="name each once"):
        read_ljson(ljson_of(labels={**LABELS, "leye": (30, 36)}))
    assert read_ljson(ljson_of(labels={"all": (0, 68)})) == pytest.approx(LANDMARKS)


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"nonsense",
        b"[1, 2]",
        b'{"groups": {}}',
        b"[" * 100_000,
        ljson_of()[:500],
        ljson_of(LANDMARKS[:51]),
        ljson_of(LANDMARKS[:, :2]),
        ljson_of(LANDMARKS * np.nan),
        json.dumps({"landmarks": {"points": [[None, 1, 2]] * 68}}).encode(),
    ],
)
def test_what_holds_no_landmarks_is_refused(payload: bytes) -> None:
    with pytest.raises(ShapeError):
        read_ljson(payload)


def test_published_files_are_in_order(shared_dir: Path) -> None:
    files = sorted((shared_dir / "faces/MICC_landmarks").rglob("*.ljson"))
    assert len(files) == 20
    for file in files:
        assert read_ljson(file.read_bytes()).shape == (68, 3)
    # A scan whose file has the eyes first.
    points = read_ljson((shared_dir / "faces/scans/james/james.ljson").read_bytes())
    eyes, brows = points[36:48, 1].mean(), points[17:27, 1].mean()
    assert points[48:, 1].mean() < points[27:36, 1].mean() < eyes < brows
