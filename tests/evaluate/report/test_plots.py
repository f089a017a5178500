import cv2
import numpy as np
import pytest

from rayboot.evaluate.report.plots import (
    assign_model_colors,
    cumulative_fractions,
    group_by_yaw,
    plot_by_band,
    plot_cumulative,
    plot_nme_against_yaw,
    plot_yaw_histogram,
    round_up,
)
from rayboot.evaluate.results import FaceError

NAN = float("nan")


def faces(yaws: list[float], errors: list[float]) -> list[FaceError]:
    return [
        FaceError(str(i), yaw, error, error)
        for i, (yaw, error) in enumerate(zip(yaws, errors, strict=True))
    ]


def test_many_yaws_are_grouped_to_the_nearest_15_degrees() -> None:
    rng = np.random.default_rng(0)
    yaws = rng.uniform(-90, 90, 200)
    groups = group_by_yaw(faces(list(yaws), list(np.abs(yaws) / 1000)))
    assert list(groups) == [0, 15, 30, 45, 60, 75, 90]
    near = [abs(yaw) / 10 for yaw in yaws if 22.5 < abs(yaw) < 37.5]
    assert groups[30].mean == pytest.approx(np.mean(near))
    assert groups[30].num_faces == len(near)
    both = group_by_yaw(faces(list(yaws), list(np.abs(yaws) / 1000)), signed=True)
    assert list(both) == [-90, -75, -60, -45, -30, -15, 0, 15, 30, 45, 60, 75, 90]


def test_chosen_rotations_are_groups_of_their_own() -> None:
    rotations = [-60.0, -40.0, -20.0, 20.0, 40.0, 60.0] * 3
    groups = group_by_yaw(faces(rotations, [0.02] * 18))
    assert list(groups) == [20, 40, 60] and groups[40].num_faces == 6
    assert list(group_by_yaw(faces(rotations, [0.02] * 18), signed=True)) == sorted(set(rotations))


def test_faces_without_yaw_or_error_are_in_no_group() -> None:
    groups = group_by_yaw(faces([0, 0, 0, NAN, 0], [0.1, 0.1, 0.1, 0.1, NAN]))
    assert groups[0].num_faces == 3


def test_a_failed_face_is_below_no_error() -> None:
    yaws = [0.0] * 4
    curves = cumulative_fractions(
        {"a": faces(yaws, [0.3, 0.1, 0.2, NAN]), "b": faces(yaws, [0.1, NAN, 0.2, NAN])}
    )
    # The last face has no error from either model and is ignored.
    assert curves["a"][0] == pytest.approx([0, 10, 20, 30])
    assert curves["a"][1] == pytest.approx([0, 100 / 3, 200 / 3, 100])
    assert curves["b"][1] == pytest.approx([0, 100 / 3, 200 / 3])


@pytest.mark.parametrize("kind", ["many", "one", "no error", "no yaw"])
def test_every_plot_is_drawn_whatever_data_is_missing(kind: str) -> None:
    rng = np.random.default_rng(1)
    count = {"one": 1}.get(kind, 60)
    yaws = [NAN] * count if kind == "no yaw" else list(rng.uniform(-90, 90, count))
    values = [NAN] * count if kind == "no error" else list(rng.uniform(0.02, 0.1, count))
    # Names that matplotlib would read as a formula, or hide.
    errors = {r"$\frac{": faces(yaws, values), "_hidden": faces(yaws, values[::-1])}
    plots = [
        plot_nme_against_yaw(errors),
        plot_nme_against_yaw(errors, signed=True),
        plot_cumulative(errors),
        plot_by_band(errors, [(0, 30), (30, 90)]),
        plot_yaw_histogram(errors["_hidden"]),
    ]
    for payload in plots:
        image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
        assert image is not None and image.shape == (540, 810, 3)
        assert image.min() < 100 < 250 < image.max()


def test_a_model_keeps_its_colour() -> None:
    colors = assign_model_colors([str(i) for i in range(9)])
    assert len(set(list(colors.values())[:7])) == 7
    assert assign_model_colors(["0", "1"]) == {name: colors[name] for name in ("0", "1")}


@pytest.mark.parametrize(
    ("value", "end"), [(0.0, 1), (0.9, 1), (1, 1), (1.2, 1.5), (7.1, 8), (14, 15), (0.031, 0.04)]
)
def test_a_scale_ends_at_a_round_number(value: float, end: float) -> None:
    assert round_up(value) == pytest.approx(end)
