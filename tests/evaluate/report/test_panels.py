import cv2
import numpy as np
import pytest

from rayboot.evaluate.report.panels import draw_panels, error_limit
from tests.evaluate.report.synthetic_examples import example, seen


def decoded(payload: bytes) -> np.ndarray:
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    return image


def test_a_column_a_face_and_a_row_a_picture() -> None:
    faces = [example(a=seen(0.02), b=seen(0.05))] * 3
    two = decoded(draw_panels(faces, ["a", "b"]))
    # Photo, two shapes, two turned back, two errors.
    assert two.shape == (round((0.9 + 1.6 * 7) * 110), round((1.0 + 1.6 * 3) * 110), 3)
    one = decoded(draw_panels(faces[:1], ["a"]))
    assert one.shape == (round((0.9 + 1.6 * 4) * 110), round(2.6 * 110), 3)


def test_models_of_other_sizes_and_failures_are_drawn() -> None:
    faces = [
        example(a=seen(0.02), b=seen(0.05, size=64)),
        example(b=seen(0.05, points=True)),
        example()._replace(yaw_deg=float("nan")),
    ]
    assert decoded(draw_panels(faces, ["a", "b"])).std() > 10


@pytest.mark.parametrize("points", [False, True])
def test_larger_errors_are_darker(points: bool) -> None:
    faces = [example(a=seen(0.01, points=points), b=seen(0.2, points=points))]
    image = decoded(draw_panels(faces, ["a", "b"]))
    # The two last rows of pictures above the scale.
    rows = [image[-(70 + 176 * k) : -(70 + 176 * (k - 1)), 120:] for k in (2, 1)]
    strong = [(row.max(axis=-1).astype(int) - row.min(axis=-1) > 40) for row in rows]
    blue = [row[..., 0][colored].mean() for row, colored in zip(rows, strong, strict=True)]
    green = [row[..., 1][colored].mean() for row, colored in zip(rows, strong, strict=True)]
    assert all(colored.sum() > 200 for colored in strong)
    assert green[0] > green[1] + 50 and blue[0] > blue[1]


def test_the_scale_ends_above_nearly_all_distances() -> None:
    faces = [example(a=seen(0.012), b=seen(0.07))]
    assert error_limit(faces, ["a", "b"]) == 8
    assert error_limit(faces, ["a"]) == 1.5
    assert error_limit([example()], ["a"]) == 1
