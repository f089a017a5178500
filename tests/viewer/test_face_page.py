"""The page of faces, in a browser."""

import base64
import json
import re
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import Select

from rayboot.viewer import ViewedFace, make_face_page
from tests.page_requests import requested_urls
from tests.render.solids import SIZE, ellipsoid

RED, GREEN = (200, 40, 30), (30, 160, 60)
TITLE = '<script>alert("a")</script>"'


def viewed(
    radii: tuple[float, float, float] = (24.0, 30.0, 20.0),
    color: tuple[int, int, int] | None = RED,
    photo: bytes | None = None,
    label: str = "a",
) -> ViewedFace:
    mesh = ellipsoid(radii)
    colors = None if color is None else np.full(mesh.vertices.shape, color, np.uint8)
    return ViewedFace(label, mesh.vertices, mesh.faces, colors, SIZE, photo)


def unpack(packed: dict[str, str]) -> np.ndarray:
    return np.frombuffer(base64.b64decode(packed["bytes"]), np.dtype(f"<{packed['kind']}"))


def test_packed_faces_keep_their_shapes_and_colours() -> None:
    faces = [viewed(), viewed(color=None)]
    (text,) = re.findall(r'id="faces">(.*?)</script>', make_face_page(faces, "two"))
    for face, packed in zip(faces, json.loads(text), strict=True):
        positions = unpack(packed["positions"]).reshape(-1, 3) * packed["step"] + packed["centre"]
        assert np.abs(positions - face.vertices).max() < 0.001
        assert np.array_equal(unpack(packed["indices"]), face.triangles.ravel())
        if face.colors is not None:
            assert np.array_equal(unpack(packed["colors"]), face.colors.ravel())
        assert (packed["colors"] is None) == (face.colors is None)


def test_a_page_is_small_and_asks_for_nothing() -> None:
    page = make_face_page([viewed()], "a face")
    assert len(page) < 2**20
    assert "http" not in page.replace("http-equiv", "")
    assert "{{" not in page
    named = make_face_page([viewed(label="</script>")], "{{scripts}}")
    assert named.count("<script>") == page.count("<script>")
    assert named.count("</script>") == page.count("</script>")


def open_page(browser: Any, folder: Path, *faces: ViewedFace) -> Any:
    path = folder / "face.html"
    path.write_text(make_face_page(faces, TITLE), "utf-8")
    browser.get_log("browser")
    browser.get_log("performance")
    browser.get(path.as_uri())
    wait_until_shown(browser, 0)
    return browser


def wait_until_shown(page: Any, index: int) -> None:
    for _ in range(100):
        if page.find_element(By.ID, "plot").get_attribute("data-shown") == str(index):
            return
        time.sleep(0.05)
    raise AssertionError(f"face {index} is not shown")


def look(page: Any) -> np.ndarray:
    """Returns where (H, W, 3) the mesh is drawn, in RGB; zero where it is not."""
    time.sleep(0.5)
    payload = page.find_element(By.ID, "plot").screenshot_as_png
    image = cv2.imdecode(np.frombuffer(payload, np.uint8), cv2.IMREAD_COLOR)
    assert image is not None
    image = image[6:-6, 6:-6, ::-1].astype(int)  # without the outline of the focus
    drawn = (np.abs(image - image[0, 0]) > 12).any(axis=2)
    return np.where(drawn[..., None], image, 0)


def extent(view: np.ndarray) -> tuple[int, int]:
    rows, columns = np.nonzero(view.any(axis=2))
    return int(np.ptp(columns)), int(np.ptp(rows))


def angles(page: Any) -> dict[str, float]:
    view: dict[str, float] = page.execute_script(
        "return document.getElementById('plot').viewer.view"
    )
    return view


@pytest.mark.browser
def test_every_control_works(browser: Any, tmp_path: Path) -> None:
    page = open_page(browser, tmp_path, viewed((24.0, 30.0, 12.0)))
    front = look(page)
    width, height = extent(front)
    assert width / height == pytest.approx(24 / 30, abs=0.03)
    red, green, blue = front[front.shape[0] // 2, front.shape[1] // 2]
    assert red > 2 * green > 0 and red > 2 * blue > 0
    assert not page.find_element(By.ID, "face-label").is_displayed()

    left, straight, right = page.find_elements(By.CSS_SELECTOR, "[data-azimuth]")
    right.click()
    side_width, side_height = extent(look(page))
    # The shadow of an ellipsoid from 60 degrees.
    expected = np.hypot(24 * np.cos(np.pi / 3), 12 * np.sin(np.pi / 3)) / 30
    assert side_width / side_height == pytest.approx(expected, abs=0.03)
    straight.click()
    assert np.array_equal(look(page), front)

    canvas = page.find_element(By.ID, "plot")
    for key in (Keys.ARROW_RIGHT, Keys.ARROW_RIGHT, Keys.ARROW_UP):
        canvas.send_keys(key)
    assert (angles(page)["azimuth"], angles(page)["elevation"]) == (-20, -10)
    assert extent(look(page))[0] < width
    canvas.send_keys("0", "-", "-", "-")
    assert extent(look(page))[1] == pytest.approx(height / 1.15**3, rel=0.05)
    canvas.send_keys("+", "+", "+")
    assert extent(look(page))[1] == pytest.approx(height, abs=2)

    canvas.send_keys("0")
    ActionChains(page).drag_and_drop_by_offset(canvas, canvas.size["height"] // 4, 0).perform()
    # A quarter of the height is an eighth of a turn, in the direction of the hand.
    assert angles(page)["azimuth"] == pytest.approx(-45, abs=2)

    left.click()
    page.find_element(By.ID, "texture").click()
    grey = look(page)
    drawn = grey[grey.any(axis=2)]
    assert np.ptp(drawn, axis=1).max() < 30  # no red is left


@pytest.mark.browser
def test_the_nose_points_away_from_the_side_that_one_looks_from(
    browser: Any, tmp_path: Path
) -> None:
    head, nose = viewed((20.0, 24.0, 12.0), None), viewed((3.0, 3.0, 3.0), None)
    face = head._replace(
        vertices=np.concatenate([head.vertices, nose.vertices + np.float32([0, 0, 20])]),
        triangles=np.concatenate([head.triangles, nose.triangles + len(head.vertices)]),
    )
    page = open_page(browser, tmp_path, face)
    assert not page.find_element(By.ID, "texture-label").is_displayed()  # there are no colours
    left, _, right = page.find_elements(By.CSS_SELECTOR, "[data-azimuth]")
    for button, side in ((left, -1), (right, 0)):
        button.click()
        view = look(page)
        columns = np.flatnonzero(view.any(axis=(0, 2)))
        tip = np.flatnonzero(view[:, columns[side]].any(axis=1))
        # The tip of the nose, not the back of the head, and in the middle of the height.
        assert len(tip) < 20 and abs(tip.mean() / len(view) - 0.5) < 0.05


@pytest.mark.browser
def test_the_photo_lies_on_the_front_in_its_own_resolution(browser: Any, tmp_path: Path) -> None:
    # Bars finer than the vertices, which are red.
    bars = np.zeros((384, 384, 3), np.uint8)
    bars[:, ::6] = bars[:, 1::6] = bars[:, 2::6] = 255
    photo = cv2.imencode(".png", bars)[1].tobytes()
    page = open_page(browser, tmp_path, viewed(photo=photo))
    front = look(page)
    row = front[front.shape[0] // 2, front.shape[1] // 2 - 60 : front.shape[1] // 2 + 60]
    assert np.ptp(row, axis=1).max() < 30  # no red
    assert np.abs(np.diff(row[:, 0] > 128)).sum() > 20
    page.execute_script("document.getElementById('plot').viewer.viewFrom(180)")
    back = look(page)
    red, green, _ = back[back.shape[0] // 2, back.shape[1] // 2]
    assert red > 2 * green  # which the photo does not show


@pytest.mark.browser
def test_one_of_several_faces_is_chosen(browser: Any, tmp_path: Path) -> None:
    faces = [viewed(label="one"), viewed((12.0, 30.0, 12.0), GREEN, label="<b>two</b>")]
    page = open_page(browser, tmp_path, *faces)
    first = look(page)
    select = Select(page.find_element(By.ID, "face"))
    assert [option.text for option in select.options] == ["one", "<b>two</b>"]
    select.select_by_index(1)
    wait_until_shown(page, 1)
    second = look(page)
    red, green, _ = second[second.shape[0] // 2, second.shape[1] // 2]
    assert green > 2 * red
    assert extent(second)[0] < 0.7 * extent(first)[0]
    select.select_by_index(0)
    wait_until_shown(page, 0)
    assert np.array_equal(look(page), first)


@pytest.mark.browser
def test_the_page_logs_no_error_and_requests_nothing(browser: Any, tmp_path: Path) -> None:
    photo = cv2.imencode(".jpg", np.zeros((64, 64, 3), np.uint8))[1].tobytes()
    page = open_page(browser, tmp_path, viewed(photo=photo))
    look(page)
    errors = [entry for entry in page.get_log("browser") if entry["level"] == "SEVERE"]
    assert errors == []
    urls = requested_urls(page)
    assert all(url.startswith(("file:", "data:", "chrome")) for url in urls), urls
    assert sum(url.startswith("file:") for url in urls) == 1
