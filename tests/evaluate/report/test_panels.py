import cv2
import numpy as np
import pytest

from rayboot.evaluate.report.panels import compute_error_limit, draw_panels
from tests.evaluate.report.synthetic_examples import evaluated_face, example


def decode(payload: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_panels_have_a_column_per_face_and_a_row_per_panel() -> None:
    faces = [example(a=evaluated_face(0.02), b=evaluated_face(0.05))] * 3
    two = decode(draw_panels(faces, ["a", "b"]))
    # Crop, two shapes, two from the front and from the side, one with the photo, two errors.
    assert two.shape == (round((0.9 + 1.6 * 10) * 110), round((1.0 + 1.6 * 3) * 110), 3)
    one = decode(draw_panels(faces[:1], ["a"]))
    assert one.shape == (round((0.9 + 1.6 * 6) * 110), round(2.6 * 110), 3)


def test_models_of_different_sizes_and_failed_models_are_drawn() -> None:
    faces = [
        example(a=evaluated_face(0.02), b=evaluated_face(0.05, size=64)),
        example(b=evaluated_face(0.05, points=True)),
        example()._replace(yaw_deg=float("nan")),
    ]
    assert decode(draw_panels(faces, ["a", "b"])).std() > 10


@pytest.mark.parametrize("points", [False, True])
def test_larger_errors_are_darker(points: bool) -> None:
    faces = [example(a=evaluated_face(0.01, points=points), b=evaluated_face(0.2, points=points))]
    image = decode(draw_panels(faces, ["a", "b"]))
    # The last two rows of panels above the scale.
    rows = [image[-(70 + 176 * k) : -(70 + 176 * (k - 1)), 120:] for k in (2, 1)]
    saturated = [(row.max(axis=-1).astype(int) - row.min(axis=-1) > 40) for row in rows]
    blue = [row[..., 0][colored].mean() for row, colored in zip(rows, saturated, strict=True)]
    green = [row[..., 1][colored].mean() for row, colored in zip(rows, saturated, strict=True)]
    assert all(colored.sum() > 200 for colored in saturated)
    assert green[0] > green[1] + 50 and blue[0] > blue[1]


def test_the_scale_covers_nearly_all_distances() -> None:
    faces = [example(a=evaluated_face(0.012), b=evaluated_face(0.07))]
    assert compute_error_limit(faces, ["a", "b"]) == 8
    assert compute_error_limit(faces, ["a"]) == 1.5
    assert compute_error_limit([example()], ["a"]) == 1
